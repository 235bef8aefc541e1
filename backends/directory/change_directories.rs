//! Changing trees, under the lock: copies go in under a name that means nothing until they are whole
//! and durable, and the swap is one call.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::compare_trees::compare_by_walk;
use dirfd::copy::{copy_tree, make_dir};
use dirfd::fault::change;
use dirfd::mount_tables::{Patience, cannot_tell};
use dirfd::path::Escaped;
use dirfd::remove::remove_tree;
use dirfd::stat::Place;
use dirfd::{Error, Result, TreeName, atomic_file};
use rustix::fs::{self, Mode, RenameFlags};

use crate::directory::{Directory, identity_of, survey_directories};
use crate::old_roots::{self, Reach, name_in_old};
use crate::survey::Mounts;
use crate::{
    Backend, Hold, LockedBackend, OldRoot, Origin, Record, Records, Slot, Survey, Tree, TreeId,
    Unfinished, View, hold, kinship, lock, record,
};

/// A [`Directory`] that nobody else changes meanwhile.
pub(crate) struct Locked<'a> {
    pub(crate) of: &'a Directory,
    /// The directory of old roots, which carries the lock.
    _lock: OwnedFd,
    /// That was made for the lock, and for a plan it is still to be made.
    made_old: bool,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(of: &'a Directory) -> Result<Self> {
        let action = || format!("change the trees in {}", Escaped::of_path(&of.path));
        // Everybody may open the directory that holds the trees.
        let (old, made_old) = match survey_directories::open_old(of)? {
            Some(old) => (Some(old), false),
            None => {
                make_old_dir(of).map_err(|e| Error::io(action(), e))?;
                (survey_directories::open_old(of)?, true)
            }
        };
        let old =
            old.ok_or_else(|| Error::new(action(), "the directory of old roots is missing"))?;
        lock::take_private(old.as_fd(), action)?;
        Ok(Self { of, _lock: old, made_old })
    }

    fn survey(&self, reach: Reach, mounts: Mounts<'_>) -> Result<Survey> {
        let mut survey = survey_directories::survey_directories(self.of, reach, mounts)?;
        survey.has_old_dir &= !self.made_old;
        Ok(survey)
    }

    /// The tree that has this name, if it is the one that the plan was made for.
    fn expect(&self, tree: &Tree, action: &str) -> Result<()> {
        match survey_directories::slot_of(self.of, &tree.name, tree.read_only)? {
            Slot::Present(found) if found.id == tree.id => Ok(()),
            _ => Err(changed_meanwhile(
                action,
                &format!("{} is not the tree {}", tree.name, tree.id),
            )),
        }
    }

    fn ensure_old_dir(&self, action: &dyn Fn() -> String) -> Result<()> {
        if survey_directories::open_old(self.of)?.is_some() {
            return Ok(());
        }
        make_old_dir(self.of).map_err(|e| Error::io(action(), e))
    }

    /// Makes a tree with `fill` under a temporary name, makes it durable and gives it `name`.
    fn place(
        &self,
        name: &TreeName,
        action: &dyn Fn() -> String,
        fill: &dyn Fn(BorrowedFd<'_>, &CStr) -> Result<()>,
    ) -> Result<()> {
        let failed = |e| Error::io(action(), e);
        let (parent, last) = self.of.open_parent(name).map_err(failed)?;
        let temporary = unused_name(parent.as_fd(), name).map_err(failed)?;
        let filled = fill(parent.as_fd(), &temporary).and_then(|()| {
            let finish = || {
                let root = dirfd::directory_walker::open_dir(parent.as_fd(), &temporary)?;
                change("directory: sync copy", || Ok(fs::syncfs(&root)?))?;
                change("directory: name copy", || {
                    let how = RenameFlags::NOREPLACE;
                    Ok(fs::renameat_with(&parent, &temporary, &parent, &last, how)?)
                })
            };
            finish().map_err(|why| rename_error(&failed, why))
        });
        if filled.is_err() {
            discard_copy(parent.as_fd(), &temporary);
        }
        filled?;
        change("directory: sync name", || Ok(fs::fsync(&parent)?)).map_err(failed)
    }

    fn tree(&self, name: &TreeName, read_only: bool) -> Result<Tree> {
        match survey_directories::slot_of(self.of, name, read_only)? {
            Slot::Present(tree) => Ok(tree),
            Slot::Missing | Slot::NotATree(_) => {
                Err(Error::new(format!("find {}", self.of.place_of(name)), "it is gone again"))
            }
        }
    }

    /// Nothing tells of a plain directory what it is a copy of, so it is written down.
    fn write_kinship(&self, blank: &Tree, live: &[&TreeId]) -> Result<()> {
        let old = self.old_dir(kinship::ACTION)?;
        kinship::write(old.as_fd(), &blank.id, live).map_err(|e| Error::io(kinship::ACTION, e))
    }

    pub(crate) fn old_dir(&self, action: &str) -> Result<OwnedFd> {
        survey_directories::open_old(self.of)?.ok_or_else(|| {
            Error::new(action, "the directory of old roots is missing").hint("run `blankroot init`")
        })
    }
}

