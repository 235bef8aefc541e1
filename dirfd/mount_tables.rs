//! The mount tables of every mount namespace that has a process, since live may be mounted in one
//! that is not ours.
//!
//! A table shows only what can be reached from its process's root directory, so a namespace is read
//! once for each root directory that a thread in it has. What no table shows stays unseen: mounts
//! that were detached while in use, and namespaces that only a file keeps alive.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::kcmp::Kin;
use crate::mountinfo::{self, Mount};
use crate::stat::mount_of;
use crate::sys::process_calls::by_root;
use crate::{Error, Result, atomic_file};

/// Our own thread's entry in `/proc`: `self` would be the process's first thread, whose mount
/// namespace may be another one.
const OWN: &str = "thread-self";

/// Bytes to ask for at once: small pieces make the kernel start over.
const READ_AT_ONCE: usize = 16 << 10;

/// Bytes of a table between two looks at the clock.
const PIECE: u64 = 256 << 10;

/// How long mounts are looked for in all. Anybody may have tens of thousands, in namespaces of their
/// own.
const PATIENCE: Duration = Duration::from_secs(1);
/// A look that takes no longer costs no patience: there may be one for each tree that is deleted.
const SHORT: Duration = Duration::from_millis(20);

/// How long mounts may still be looked for, by all looks of one run together.
#[derive(Debug)]
pub struct Patience(Mutex<Duration>);

/// The same for a rollback, which nobody is to keep from being done: where it belongs, in an initrd,
/// nobody else has mounts.
const PATIENCE_OF_ROLLBACK: Duration = Duration::from_secs(30);

impl Default for Patience {
    fn default() -> Self {
        Self(Mutex::new(PATIENCE))
    }
}

impl Patience {
    /// What a rollback has.
    pub fn of_rollback() -> Self {
        Self(Mutex::new(PATIENCE_OF_ROLLBACK))
    }

    /// Looks for mounts, until the time that `look` is given.
    pub fn look<T>(&self, look: impl FnOnce(Instant) -> T) -> T {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let found = look(started + *left);
        let took = started.elapsed();
        if took > SHORT {
            *left = left.saturating_sub(took);
        }
        found
    }
}

/// Why a tree is not deleted of which it is not known whether it is mounted.
pub fn cannot_tell(action: &str) -> Error {
    let why = "whether it is mounted could not be told: other mount namespaces have more mounts than \
               can be looked at in a second";
    Error::new(action, why).hint(
        "`lsns -t mnt` lists the namespaces with their processes; try again when there are fewer mounts",
    )
}

/// The mounts of one namespace that no earlier table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountTable {
    /// A thread that sees these mounts; `None` for our own.
    pub seen_by: Option<i32>,
    /// In the order of its table.
    pub mounts: Vec<Mount>,
}

/// All of them, our own first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTables {
    /// One for each namespace, or more where its threads have different root directories.
    pub tables: Vec<MountTable>,
    /// Threads whose namespace we may not know; none where we have every capability that they have.
    pub unreadable: usize,
    /// There are more, and the time was up. Our own table is always there, whole.
    pub more: bool,
}

/// Which table a thread sees: its namespace and its root directory (mount and inode).
type Key = (Vec<u8>, u64, u64);

