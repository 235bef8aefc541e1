//! Turns what was asked of `keep` into a plan: looks at each path on both sides, and edits the
//! configuration in memory.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use backends::{Backend, View};
use dirfd::copy::temporary_copy::difference;
use dirfd::manifest::Census;
use dirfd::path::shell_path;
use dirfd::stat::Place;
use dirfd::{Error, FileType, Result, TreePath};
use rustix::fs::OFlags;

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::config::{Config, edit};
use crate::host::{Machine, is_not_found};
use crate::persist::create;
use crate::persist::keep_plan::{KeepPlan, KeepStep, MovedPath, PathSituation, RefusedPath};
use crate::persist::keepable::{self, Declaration, KeepChecker};
use crate::persist::list::{self, KeepEntry};
use crate::persist::path_lookup::{Dentry, look_up, look_up_data, refuse_locked};
use crate::persist::persistence::Persistence;
use crate::persist::plan::{Adopt, ApplyOptions, ApplyPlan};
use crate::persist::resolve::{ResolvedEntry, resolve_entries};
use crate::persist::step::ApplyStep;

/// What was asked for.
pub struct KeepRequest<'r> {
    /// The paths, and whether each must be a directory.
    pub paths: &'r [(TreePath, bool)],
    /// The storage, if one was named.
    pub storage: Option<&'r TreePath>,
    /// How the paths come to their places, if that was said.
    pub how: Option<PlacementMethod>,
    /// The old root that has the data, by name, and its root directory.
    pub old_root: Option<(&'r str, &'r View)>,
    /// What storage had before may be set aside.
    pub adopt: bool,
}

/// A path that has to be moved, or at least to come to its place.
struct WantedPath {
    path: TreePath,
    census: Option<Census>,
}

/// Plans it. `open` opens what holds the machine's root.
pub fn plan_keep(
    request: &KeepRequest<'_>,
    machine: &Machine,
    config: &Config,
    open: &dyn Fn() -> Result<Option<Box<dyn Backend>>>,
) -> Result<KeepPlan, Vec<RefusedPath>> {
    let declared = config.storages.iter().map(|storage| &storage.path);
    let storages = declared.chain(request.storage).cloned().collect();
    let live = config.root.layout().map(|layout| &layout.live);
    let keepable = KeepChecker::new(machine, storages, live).map_err(RefusedPath::all)?;
    let mut asked = RequestPlanner {
        request,
        machine,
        config,
        keepable,
        wanted: vec![],
        there: vec![],
        notes: vec![],
        text: config.text.clone(),
    };
    let mut paths: Vec<&(TreePath, bool)> = request.paths.iter().collect();
    paths.sort_by_key(|(path, _)| path.depth());
    // All reasons are told together.
    let tried = paths.into_iter().filter_map(|(path, must_be_dir)| {
        let error = asked.path(path, *must_be_dir).err()?;
        Some(RefusedPath::new(path, error))
    });
    let refused: Vec<RefusedPath> = tried.collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    asked.plan(open)
}

/// What was found out about the paths so far.
struct RequestPlanner<'l> {
    request: &'l KeepRequest<'l>,
    machine: &'l Machine,
    config: &'l Config,
    keepable: KeepChecker<'l>,
    wanted: Vec<WantedPath>,
    there: Vec<String>,
    notes: Vec<String>,
    /// The configuration's text, edited.
    text: String,
}

