//! The backend `directory`: trees are plain directories below one directory, on any file system.
//!
//! Nothing here takes constant time but the swap. A plain directory cannot be made read-only without
//! changing what is in it, so blank counts as read-only because nothing but Blankroot writes there.

pub mod change_directories;
pub mod survey_directories;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dirfd::mount_tables::Patience;
use dirfd::path::Escaped;
use dirfd::stat::{Place, Stat};
use dirfd::{Error, Result, TreeName};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, OpenTreeFlags};

use crate::old_roots::Reach;
use crate::survey::Mounts;
use crate::{Abilities, Backend, FastChanges, Layout, LockedBackend, Survey, Tree, TreeId, View};

/// Trees that are directories below one directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    layout: Layout,
    /// The directory as the machine sees it: for the mount table.
    seen: OwnedFd,
    /// The same without what is mounted below it, where we may have that: for everything else.
    bare: OwnedFd,
    /// How long mounts of its trees may be looked for.
    patience: Patience,
}

impl Directory {
    /// Opens the directory `path`, in which the names of `layout` are looked up.
    pub fn open(path: &Path, layout: Layout) -> Result<Self> {
        let action = || format!("open {}", Escaped::of_path(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let seen = fs::open(path, flags, Mode::empty()).map_err(|e| Error::io(action(), e))?;
        let bare = without_mounts(seen.as_fd()).map_err(|e| Error::io(action(), e))?;
        Ok(Self { path: path.to_owned(), layout, seen, bare, patience: Patience::default() })
    }

    /// Opens a directory by a layout's name, without passing any link or mount.
    fn open_tree(&self, name: &TreeName) -> io::Result<OwnedFd> {
        let path = CString::new(name.as_bytes())?;
        dirfd::directory_walker::open_dir(self.bare.as_fd(), &path)
    }

    /// The directory that holds `name`, and the last component.
    fn open_parent(&self, name: &TreeName) -> io::Result<(OwnedFd, CString)> {
        let (parent, last) = name.split();
        let parent = CString::new(parent.map_or(&b"."[..], |path| path.as_os_str().as_bytes()))?;
        let opened = dirfd::directory_walker::open_dir(self.bare.as_fd(), &parent)?;
        Ok((opened, CString::new(last.as_bytes())?))
    }

    /// For messages: where on the machine this is.
    fn place_of(&self, name: &TreeName) -> String {
        Escaped(self.path.join(name.as_path()).as_os_str().as_bytes()).to_string()
    }
}

impl Backend for Directory {
    fn survey(&self) -> Result<Survey> {
        survey_directories::survey_directories(self, Reach::All, Mounts::OfLive(&self.patience))
    }

    fn survey_without_mounts(&self) -> Result<Survey> {
        survey_directories::survey_directories(self, Reach::All, Mounts::NotLookedFor)
    }

    fn file_system(&self) -> Result<String> {
        survey_directories::file_system(self)
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        let action = || format!("open the tree {}", self.place_of(&tree.name));
        let root = self.open_tree(&tree.name).map_err(|e| Error::io(action(), e))?;
        let stat = Place { dir: root.as_fd(), name: c"." }.stat();
        if identity_of(&stat.map_err(|e| Error::io(action(), e))?) != tree.id {
            return Err(Error::new(action(), "another tree has its name by now"));
        }
        Ok(View::new(root))
    }

    fn changes(&self, _from: &Tree, _to: &Tree) -> Result<FastChanges> {
        let why = "the directory backend has no record of what was written";
        Ok(FastChanges::Unavailable(why.to_string()))
    }

    fn old_dir(&self) -> Result<Option<OwnedFd>> {
        match self.open_tree(&self.layout.old) {
            Ok(old) => Ok(Some(old)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => {
                let action = format!("open {}", self.place_of(&self.layout.old));
                Err(Error::io(action, why))
            }
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities { needs_rollback: true, constant_time: false, fast_changes: false }
    }

    fn identify(&self, dir: BorrowedFd<'_>) -> Result<Option<TreeId>> {
        let action = "find out which directory this is";
        let stat = Place { dir, name: c"." }.stat().map_err(|e| Error::io(action, e))?;
        Ok(Some(identity_of(&stat)))
    }

    fn lock(&self) -> Result<LockedBackend<'_>> {
        Ok(LockedBackend::new(change_directories::Locked::new(self)?))
    }
}

/// What no rename and no reboot changes of a directory: device numbers may change between boots.
pub(crate) fn identity_of(stat: &Stat) -> TreeId {
    let inode = stat.inode;
    TreeId::new(match (stat.born, stat.device) {
        (Some((seconds, nanos)), _) => format!("{inode}@{seconds}.{nanos:09}"),
        (None, (major, minor)) => format!("{inode}@device-{major}:{minor}"),
    })
}

/// The same directory in a private copy of its mount, so that nothing mounted below it hides what is
/// there. The plain directory where that is not allowed: a walk then refuses to guess.
pub(crate) fn without_mounts(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    match mount::open_tree(dir, c"", flags) {
        Ok(tree) => Ok(tree),
        // Not root; or a mount that cannot be copied (unbindable, or of another namespace).
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => {
            dirfd::directory_walker::open_dir(dir, c".")
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