/// Reads every mount table below `proc`, the open `/proc`, for as long as there is time. Threads that
/// end meanwhile are ignored.
pub fn read_mount_tables(proc: BorrowedFd<'_>, until: Instant) -> Result<MountTables> {
    let mut found = MountTables::default();
    let mut seen = HashSet::from([key(proc, Path::new(OWN)).map_err(cannot_about("tell", OWN))?]);
    let mut known = HashSet::new();
    add_table(proc, None, Path::new(OWN), None, &mut known, &mut found)?;
    let status = read_proc_file(proc, &Path::new(OWN).join("status"), None);
    // A `/proc` that does not tell is read the long way.
    let mut kin = Kin::new(&status.unwrap_or_default(), by_root);
    for process in list_processes(proc, Path::new("."))? {
        for thread in list_threads(proc, process)? {
            if Instant::now() >= until {
                found.more = true;
                return Ok(found);
            }
            if kin.has(thread) {
                continue;
            }
            let entry = entry_of(process, thread);
            match key(proc, &entry) {
                Ok(key) => {
                    // Who ended before its table was read leaves that to the next one who sees it.
                    let until = Some(until);
                    if seen.contains(&key)
                        || add_table(proc, Some(thread), &entry, until, &mut known, &mut found)?
                    {
                        seen.insert(key);
                        kin.remember(thread);
                    }
                }
                Err(error) if has_ended(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    found.unreadable += 1;
                }
                Err(error) => return Err(cannot_about("tell", &entry.to_string_lossy())(error)),
            }
        }
    }
    Ok(found)
}

