//! Plans the side of an entry that lies in storage: its place, its owner and its mode.

use dirfd::stat::Stat;
use dirfd::{FileType, TreePath};

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::config::entry::{EntryKind, PlacementMethod};
use crate::persist::WhyAndHint;
use crate::persist::observed::{FoundFile, PathState};
use crate::persist::owners::OwnerAndMode;
use crate::persist::plan::{Planner, unreadable_place};
use crate::persist::resolve::{ResolvedEntry, ancestors};
use crate::persist::step::{ApplyStep, ExpectedFile, FileSpec, Owner};
use crate::persist::unsafe_transition::{AncestorChain, UnsafeTransition};

impl Planner<'_> {
    /// Makes the data's place where it is not there, and enforces what is declared of it.
    pub(crate) fn plan_source(
        &mut self,
        one: &ResolvedEntry,
        ownership: OwnerAndMode,
        how: PlacementMethod,
    ) -> Result<(), WhyAndHint> {
        let path = &one.source;
        if self.made.contains_key(path) {
            return Ok(());
        }
        match self.state_of(path) {
            PathState::Unreadable(why, hint) => Err(unreadable_place(why, hint.as_deref())),
            PathState::Absent => {
                self.make_parents(path, &one.entry.path, one)?;
                // A link may lead to what its program has yet to make.
                if one.entry.create || how == PlacementMethod::Bind {
                    self.make_source(one, ownership);
                }
                Ok(())
            }
            PathState::Present(found) => {
                let found = found.clone();
                check_type(one, &found, how)?;
                self.plan_owner_and_mode(one, &found, ownership)
            }
        }
    }

    fn make_source(&mut self, one: &ResolvedEntry, ownership: OwnerAndMode) {
        let OwnerAndMode { owner, mode, .. } = ownership;
        if one.entry.known.is_some_and(CatalogueEntry::is_secret)
            && ownership.declared_mode.is_none()
        {
            let what = one.entry.known.map_or("", |known| known.what.as_ref());
            let path = &one.entry.path;
            self.plan.notes.push(format!("{path} ({what}): made for its owner alone to look into"));
        }
        let spec = match one.entry.kind {
            EntryKind::Dir => FileSpec::Dir(owner, mode),
            EntryKind::File => FileSpec::File(owner, mode),
        };
        self.push_make(one.source.clone(), spec, ownership, one);
    }

    pub(crate) fn plan_owner_and_mode(
        &mut self,
        one: &ResolvedEntry,
        found: &FoundFile,
        ownership: OwnerAndMode,
    ) -> Result<(), WhyAndHint> {
        let facts = &found.stat.facts;
        let owner = Owner {
            uid: ownership.user.unwrap_or(facts.uid),
            gid: ownership.group.unwrap_or(facts.gid),
        };
        let new_owner = (owner.uid, owner.gid) != (facts.uid, facts.gid);
        let mode = ownership.declared_mode.filter(|&mode| mode != facts.mode);
        if !matches!(facts.file_type, FileType::File | FileType::Dir) {
            if new_owner || mode.is_some() {
                let (source, word) = (&one.source, facts.file_type.word());
                self.plan.notes.push(format!("{source} is a {word}: its owner and mode stay"));
            }
            return Ok(());
        }
        if facts.file_type == FileType::File
            && found.stat.links > 1
            && (new_owner || mode.is_some())
        {
            let why = format!(
                "{} has another name somewhere, so its owner and mode are not changed",
                one.source
            );
            return Err((why, "give the file its declared owner and mode by hand".into()));
        }
        // A new owner drops set-user-ID bits (chown(2)); those that are not declared stay dropped.
        let mode = mode.or(ownership.declared_mode.filter(|_| new_owner));
        let owner = new_owner.then_some(owner);
        if owner.is_none() && mode.is_none() {
            return Ok(());
        }
        let path = one.source.clone();
        self.check_transition(&path, &found.stat, (owner, mode))?;
        let then = (owner.map_or(facts.uid, |owner| owner.uid), mode.unwrap_or(facts.mode));
        self.enforced.insert(path.clone(), then);
        let found = self.expected_file(&path, &found.stat);
        self.plan.steps.push(ApplyStep::Enforce { path, found, owner, mode });
        Ok(())
    }

    /// Refuses another owner or mode for what a user may have put at `path`, or at the place that it is
    /// copied from.
    pub(crate) fn check_transition(
        &self,
        path: &TreePath,
        stat: &Stat,
        (owner, mode): (Option<Owner>, Option<u16>),
    ) -> Result<(), WhyAndHint> {
        let original = self.original_of(path);
        let both = [Some(path), Some(&original).filter(|original| *original != path)];
        for path in both.into_iter().flatten() {
            let checked = self.chain_to(path).and_then(|chain| {
                chain.check_owner(path, stat.facts.uid)?;
                chain.check_set_id(path, stat, owner, mode)
            });
            checked.map_err(|UnsafeTransition { why, hint }| (why, hint))?;
        }
        Ok(())
    }

    fn chain_to(&self, path: &TreePath) -> Result<AncestorChain, UnsafeTransition> {
        let mut dirs: Vec<TreePath> = ancestors(path).collect();
        dirs.reverse();
        let mut chain = AncestorChain::default();
        for dir in dirs {
            let made =
                self.made.get(&dir).map(|&OwnerAndMode { owner, mode, .. }| (owner.uid, mode));
            let will_be = made.or_else(|| self.enforced.get(&dir).copied());
            let (uid, mode) = match (will_be, self.state_of(&dir)) {
                (Some(will_be), _) => will_be,
                (None, PathState::Present(found)) => (found.stat.facts.uid, found.stat.facts.mode),
                (None, PathState::Absent | PathState::Unreadable(..)) => continue,
            };
            chain.enter(dir, uid, mode)?;
        }
        Ok(chain)
    }

    /// What will be found at `path` by then.
    pub(crate) fn expected_file(&self, path: &TreePath, stat: &Stat) -> ExpectedFile {
        // What only gets its name stays the file that was looked at.
        match self.original_of(path) == self.observed.data_of(path) {
            true => ExpectedFile::of(stat),
            false => ExpectedFile::copy_of(stat),
        }
    }
}

fn check_type(
    one: &ResolvedEntry,
    found: &FoundFile,
    how: PlacementMethod,
) -> Result<(), WhyAndHint> {
    let (path, kind) = (&one.source, one.entry.kind);
    let file_type = found.stat.facts.file_type;
    let is_dir = matches!(file_type, FileType::Dir | FileType::Subvolume);
    if is_dir != (kind == EntryKind::Dir) || (is_dir && file_type != FileType::Dir) {
        let why = format!("it is declared a {}, but {path} is a {}", kind.word(), file_type.word());
        let hint = format!("move it to the list of the other kind, or move {path} away");
        return Err((why, hint));
    }
    if file_type == FileType::Symlink && how == PlacementMethod::Bind {
        let why = format!("{path} is a link, and could lead the mount anywhere");
        return Err((why, "write `how = \"symlink\"` to its entry, or replace the link".into()));
    }
    Ok(())
}
