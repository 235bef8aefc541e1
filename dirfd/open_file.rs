//! A file that is open: what is read from it or done to it meets no other file, whatever its name
//! leads to by now.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, CWD, Gid, Mode, OFlags, Timestamps, Uid};
use rustix::io::Errno;

use crate::FileType;
use crate::directory_walker::open_dir;
use crate::stat::{Place, Stat, of_open};

/// An open file of any type. Regular files and directories are open for reading or writing; of all
/// others the path alone is open, since opening a fifo waits and opening a device has effects.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'a> {
    fd: BorrowedFd<'a>,
    path_only: bool,
}

/// Opens what has this name, if it is still the one that `expected` tells of. `ESTALE` if it is
/// another one by now.
pub fn open_expected(place: Place<'_>, expected: &Stat) -> io::Result<OwnedFd> {
    open_and_look(place, expected).map(|(opened, _)| opened)
}

/// The same, and what the kernel tells of it now.
pub(crate) fn open_and_look(place: Place<'_>, expected: &Stat) -> io::Result<(OwnedFd, Stat)> {
    let opened = match expected.facts.file_type {
        FileType::File => place.open_to_read()?,
        FileType::Dir | FileType::Subvolume => open_dir(place.dir, place.name)?,
        _ => open_path(place)?,
    };
    let found = of_open(opened.as_fd())?;
    if found.is_same_file(expected) { Ok((opened, found)) } else { Err(stale_handle()) }
}

/// Opens a link or a special file that this process made a moment ago in a directory that nobody else
/// can enter.
pub fn open_made(place: Place<'_>, file_type: FileType) -> io::Result<OwnedFd> {
    let opened = open_path(place)?;
    check_made(opened.as_fd(), file_type)?;
    Ok(opened)
}

/// What was made a moment ago has one name, unless it is a directory, and belongs to whoever made
/// it. Anything else was put in its place, and must not be given away.
pub fn check_made(made: BorrowedFd<'_>, file_type: FileType) -> io::Result<()> {
    let stat = of_open(made)?;
    let own = rustix::process::geteuid().as_raw();
    let one_name = stat.links == 1 || file_type == FileType::Dir;
    if stat.facts.file_type == file_type && stat.facts.uid == own && one_name {
        return Ok(());
    }
    Err(io::Error::other("somebody else changed it at the same moment"))
}

fn open_path(place: Place<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(place.dir, place.name, flags, Mode::empty())?)
}

fn stale_handle() -> io::Error {
    Errno::STALE.into()
}

impl<'a> Handle<'a> {
    /// Of a regular file or a directory that is open for reading or writing.
    pub fn of_data(fd: BorrowedFd<'a>) -> Self {
        Self { fd, path_only: false }
    }

    /// Of what [`open_expected`] opened for this file type.
    pub fn new(fd: BorrowedFd<'a>, file_type: FileType) -> Self {
        let data = matches!(file_type, FileType::File | FileType::Dir | FileType::Subvolume);
        Self { fd, path_only: !data }
    }

    /// The descriptor, if system calls on an open file take it.
    fn data(self) -> Option<BorrowedFd<'a>> {
        (!self.path_only).then_some(self.fd)
    }

    /// A path that leads to this very file, a link too, for calls that take no descriptor of a path.
    /// Of this thread: threads may have descriptor tables of their own.
    fn path(self) -> PathBuf {
        format!("/proc/thread-self/fd/{}", self.fd.as_raw_fd()).into()
    }

    /// The descriptor, whatever was needed to open it.
    pub fn fd(self) -> BorrowedFd<'a> {
        self.fd
    }

    /// Looks at it.
    pub fn stat(self) -> io::Result<Stat> {
        of_open(self.fd)
    }

    pub(crate) fn set_owner(self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(fs::chownat(self.fd, c"", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    pub(crate) fn set_mode(self, mode: Mode) -> io::Result<()> {
        match self.data() {
            Some(fd) => Ok(fs::fchmod(fd, mode)?),
            None => Ok(fs::chmod(self.path(), mode)?),
        }
    }

    pub(crate) fn set_times(self, times: &Timestamps) -> io::Result<()> {
        match self.data() {
            Some(fd) => Ok(fs::futimens(fd, times)?),
            None => Ok(fs::utimensat(CWD, self.path(), times, AtFlags::empty())?),
        }
    }
}
