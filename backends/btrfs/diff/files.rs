//! Compares what is in two files, and reads only what does not lie in the same place.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::placement::Placement;
use crate::TreePath;
use crate::boundary::Boundary;
use crate::btrfs::search::Searcher;
use crate::compare::{self, Failure, Side};
use crate::descent::open_path;
use crate::stat::{Place, Stat, is_gone};

/// How two files' contents relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    Same,
    Differ,
    /// The newer one was deleted since it was found.
    NewerGone,
}

/// Both trees, for looking at files by their paths.
pub struct Files<'a> {
    older: Tree<'a>,
    newer: Tree<'a>,
}

impl<'a> Files<'a> {
    pub fn new(older: BorrowedFd<'a>, newer: BorrowedFd<'a>) -> io::Result<Self> {
        Ok(Self { older: Tree::new(older)?, newer: Tree::new(newer)? })
    }

    /// Compares the regular files `name` in `dir`; each given as its tree, its inode and its size.
    pub fn contents(
        &mut self,
        dir: &TreePath,
        name: &[u8],
        newer: (&mut Searcher<'_>, u64, u64),
        older: (&mut Searcher<'_>, u64, u64),
    ) -> io::Result<Contents> {
        let size = newer.2;
        if size != older.2 {
            return Ok(Contents::Differ);
        }
        if size == 0 {
            return Ok(Contents::Same);
        }
        let (was, is) = (Placement::of(older.0, older.1)?, Placement::of(newer.0, newer.1)?);
        let ranges = is.differing(&was, size);
        if ranges.is_empty() {
            return Ok(Contents::Same);
        }
        self.ask(dir, name, |older, newer| compare::content_differs_in(older, newer, &ranges))
    }

    /// Compares the targets of the symbolic links `name` in `dir`.
    pub fn link_targets(&mut self, dir: &TreePath, name: &[u8]) -> io::Result<Contents> {
        self.ask(dir, name, compare::targets_differ)
    }

    /// Looks at one file; `None` if it is gone.
    pub fn stat(&mut self, side: Side, dir: &TreePath, name: &[u8]) -> io::Result<Option<Stat>> {
        let tree = match side {
            Side::Older => &mut self.older,
            Side::Newer => &mut self.newer,
        };
        let boundary = tree.boundary;
        let name = CString::new(name)?;
        match tree.dir(dir).and_then(|dir| boundary.stat(Place { dir, name: &name })) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask(
        &mut self,
        dir: &TreePath,
        name: &[u8],
        differ: impl FnOnce(Place<'_>, Place<'_>) -> Result<bool, Failure>,
    ) -> io::Result<Contents> {
        let name_c = CString::new(name)?;
        let older = Place { dir: self.older.dir(dir)?, name: &name_c };
        let newer = match self.newer.dir(dir) {
            Ok(dir) => Place { dir, name: &name_c },
            Err(error) if is_gone(&error) => return Ok(Contents::NewerGone),
            Err(error) => return Err(error),
        };
        match differ(older, newer) {
            Ok(true) => Ok(Contents::Differ),
            Ok(false) => Ok(Contents::Same),
            Err(failure) if failure.side() == Side::Newer && failure.is_gone() => {
                Ok(Contents::NewerGone)
            }
            Err(failure) => Err(io::Error::other(failure.at(&dir.join(name)))),
        }
    }
}

/// One of the trees, with the directory open that was asked for last: files of one directory come
/// one after the other.
struct Tree<'a> {
    root: BorrowedFd<'a>,
    boundary: Boundary,
    open: Option<(TreePath, OwnedFd)>,
}

impl<'a> Tree<'a> {
    fn new(root: BorrowedFd<'a>) -> io::Result<Self> {
        Ok(Self { root, boundary: Boundary::of(root)?, open: None })
    }

    fn dir(&mut self, path: &TreePath) -> io::Result<BorrowedFd<'_>> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            let parts = path.as_bytes().split(|&b| b == b'/').filter(|part| !part.is_empty());
            let names: Vec<CString> = parts.map(CString::new).collect::<Result<_, _>>()?;
            let names: Vec<_> = names.iter().map(CString::as_c_str).collect();
            self.open = open_path(self.root, &names)?.map(|fd| (path.clone(), fd));
        }
        Ok(self.open.as_ref().map_or(self.root, |(_, fd)| fd.as_fd()))
    }
}
