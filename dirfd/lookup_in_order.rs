//! Files of one tree by their paths, for whoever looks at one after the other: the directory that was asked
//! for last stays open.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::boundary::Boundary;
use crate::directory_walker::open_path;
use crate::stat::{Place, Stat};

/// A tree. Paths are as in [`TreePath::as_bytes`](crate::TreePath::as_bytes).
#[derive(Debug)]
pub struct LookupInOrder<'t> {
    root: BorrowedFd<'t>,
    boundary: Boundary,
    open: Option<(Vec<u8>, OwnedFd)>,
}

impl<'t> LookupInOrder<'t> {
    /// The tree whose root directory is open.
    pub fn new(root: BorrowedFd<'t>) -> io::Result<Self> {
        Ok(Self { root, boundary: Boundary::of(root)?, open: None })
    }

    /// The directory `path`; links on the way to it are not followed, nor are mounts crossed.
    pub fn open_dir(&mut self, path: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            let parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
            let names: Vec<CString> = parts.map(CString::new).collect::<Result<_, _>>()?;
            let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
            self.open = open_path(self.root, &names)?.map(|fd| (path.to_vec(), fd));
        }
        Ok(self.open.as_ref().map_or(self.root, |(_, fd)| fd.as_fd()))
    }

    /// Looks at `name` in the directory `dir`.
    pub fn stat(&mut self, dir: &[u8], name: &CStr) -> io::Result<Stat> {
        let boundary = self.boundary;
        boundary.stat(Place { dir: self.open_dir(dir)?, name })
    }

    /// Looks at the file `path`, and shows it to `see` with what it is.
    pub fn look_at<T>(
        &mut self,
        path: &[u8],
        see: impl FnOnce(Place<'_>, &Stat) -> T,
    ) -> io::Result<T> {
        let (dir, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None if path.is_empty() => (path, &b"."[..]),
            None => (&[][..], path),
        };
        let (boundary, name) = (self.boundary, CString::new(name)?);
        let place = Place { dir: self.open_dir(dir)?, name: &name };
        let stat = boundary.stat(place)?;
        Ok(see(place, &stat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileType;
    use std::fs;

    #[test]
    fn files_are_found_in_any_order_and_no_link_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), "123").unwrap();
        fs::write(dir.path().join("a/d"), "1").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        let root = fs::File::open(dir.path()).unwrap();
        let mut tree = LookupInOrder::new(root.as_fd()).unwrap();
        let size = |tree: &mut LookupInOrder<'_>, path: &str| {
            tree.look_at(path.as_bytes(), |_, stat| stat.facts.size)
        };
        for (path, expected) in [("a/b/c", 3), ("a/d", 1), ("a/b/c", 3)] {
            assert_eq!(size(&mut tree, path).unwrap(), expected, "{path}");
        }
        let root_type = tree.look_at(b"", |_, stat| stat.facts.file_type).unwrap();
        assert_eq!(root_type, FileType::Dir);
        for missing in ["link/d", "a/x", "a/d/e"] {
            assert!(size(&mut tree, missing).is_err(), "{missing}");
        }
    }
}
