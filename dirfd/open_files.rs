//! Who has something in a tree open: every process and thread, in whatever mount namespace, with its
//! command and its systemd unit.
//!
//! Files are told by device and inode, as `stat(2)` of the process's own handles shows them, so it
//! does not matter under which name or through which mount they were opened. (What `/proc/PID/maps`
//! prints is no help: on Btrfs its device is not the one that `stat` tells of a subvolume.)

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::{self, AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::kcmp::Kin;
use crate::manifest::Census;
use crate::mount_tables::list_numbered;
use crate::path::Escaped;
use crate::process_unit::{self, Unit};
use crate::sys::process_calls::by_root_and_files;
use crate::{Error, FileType, Result, atomic_file};

/// What a process does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// It has the file open.
    Open,
    /// It has the file mapped into its memory.
    Mapped,
    /// It has a socket that is bound to the name.
    Bound,
    /// It runs the file.
    Runs,
    /// It works in the directory.
    WorksIn,
    /// The directory is its root.
    RootedIn,
}

/// One process and the first thing that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub pid: i32,
    /// Its command's name.
    pub command: Vec<u8>,
    /// The systemd unit that it belongs to.
    pub unit: Option<Unit>,
    /// What it does.
    pub hold: Hold,
    /// With this file, as the kernel names it.
    pub path: Vec<u8>,
    /// Further handles that it holds.
    pub more: usize,
}

/// What kept a process, or one of its handles, from being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The kernel shows nothing of the process.
    Process,
    /// So many of its handles lead where not even their device can be asked for.
    Handles(usize),
}

/// A process of which it is not known whether it uses anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its number.
    pub pid: i32,
    /// Its command's name.
    pub command: Vec<u8>,
    /// The systemd unit that it belongs to.
    pub unit: Option<Unit>,
    /// What could not be looked at.
    pub unseen: Unseen,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who uses it, by number.
    pub users: Vec<User>,
    /// Who may use it, by number.
    pub unknown: Vec<Unknown>,
    /// Whether root asked, who can look at every process of its own user namespace.
    pub privileged: bool,
}

impl Found {
    /// An error if somebody uses it, or may use it. `action` completes "cannot …". With
    /// `even_if_unseen`, who may use it is a note instead, since that must not pass for "nobody".
    pub fn refuse(&self, action: &str, even_if_unseen: bool) -> Result<Option<String>> {
        if let Some(first) = self.users.first() {
            let list: Vec<String> = self.users.iter().map(ToString::to_string).collect();
            let error = Error::new(action, format!("it is in use: {}", list.join("; ")));
            return Err(error.hint(first.hint()));
        }
        let Some(first) = self.unknown.first() else { return Ok(None) };
        let list: Vec<String> = self.unknown.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match self.unknown.len() - list.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let which = format!("{}{more}", list.join("; "));
        if even_if_unseen && self.privileged {
            return Ok(Some(format!("whether this is in use could not be told: {which}")));
        }
        let error = Error::new(action, format!("whether it is in use could not be told: {which}"));
        Err(error.hint(match self.privileged {
            true => format!(
                "{}; or give `--even-if-unseen` if you know that it has nothing of this open: what \
                 it would write would be lost",
                how_to_end(first.pid, first.unit.as_ref())
            ),
            false => "run it as root".to_string(),
        }))
    }
}

/// Processes that a message names at the most.
const NAMED: usize = 8;

fn how_to_end(pid: i32, unit: Option<&Unit>) -> String {
    match unit.and_then(Unit::how_to_stop) {
        Some(stop) => format!("stop it first: {stop}"),
        None => format!("end process {pid} first"),
    }
}

impl User {
    /// What the reader can do so that it ends.
    pub fn hint(&self) -> String {
        let stops = self.unit.as_ref().is_some_and(|unit| unit.how_to_stop().is_some());
        match self.hold {
            Hold::WorksIn if !stops => {
                format!("leave that directory, or end process {}", self.pid)
            }
            _ => how_to_end(self.pid, self.unit.as_ref()),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Escaped(&self.path);
        name(f, self.pid, &self.command, self.unit.as_ref())?;
        match self.hold {
            Hold::Open => write!(f, " has {path} open"),
            Hold::Mapped => write!(f, " has {path} mapped"),
            Hold::Bound => write!(f, " has a socket at {path}"),
            Hold::Runs => write!(f, " runs {path}"),
            Hold::WorksIn => write!(f, " works in {path}"),
            Hold::RootedIn => write!(f, " has its root at {path}"),
        }?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, self.pid, &self.command, self.unit.as_ref())?;
        match self.unseen {
            Unseen::Process => write!(f, " could not be looked at"),
            Unseen::Handles(1) => write!(f, " has a file open that could not be looked at"),
            Unseen::Handles(many) => {
                write!(f, " has {many} files open that could not be looked at")
            }
        }
    }
}

fn name(f: &mut fmt::Formatter<'_>, pid: i32, command: &[u8], unit: Option<&Unit>) -> fmt::Result {
    write!(f, "process {pid} ({}", Escaped(command))?;
    match unit {
        Some(unit) => write!(f, ", {unit})"),
        None => write!(f, ", of no systemd unit)"),
    }
}

// Looks at each process's handles below `/proc`.

/// What the kernel adds to the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