impl RequestPlanner<'_> {
    fn path(&mut self, path: &TreePath, must_be_dir: bool) -> Result<()> {
        if let Some(outer) = self.wanted.iter().find(|outer| path.is_within(&outer.path)) {
            self.there.push(format!("{path} lies in {}, which will be kept", outer.path));
            return Ok(());
        }
        let list = list::keep_list(self.config);
        let live = match keepable::find_declaration(self.config, &list, path)? {
            Declaration::In(entry) => {
                let line = entry.place.line;
                let why = format!("{path} lies in {}, which is kept (line {line})", entry.path);
                self.there.push(why);
                return Ok(());
            }
            Declaration::Itself(entry) => {
                check_how(&entry, self.request.how)?;
                let resolved = resolve_entries(&list);
                match resolved.iter().find(|one| one.entry.path == *path) {
                    Some(one) => self.keepable.check_declared(one)?,
                    None => None,
                }
            }
            Declaration::Not => {
                let (live, note) = self.keepable.check_undeclared(path)?;
                self.notes.extend(note);
                let storage = keepable::choose_storage(self.config, self.request.storage, path)?;
                if !self.config.storages.iter().any(|declared| declared.path == storage) {
                    keepable::refuse_storage_in_memory(self.machine, path, &storage)?;
                }
                let stored = look_up_data(self.machine, &storage.join_path(path))?;
                let kind =
                    entry_kind(self.request, path, live.as_ref(), stored.as_ref(), must_be_dir)?;
                let storage = Path::new("/").join(storage.as_path());
                self.text = edit::add_entry(&self.text, &storage, path, kind, self.request.how)?;
                live
            }
        };
        let is_link = |live: &Dentry| live.stat.facts.file_type == FileType::Symlink;
        let census =
            live.filter(|live| !is_link(live)).map(|live| keepable::census_to_move(&live, path));
        self.wanted.push(WantedPath { path: path.clone(), census: census.transpose()? });
        Ok(())
    }

    /// Puts the steps in order.
    fn plan(
        self,
        open: &dyn Fn() -> Result<Option<Box<dyn Backend>>>,
    ) -> Result<KeepPlan, Vec<RefusedPath>> {
        let Self { request, machine, config, wanted, there, notes, text: edited, .. } = self;
        let after = Config::parse(&config.file, edited.as_bytes())
            .map_err(|error| Error::new("read the edited configuration", error))
            .map_err(RefusedPath::all)?;
        let mut list = list::keep_list(&after);
        if request.old_root.is_some() {
            // A file that nobody has made would be left to its program; the old root makes it.
            let made = list.iter_mut().filter(|one| wanted.iter().any(|it| it.path == one.path));
            made.for_each(|entry| entry.create = true);
        }
        let resolved = resolve_entries(&list);
        let mut persistence = Persistence::new(machine, &list, open).map_err(RefusedPath::all)?;
        if let Some((_, view)) = request.old_root {
            persistence.take_from(view.as_fd());
        }
        let adopt = if request.old_root.is_none() { Adopt::Everything } else { Adopt::Nothing };
        let apply = persistence.plan(ApplyOptions { adopt, mounts: true, early: false });
        let apply = apply.map_err(RefusedPath::all)?;
        let (mut situations, mut refused) = (vec![], vec![]);
        for one in wanted {
            let path = one.path.clone();
            match situation_of(one, request, machine, &resolved, &apply) {
                Ok(situation) => situations.push(situation),
                Err(error) => refused.push(RefusedPath::new(&path, error)),
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let texts = (edited != config.text).then(|| (config.text.clone(), edited));
        let mut plan = KeepPlan::new(situations, &apply, texts)?;
        let locked = plan.steps.iter().filter_map(|step| {
            let error = refuse_locked_dir(machine, step).err()?;
            Some(RefusedPath { path: plan.path_of_step(step).cloned(), error })
        });
        let locked: Vec<RefusedPath> = locked.collect();
        if !locked.is_empty() {
            return Err(locked);
        }
        plan.there.splice(0..0, there);
        plan.notes.extend(notes);
        Ok(plan)
    }
}

/// What is known of a path once it is known what would be done for the whole list.
fn situation_of<'s>(
    wanted: WantedPath,
    request: &KeepRequest<'s>,
    machine: &Machine,
    resolved: &'s [ResolvedEntry],
    apply: &ApplyPlan,
) -> Result<PathSituation<'s>> {
    let WantedPath { path, census } = wanted;
    let Some(resolved) = resolved.iter().find(|other| other.entry.path == path) else {
        return Err(Error::new(format!("keep {path}"), "its entry is not in force"));
    };
    let fills_empty_dir = match request.old_root {
        Some((name, view)) => check_old_root(apply, machine, resolved, name, view.as_fd())?,
        None => false,
    };
    let from_live = is_stored_already(machine, resolved, census.as_ref())?;
    let moved = MovedPath { from_live, path, source: resolved.source.clone(), census };
    let old_root = request.old_root.map(|(name, _)| name);
    Ok(PathSituation { moved, resolved, old_root, fills_empty_dir, adopt: request.adopt })
}

