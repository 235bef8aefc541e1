//! What the kernel tells of one file that is named in an open directory.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::{fmt, io};

use rustix::fs::{self, AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::Facts;

/// A file, as a name in an open directory; `.` is the directory itself.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory.
    pub dir: BorrowedFd<'a>,
    /// One name in it. Never more: a path could pass through a link.
    pub name: &'a CStr,
}

/// The set-user-ID and set-group-ID bits of a mode.
pub const SET_ID: u16 = 0o6000;

/// A point in time by a file system's clock: seconds since 1970, and nanoseconds to add.
pub type Moment = (i64, u32);

/// What tells one file from all others that are there: its inode number, and its file system's device.
pub type Identity = (u64, (u32, u32));

/// What `statx(2)` tells of one file.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// What a change shows of it.
    pub facts: Facts,
    /// Its inode number.
    pub inode: u64,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// Major and minor number of the device that a device node stands for.
    pub stands_for: (u32, u32),
    /// It is a directory, or a subvolume, with a size: on Btrfs, one with names in it.
    pub has_names: bool,
    /// How many names it has.
    pub links: u32,
    /// The mount that it was reached through; `None` before Linux 5.8.
    pub mount: Option<u64>,
    /// When it was made; `None` where the file system does not keep it.
    pub born: Option<Moment>,
    /// When it was read last.
    pub accessed: Moment,
    /// When anything of it was changed last, which nobody can set.
    pub changed: Moment,
}

impl Stat {
    /// What tells it from all other files that are there.
    pub fn identity(&self) -> Identity {
        (self.inode, self.device)
    }

    /// What is told where all else is refused: the device and the mount, which is not that of the
    /// directory it was reached from. It counts as a directory without anything in it.
    fn of_unknown(found: &Statx) -> Self {
        let facts = Facts {
            file_type: FileType::Dir,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            mtime_nanos: 0,
        };
        Self {
            facts,
            inode: 0,
            device: (found.stx_dev_major, found.stx_dev_minor),
            stands_for: (0, 0),
            has_names: false,
            links: 1,
            mount: mount_in(found),
            born: None,
            accessed: (0, 0),
            changed: (0, 0),
        }
    }

    /// Whether both are one and the same file, and not two of which the later has the number of the
    /// earlier, which was deleted meanwhile.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.identity(), self.born) == (other.identity(), other.born)
    }
}

/// Looks at an open file, whatever was needed to open it; `O_PATH` is enough.
pub fn of_open(file: BorrowedFd<'_>) -> io::Result<Stat> {
    statx_below(file, c"", AtFlags::EMPTY_PATH)
}

/// The mount that shows an open file; `None` before Linux 5.8. Nothing else is asked for: that may be
/// refused.
pub fn mount_of(file: BorrowedFd<'_>) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH | NEVER_WAIT;
    let found = fs::statx(file, c"", flags, StatxFlags::empty()).ok()?;
    mount_in(&found)
}

/// A server, or a user's process (FUSE), that does not answer must not keep us waiting: what it has told
/// before will do. [`Place::stat_now`] is for what has to be true at this moment.
const NEVER_WAIT: AtFlags = AtFlags::STATX_DONT_SYNC.union(AtFlags::NO_AUTOMOUNT);

fn statx_below(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<Stat> {
    match fs::statx(dir, name, flags | NEVER_WAIT, MASK) {
        // The file system of a user (FUSE) may keep root out.
        Err(Errno::ACCESS) => match fs::statx(dir, name, flags | NEVER_WAIT, StatxFlags::empty()) {
            Ok(found) => Ok(Stat::of_unknown(&found)),
            Err(_) => Err(Errno::ACCESS.into()),
        },
        found => from_statx(&found?),
    }
}

fn mount_in(found: &Statx) -> Option<u64> {
    let got = StatxFlags::from_bits_retain(found.stx_mask);
    got.contains(StatxFlags::MNT_ID).then_some(found.stx_mnt_id)
}

const MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

impl Place<'_> {
    /// Looks at the file itself: follows no link and triggers no automount.
    pub fn stat(self) -> io::Result<Stat> {
        statx_below(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The same, and asks whoever knows best, however long that takes.
    pub fn stat_now(self) -> io::Result<Stat> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        from_statx(&fs::statx(self.dir, self.name, flags, MASK)?)
    }

    /// What it says, if it is a link.
    pub fn link_target(self) -> io::Result<Option<Vec<u8>>> {
        match fs::readlinkat(self.dir, self.name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading, leaving its access time alone where that is allowed.
    ///
    /// `ESTALE` if the name leads to something else by now.
    pub fn open_file(self) -> io::Result<std::fs::File> {
        let file = std::fs::File::from(self.open_to_read()?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::STALE.into()) }
    }

    /// The same of what may be no regular file by now, so that the caller has to look.
    pub(crate) fn open_to_read(self) -> io::Result<OwnedFd> {
        // Should the name lead to a fifo by now, then opening it must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = |flags| fs::openat(self.dir, self.name, flags, Mode::empty());
        let opened = match open(flags | OFlags::NOATIME) {
            // Only the owner and root may ask for that.
            Err(Errno::PERM) => open(flags),
            opened => opened,
        };
        match opened {
            Ok(opened) => Ok(opened),
            Err(Errno::LOOP | Errno::NXIO) => Err(Errno::STALE.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the error says that the name no longer leads to what it led to a moment ago.
pub fn is_gone(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::STALE, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn from_statx(found: &Statx) -> io::Result<Stat> {
    let got = StatxFlags::from_bits_retain(found.stx_mask);
    let Some(file_type) = FileType::from_mode(found.stx_mode.into()) else {
        return Err(io::Error::other("it has a file type that Linux does not know"));
    };
    Ok(Stat {
        facts: Facts {
            file_type,
            mode: found.stx_mode & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            size: found.stx_size,
            mtime: found.stx_mtime.tv_sec,
            mtime_nanos: found.stx_mtime.tv_nsec,
        },
        inode: found.stx_ino,
        device: (found.stx_dev_major, found.stx_dev_minor),
        stands_for: (found.stx_rdev_major, found.stx_rdev_minor),
        has_names: file_type == FileType::Dir && found.stx_size > 0,
        links: found.stx_nlink,
        mount: mount_in(found),
        born: got
            .contains(StatxFlags::BTIME)
            .then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec)),
        accessed: (found.stx_atime.tv_sec, found.stx_atime.tv_nsec),
        changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
    })
}

// The types that a file can have, and their words in all output.

/// The type of a file; a nested subvolume, or the stub that a snapshot leaves of one, is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A nested subvolume.
    Subvolume,
}

impl FileType {
    /// Each one.
    pub const ALL: [Self; 8] = [
        Self::File,
        Self::Dir,
        Self::Symlink,
        Self::Fifo,
        Self::Socket,
        Self::Block,
        Self::Char,
        Self::Subvolume,
    ];

    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Block => "block",
            Self::Char => "char",
            Self::Subvolume => "subvolume",
        }
    }

    /// From the type bits of `st_mode` (`inode(7)`); `None` for a type that Linux does not have.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Dir,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o060_000 => Self::Block,
            0o020_000 => Self::Char,
            _ => return None,
        })
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_later_file_with_the_same_number_is_another() {
        let file = tempfile::tempfile().unwrap();
        let stat = of_open(file.as_fd()).unwrap();
        let later = Stat { born: stat.born.map(|(s, n)| (s + 1, n)).or(Some((1, 0))), ..stat };
        assert!(stat.is_same_file(&stat));
        assert!(!stat.is_same_file(&later));
    }
}
