//! Changing trees, under the lock: every guard of a change, once, above what each file system does by itself.
//!
//! A file system implements `TreeChanges`, which looks at a name, copies, exchanges and destroys.
//! [`LockedBackend`] is its only caller, so that no backend can forget a guard. Each call looks again, since
//! a plan was made some time before: trees are told by identity, and a record must never lie beside
//! something that is not ours, because it would become ours.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::compare_trees::compare_by_walk;
use dirfd::mount_tables::{Patience, cannot_tell};
use dirfd::{Error, Result, TreeName, TreePath};

use crate::old_roots::{Reach, name_in_old};
use crate::survey::Mounts;
use crate::{
    Backend, Hold, Kinship, Layout, Life, LiveMount, OldRoot, Origin, Record, Slot, Survey, Tree,
    TreeId, Unfinished, View, hold, kinship, old_root_files, record,
};

/// What a file system does with trees while its lock is held. Nobody else changes them meanwhile, and what is
/// asked for was found to be right just before; only what no other file system knows is checked here.
/// `action` completes "cannot …".
pub(crate) trait TreeChanges {
    fn layout(&self) -> &Layout;
    fn survey(&self, reach: Reach, mounts: Mounts<'_>) -> Result<Survey>;
    fn view(&self, tree: &Tree) -> Result<View>;
    fn nested_that_hold(&self, _tree: &Tree) -> Result<Vec<TreePath>> {
        Ok(Vec::new())
    }
    fn look_for_snapshots(&self, _old_roots: &mut [OldRoot]) -> Result<()> {
        Ok(())
    }

    /// What has this name now. Of a copy that was not completed, `copy_of` is `None`, and so it is where the
    /// file system knows nothing of copies.
    fn look(&self, name: &TreeName) -> Result<Slot>;
    /// The identity alone, where that is quicker to tell.
    fn identity(&self, name: &TreeName) -> Result<Option<TreeId>> {
        Ok(self.look(name)?.tree().map(|tree| tree.id.clone()))
    }
    /// The open directory of old roots.
    fn old_dir(&self) -> Result<OwnedFd>;
    /// The same, made where it is missing, for root alone to open.
    fn make_old_dir(&self) -> Result<OwnedFd>;
    /// Makes its name durable, where that is not done with it.
    fn sync_old_dir(&self) -> Result<()> {
        Ok(())
    }

    /// Makes a new blank under the layout's name, durably.
    fn make_blank(&mut self, origin: Origin, action: &str) -> Result<Tree>;
    /// Looks for the stubs in blank, and writes down which it has.
    fn list_stubs(&mut self, _blank: &Tree) -> Result<()> {
        Ok(())
    }
    /// Makes the content of a new record durable no later than its name, as
    /// [`record::write`] wants it.
    fn settle_record(&self, record: &File) -> io::Result<()> {
        record.sync_all()
    }
    /// Makes a copy of blank under the free `name`, which is the record's, durably.
    fn copy_blank(
        &mut self,
        blank: &Tree,
        record: &Record,
        name: &TreeName,
        action: &str,
    ) -> Result<Tree>;
    /// Completes the copy, as far as it has stubs, and exchanges the names of both, durably.
    fn exchange(&mut self, live: &Tree, copy: &Tree, action: &str) -> Result<()>;
    /// Makes live what blank is, in place; `action` is what to say where it cannot be.
    fn revert(&mut self, _live: &Tree, _blank: &Tree, action: &str) -> Result<()> {
        Err(Error::new(action, "this file system cannot put a tree back in place")
            .hint("write `strategy = \"set-aside\"` under [rollback]"))
    }
    fn make_live_default(&mut self) -> Result<()> {
        // Where no mount leads to a tree without naming it.
        Ok(())
    }

    /// Finds all that goes with an old root, and destroys nothing yet; an error if a part of it must not go.
    fn plan_deletion<'t>(&'t self, old_root: &'t OldRoot, action: &'t str) -> Result<Deletion<'t>>;
}

/// A tree that is to be deleted, with all that is inside it.
pub(crate) struct Deletion<'t> {
    /// Whether a power cut may leave a part of it.
    pub(crate) goes_in_steps: bool,
    /// Where any of it is mounted.
    pub(crate) mounts: Vec<LiveMount>,
    /// Whether there may be more such mounts.
    pub(crate) more_mounts: bool,
    /// Destroys it, if it is the tree of its identity still; durably, as far as its record goes next.
    pub(crate) destroy: Box<dyn FnOnce() -> Result<()> + 't>,
}

