//! Looks at each process's handles below `/proc`.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::census::Census;
use crate::changes::FileType;
use crate::error::{Error, Result};
use crate::file;

use super::{Found, Hold, User, sockets, unit};

/// What the kernel adds to the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

pub(super) fn all(proc: BorrowedFd<'_>, census: &Census, path: &[u8]) -> Result<Found> {
    let failed = |what: &str, why| Error::io(format!("read {what}"), why);
    let own =
        fs::readlinkat(proc, "self", Vec::new()).map_err(|e| failed("/proc/self", e.into()))?;
    let sockets = match read(proc, Path::new("self/net/unix")) {
        Ok(table) => sockets::bound_below(&table, path),
        // A kernel without them has none.
        Err(why) if why.kind() == io::ErrorKind::NotFound => HashSet::new(),
        Err(why) => return Err(failed("/proc/net/unix", why)),
    };
    let look = Look { proc, census, path, sockets };
    let mut found = Found { privileged: rustix::process::geteuid().is_root(), ..Found::default() };
    let processes = numbers(proc, Path::new(".")).map_err(|why| failed("/proc", why))?;
    for pid in processes.into_iter().filter(|pid| pid.to_string().as_bytes() != own.as_bytes()) {
        match look.process(pid) {
            Ok(holds) => found.users.extend(look.user(pid, holds)),
            Err(why) if has_ended(&why) => {}
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => found.unlooked.push(pid),
            Err(why) => return Err(failed(&format!("what process {pid} has open"), why)),
        }
    }
    Ok(found)
}

struct Look<'a> {
    proc: BorrowedFd<'a>,
    census: &'a Census,
    path: &'a [u8],
    sockets: HashSet<u64>,
}

type Held = (Hold, Vec<u8>);

impl Look<'_> {
    /// Everything that one process holds. Threads may have working directories, roots and open
    /// files of their own; memory they share.
    fn process(&self, pid: i32) -> io::Result<Vec<Held>> {
        let process = PathBuf::from(pid.to_string());
        let mut held = Vec::new();
        let tasks = process.join("task");
        for thread in numbers(self.proc, &tasks)? {
            let thread = tasks.join(thread.to_string());
            match self.thread(&thread, &mut held) {
                Err(why) if has_ended(&why) => {}
                result => result?,
            }
        }
        self.handle(self.open(&process)?.as_fd(), c"exe", Hold::Runs, &mut held)?;
        self.handles(&process.join("map_files"), Hold::Mapped, &mut held)?;
        Ok(held)
    }

    fn thread(&self, thread: &Path, held: &mut Vec<Held>) -> io::Result<()> {
        let entry = self.open(thread)?;
        self.handle(entry.as_fd(), c"cwd", Hold::WorksIn, held)?;
        self.handle(entry.as_fd(), c"root", Hold::RootedIn, held)?;
        self.handles(&thread.join("fd"), Hold::Open, held)
    }

    fn open(&self, entry: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::openat(self.proc, entry, flags, Mode::empty())?)
    }

    fn handles(&self, dir: &Path, hold: Hold, held: &mut Vec<Held>) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match fs::openat(self.proc, dir, flags, Mode::empty()) {
            Err(error) if has_ended(&error.into()) => return Ok(()),
            opened => opened?,
        };
        for name in fs::Dir::read_from(opened.as_fd())? {
            let name = match name {
                Err(error) if has_ended(&error.into()) => return Ok(()),
                name => name?,
            };
            if !name.file_name().to_bytes().starts_with(b".") {
                self.handle(opened.as_fd(), name.file_name(), hold, held)?;
            }
        }
        Ok(())
    }

    /// Looks at what one link of a process leads to.
    fn handle(
        &self,
        dir: BorrowedFd<'_>,
        link: &CStr,
        hold: Hold,
        held: &mut Vec<Held>,
    ) -> io::Result<()> {
        // A server that does not answer must not keep us waiting.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let found = match fs::statx(dir, link, flags, StatxFlags::BASIC_STATS) {
            Ok(found) => found,
            Err(error) if has_ended(&error.into()) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let device = (found.stx_dev_major, found.stx_dev_minor);
        if FileType::from_mode(found.stx_mode.into()) == Some(FileType::Socket)
            && self.sockets.contains(&found.stx_ino)
        {
            held.push((Hold::Bound, self.path.to_vec()));
            return Ok(());
        }
        let known = self.census.has(found.stx_ino, device);
        let deleted = found.stx_nlink == 0 && device == self.census.top.device;
        if !known && !deleted {
            return Ok(());
        }
        let name = match fs::readlinkat(dir, link, Vec::new()) {
            Ok(name) => name.into_bytes(),
            Err(error) if has_ended(&error.into()) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if known || self.was_below(&name) {
            held.push((hold, name));
        }
        Ok(())
    }

    /// A file that was deleted while in use still shows that its directory is worked with.
    fn was_below(&self, name: &[u8]) -> bool {
        let name = name.strip_suffix(DELETED).unwrap_or(name);
        name.strip_prefix(self.path).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }

    fn user(&self, pid: i32, mut held: Vec<Held>) -> Option<User> {
        held.sort();
        held.dedup();
        let more = held.len().checked_sub(1)?;
        let (hold, path) = held.swap_remove(0);
        let about = |name: &str| read(self.proc, &PathBuf::from(pid.to_string()).join(name));
        // It may have ended by now; what it held is told all the same.
        let command = about("comm").unwrap_or_default();
        let unit = about("cgroup").ok().and_then(|cgroup| unit::of(&cgroup));
        let command = command.strip_suffix(b"\n").unwrap_or(&command).to_vec();
        Some(User { pid, command, unit, hold, path, more })
    }
}

fn read(proc: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<u8>> {
    let opened = fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    file::read_at_most(File::from(opened), Vec::new(), file::MAX_KERNEL_TABLE)
}

/// The entries of a directory of `/proc` whose names are numbers.
fn numbers(proc: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = fs::openat(proc, path, flags, Mode::empty())?;
    let mut numbers = Vec::new();
    for entry in fs::Dir::read_from(dir.as_fd())? {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|n| n.parse::<i32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What `/proc` answers about a process that has ended, or a handle that was closed.
fn has_ended(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::SRCH, Errno::INVAL, Errno::STALE];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
