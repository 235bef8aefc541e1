//! Changing trees, under the lock: copies go in under a name that means nothing until they are whole
//! and durable, and the swap is one call.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::copy::{copy_tree, make_dir};
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::remove::remove_tree;
use dirfd::stat::Place;
use dirfd::{Error, Result, TreeName, atomic_file};
use rustix::fs::{self, Mode, RenameFlags};

use crate::directory::survey_directories::{self, c_name, open_old, slot_of, stat_if_there};
use crate::directory::{Directory, identity_of};
use crate::locked_backend::{Deletion, TreeChanges, changed_meanwhile};
use crate::old_roots::Reach;
use crate::survey::Mounts;
use crate::{Backend, Layout, OldRoot, Origin, Record, Slot, Survey, Tree, View, kinship, lock};

/// A [`Directory`] that nobody else changes meanwhile.
pub(crate) struct Locked<'a> {
    of: &'a Directory,
    /// The directory of old roots, which carries the lock.
    _lock: OwnedFd,
    /// That was made for the lock, and for a plan it is still to be made.
    made_old: bool,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(of: &'a Directory) -> Result<Self> {
        let action = || format!("change the trees in {}", Escaped::of_path(&of.path));
        // Everybody may open the directory that holds the trees.
        let (old, made_old) = match open_old(of)? {
            Some(old) => (Some(old), false),
            None => {
                make_old_dir(of).map_err(|e| Error::io(action(), e))?;
                (open_old(of)?, true)
            }
        };
        let old =
            old.ok_or_else(|| Error::new(action(), "the directory of old roots is missing"))?;
        lock::take_private(old.as_fd(), action)?;
        Ok(Self { of, _lock: old, made_old })
    }

    /// Makes a tree with `fill` under a temporary name, makes it durable and gives it `name`.
    fn place(
        &self,
        name: &TreeName,
        action: &str,
        fill: &dyn Fn(BorrowedFd<'_>, &CStr) -> Result<()>,
    ) -> Result<Tree> {
        let failed = |e| Error::io(action, e);
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
        change("directory: sync name", || Ok(fs::fsync(&parent)?)).map_err(failed)?;
        match slot_of(self.of, name)? {
            Slot::Present(tree) => Ok(tree),
            Slot::Missing | Slot::NotATree(_) => Err(Error::new(action, "it is gone again")),
        }
    }
}

impl TreeChanges for Locked<'_> {
    fn layout(&self) -> &Layout {
        &self.of.layout
    }

    fn survey(&self, reach: Reach, mounts: Mounts<'_>) -> Result<Survey> {
        let mut survey = survey_directories::survey_directories(self.of, reach, mounts)?;
        survey.has_old_dir &= !self.made_old;
        Ok(survey)
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        self.of.view(tree)
    }

    fn look(&self, name: &TreeName) -> Result<Slot> {
        slot_of(self.of, name)
    }

    fn old_dir(&self) -> Result<OwnedFd> {
        open_old(self.of)?.ok_or_else(|| {
            let action = format!("open {}", self.of.place_of(&self.of.layout.old));
            Error::new(action, "the directory of old roots is missing").hint("run `blankroot init`")
        })
    }

    fn make_old_dir(&self) -> Result<OwnedFd> {
        if open_old(self.of)?.is_none() {
            let action = || format!("make {}", self.of.place_of(&self.of.layout.old));
            make_old_dir(self.of).map_err(|e| Error::io(action(), e))?;
        }
        self.old_dir()
    }

    fn make_blank(&mut self, origin: Origin, action: &str) -> Result<Tree> {
        let Layout { live, blank, .. } = &self.of.layout;
        let made = match origin {
            Origin::Empty => self.place(blank, action, &|parent, name| {
                empty_tree(parent, name).map_err(|e| Error::io(action, e))
            })?,
            Origin::Live => {
                let opened = self.of.open_tree(live);
                let opened = opened
                    .map_err(|e| Error::io(format!("open live {}", self.of.place_of(live)), e))?;
                self.place(blank, action, &|parent, name| copy_tree(opened.as_fd(), parent, name))?
            }
        };
        // Nothing tells of a plain directory what it is a copy of, so it is written down.
        if let Slot::Present(live) = slot_of(self.of, live)? {
            kinship::write(self.old_dir()?.as_fd(), &made.id, &[&live.id])
                .map_err(|e| Error::io(kinship::ACTION, e))?;
        }
        Ok(made)
    }

    fn copy_blank(
        &mut self,
        blank: &Tree,
        _record: &Record,
        name: &TreeName,
        action: &str,
    ) -> Result<Tree> {
        let source = self.of.view(blank)?;
        self.place(name, action, &|parent, name| copy_tree(source.as_fd(), parent, name))
    }

    fn exchange(&mut self, live: &Tree, copy: &Tree, action: &str) -> Result<()> {
        let failed = |e| Error::io(action, e);
        let (parent, name) = self.of.open_parent(&live.name).map_err(failed)?;
        let (old, aside) = self.of.open_parent(&copy.name).map_err(failed)?;
        change("directory: exchange", || {
            Ok(fs::renameat_with(&parent, &name, &old, &aside, RenameFlags::EXCHANGE)?)
        })
        .map_err(|why| rename_error(&failed, why))?;
        change("directory: sync live's name", || Ok(fs::fsync(&parent)?)).map_err(failed)?;
        change("directory: sync old root's name", || Ok(fs::fsync(&old)?)).map_err(failed)
    }

    fn plan_deletion<'t>(&'t self, old_root: &'t OldRoot, action: &'t str) -> Result<Deletion<'t>> {
        let tree = &old_root.tree;
        let (mounts, more_mounts) =
            survey_directories::mounts_of_tree(self.of, &tree.name, &self.of.patience)?;
        let destroy = move || {
            let failed = |e| Error::io(action, e);
            let found = stat_if_there(self.of, &tree.name).map_err(failed)?;
            if identity_of(&found.stat) != tree.id {
                return Err(changed_meanwhile(action, "another tree has its name by now"));
            }
            let (old, name) = (self.old_dir()?, c_name(&tree.name).map_err(failed)?);
            remove_tree(old.as_fd(), &name, &found.stat)?;
            change("directory: sync deletion", || Ok(fs::fsync(&old)?)).map_err(failed)
        };
        // File by file.
        Ok(Deletion { goes_in_steps: true, mounts, more_mounts, destroy: Box::new(destroy) })
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
