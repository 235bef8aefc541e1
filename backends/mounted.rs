//! What is mounted where a directory is, as the current thread sees it.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
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
    parsed(File::open(TABLE))
}

fn parsed(table: io::Result<File>) -> Result<Vec<Mount>> {
    let table = table
        .and_then(|table| file::read_at_most(table, Vec::new(), file::MAX_KERNEL_TABLE))
        .map_err(|e| Error::io("read the mount table", e))?;
    mountinfo::parse(&table)
}

/// The mount that shows an open file, of which the path is enough; `None` before Linux 5.8, and where this
/// thread's root directory is no mount point, so that it does not see what shows it.
///
/// An error where this thread's table should show it and does not: it was unmounted meanwhile. Nothing
/// that we have mounted ourselves and apart, or that is of another namespace, is to be asked for here.
pub fn of(file: BorrowedFd<'_>) -> Result<Option<Mount>> {
    let Some(id) = stat::mount_of(file) else { return Ok(None) };
    let mut mounts = all()?;
    if let Some(at) = mounts.iter().position(|mount| mount.id == id) {
        return Ok(Some(mounts.swap_remove(at)));
    }
    let root = fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|why| Error::io("open the root directory", why))?;
    let root = stat::mount_of(root.as_fd());
    if mounts.iter().any(|mount| Some(mount.id) == root) {
        let why = "the mount table does not show it any more";
        return Err(Error::new("find the mount that shows a file", why));
    }
    Ok(None)
}

/// Where users have mounted file systems that they run themselves, as this thread sees it at each moment:
/// the table is read again when it has changed (proc_pid_mountinfo(5) and poll(2)).
#[derive(Debug)]
pub struct UsersOwn {
    table: File,
    /// Their mounts.
    own: Vec<Mount>,
}

impl UsersOwn {
    /// Reads the table for the first time.
    pub fn read() -> Result<Self> {
        let table = File::open(TABLE).map_err(|e| Error::io("read the mount table", e))?;
        let mut own = Self { table, own: Vec::new() };
        own.read_again()?;
        Ok(own)
    }

    /// Why nobody should go to `path`: one of them is on the way. A later mount may hide it, or it that.
    pub fn on_the_way(&mut self, path: &[u8]) -> Result<Option<String>> {
        let mut polled = [PollFd::new(&self.table, PollFlags::PRI)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Where that cannot be told, it may have changed.
        if poll(&mut polled, Some(&at_once)) != Ok(0) {
            self.read_again()?;
        }
        let leads_there = |mount: &&Mount| mount.in_file_system(path).is_some();
        Ok(self.own.iter().find(leads_there).and_then(Mount::users_own))
    }

    fn read_again(&mut self) -> Result<()> {
        self.own = parsed(self.table.rewind().and_then(|()| self.table.try_clone()))?;
        self.own.retain(|mount| mount.users_own().is_some());
        Ok(())
    }
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
    use std::os::fd::AsRawFd;

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
    fn what_is_mounted_later_is_seen() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            println!("SKIPPED: mounting what a user's FUSE would takes root and /dev/fuse");
            return;
        }
        let namespace = crate::private_mounts::PrivateNamespace::enter().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).into_os_string().into_encoded_bytes();
        std::fs::create_dir(dir.path().join("a b")).unwrap();
        let mut own = UsersOwn::read().unwrap();
        assert_eq!(own.on_the_way(&path("a b/file")).unwrap(), None);
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=7,group_id=7", device.as_raw_fd());
        let mounted = namespace
            .mount(Path::new("hers"), "fuse", &dir.path().join("a b"), options.as_bytes())
            .unwrap();
        for (name, is_hers) in [("a b/file", true), ("a b", true), ("a bc", false), ("a", false)] {
            let why = own.on_the_way(&path(name)).unwrap();
            assert_eq!(why.is_some_and(|why| why.contains("the user 7")), is_hers, "{name}");
        }
        mounted.unmount().unwrap();
        assert_eq!(own.on_the_way(&path("a b/file")).unwrap(), None);
    }

    #[test]
    fn the_mount_of_a_directory_that_is_there_is_found() {
        assert!(at(Path::new("/proc/self")).unwrap().mount.fs_type == b"proc");
        let error = at(Path::new("/no\nsuch")).unwrap_err().to_string();
        assert!(error.starts_with("cannot find what is mounted at /no\\nsuch: No such"), "{error}");
    }
}