/// In a directory with one of these flags no name can be made, replaced or removed, by anybody.
fn refuse_locked_dir(machine: &Machine, step: &KeepStep) -> Result<()> {
    let path = match step {
        KeepStep::CopyFrom { source, .. } => source,
        KeepStep::Store(ApplyStep::Adopt { source, .. }) => source,
        KeepStep::Store(ApplyStep::Make { path, .. }) => path,
        KeepStep::Cover(
            ApplyStep::Make { path, .. }
            | ApplyStep::Replace { path, .. }
            | ApplyStep::Unlink { path, .. }
            | ApplyStep::Cover { link: path, .. },
        ) => path,
        _ => return Ok(()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    // A parent that is not there yet is made by an earlier step.
    let Ok(dir) = machine.open_at(&path.parent().unwrap_or_default(), flags) else { return Ok(()) };
    let parent = path.parent().unwrap_or_default();
    refuse_locked(&dir, &format!("keep {path}"), ("its directory ", &parent))
}

/// An entry that is there already is not changed.
fn check_how(entry: &KeepEntry, asked: Option<PlacementMethod>) -> Result<()> {
    let Some(asked) = asked.filter(|asked| entry.how != Some(*asked)) else { return Ok(()) };
    let (path, line) = (&entry.path, entry.place.line);
    let why = format!("it is kept already (line {line}), without `how = \"{}\"`", asked.word());
    let hint = format!("write that into line {line}, and run `blankroot apply`");
    Err(Error::new(format!("keep {path}"), why).hint(hint))
}

/// Whether storage has the very same already: an earlier run came as far as that.
fn is_stored_already(
    machine: &Machine,
    one: &ResolvedEntry,
    census: Option<&Census>,
) -> Result<bool> {
    if census.is_none_or(Census::is_empty) || one.is_shown_by_parent() {
        return Ok(false);
    }
    match (look_up(machine, &one.made_at)?, look_up_data(machine, &one.source)?) {
        (Some(live), Some(stored)) if !live.is_mount => {
            Ok(difference(stored.place(), live.place(), &one.entry.path)?.is_none())
        }
        _ => Ok(false),
    }
}

/// A directory or a file, told from what is there.
fn entry_kind(
    request: &KeepRequest<'_>,
    path: &TreePath,
    live: Option<&Dentry>,
    stored: Option<&Dentry>,
    must_be_dir: bool,
) -> Result<EntryKind> {
    if let Some((name, view)) = request.old_root {
        let none =
            || Error::new(format!("keep {path}"), format!("the old root {name} does not have it"));
        let file_type = file_type_in_old_root(view.as_fd(), path)?.ok_or_else(none)?;
        return keepable::kind_of_type(path, file_type, must_be_dir);
    }
    match (live, stored) {
        (Some(live), _) => keepable::kind_of_live(path, live, must_be_dir),
        (None, Some(stored)) => {
            keepable::kind_of_type(path, stored.stat.facts.file_type, must_be_dir)
        }
        (None, None) if must_be_dir => Ok(EntryKind::Dir),
        (None, None) => Err(Error::new(format!("keep {path}"), "nothing is there")
            .hint("write a `/` at its end to keep a directory that is yet to come")),
    }
}

/// Live may have nothing of its own there, and storage nothing but the same, or an empty directory: then
/// this says so.
fn check_old_root(
    apply: &ApplyPlan,
    machine: &Machine,
    one: &ResolvedEntry,
    name: &str,
    old_root: BorrowedFd<'_>,
) -> Result<bool> {
    let path = &one.entry.path;
    let action = format!("keep {path} of the old root {name}");
    let holder = path.parent().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let failed = |why| Error::io(action.clone(), why);
    let holder = create::open_beneath(old_root, holder.as_path(), flags).map_err(failed)?;
    let file_name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    let file_name = CString::new(file_name).map_err(|why| failed(why.into()))?;
    let old = Place { dir: holder.as_fd(), name: &file_name };
    let differs = |there: &Dentry| Ok::<_, Error>(difference(old, there.place(), path)?.is_some());
    // Storage first: an earlier run may have copied the old root's data there.
    let stored = look_up_data(machine, &one.source)?;
    let stored_differs = stored.as_ref().map_or(Ok(false), differs)?;
    let fills =
        stored_differs && stored.as_ref().map_or(Ok(false), |stored| is_empty_dir(stored, path))?;
    if stored_differs && !fills {
        return Err(Error::new(action, format!("{} in storage has other data", one.source))
            .hint(format!("compare the two, and move {} away", one.source)));
    }
    if fills && look_up(machine, &one.seen_at)?.is_some_and(|live| live.is_mount) {
        let why = format!("{}, which is empty, is mounted at {}", one.source, one.seen_at);
        return Err(Error::new(action, why)
            .hint(format!("`umount {}`, then run this again", shell_path(&one.seen_at))));
    }
    // Then live, which matters only where `apply` would not cover what it has.
    let refused = apply.refusals.iter().any(|refusal| refusal.path == *path);
    let Some(live) = look_up(machine, &one.made_at)?.filter(|_| refused) else { return Ok(fills) };
    if live.stat.facts.file_type == FileType::Symlink || live.is_mount {
        return Ok(fills);
    }
    let word = shell_path(path);
    if differs(&live)? {
        let hint = format!(
            "compare the two, and move one of them away; `blankroot keep {word}` takes live's"
        );
        return Err(Error::new(action, format!("live has other data at {path}")).hint(hint));
    }
    let hint = format!("run `blankroot keep {word}`, which takes live's");
    Err(Error::new(action, format!("live has the very same data at {path}")).hint(hint))
}

fn is_empty_dir(there: &Dentry, path: &TreePath) -> Result<bool> {
    Ok(there.stat.facts.file_type == FileType::Dir && there.census(path)?.is_empty())
}

fn file_type_in_old_root(old_root: BorrowedFd<'_>, path: &TreePath) -> Result<Option<FileType>> {
    match create::open_beneath(old_root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(opened) => dirfd::stat::of_open(opened.as_fd())
            .map(|stat| Some(stat.facts.file_type))
            .map_err(|why| Error::io(format!("look at {path} of the old root"), why)),
        Err(why) if is_not_found(&why) => Ok(None),
        Err(why) => Err(Error::io(format!("look at {path} of the old root"), why)),
    }
}