impl LockedBackend for Locked<'_> {
    fn survey(&self) -> Result<Survey> {
        self.survey(Reach::All, Mounts::NotLookedFor)
    }

    fn survey_for_rollback(&self) -> Result<Survey> {
        self.survey(Reach::Youngest, Mounts::OfLive(&Patience::of_rollback()))
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        self.of.view(tree)
    }

    fn make_old_dir(&mut self) -> Result<()> {
        self.ensure_old_dir(&|| format!("make {}", self.of.place_of(&self.of.layout.old)))
    }

    fn hold(&mut self, hold: &Hold) -> Result<()> {
        self.make_old_dir()?;
        hold::write(self.old_dir("write the hold")?.as_fd(), &self.of.layout.live, hold)
    }

    fn release(&mut self) -> Result<()> {
        hold::remove(self.old_dir("remove the hold")?.as_fd(), &self.of.layout.live)
    }

    fn adopt(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        self.expect(live, kinship::ACTION)?;
        self.expect(blank, kinship::ACTION)?;
        self.make_old_dir()?;
        self.write_kinship(blank, &[&live.id])
    }

    fn capture(&mut self, origin: Origin) -> Result<Tree> {
        let name = &self.of.layout.blank;
        let action = || format!("make the blank tree {}", self.of.place_of(name));
        if survey_directories::slot_of(self.of, name, true)? != Slot::Missing {
            return Err(Error::new(action(), "something has its name already"));
        }
        // First, since a blank that is there is not made again after an interruption.
        self.ensure_old_dir(&|| format!("make {}", self.of.place_of(&self.of.layout.old)))?;
        match origin {
            Origin::Empty => self.place(name, &action, &|parent, name| {
                empty_tree(parent, name).map_err(|e| Error::io(action(), e))
            })?,
            Origin::Live => {
                let live = &self.of.layout.live;
                let opened = self.of.open_tree(live);
                let opened = opened
                    .map_err(|e| Error::io(format!("open live {}", self.of.place_of(live)), e))?;
                self.place(name, &action, &|parent, name| copy_tree(opened.as_fd(), parent, name))?;
            }
        }
        let blank = self.tree(name, true)?;
        if let Slot::Present(live) =
            survey_directories::slot_of(self.of, &self.of.layout.live, false)?
        {
            self.write_kinship(&blank, &[&live.id])?;
        }
        Ok(blank)
    }

    fn prepare(&mut self, blank: &Tree, record: &Record) -> Result<Tree> {
        let action = "prepare a fresh copy of blank";
        self.expect(blank, action)?;
        let live = survey_directories::slot_of(self.of, &self.of.layout.live, false)?;
        if record.blank != blank.id || live.tree().is_none_or(|live| live.id != record.live) {
            return Err(changed_meanwhile(action, "the record names other trees than there are"));
        }
        let old = self.old_dir(action)?;
        let name = name_in_old(&self.of.layout.old, OsStr::new(&record.name))?;
        // A record must never lie beside something that is not ours: it would become ours.
        if survey_directories::slot_of(self.of, &name, false)? != Slot::Missing {
            return Err(Error::new(action, format!("{name} is taken")));
        }
        let source = self.of.open_tree(&blank.name).map_err(|e| Error::io(action, e))?;
        record::write(old.as_fd(), record, File::sync_all)?;
        let action = || format!("make the fresh copy {}", self.of.place_of(&name));
        let copied =
            self.place(&name, &action, &|parent, name| copy_tree(source.as_fd(), parent, name));
        if let Err(error) = copied {
            if survey_directories::slot_of(self.of, &name, false)
                .is_ok_and(|slot| slot == Slot::Missing)
            {
                // Best effort: a record alone is harmless.
                let _ = record::remove(old.as_fd(), record);
            }
            return Err(error);
        }
        let copy = self.tree(&name, false)?;
        self.write_kinship(blank, &[&record.live, &copy.id])?;
        Ok(copy)
    }

    fn swap(&mut self, live: &Tree, aside: &TreeName) -> Result<()> {
        let action = "swap live and its fresh copy";
        self.expect(live, action)?;
        let old = self.old_dir(action)?;
        let is_old = name_in_old(&self.of.layout.old, aside.file_name())? == *aside;
        if !is_old || !record::says(old.as_fd(), aside.file_name(), &live.id) {
            return Err(changed_meanwhile(
                action,
                &format!("no record of this live goes with {aside}"),
            ));
        }
        let Slot::Present(_) = survey_directories::slot_of(self.of, aside, false)? else {
            return Err(changed_meanwhile(action, &format!("{aside} is no tree")));
        };
        let failed = |e| Error::io(format!("{action} {}", self.of.place_of(aside)), e);
        let (parent, name) = self.of.open_parent(&live.name).map_err(failed)?;
        let aside = survey_directories::c_name(aside).map_err(failed)?;
        change("directory: exchange", || {
            Ok(fs::renameat_with(&parent, &name, &old, &aside, RenameFlags::EXCHANGE)?)
        })
        .map_err(|why| rename_error(&failed, why))?;
        change("directory: sync live's name", || Ok(fs::fsync(&parent)?)).map_err(failed)?;
        change("directory: sync old root's name", || Ok(fs::fsync(&old)?)).map_err(failed)
    }

    fn make_live_default(&mut self) -> Result<()> {
        // No mount leads to a directory without naming it.
        Ok(())
    }

    fn discard(&mut self, old_root: &OldRoot) -> Result<()> {
        discard_old_root(self, old_root)
    }

    fn discard_unfinished(&mut self, left: &Unfinished) -> Result<()> {
        discard_unfinished_copy(self, left)
    }
}

