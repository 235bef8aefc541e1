//! Looks at each process's handles below `/proc`.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::census::Census;
use crate::changes::FileType;
use crate::error::{Error, Result};
use crate::file;
use crate::kernel::kinship::by_root_and_files;
use crate::kin::Kin;

use super::unit::Unit;
use super::{Found, Hold, Unknown, Unseen, User, sockets, unit};

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
    // A `/proc` that does not tell is looked at thread by thread.
    let status = read(proc, Path::new("thread-self/status")).unwrap_or_default();
    let look = Look { proc, census, path, sockets, status };
    let mut found = Found { privileged: rustix::process::geteuid().is_root(), ..Found::default() };
    let processes = numbers(proc, Path::new(".")).map_err(|why| failed("/proc", why))?;
    for pid in processes.into_iter().filter(|pid| pid.to_string().as_bytes() != own.as_bytes()) {
        let mut handles = Handles::default();
        match look.process(pid, &mut handles) {
            // What a process was seen to hold counts also where it ends, or hides the rest.
            Err(why) if has_ended(&why) => {}
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                if look.may_have_files(pid) {
                    found.unknown.push(look.unknown(pid, Unseen::Process));
                }
            }
            Err(why) => return Err(failed(&format!("what process {pid} has open"), why)),
            Ok(()) if handles.unseen > 0 && look.may_have_files(pid) => {
                found.unknown.push(look.unknown(pid, Unseen::Handles(handles.unseen)));
            }
            Ok(()) => {}
        }
        found.users.extend(look.user(pid, handles.held));
    }
    Ok(found)
}

struct Look<'a> {
    proc: BorrowedFd<'a>,
    census: &'a Census,
    path: &'a [u8],
    sockets: HashSet<u64>,
    /// Our own thread's file of that name.
    status: Vec<u8>,
}

type Held = (Hold, Vec<u8>);

/// What was found out about the handles of a process.
#[derive(Default)]
struct Handles {
    held: Vec<Held>,
    /// How many could not be looked at.
    unseen: usize,
}

impl Look<'_> {
    /// Everything that one process holds. Threads may have working directories, roots and open
    /// files of their own, though most share them; memory they all share.
    fn process(&self, pid: i32, found: &mut Handles) -> io::Result<()> {
        let process = PathBuf::from(pid.to_string());
        let tasks = process.join("task");
        let mut kin = Kin::new(&self.status, by_root_and_files);
        for thread in numbers(self.proc, &tasks)? {
            if kin.has(thread) {
                continue;
            }
            match self.thread(&tasks.join(thread.to_string()), found) {
                Err(why) if has_ended(&why) => {}
                result => {
                    result?;
                    kin.remember(thread);
                }
            }
        }
        self.handle(self.open(&process)?.as_fd(), c"exe", Hold::Runs, found)?;
        self.handles(&process.join("map_files"), Hold::Mapped, found)
    }

    fn thread(&self, thread: &Path, found: &mut Handles) -> io::Result<()> {
        let entry = self.open(thread)?;
        self.handle(entry.as_fd(), c"cwd", Hold::WorksIn, found)?;
        self.handle(entry.as_fd(), c"root", Hold::RootedIn, found)?;
        self.handles(&thread.join("fd"), Hold::Open, found)
    }

    fn open(&self, entry: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::openat(self.proc, entry, flags, Mode::empty())?)
    }

    fn handles(&self, dir: &Path, hold: Hold, found: &mut Handles) -> io::Result<()> {
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
                self.handle(opened.as_fd(), name.file_name(), hold, found)?;
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
        found: &mut Handles,
    ) -> io::Result<()> {
        // A server that does not answer must not keep us waiting.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let stat = match fs::statx(dir, link, flags, StatxFlags::BASIC_STATS) {
            Ok(stat) => stat,
            Err(error) if has_ended(&error.into()) => return Ok(()),
            // A file system of a user may keep root out (FUSE); where it is, the kernel tells of
            // whoever asks for nothing else. What is on another device is nothing of the census.
            Err(_) => match fs::statx(dir, link, flags, StatxFlags::empty()) {
                Ok(stat) if device_of(&stat) != self.census.top.device => return Ok(()),
                Err(error) if has_ended(&error.into()) => return Ok(()),
                Ok(_) | Err(_) => {
                    found.unseen += 1;
                    return Ok(());
                }
            },
        };
        let device = device_of(&stat);
        if FileType::from_mode(stat.stx_mode.into()) == Some(FileType::Socket)
            && self.sockets.contains(&stat.stx_ino)
        {
            found.held.push((Hold::Bound, self.path.to_vec()));
            return Ok(());
        }
        let known = self.census.has(stat.stx_ino, device);
        let deleted = stat.stx_nlink == 0 && device == self.census.top.device;
        if !known && !deleted {
            return Ok(());
        }
        let name = match fs::readlinkat(dir, link, Vec::new()) {
            Ok(name) => name.into_bytes(),
            Err(error) if has_ended(&error.into()) => return Ok(()),
            // It is one of ours whatever it is called.
            Err(_) if known => self.path.to_vec(),
            Err(_) => {
                found.unseen += 1;
                return Ok(());
            }
        };
        if known || self.was_below(&name) {
            found.held.push((hold, name));
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
        let (command, unit) = self.name(pid);
        Some(User { pid, command, unit, hold, path, more })
    }

    fn unknown(&self, pid: i32, unseen: Unseen) -> Unknown {
        let (command, unit) = self.name(pid);
        Unknown { pid, command, unit, unseen }
    }

    fn name(&self, pid: i32) -> (Vec<u8>, Option<Unit>) {
        // It may have ended by now; what it held is told all the same.
        let command = self.about(pid, "comm").unwrap_or_default();
        let unit = self.about(pid, "cgroup").ok().and_then(|cgroup| unit::of(&cgroup));
        (command.strip_suffix(b"\n").unwrap_or(&command).to_vec(), unit)
    }

    fn about(&self, pid: i32, name: &str) -> io::Result<Vec<u8>> {
        read(self.proc, &PathBuf::from(pid.to_string()).join(name))
    }

    /// Whether a process that hides its files can have any: not one that has ended meanwhile, nor a
    /// thread of the kernel's.
    fn may_have_files(&self, pid: i32) -> bool {
        match self.about(pid, "stat") {
            Ok(stat) => may_have_files(&stat),
            Err(why) => !has_ended(&why),
        }
    }
}

/// What tells a thread of the kernel's (`PF_KTHREAD` in linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The same from its `stat` in proc(5), whose second field may hold anything but ends with the last
/// bracket. What does not tell has files.
fn may_have_files(stat: &[u8]) -> bool {
    let fields = stat.rsplit(|&byte| byte == b')').next().unwrap_or(stat);
    let mut fields = fields.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let has_ended = matches!(fields.next(), Some(b"Z" | b"X" | b"x"));
    let flags = fields.nth(5).and_then(|flags| std::str::from_utf8(flags).ok()?.parse().ok());
    !has_ended && flags.is_none_or(|flags: u64| flags & KERNEL_THREAD == 0)
}

fn device_of(stat: &Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_and_the_kernels_own_threads_have_no_files() {
        for (stat, has) in [
            ("7 (a) Z (b) S 1 7 7 0 -1 4194560 1", true),
            ("7 (cat) Z 1 7 7 0 -1 4228364 1", false),
            ("2 (kthreadd) S 0 0 0 0 -1 2129984 0", false),
            ("7 (a", true),
            ("", true),
        ] {
            assert_eq!(may_have_files(stat.as_bytes()), has, "{stat}");
        }
    }
}