/// Finds who uses what is in the `census`. `path` is where that is, as the kernel names it for this
/// thread: it tells of files that are deleted, and of sockets. This process itself is left out.
///
/// `proc` is the open `/proc`. Processes that end meanwhile are ignored.
pub fn find_users(proc: BorrowedFd<'_>, census: &Census, path: &[u8]) -> Result<Found> {
    let failed = |what: &str, why| Error::io(format!("read {what}"), why);
    let own =
        fs::readlinkat(proc, "self", Vec::new()).map_err(|e| failed("/proc/self", e.into()))?;
    let sockets = match read_proc_file(proc, Path::new("self/net/unix")) {
        Ok(table) => bound_below(&table, path),
        // A kernel without them has none.
        Err(why) if why.kind() == io::ErrorKind::NotFound => HashSet::new(),
        Err(why) => return Err(failed("/proc/net/unix", why)),
    };
    // A `/proc` that does not tell is looked at thread by thread.
    let status = read_proc_file(proc, Path::new("thread-self/status")).unwrap_or_default();
    let look = Look { proc, census, path, sockets, status };
    let mut found = Found { privileged: rustix::process::geteuid().is_root(), ..Found::default() };
    let processes = list_numbered(proc, Path::new(".")).map_err(|why| failed("/proc", why))?;
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

/// Finds the files of one file system, told by its device, that units have open to write to them: each file's
/// path, as the kernel names it for this thread, with the unit.
///
/// `proc` is the open `/proc`. What cannot be looked at, what has ended meanwhile and what has no name any
/// more is passed over: this is for telling whose a file may be, and nothing depends on it.
pub fn find_written(proc: BorrowedFd<'_>, device: (u32, u32)) -> Vec<(Vec<u8>, Unit)> {
    let mut written = Vec::new();
    for pid in list_numbered(proc, Path::new(".")).unwrap_or_default() {
        let process = PathBuf::from(pid.to_string());
        let Ok(cgroup) = read_proc_file(proc, &process.join("cgroup")) else { continue };
        let Some(unit) = process_unit::unit_of_cgroup(&cgroup) else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(opened) = fs::openat(proc, process.join("fd"), flags, Mode::empty()) else {
            continue;
        };
        let Ok(names) = fs::Dir::read_from(&opened) else { continue };
        for name in names.flatten() {
            if let Some(path) = path_if_written(opened.as_fd(), name.file_name(), device) {
                written.push((path, unit.clone()));
            }
        }
    }
    written
}

/// Where an entry of `/proc/PID/fd` leads, if it leads to a regular file on this device that it can write to.
fn path_if_written(dir: BorrowedFd<'_>, link: &CStr, device: (u32, u32)) -> Option<Vec<u8>> {
    // The mode of the entry itself says what the file was opened for (proc(5)).
    let entry = fs::statat(dir, link, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if entry.st_mode & 0o200 == 0 {
        return None;
    }
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = fs::statx(dir, link, flags, StatxFlags::BASIC_STATS).ok()?;
    let is_file = FileType::from_mode(stat.stx_mode.into()) == Some(FileType::File);
    if !is_file || device_of(&stat) != device || stat.stx_nlink == 0 {
        return None;
    }
    Some(fs::readlinkat(dir, link, Vec::new()).ok()?.into_bytes())
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
        for thread in list_numbered(self.proc, &tasks)? {
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
        let unit =
            self.about(pid, "cgroup").ok().and_then(|cgroup| process_unit::unit_of_cgroup(&cgroup));
        (command.strip_suffix(b"\n").unwrap_or(&command).to_vec(), unit)
    }

    fn about(&self, pid: i32, name: &str) -> io::Result<Vec<u8>> {
        read_proc_file(self.proc, &PathBuf::from(pid.to_string()).join(name))
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

fn read_proc_file(proc: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<u8>> {
    let opened = fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    atomic_file::read_at_most(File::from(opened), Vec::new(), atomic_file::MAX_KERNEL_TABLE)
}

/// What `/proc` answers about a process that has ended, or a handle that was closed.
fn has_ended(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::SRCH, Errno::INVAL, Errno::STALE];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

// The sockets that are bound to names, from `/proc/net/unix` (proc(5)); pure in its input.

/// The inode numbers of the sockets whose name is `path` or lies below it.
///
/// The kernel prints a name as it was given to bind(2), with nothing escaped, so that a name with a
/// newline hides what follows in it; what cannot be read is passed over.
pub fn bound_below(table: &[u8], path: &[u8]) -> HashSet<u64> {
    let lines = table.split(|&b| b == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let (inode, name) = parse_socket(line)?;
            let below = name.strip_prefix(path)?;
            matches!(below, [] | [b'/', ..]).then_some(inode)
        })
        .collect()
}

/// `Num RefCount Protocol Flags Type St Inode Path`; unnamed sockets have no path.
fn parse_socket(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = line;
    let mut inode: &[u8] = &[];
    for _ in 0..7 {
        let start = rest.iter().position(|&b| b != b' ')?;
        rest = &rest[start..];
        let end = rest.iter().position(|&b| b == b' ')?;
        (inode, rest) = rest.split_at(end);
    }
    let name = rest.strip_prefix(b" ")?;
    Some((std::str::from_utf8(inode).ok()?.parse().ok()?, name))
}

#[cfg(test)]
mod look_tests {
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

#[cfg(test)]
mod sockets_tests {
    use super::*;

    #[test]
    fn names_below_a_path_are_found() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    77 /run/a b/socket\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 78 /run/a bc\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 79\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 80 @/run/a b/abstract\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 81 /run/a b\n\nodd line\n";
        let found = bound_below(table, b"/run/a b");
        assert_eq!(found, HashSet::from([77, 81]));
    }
}

#[cfg(test)]
#[path = "open_files_tests.rs"]
mod tests;