/// Changing: each call is one step of a plan, and deciding is over when it is made.
pub struct LockedBackend<'a>(Locked<'a>);

enum Locked<'a> {
    Trees(Box<dyn TreeChanges + 'a>),
    /// One tree that starts empty at every boot; the text completes "cannot …".
    Volatile(&'a dyn Backend, String),
}

impl<'a> LockedBackend<'a> {
    pub(crate) fn new(trees: impl TreeChanges + 'a) -> Self {
        Self(Locked::Trees(Box::new(trees)))
    }

    /// A backend with nothing that could be changed; who asks for it fails to do `action`.
    pub(crate) fn volatile(backend: &'a dyn Backend, action: String) -> Self {
        Self(Locked::Volatile(backend, action))
    }

    fn trees(&mut self) -> Result<&mut (dyn TreeChanges + 'a)> {
        match &mut self.0 {
            Locked::Trees(trees) => Ok(trees.as_mut()),
            Locked::Volatile(_, action) => {
                let why = "it starts empty at every boot and keeps no other tree";
                Err(Error::new(action.as_str(), why))
            }
        }
    }

    /// The survey that a plan must be made from: nothing else changes the disk's trees meanwhile. Where
    /// live is mounted is not looked for: no plan but a rollback's has to know.
    pub fn survey(&self) -> Result<Survey> {
        match &self.0 {
            Locked::Trees(trees) => trees.survey(Reach::All, Mounts::NotLookedFor),
            Locked::Volatile(backend, _) => backend.survey(),
        }
    }

    /// The same for a plan of a rollback, which has to know where live is mounted, and of the youngest
    /// old roots only: how many there are then costs nothing.
    pub fn survey_for_rollback(&self) -> Result<Survey> {
        match &self.0 {
            Locked::Trees(trees) => {
                trees.survey(Reach::Youngest, Mounts::OfLive(&Patience::of_rollback()))
            }
            Locked::Volatile(backend, _) => backend.survey(),
        }
    }

    /// A directory handle on a tree, for reading; who holds the lock needs no `Backend` beside it.
    pub fn view(&self, tree: &Tree) -> Result<View> {
        match &self.0 {
            Locked::Trees(trees) => trees.view(tree),
            Locked::Volatile(backend, _) => backend.view(tree),
        }
    }

    /// The same as [`Backend::nested_that_hold`].
    pub fn nested_that_hold(&self, tree: &Tree) -> Result<Vec<TreePath>> {
        match &self.0 {
            Locked::Trees(trees) => trees.nested_that_hold(tree),
            Locked::Volatile(backend, _) => backend.nested_that_hold(tree),
        }
    }

    /// The same as [`Backend::look_for_snapshots`].
    pub fn look_for_snapshots(&self, old_roots: &mut [OldRoot]) -> Result<()> {
        match &self.0 {
            Locked::Trees(trees) => trees.look_for_snapshots(old_roots),
            Locked::Volatile(backend, _) => backend.look_for_snapshots(old_roots),
        }
    }

    /// Makes the directory for old roots, where only root may look; nothing if it is there.
    pub fn make_old_dir(&mut self) -> Result<()> {
        let trees = self.trees()?;
        trees.make_old_dir()?;
        trees.sync_old_dir()
    }

    /// Writes the hold, in place of an older one. Durable when it returns.
    pub fn hold(&mut self, hold: &Hold) -> Result<()> {
        let trees = self.trees()?;
        hold::write(trees.make_old_dir()?.as_fd(), &trees.layout().live, hold)
    }

    /// Removes the hold.
    pub fn release(&mut self) -> Result<()> {
        let trees = self.trees()?;
        hold::remove(trees.old_dir()?.as_fd(), &trees.layout().live)
    }

    /// Writes down that `blank` is what `live` is to be restored to, although neither was made of the
    /// other. Durable when it returns.
    pub fn adopt(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        let trees = self.trees()?;
        expect(trees, live, kinship::ACTION)?;
        expect(trees, blank, kinship::ACTION)?;
        write_kinship(trees.make_old_dir()?.as_fd(), blank, &[&live.id])
    }

    /// Makes the blank snapshot under the layout's name, and the directory for old roots. Where that
    /// does not tell that live belongs to it, this is written down as [`adopt`](Self::adopt) does.
    ///
    /// Errors if something has the name already.
    pub fn capture(&mut self, origin: Origin) -> Result<Tree> {
        let trees = self.trees()?;
        let action = format!("make the blank snapshot {}", trees.layout().blank);
        expect_free(trees, &trees.layout().blank, &action)?;
        // First, since a blank that is there is not made again after an interruption.
        trees.make_old_dir()?;
        trees.make_blank(origin, &action)
    }

    /// Writes the digest of an old root, in place of an older one; whole or not at all.
    pub fn write_digest(&mut self, old_root: &OldRoot, digest: &[u8]) -> Result<()> {
        let trees = self.trees()?;
        let action = format!("write the digest of the old root {}", old_root.tree.name);
        expect(trees, &old_root.tree, &action)?;
        let old = trees.old_dir()?;
        let file = record::file_name(&old_root.record.name);
        if record::read_one(old.as_fd(), &file).ok().as_ref() != Some(&old_root.record) {
            return Err(changed_meanwhile(&action, "it is no old root of this layout"));
        }
        old_root_files::write_digest(old.as_fd(), &old_root.record, digest)
    }

    /// Writes down what is known of the life of `live`, in place of what was; whole or not at all.
    pub fn write_life(&mut self, live: &Tree, life: &Life) -> Result<()> {
        let trees = self.trees()?;
        let action = "write down what is known of the life of live";
        expect(trees, live, action)?;
        if life.tree != live.id || live.name != trees.layout().live {
            return Err(changed_meanwhile(action, "it tells of another tree"));
        }
        life.write(trees.make_old_dir()?.as_fd())
    }

    /// The open directory of old roots, to read what is written of them.
    pub fn old_dir(&self) -> Result<Option<OwnedFd>> {
        match &self.0 {
            Locked::Trees(trees) => trees.old_dir().map(Some),
            Locked::Volatile(..) => Ok(None),
        }
    }

    /// Looks for the stubs of nested trees in `blank`, and writes down which it has, so that a rollback
    /// does not have to. May take as long as reading all names of blank does.
    pub fn list_stubs(&mut self, blank: &Tree) -> Result<()> {
        let trees = self.trees()?;
        expect(trees, blank, "list the nested trees that blank has stubs of")?;
        trees.list_stubs(blank)
    }

    /// Writes `record` and makes a fresh copy of `blank` under the record's name in the directory
    /// of old roots. Slow is fine. Durable when it returns; where the copy cannot be made, there is no
    /// record either.
    ///
    /// The name then holds the fresh copy; [`swap`](Self::swap) makes it hold the old root. Which
    /// of the two it is can always be told by comparing its identity with the record.
    pub fn prepare(&mut self, blank: &Tree, record: &Record) -> Result<Tree> {
        let trees = self.trees()?;
        let name = name_in_old(&trees.layout().old, OsStr::new(&record.name))?;
        let action = format!("make a fresh copy of {} as {name}", blank.name);
        expect_blank(trees, blank, &action)?;
        let live = trees.identity(&trees.layout().live)?;
        if record.blank != blank.id || live.as_ref() != Some(&record.live) {
            return Err(changed_meanwhile(&action, "the record names other trees than there are"));
        }
        let old = trees.make_old_dir()?;
        expect_free(trees, &name, &action)?;
        record::write(old.as_fd(), record, |file| trees.settle_record(file))?;
        let copy = match trees.copy_blank(blank, record, &name, &action) {
            Ok(copy) => copy,
            Err(error) => {
                if trees.look(&name).is_ok_and(|slot| slot == Slot::Missing) {
                    // Best effort: a record alone is harmless.
                    let _ = record::remove(old.as_fd(), record);
                }
                return Err(error);
            }
        };
        if copy.copy_of.is_none() {
            write_kinship(old.as_fd(), blank, &[&record.live, &copy.id])?;
        }
        Ok(copy)
    }

    /// Completes the prepared copy under `aside`, as far as it has stubs of nested trees, then exchanges
    /// live and it. Durable when it returns.
    pub fn swap(&mut self, live: &Tree, aside: &TreeName) -> Result<()> {
        let trees = self.trees()?;
        let action = format!("exchange {} and {aside}", live.name);
        expect(trees, live, &action)?;
        let (old, name) = (trees.old_dir()?, aside.file_name());
        let is_old = name_in_old(&trees.layout().old, name)? == *aside;
        // What is being deleted is no whole copy any more.
        let is_its =
            |record: &Record| is_old && record.live == live.id && record.discarding.is_none();
        let record = record::read_one(old.as_fd(), &record::file_name(name)).ok();
        let Some(record) = record.filter(is_its) else {
            let why = "no record says that live is to be set aside there";
            return Err(changed_meanwhile(&action, why));
        };
        match trees.look(aside)? {
            Slot::Present(copy) if is_fresh_copy(old.as_fd(), &copy, &record) => {
                trees.exchange(live, &copy, &action)
            }
            _ => {
                let why = "what is to become live is no fresh copy of blank";
                Err(changed_meanwhile(&action, why))
            }
        }
    }

    /// Makes live what blank is, in place: of what was written since, nothing is left. All of it or
    /// nothing, and nothing where something else would go with it. Durable when it returns.
    pub fn revert(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        let trees = self.trees()?;
        let action = format!("put {} back to blank", live.name);
        expect(trees, live, &action)?;
        expect_blank(trees, blank, &action)?;
        trees.revert(live, blank, &action)
    }

    /// Makes the tree that has live's name now the one that mounts without a tree's name lead to.
    /// Durable when it returns.
    pub fn make_live_default(&mut self) -> Result<()> {
        self.trees()?.make_live_default()
    }

    /// Deletes an old root: by identity, re-checked now, never at boot.
    pub fn discard(&mut self, old_root: &OldRoot) -> Result<()> {
        let survey = self.survey()?;
        let (tree, action) =
            (&old_root.tree, format!("delete the old root {}", old_root.tree.name));
        let is_it = |known: &OldRoot| {
            known.tree.id == tree.id
                && known.tree.name == tree.name
                && known.record == old_root.record
        };
        if !survey.old_roots.iter().any(is_it) {
            return Err(changed_meanwhile(&action, "it is no old root of this layout"));
        }
        delete(self.trees()?, &survey, old_root, &action)
    }

    /// Deletes what an interrupted run left: a record alone, a fresh copy in which nobody has
    /// written, or the rest of a tree whose deletion was begun; by identity, re-checked now, never
    /// at boot. Everything else is refused.
    pub fn discard_unfinished(&mut self, left: &Unfinished) -> Result<()> {
        let (tree, record, action) = match left {
            Unfinished::RecordOnly(record) => {
                (None, record, "remove a record without an old root".to_string())
            }
            Unfinished::FreshCopy { tree, record } => {
                (Some(tree), record, format!("delete the fresh copy {}", tree.name))
            }
            Unfinished::HalfDeleted { tree, record } => {
                (Some(tree), record, format!("delete the rest of {}", tree.name))
            }
            other => return Err(not_ours(other)),
        };
        let survey = self.survey()?;
        if !survey.unfinished.contains(left) {
            return Err(changed_meanwhile(&action, "it is not what it was any more"));
        }
        let trees = self.trees()?;
        let Some(tree) = tree else {
            return old_root_files::remove_with_record(trees.old_dir()?.as_fd(), record);
        };
        if matches!(left, Unfinished::FreshCopy { .. }) && tree.copy_of.is_none() {
            expect_untouched(trees, &survey, tree, record, &action)?;
        }
        delete(trees, &survey, &OldRoot::new(tree.clone(), record.clone()), &action)
    }
}

/// The error of who meets something else than a plan was made for.
pub(crate) fn changed_meanwhile(action: &str, why: &str) -> Error {
    Error::new(action, why).hint("look at `blankroot status`, then run the command again")
}

fn another_tree(tree: &Tree, action: &str) -> Error {
    let why = format!("another tree has taken the name {} meanwhile", tree.name);
    changed_meanwhile(action, &why)
}

/// Fails unless the name of `tree` still holds the tree of that identity.
fn expect(trees: &dyn TreeChanges, tree: &Tree, action: &str) -> Result<()> {
    match trees.identity(&tree.name)? == Some(tree.id.clone()) {
        true => Ok(()),
        false => Err(another_tree(tree, action)),
    }
}

/// The same for blank, in which nobody may be able to write, as far as that can be told.
fn expect_blank(trees: &dyn TreeChanges, blank: &Tree, action: &str) -> Result<()> {
    match trees.look(&blank.name)? {
        Slot::Present(found) if found.id == blank.id && found.read_only => Ok(()),
        Slot::Present(found) if found.id == blank.id => {
            Err(changed_meanwhile(action, &format!("{} is not read-only", blank.name)))
        }
        _ => Err(another_tree(blank, action)),
    }
}

fn expect_free(trees: &dyn TreeChanges, name: &TreeName, action: &str) -> Result<()> {
    match trees.look(name)? {
        Slot::Missing => Ok(()),
        _ => Err(Error::new(action, format!("something has the name {name} already"))),
    }
}

/// Whether `tree` is a copy that was made for `record` and has not become live: the file system says of which
/// tree it is a copy, or else what was written down when it was made.
fn is_fresh_copy(old: BorrowedFd<'_>, tree: &Tree, record: &Record) -> bool {
    let is_of_blank = match &tree.copy_of {
        Some(origin) => *origin == record.blank,
        None => {
            kinship::recorded(&kinship::read(old), &tree.id, &record.blank) == Kinship::Recorded
        }
    };
    is_of_blank && !tree.read_only && tree.id != record.live
}

fn write_kinship(old: BorrowedFd<'_>, blank: &Tree, live: &[&TreeId]) -> Result<()> {
    kinship::write(old, &blank.id, live).map_err(|e| Error::io(kinship::ACTION, e))
}

/// Where the file system does not tell whether a copy was written to, nothing but its content tells one that
/// was never live from one that was, and was put there by hand.
fn expect_untouched(
    trees: &dyn TreeChanges,
    survey: &Survey,
    copy: &Tree,
    record: &Record,
    action: &str,
) -> Result<()> {
    let hint = "look at it, and delete it with its record if nothing in it is needed";
    let Some(blank) = survey.blank.tree().filter(|blank| blank.id == record.blank) else {
        let why = "the blank that it is a copy of is gone, so nothing tells whether it was used";
        return Err(Error::new(action, why).hint(hint));
    };
    let (blank, copy) = (trees.view(blank)?, trees.view(copy)?);
    if !compare_by_walk(blank.as_fd(), copy.as_fd(), &|_| {})?.is_empty() {
        return Err(Error::new(action, "it differs from blank, so it was used").hint(hint));
    }
    Ok(())
}

/// Deletes a tree that `survey` has just found beside its record, then the record.
fn delete(
    trees: &dyn TreeChanges,
    survey: &Survey,
    old_root: &OldRoot,
    action: &str,
) -> Result<()> {
    let OldRoot { tree, record, .. } = old_root;
    // Live may lie in the directory of old roots, with a record that names it.
    let is_kept = |slot: &Slot| slot.tree().is_some_and(|kept| kept.id == tree.id);
    if is_kept(&survey.live) || is_kept(&survey.blank) {
        return Err(changed_meanwhile(action, "it is live or blank"));
    }
    expect(trees, tree, action)?;
    let deletion = trees.plan_deletion(old_root, action)?;
    if let Some(mount) = deletion.mounts.first() {
        return Err(
            Error::new(action, format!("it is mounted at {mount}")).hint(format!("umount {mount}"))
        );
    }
    if deletion.more_mounts {
        return Err(cannot_tell(action));
    }
    let old = trees.old_dir()?;
    if deletion.goes_in_steps && record.discarding.is_none() {
        record::mark(old.as_fd(), record, &tree.id)?;
    }
    (deletion.destroy)()?;
    old_root_files::remove_with_record(old.as_fd(), record)
}

/// Why nothing ever deletes what no record of ours names.
fn not_ours(left: &Unfinished) -> Error {
    let name = left.name().map_or_else(|| "it".to_string(), |name| format!("`{name}`"));
    Error::new(format!("delete {name}"), "no record of Blankroot's says that it may be deleted")
        .hint("delete it by other means if it is not needed")
}
