//! Plans how every kept path comes to its place: keep list + what is there → steps, and refusals
//! with their reasons. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use dirfd::FileType;
use dirfd::TreePath;
use dirfd::path::shell_path;

use crate::config::entry::PlacementMethod;
use crate::persist::WhyAndHint;
use crate::persist::accounts::Accounts;
use crate::persist::mount_options::MountOptions;
use crate::persist::observed::{
    FoundFile, HiddenContent, Observations, PathState, VolatileStorage,
};
use crate::persist::owners::{OwnerAndMode, OwnerResolver};
use crate::persist::resolve::{ResolvedEntry, ancestors};
use crate::persist::step::{ApplyStep, FileSpec};
use crate::steps::write_numbered;

/// What will be done, in order, and what will not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyPlan {
    /// Parents come before what lies in them. A step that fails takes those below it along.
    pub steps: Vec<ApplyStep>,
    /// Entries that cannot be put in force.
    pub refusals: Vec<EntryRefusal>,
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
    /// Mounts that are right already, and whose options programs are to find: an interrupted run
    /// may not have come to tell of them.
    pub(crate) mounted: Vec<(TreePath, MountOptions)>,
}

/// Why one entry cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRefusal {
    /// The entry's path.
    pub path: TreePath,
    /// The reason.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// What a run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyOptions {
    /// What that lies at a place is moved into storage.
    pub adopt: Adopt,
    /// Mount, and not only make what mounts need.
    pub mounts: bool,
    /// PID 1 of the root has yet to start.
    pub early: bool,
}

/// Which data that lies where kept data is to be seen is moved into storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// None.
    Nothing,
    /// A file that its program put in the place of its link, and what storage has nothing of.
    Replaced,
    /// All that only live has.
    Everything,
}

/// Plans a whole keep list. Every entry is tried.
pub(crate) fn plan_apply(
    resolved: &[ResolvedEntry],
    observed: &Observations,
    accounts: &Accounts,
    asked: ApplyOptions,
) -> ApplyPlan {
    let covered = resolved.iter().filter(|one| !one.is_shown_by_parent());
    let places = covered.map(|one| (&one.made_at, one)).collect();
    let owners = OwnerResolver::new(resolved, accounts, observed);
    let mut planner = Planner {
        observed,
        owners,
        asked,
        plan: ApplyPlan::default(),
        made: BTreeMap::new(),
        enforced: BTreeMap::new(),
        adopted: Vec::new(),
        places,
    };
    // Whatever becomes of the entries: nothing may be made in the place of what only lacks its name.
    resolved.iter().for_each(|one| planner.finish_exchange(one));
    for one in resolved {
        let (before, adopted) = (planner.plan.steps.len(), planner.adopted.len());
        if let Err((why, hint)) =
            planner.check_parent_entry(one).and_then(|()| planner.plan_entry(one))
        {
            // What was planned for it already is harmless alone, but it was not asked for.
            for step in planner.plan.steps.drain(before..) {
                planner.made.remove(step.path());
                planner.enforced.remove(step.path());
            }
            planner.adopted.truncate(adopted);
            let path = one.entry.path.clone();
            planner.plan.refusals.push(EntryRefusal { path, why, hint });
        }
    }
    planner.plan
}

pub(crate) struct Planner<'p> {
    pub(crate) observed: &'p Observations,
    owners: OwnerResolver<'p>,
    pub(crate) asked: ApplyOptions,
    pub(crate) plan: ApplyPlan,
    /// What there will be by then, and whose.
    pub(crate) made: BTreeMap<TreePath, OwnerAndMode>,
    /// The user and mode that something will have by then in the place of those that it has.
    pub(crate) enforced: BTreeMap<TreePath, (u32, u16)>,
    /// The places of entries that are not simply seen where they are stored.
    places: HashMap<&'p TreePath, &'p ResolvedEntry>,
    /// Places in storage that will have what is at another place: in live, or beside them.
    pub(crate) adopted: Vec<(TreePath, TreePath)>,
}

