//! The machine whose keep list is put in force: its root, and where its storages are.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use backends::{Result, TreePath};
use rustix::fs::OFlags;

use super::{HostRoot, beneath};

/// Open directories below which every path of a keep list lies.
#[derive(Debug)]
pub struct Machine {
    root: HostRoot,
    /// Another directory below which the storages are, and which paths these are.
    elsewhere: Option<(HostRoot, Vec<TreePath>)>,
}

impl Machine {
    /// A machine whose storages are mounted below its root.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { root: HostRoot::open(root)?, elsewhere: None })
    }

    /// A machine that cannot mount its storages: they are below `base` instead.
    pub fn with_storages_below(root: &Path, base: &Path, storages: Vec<TreePath>) -> Result<Self> {
        let elsewhere = Some((HostRoot::open(base)?, storages));
        Ok(Self { root: HostRoot::open(root)?, elsewhere })
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

    /// Opens a path without following any link.
    pub fn open_at(&self, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
        beneath::open(self.base_of(path), path.as_path(), flags)
    }

    /// Opens the directory that holds a path, without following any link.
    pub fn parent_of(&self, path: &TreePath) -> io::Result<OwnedFd> {
        let parent = path.parent().unwrap_or_default();
        beneath::open(self.base_of(path), parent.as_path(), OFlags::PATH | OFlags::DIRECTORY)
    }
}