/// Tells of a file system without the calls that a rollback needs. No other way is tried: there may be no
/// moment without a live tree.
fn rename_error(failed: &dyn Fn(io::Error) -> Error, why: io::Error) -> Error {
    if !atomic_file::lacks_exchange(&why) {
        return failed(why);
    }
    failed(why)
        .because("its file system cannot exchange two names in one call (renameat2(2))")
        .hint("have live, blank and old roots on one that can: ext4, XFS, Btrfs")
}

/// Where only we may look.
fn make_old_dir(of: &Directory) -> io::Result<()> {
    let (parent, name) = of.open_parent(&of.layout.old)?;
    let made =
        change("directory: make old directory", || Ok(fs::mkdirat(&parent, &name, Mode::RWXU)?));
    match made {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made?;
            change("directory: sync old directory", || Ok(fs::fsync(&parent)?))
        }
    }
}

pub(crate) fn changed_meanwhile(action: &str, why: &str) -> Error {
    Error::new(action, why).hint("look at `blankroot status`, then try again")
}

/// A directory without content that everybody may enter, as a root directory is.
fn empty_tree(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    make_dir(parent, name)?;
    let root = dirfd::directory_walker::open_dir(parent, name)?;
    let mode = Mode::from_raw_mode(0o755);
    change("directory: set mode", || Ok(fs::fchmod(&root, mode)?))
}