impl<'p> Planner<'p> {
    /// What will be at a place once the steps before are done.
    pub(crate) fn state_of(&self, path: &TreePath) -> &'p PathState {
        self.observed.state_of(&self.original_of(path))
    }

    /// Where that is now.
    pub(crate) fn original_of(&self, path: &TreePath) -> TreePath {
        // What was copied last may come from what was copied before.
        let mut from = path.clone();
        for (source, original) in self.adopted.iter().rev() {
            if let Some(rest) = from.below(source) {
                from = original.join_path(&rest);
            }
        }
        from
    }

    /// What will have a name by then.
    pub(crate) fn file_at(&self, path: &TreePath) -> Option<&'p FoundFile> {
        match self.state_of(path) {
            PathState::Present(found) => Some(found),
            PathState::Absent | PathState::Unreadable(..) => None,
        }
    }

    /// What lies in an entry that is not in force would be made at the wrong place.
    fn check_parent_entry(&self, one: &ResolvedEntry) -> Result<(), WhyAndHint> {
        let Some(parent) = &one.within else { return Ok(()) };
        if self.plan.refusals.iter().any(|refusal| refusal.path == *parent) {
            let why = format!("it lies in {parent}, which is kept, too, and cannot be");
            return Err((why, format!("do first what {parent} needs")));
        }
        self.check_data_in_reach(one)
    }

    /// Data cannot lie below the place of another entry: a link or a mount would take its way.
    fn check_data_in_reach(&self, one: &ResolvedEntry) -> Result<(), WhyAndHint> {
        let in_the_way = ancestors(&one.source).find_map(|dir| self.places.get(&dir));
        let Some(other) = in_the_way else { return Ok(()) };
        let (source, path) = (&one.source, &other.entry.path);
        let why = format!("its data, {source}, would lie below the place of {path}, which is kept");
        Err((why, format!("keep both in the same storage, with {path} as it is")))
    }

    /// Finishes an exchange that was cut short before what is in storage had its name.
    fn finish_exchange(&mut self, one: &ResolvedEntry) {
        let Some(unnamed) = self.observed.unnamed.get(&one.source) else { return };
        let is_planned = self.adopted.iter().any(|(source, _)| *source == one.source);
        if is_planned || self.check_storage(&one.entry.storage).is_err() {
            return;
        }
        let (path, source) = (unnamed.clone(), one.source.clone());
        self.adopted.push((source.clone(), path.clone()));
        self.plan.steps.push(ApplyStep::Name { path, source });
    }

    fn plan_entry(&mut self, one: &ResolvedEntry) -> Result<(), WhyAndHint> {
        self.check_storage(&one.entry.storage)?;
        self.check_fstab(one)?;
        let ownership = self.owners.of(one)?;
        if one.is_shown_by_parent() {
            return self.plan_source(one, ownership, PlacementMethod::Bind);
        }
        if self.waits_for_identity(one) {
            return Ok(());
        }
        let stored = self.file_at(&one.source).map(|found| found.stat.facts.file_type);
        let how = one.entry.placement(self.observed.replaced.contains(&one.source), stored);
        if self.is_to_adopt(one, how) {
            // By then it is a file in storage.
            let how = one.entry.placement(self.was_replaced(one), Some(FileType::File));
            return self.plan_adoption(one, ownership, how);
        }
        self.plan_source(one, ownership, how)?;
        self.plan_target(one, how)
    }

    fn check_storage(&self, storage: &TreePath) -> Result<(), WhyAndHint> {
        match self.observed.state_of(storage) {
            PathState::Unreadable(why, hint) => {
                return Err(unreadable_place(why, hint.as_deref()));
            }
            PathState::Present(found) if found.stat.facts.file_type == FileType::Dir => {}
            PathState::Present(_) => {
                let why = format!("the storage {storage} is no directory");
                return Err((why, "mount the storage there, or name its directory".into()));
            }
            PathState::Absent => {
                // Where what holds it is mounted, there is nothing left to mount.
                let is_mounted = |dir: TreePath| {
                    self.observed.file_at(&dir).is_some_and(|found| found.mounted.is_some())
                };
                let word = shell_path(storage);
                return Err(match ancestors(storage).any(is_mounted) {
                    true => (
                        format!(
                            "the storage {storage} is not there, although what holds it is mounted"
                        ),
                        format!("make it (`mkdir -m 0755 {word}`), or correct its `path`"),
                    ),
                    false => (
                        format!("the storage {storage} is not there"),
                        format!("mount it first: `mount {word}`, and see that fstab has it"),
                    ),
                });
            }
        }
        if self.observed.wiped.contains(storage) {
            return Err((VolatileStorage::OnLive.reason(storage), VolatileStorage::HINT.into()));
        }
        Ok(())
    }

    /// What fstab mounts at the very place comes and goes with fstab; below such a mount, data that
    /// storage has already is still shown, and nothing is covered by a place that is made for it.
    fn check_fstab(&self, one: &ResolvedEntry) -> Result<(), WhyAndHint> {
        let path = &one.entry.path;
        let Some(mount) = self.observed.by_fstab.get(path) else { return Ok(()) };
        let stored = self.file_at(&one.source);
        let seen = self.file_at(&one.seen_at).filter(|seen| seen.mounted.is_some());
        let in_force = match (stored, seen) {
            (Some(stored), Some(seen)) => stored.stat.is_same_file(&seen.stat),
            (Some(_), None) => mount.point != *path,
            (None, _) => false,
        };
        if in_force {
            return Ok(());
        }
        Err((mount.to_string(), mount.hint(path)))
    }

    /// Plans the directories that lead to `path`. `twin` is the path on the other side.
    pub(crate) fn make_parents(
        &mut self,
        path: &TreePath,
        twin: &TreePath,
        one: &ResolvedEntry,
    ) -> Result<(), WhyAndHint> {
        let mut missing = Vec::new();
        let mut other = Some(twin.clone());
        for dir in ancestors(path) {
            // The two sides are the same directory as long as their names are.
            other = other.and_then(|below| {
                let same = below.name() == path_name_below(path, &dir);
                below.parent().filter(|parent| same && parent.depth() > 0)
            });
            if self.made.contains_key(&dir) {
                break;
            }
            match self.state_of(&dir) {
                PathState::Present(found) if found.stat.facts.file_type == FileType::Dir => {
                    break;
                }
                PathState::Present(_) => {
                    let why = format!("its parent {dir} is no directory");
                    return Err((why, format!("move {dir} away, or keep another path")));
                }
                PathState::Unreadable(why, hint) => {
                    return Err(unreadable_place(why, hint.as_deref()));
                }
                PathState::Absent => missing.push((dir, other.clone())),
            }
        }
        for (dir, other) in missing.into_iter().rev() {
            let planned = other.as_ref().and_then(|other| self.made.get(other).copied());
            let ownership = self.owners.for_parent(&dir, other.as_ref(), one)?;
            let ownership = planned.unwrap_or(ownership);
            self.push_make(dir, FileSpec::Dir(ownership.owner, ownership.mode), ownership, one);
        }
        Ok(())
    }

    pub(crate) fn push_make(
        &mut self,
        path: TreePath,
        spec: FileSpec,
        ownership: OwnerAndMode,
        one: &ResolvedEntry,
    ) {
        let attributes = self.owners.attributes(&path, ownership, one);
        self.plan.steps.push(ApplyStep::Make { path: path.clone(), spec, attributes });
        self.made.insert(path, ownership);
    }
}

