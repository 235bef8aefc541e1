//! What a directory holds: how much, in how many files, and when the last of it was written.
//!
//! A walk that neither follows links nor leaves its tree: nested subvolumes and whatever is mounted
//! inside are counted and not entered.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;

use crate::boundary::Boundary;
use crate::directory_walker::{self, Descent};
use crate::stat::{Moment, Place, Stat, is_gone};
use crate::{Error, FileType, Result, TreePath};

/// Names between two reports of progress.
const REPORT_EVERY: u64 = 1024;

/// What was found below one name, itself included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of content of regular files; a file with several names counts once in a whole walk.
    pub bytes: u64,
    /// Everything that is no directory.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// When the last of it was written, directories included; `None` if nothing was entered.
    pub newest: Option<Moment>,
    /// What is mounted there, and was not entered.
    pub mounts: u64,
    /// Nested subvolumes, which were not entered.
    pub subvolumes: u64,
}

/// One name that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// What it is.
    pub stat: Stat,
    /// It was reached through a mount that hides what the tree has there.
    pub mounted_over: bool,
}

/// A way through one tree on which parts of it can be weighed.
pub struct Scales<'r> {
    /// How messages name the tree's root directory.
    at: TreePath,
    boundary: Boundary,
    descent: Descent<'r>,
    /// The directories from the root down to the current one.
    path: Vec<CString>,
    /// Files with several names that were counted.
    counted: HashSet<((u32, u32), u64)>,
    looked_at: u64,
    progress: &'r dyn Fn(u64),
}

impl<'r> Scales<'r> {
    /// Starts in the directory `root`, which is named `at` on the machine. `progress` is told how
    /// many names were looked at so far, beginning with `looked_at`.
    pub fn new(
        root: BorrowedFd<'r>,
        at: TreePath,
        looked_at: u64,
        progress: &'r dyn Fn(u64),
    ) -> Result<Self> {
        let boundary = Boundary::of(root).map_err(|why| Error::io(format!("look at {at}"), why))?;
        let (descent, path, counted) = (Descent::new(root), Vec::new(), HashSet::new());
        Ok(Self { at, boundary, descent, path, counted, looked_at, progress })
    }

    /// How many names were looked at.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// The names in the current directory, sorted; none if it is gone.
    pub fn names(&mut self) -> Result<Vec<CString>> {
        let names = self.descent.current().and_then(directory_walker::list_names);
        Ok(self.unless_gone(names, None)?.unwrap_or_default())
    }

    /// What has this name in the current directory; `None` if nothing does (any more).
    pub fn look(&mut self, name: &CStr) -> Result<Option<Found>> {
        self.looked_at += 1;
        if self.looked_at.is_multiple_of(REPORT_EVERY) {
            (self.progress)(self.looked_at);
        }
        let looked = self.descent.current().and_then(|dir| self.boundary.stat(Place { dir, name }));
        Ok(self
            .unless_gone(looked, Some(name))?
            .map(|stat| Found { stat, mounted_over: self.boundary.is_beyond_mount(&stat) }))
    }

    /// Goes into a directory of the current one; `false` if it is gone.
    pub fn enter(&mut self, name: &CStr) -> Result<bool> {
        let entered = self.descent.enter(name);
        let entered = self.unless_gone(entered, Some(name))?.is_some();
        if entered {
            self.path.push(name.to_owned());
        }
        Ok(entered)
    }

    /// Goes back to the directory above.
    pub fn leave(&mut self) {
        self.path.pop();
        self.descent.leave();
    }

    /// Weighs what has this name in the current directory, and all that is below it.
    pub fn weigh(&mut self, name: &CStr, found: &Found) -> Result<Weight> {
        let mut weight = Weight::default();
        let mut levels: Vec<std::vec::IntoIter<CString>> = Vec::new();
        if self.count(found, &mut weight) && self.enter(name)? {
            levels.push(self.names()?.into_iter());
        }
        while let Some(names) = levels.last_mut() {
            let Some(name) = names.next() else {
                levels.pop();
                self.leave();
                continue;
            };
            let Some(found) = self.look(&name)? else { continue };
            if self.count(&found, &mut weight) && self.enter(&name)? {
                levels.push(self.names()?.into_iter());
            }
        }
        Ok(weight)
    }

    /// Adds one name; says whether it is a directory to go into.
    fn count(&mut self, found: &Found, weight: &mut Weight) -> bool {
        let Stat { facts, inode, device, links, .. } = found.stat;
        if found.mounted_over {
            weight.mounts += 1;
            return false;
        }
        if facts.file_type == FileType::Subvolume {
            weight.subvolumes += 1;
            return false;
        }
        weight.newest = weight.newest.max(Some((facts.mtime, facts.mtime_nanos)));
        if facts.file_type == FileType::Dir {
            weight.dirs += 1;
            return true;
        }
        weight.files += 1;
        let first = links < 2 || self.counted.insert((device, inode));
        if facts.file_type == FileType::File && first {
            weight.bytes = weight.bytes.saturating_add(facts.size);
        }
        false
    }

    /// What goes while it is looked at counts as not there; what cannot be read is an error.
    fn unless_gone<T>(&self, got: io::Result<T>, name: Option<&CStr>) -> Result<Option<T>> {
        match got {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => {
                let denied = error.kind() == io::ErrorKind::PermissionDenied;
                let told = Error::io(format!("look at {}", self.path_of(name)), error);
                Err(if denied { told.hint("run this as root") } else { told })
            }
        }
    }

    /// Where a name in the current directory is on the machine.
    pub fn path_of(&self, name: Option<&CStr>) -> TreePath {
        let names = self.path.iter().map(|dir| dir.as_c_str()).chain(name);
        names.fold(self.at.clone(), |path, name| path.join(name.to_bytes()))
    }
}