/// Opens the directory at a mount's mount point, and makes sure that it is that mount's: another
/// one may be mounted on top. Nothing but a directory is ever opened.
pub fn open_mount_point(
    proc: BorrowedFd<'_>,
    seen_by: Option<i32>,
    mount: &Mount,
) -> io::Result<OwnedFd> {
    let thread = seen_by.map_or_else(|| OWN.to_string(), |thread| thread.to_string());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::openat(proc, Path::new(&thread).join("root"), flags, Mode::empty())?;
    let path = match mount.mount_point.as_slice() {
        b"/" => OsStr::new("."),
        path => OsStr::from_bytes(path),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = fs::openat2(&root, Path::new(path), flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    if mount_of(opened.as_fd()) != Some(mount.id) {
        return Err(io::Error::other("another file system is mounted on top"));
    }
    Ok(opened)
}

/// Whether there was a table to read: none of a thread that has ended.
fn add_table(
    proc: BorrowedFd<'_>,
    seen_by: Option<i32>,
    entry: &Path,
    until: Option<Instant>,
    known: &mut HashSet<u64>,
    found: &mut MountTables,
) -> Result<bool> {
    let table = match read_proc_file(proc, &entry.join("mountinfo"), until) {
        Ok(table) => table,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            found.more = true;
            return Ok(true);
        }
        Err(error) if seen_by.is_some() && has_ended(&error) => return Ok(false),
        Err(error) => return Err(cannot_about("read", &entry.to_string_lossy())(error)),
    };
    let mut mounts = mountinfo::parse_mountinfo(&table)?;
    mounts.retain(|mount| known.insert(mount.id));
    found.tables.push(MountTable { seen_by, mounts });
    Ok(true)
}

fn key(proc: BorrowedFd<'_>, entry: &Path) -> io::Result<Key> {
    let namespace = fs::readlinkat(proc, entry.join("ns").join("mnt"), Vec::new())?;
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    // A thread may have a user's own file system for its root, which never answers.
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let root = fs::statx(proc, entry.join("root"), flags, wanted)?;
    Ok((namespace.into_bytes(), root.stx_mnt_id, root.stx_ino))
}

/// The threads of a process. Most have but the one that has the process's number, and the links of
/// their directory tell: two, and one for each thread (`proc_task_getattr` in the kernel).
fn list_threads(proc: BorrowedFd<'_>, process: i32) -> Result<Vec<i32>> {
    let tasks = PathBuf::from(process.to_string()).join("task");
    match fs::statx(proc, &tasks, AtFlags::empty(), StatxFlags::NLINK) {
        Ok(stat) if stat.stx_nlink == 3 => Ok(vec![process]),
        Ok(_) | Err(_) => list_processes(proc, &tasks),
    }
}

/// A thread's entry; a process's first thread has its process's, which is a shorter way.
fn entry_of(process: i32, thread: i32) -> PathBuf {
    let entry = PathBuf::from(process.to_string());
    if thread == process { entry } else { entry.join("task").join(thread.to_string()) }
}

/// Reads a file of `/proc`; `TimedOut` if it has an end that is too far away.
fn read_proc_file(
    proc: BorrowedFd<'_>,
    path: &Path,
    until: Option<Instant>,
) -> io::Result<Vec<u8>> {
    let opened = fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut opened = File::from(opened);
    // Most tables fit at once. `take` spares the question for a size, which is 0 here.
    let mut content = Vec::with_capacity(READ_AT_ONCE);
    let piece = until.map_or(atomic_file::MAX_KERNEL_TABLE, |_| PIECE);
    while (&mut opened).take(piece).read_to_end(&mut content)? as u64 == piece {
        if content.len() as u64 >= atomic_file::MAX_KERNEL_TABLE {
            return Err(io::Error::other("it has more than is read"));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(content)
}

/// [`list_numbered`] of a directory of `/proc`; none if its process has ended.
fn list_processes(proc: BorrowedFd<'_>, path: &Path) -> Result<Vec<i32>> {
    match list_numbered(proc, path) {
        Ok(numbers) => Ok(numbers),
        Err(error) if has_ended(&error) => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("list /proc/{}", path.display()), error)),
    }
}

/// The entries of a directory of `/proc` whose names are numbers, sorted.
pub(crate) fn list_numbered(proc: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut numbers = Vec::new();
    let dir = fs::openat(proc, path, flags, Mode::empty())?;
    let mut buffer = Vec::with_capacity(READ_AT_ONCE);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|n| n.parse::<i32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What `/proc` answers about a thread that has ended, or is a zombie without a namespace.
fn has_ended(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::SRCH, Errno::INVAL];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn cannot_about(verb: &str, entry: &str) -> impl FnOnce(io::Error) -> Error {
    let action = format!("{verb} the mount namespace of /proc/{entry}");
    move |error| Error::io(action, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    const TABLE: &str = "1 0 0:1 / / rw - tmpfs x rw\n";

    /// A `/proc` as a directory tree: one process of one thread for each namespace named.
    fn proc(namespaces: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (thread, namespace) in namespaces {
            let entry = dir.path().join(thread).join("task").join(thread);
            std::fs::create_dir_all(entry.join("ns")).unwrap();
            symlink(namespace, entry.join("ns/mnt")).unwrap();
            symlink("../..", entry.join("root")).unwrap();
            std::fs::write(entry.join("mountinfo"), TABLE.replace("1 0", &format!("{thread} 0")))
                .unwrap();
            for name in ["ns", "root", "mountinfo"] {
                let of_process = dir.path().join(thread).join(name);
                symlink(format!("task/{thread}/{name}"), of_process).unwrap();
            }
        }
        symlink("1/task/1", dir.path().join(OWN)).unwrap();
        dir
    }

    fn open(dir: &tempfile::TempDir) -> OwnedFd {
        File::open(dir.path()).unwrap().into()
    }

    #[test]
    fn threads_without_a_namespace_are_ignored() {
        let dir = proc(&[("1", "mnt:[10]"), ("7", "mnt:[11]"), ("9", "mnt:[12]")]);
        std::fs::remove_file(dir.path().join("7/task/7/ns/mnt")).unwrap();
        std::fs::remove_file(dir.path().join("9/task/9/mountinfo")).unwrap();
        std::fs::create_dir(dir.path().join("8")).unwrap();
        let found = read_mount_tables(open(&dir).as_fd(), far()).unwrap();
        let seen: Vec<_> = found.tables.iter().map(|table| table.seen_by).collect();
        assert_eq!((seen, found.unreadable), (vec![None], 0));
    }

    #[test]
    fn a_namespace_whose_first_thread_ended_is_read_by_the_next() {
        let dir = proc(&[("1", "mnt:[10]"), ("7", "mnt:[11]"), ("9", "mnt:[11]")]);
        for thread in ["7", "9"] {
            let root = dir.path().join(thread).join("task").join(thread).join("root");
            std::fs::remove_file(&root).unwrap();
            symlink("../../..", root).unwrap();
        }
        std::fs::remove_file(dir.path().join("7/task/7/mountinfo")).unwrap();
        let found = read_mount_tables(open(&dir).as_fd(), far()).unwrap();
        let seen: Vec<_> = found.tables.iter().map(|table| table.seen_by).collect();
        assert_eq!(seen, [None, Some(9)]);
    }

    #[test]
    fn each_namespace_is_read_for_each_root_directory_and_each_mount_is_listed_once() {
        let dir = proc(&[("1", "mnt:[10]"), ("7", "mnt:[10]"), ("9", "mnt:[12]")]);
        // Thread 7 has our namespace, but its root directory is another one.
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        let entry = dir.path().join("7/task/7");
        std::fs::remove_file(entry.join("root")).unwrap();
        symlink("../../../elsewhere", entry.join("root")).unwrap();
        std::fs::write(entry.join("mountinfo"), format!("{TABLE}70 0 0:1 / /x rw - tmpfs x rw\n"))
            .unwrap();
        // Thread 9's own root directory differs from both.
        let found = read_mount_tables(open(&dir).as_fd(), far()).unwrap();
        let ids =
            |at: usize| -> Vec<u64> { found.tables[at].mounts.iter().map(|m| m.id).collect() };
        assert_eq!((found.tables[1].seen_by, ids(0), ids(1)), (Some(7), vec![1], vec![70]));
        assert_eq!((found.tables[2].seen_by, ids(2)), (Some(9), vec![9]));
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error_and_not_an_empty_table() {
        let dir = proc(&[("1", "mnt:[10]")]);
        std::fs::write(dir.path().join("1/task/1/mountinfo"), "1 0\n").unwrap();
        let error = read_mount_tables(open(&dir).as_fd(), far()).unwrap_err().to_string();
        assert_eq!(error, "cannot read line 1 of the mount table: it has no device");
        std::fs::remove_file(dir.path().join("1/task/1/mountinfo")).unwrap();
        let error = read_mount_tables(open(&dir).as_fd(), far()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the mount namespace of /proc/thread-self: No such"));
    }

    #[test]
    fn our_own_root_mount_is_found_in_the_real_tables_and_can_be_opened() {
        let proc: OwnedFd = File::open("/proc").unwrap().into();
        let found = read_mount_tables(proc.as_fd(), far()).unwrap();
        assert_eq!(found.tables[0].seen_by, None);
        let wanted = fs::statx(fs::CWD, "/", AtFlags::empty(), StatxFlags::MNT_ID).unwrap();
        let root = found.tables[0].mounts.iter().find(|m| m.id == wanted.stx_mnt_id).unwrap();
        open_mount_point(proc.as_fd(), None, root).unwrap();
        let mut other = root.clone();
        other.id = u64::MAX;
        let error = open_mount_point(proc.as_fd(), None, &other).unwrap_err();
        assert_eq!(error.to_string(), "another file system is mounted on top");
    }

    #[test]
    fn when_the_time_is_up_our_own_table_is_told_and_that_there_are_more() {
        let dir = proc(&[("1", "mnt:[10]"), ("7", "mnt:[11]")]);
        let found = read_mount_tables(open(&dir).as_fd(), Instant::now()).unwrap();
        assert_eq!((found.tables.len(), found.tables[0].seen_by, found.more), (1, None, true));
        assert!(!read_mount_tables(open(&dir).as_fd(), far()).unwrap().more);
    }

    #[test]
    fn long_looks_use_up_the_patience_and_short_ones_do_not() {
        let patience = Patience::default();
        let left = |patience: &Patience| *patience.0.lock().unwrap();
        (0..1000).for_each(|_| patience.look(|_| ()));
        assert_eq!(left(&patience), PATIENCE);
        patience.look(|until| while Instant::now() < until {});
        assert_eq!(left(&patience), Duration::ZERO);
        assert!(patience.look(|until| Instant::now() >= until));
    }
}