/// The machine's identity, which somebody has to make up once: PID 1, when it starts. Where it cannot
/// write the file, it mounts what it made up over it (machine-id(5)).
impl Planner<'_> {
    /// Whether there is none yet, and PID 1 is still to come: an empty file over an empty one would
    /// only be in its way.
    pub(crate) fn waits_for_identity(&mut self, one: &ResolvedEntry) -> bool {
        let has_none = |path| match self.state_of(path) {
            PathState::Absent => true,
            PathState::Present(found) => found.content == HiddenContent::Empty,
            PathState::Unreadable(..) => false,
        };
        let waits = self.asked.early
            && one.is_identity()
            && has_none(&one.source)
            && has_none(&one.made_at);
        if waits {
            let path = &one.entry.path;
            let note =
                format!("{path}: there is none yet; the system makes one, which is kept then");
            self.plan.notes.push(note);
        }
        waits
    }

    /// Whether what is mounted at its place is what PID 1 made up for this boot, and what storage has
    /// by now, too. Nobody has to mount the same once more.
    pub(crate) fn is_this_boots_identity(&mut self, one: &ResolvedEntry, seen: &FoundFile) -> bool {
        let is = one.is_identity() && seen.content == HiddenContent::AsInStorage;
        if is {
            let path = &one.entry.path;
            let note = format!("{path}: storage has what this boot made; the next mounts it");
            self.plan.notes.push(note);
        }
        is
    }
}

/// What cannot be told of a place refuses the entry; without a better hint, this one.
pub(crate) fn unreadable_place(why: &str, hint: Option<&str>) -> WhyAndHint {
    let look = "see that the path can be read, and run this as root";
    (why.to_string(), hint.unwrap_or(look).to_string())
}

/// The name right below `dir` on the way to `path`.
fn path_name_below<'n>(path: &'n TreePath, dir: &TreePath) -> Option<&'n OsStr> {
    let rest = path.as_bytes().get(dir.as_bytes().len()..)?;
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let name = rest.split(|&b| b == b'/').next().filter(|name| !name.is_empty())?;
    Some(OsStr::from_bytes(name))
}

impl fmt::Display for EntryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot keep {}: {}\n  hint: {}", self.path, self.why, self.hint)
    }
}

impl fmt::Display for ApplyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_numbered(f, &self.steps)
    }
}