/// A name next to `name` that nothing has.
fn unused_name(dir: BorrowedFd<'_>, name: &TreeName) -> io::Result<CString> {
    let unused = atomic_file::unused(dir, name.file_name())?;
    Ok(CString::new(unused.as_encoded_bytes())?)
}

/// Deletes the copy that failed: it was made by this very call. Best effort, since nothing looks for
/// it and the failure itself is what must be told.
fn discard_copy(parent: BorrowedFd<'_>, temporary: &CStr) {
    if let Ok(stat) = (Place { dir: parent, name: temporary }).stat() {
        let _ = remove_tree(parent, temporary, &stat);
    }
}

// Deletes old roots and what interrupted runs left, by identity: marked first, since a directory is
// deleted file by file.

/// Deletes an old root that its record names.
pub(crate) fn discard_old_root(locked: &Locked<'_>, old_root: &OldRoot) -> Result<()> {
    let record = &old_root.record;
    let action = format!("delete the old root {}", record.name);
    if old_root.tree.id != record.live || record.discarding.is_some() {
        return Err(changed_meanwhile(&action, "its record names another tree"));
    }
    delete(locked, &old_root.tree, record, &action)
}

/// Deletes what an interrupted run left.
pub(crate) fn discard_unfinished_copy(locked: &Locked<'_>, left: &Unfinished) -> Result<()> {
    let delete = |tree: &Tree, record: &Record, action: &str| {
        if matches!(left, Unfinished::FreshCopy { .. }) {
            expect_untouched(locked, tree, record, action)?;
        }
        delete(locked, tree, record, action)
    };
    let old_dir = || locked.old_dir("open the directory of old roots");
    old_roots::discard_unfinished(locked, left, old_dir, delete)
}

/// Nothing but its content tells a copy that was never live from one that was, and was put there by
/// hand.
fn expect_untouched(locked: &Locked<'_>, copy: &Tree, record: &Record, action: &str) -> Result<()> {
    let hint = "look at it, and delete it with its record if nothing in it is needed";
    let blank = survey_directories::slot_of(locked.of, &locked.of.layout.blank, true)?;
    let Some(blank) = blank.tree().filter(|blank| blank.id == record.blank) else {
        let why = "the blank that it is a copy of is gone, so nothing tells whether it was used";
        return Err(Error::new(action, why).hint(hint));
    };
    let (blank, copy) = (locked.of.view(blank)?, locked.of.view(copy)?);
    if !compare_by_walk(blank.as_fd(), copy.as_fd(), &|_| {})?.is_empty() {
        return Err(Error::new(action, "it differs from blank, so it was used").hint(hint));
    }
    Ok(())
}

fn delete(locked: &Locked<'_>, tree: &Tree, record: &Record, action: &str) -> Result<()> {
    let old = locked.old_dir(action)?;
    let name = name_in_old(&locked.of.layout.old, OsStr::new(&record.name))?;
    if name != tree.name || !Records::read(old.as_fd())?.readable.contains(record) {
        return Err(changed_meanwhile(action, "no record of ours says that it may be deleted"));
    }
    let found =
        survey_directories::stat_if_there(locked.of, &name).map_err(|e| Error::io(action, e))?;
    if identity_of(&found.stat) != tree.id {
        return Err(changed_meanwhile(action, "another tree has its name by now"));
    }
    let (mounts, more) = survey_directories::mounts_of_tree(locked.of, &name, &locked.of.patience)?;
    if let Some(mount) = mounts.first() {
        return Err(Error::new(action, format!("it is mounted at {mount}"))
            .hint("unmount it, then try again"));
    }
    if more {
        return Err(cannot_tell(action));
    }
    if record.discarding.is_none() {
        record::mark(old.as_fd(), record, &tree.id)?;
    }
    let c_name = survey_directories::c_name(&name).map_err(|e| Error::io(action, e))?;
    remove_tree(old.as_fd(), &c_name, &found.stat)?;
    change("directory: sync deletion", || Ok(fs::fsync(&old)?))
        .map_err(|e| Error::io(action, e))?;
    record::remove(old.as_fd(), record)
}
