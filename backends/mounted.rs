//! What is mounted where a directory is, as the current thread sees it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};

use crate::error::{Error, Result};
use crate::file;
use crate::mountinfo::{self, Mount};
use crate::path::Escaped;
use crate::stat;

/// This thread's own mount table; that of the process is its first thread's.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// A directory and the mount that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The mount.
    pub mount: Mount,
    /// The directory in the file system, from its top on, without a leading slash.
    pub path: Vec<u8>,
}

/// Every mount that this thread sees, a later one above an earlier one.
pub fn all() -> Result<Vec<Mount>> {
    let table = File::open(TABLE)
        .and_then(|f| file::read_at_most(f, Vec::new(), file::MAX_KERNEL_TABLE))
        .map_err(|e| Error::io("read the mount table", e))?;
    mountinfo::parse(&table)
}

/// This thread's mounts by their numbers, read when one is asked for that is not known yet.
#[derive(Debug, Default)]
pub struct Table(HashMap<u64, Mount>);

impl Table {
    /// The mount that shows an open file, of which the path is enough; `None` before Linux 5.8, and where
    /// this thread's root directory is no mount point, so that it does not see what shows it.
    ///
    /// An error where that was unmounted while the file was open.
    pub fn of(&mut self, file: BorrowedFd<'_>) -> Result<Option<&Mount>> {
        let Some(id) = stat::mount_of(file) else { return Ok(None) };
        if !self.0.contains_key(&id) {
            self.0 = all()?.into_iter().map(|mount| (mount.id, mount)).collect();
        }
        if !self.0.contains_key(&id) && self.has_our_root()? {
            let why = "it was unmounted meanwhile";
            return Err(Error::new("find the mount that shows a file", why));
        }
        Ok(self.0.get(&id))
    }

    fn has_our_root(&self) -> Result<bool> {
        let root = fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|why| Error::io("open the root directory", why))?;
        Ok(stat::mount_of(root.as_fd()).is_some_and(|id| self.0.contains_key(&id)))
    }
}

/// The mount that shows one open file, as [`Table::of`] tells.
pub fn of(file: BorrowedFd<'_>) -> Result<Option<Mount>> {
    Ok(Table::default().of(file)?.cloned())
}

/// The mount that shows the directory `dir`.
pub fn at(dir: &Path) -> Result<Mounted> {
    let action = || format!("find what is mounted at {}", Escaped(dir.as_os_str().as_bytes()));
    let failed = |e: io::Error| Error::io(action(), e);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = fs::open(dir, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let whole = std::fs::canonicalize(dir).map_err(failed)?;
    let stat = fs::statx(opened.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .map_err(|e| failed(e.into()))?;
    let mount = all()?.into_iter().find(|mount| mount.id == stat.stx_mnt_id);
    let Some(mount) = mount else {
        return Err(Error::new(action(), "its mount is not in this process's mount table")
            .mend("name the root of a mounted file system with --root"));
    };
    let path = mount.in_file_system(whole.as_os_str().as_bytes()).ok_or_else(|| {
        Error::new(action(), "the mount table and its path do not agree")
            .mend("run the command again")
    })?;
    Ok(Mounted { mount, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_the_top_of_the_file_system_on() {
        for (root, point, path, expected) in [
            ("/", "/", "/", Some("")),
            ("/@", "/", "/", Some("@")),
            ("/@", "/", "/a/b", Some("@/a/b")),
            ("/", "/mnt", "/mnt", Some("")),
            ("/", "/mnt", "/mnt/os/root", Some("os/root")),
            ("/os", "/mnt", "/mnt/root", Some("os/root")),
            ("/os", "/mnt", "/mntroot", None),
        ] {
            let line = format!("1 0 0:1 {root} {point} rw - btrfs x rw");
            let mount = &mountinfo::parse(line.as_bytes()).unwrap()[0];
            let found = mount.in_file_system(path.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{root} {point} {path}");
        }
    }

    #[test]
    fn the_mount_of_a_directory_that_is_there_is_found() {
        assert!(at(Path::new("/proc/self")).unwrap().mount.fs_type == b"proc");
        let error = at(Path::new("/no\nsuch")).unwrap_err().to_string();
        assert!(error.starts_with("cannot find what is mounted at /no\\nsuch: No such"), "{error}");
    }
}
