//! The machine whose keep list is put in force: its root, and where its storages are.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use backends::mounted::UsersOwn;
use backends::{Result, TreePath};
use rustix::fs::{self, OFlags};

use super::{HostRoot, beneath};

/// Open directories below which every path of a keep list lies.
///
/// No path of it leads to what a user runs himself (FUSE), where whoever looks may wait without end.
#[derive(Debug)]
pub struct Machine {
    root: HostRoot,
    /// Another directory below which the storages are, and which paths these are.
    elsewhere: Option<(HostRoot, Vec<TreePath>)>,
    users_own: Mutex<UsersOwn>,
}

impl Machine {
    /// A machine whose storages are mounted below its root.
    pub fn open(root: &Path) -> Result<Self> {
        let users_own = Mutex::new(UsersOwn::read()?);
        Ok(Self { root: HostRoot::open(root)?, elsewhere: None, users_own })
    }

    /// A machine that cannot mount its storages: they are below `base` instead.
    pub fn with_storages_below(root: &Path, base: &Path, storages: Vec<TreePath>) -> Result<Self> {
        let elsewhere = Some((HostRoot::open(base)?, storages));
        Ok(Self { elsewhere, ..Self::open(root)? })
    }

    /// The root directory.
    pub fn root(&self) -> &HostRoot {
        &self.root
    }

    /// Whether the storages are where they are said to be.
    pub fn has_storages_below_root(&self) -> bool {
        self.elsewhere.is_none()
    }

    /// The directory below which a path is to be looked up.
    pub fn base_of(&self, path: &TreePath) -> BorrowedFd<'_> {
        match &self.elsewhere {
            Some((base, storages)) if storages.iter().any(|storage| path.is_within(storage)) => {
                base.as_fd()
            }
            _ => self.root.as_fd(),
        }
    }

    /// Why nobody should go to a path: a user runs a file system on the way.
    pub fn users_own(&self, path: &TreePath) -> io::Result<Option<String>> {
        let base = format!("/proc/thread-self/fd/{}", self.base_of(path).as_raw_fd());
        let base = fs::readlink(base, Vec::new())?.into_bytes();
        let base = base.strip_suffix(b"/").unwrap_or(&base);
        let whole = [base, b"/", path.as_bytes()].concat();
        let mut users_own = self.users_own.lock().unwrap_or_else(PoisonError::into_inner);
        users_own.on_the_way(&whole).map_err(io::Error::other)
    }

    fn refuse_users_own(&self, path: &TreePath) -> io::Result<()> {
        self.users_own(path)?.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Opens a path without following any link.
    pub fn open_at(&self, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
        self.refuse_users_own(path)?;
        beneath::open(self.base_of(path), path.as_path(), flags)
    }

    /// Opens the directory that holds a path, without following any link.
    pub fn parent_of(&self, path: &TreePath) -> io::Result<OwnedFd> {
        let parent = path.parent().unwrap_or_default();
        self.refuse_users_own(&parent)?;
        beneath::open(self.base_of(path), parent.as_path(), OFlags::PATH | OFlags::DIRECTORY)
    }
}
