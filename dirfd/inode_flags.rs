//! The flags of regular files and directories (chattr(1)) and their project id: read, compared, and
//! given to a copy.
//!
//! A file system that has none of them, or not one of them, is no difference: what it cannot take is
//! named by whoever copies.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, IFlags};
use rustix::io::Errno;

use crate::boundary;
use crate::fault::change;
use crate::stat::of_open;
use crate::sys::file_ioctls;

/// `FS_NOCOMP_FL`, linux/fs.h: do not compress.
const NOCOMP: IFlags = IFlags::from_bits_retain(0x400);
/// `FS_PROJINHERIT_FL`: what is made in a directory gets its project id.
const PROJINHERIT: IFlags = IFlags::from_bits_retain(0x2000_0000);
/// Those that forbid changing or renaming a file, or what is in a directory.
pub const LOCKS: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);
/// Those that an owner sets, and their letters in chattr(1).
const LETTERS: [(IFlags, char); 10] = [
    (IFlags::APPEND, 'a'),
    (IFlags::NOATIME, 'A'),
    (IFlags::COMPRESSED, 'c'),
    (IFlags::NOCOW, 'C'),
    (IFlags::NODUMP, 'd'),
    (IFlags::DIRSYNC, 'D'),
    (IFlags::IMMUTABLE, 'i'),
    (NOCOMP, 'm'),
    (PROJINHERIT, 'P'),
    (IFlags::SYNC, 'S'),
];

/// The flags and the project id of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeFlags {
    flags: IFlags,
    project: u32,
}

impl InodeFlags {
    /// Of an open regular file or directory; `None` where the file system cannot tell.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let Some(flags) = read_flags(file)? else { return Ok(None) };
        let flags = flags & known_flags();
        let project = file_ioctls::get_fsxattr(file).map_or(0, |found| found.project);
        Ok(Some(Self { flags, project }))
    }

    /// The same without those that forbid changes.
    pub fn without_locks(self) -> Self {
        Self { flags: self.flags - LOCKS, ..self }
    }

    /// In bytes that compare like the flags, as far as an owner set them; `None` where there are none. What
    /// Btrfs says of compression may come and go by itself, see `comparable_flags`.
    pub(crate) fn lasting(self) -> Option<[u8; 8]> {
        let flags = (self.flags - (NOCOMP | IFlags::COMPRESSED)).bits();
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&flags.to_le_bytes());
        bytes[4..].copy_from_slice(&self.project.to_le_bytes());
        (bytes != [0; 8]).then_some(bytes)
    }

    /// Those that forbid changes, which a copy gets last.
    pub fn locks(self) -> IFlags {
        self.flags & LOCKS
    }

    /// Gives all but the locks to a copy: before a file has content, which `+C` needs, and before its
    /// extended attributes, one of which says more of compression than `+c`. Returns the
    /// letters of what its file system does not take.
    pub fn give(self, copy: BorrowedFd<'_>) -> io::Result<String> {
        let mut refused = String::new();
        let wanted = self.flags - LOCKS;
        let Some(now) = read_flags(copy)? else { return Ok(flag_letters(self.flags)) };
        let (rest, mut reached) = (now - known_flags(), now & known_flags());
        let set = |flags| change("flags: set", || Ok(fs::ioctl_setflags(copy, rest | flags)?));
        let is_refused = |why: &io::Error| Errno::from_io_error(why).is_some_and(has_none);
        match if reached == wanted { Ok(()) } else { set(wanted) } {
            Ok(()) => {}
            Err(why) if is_refused(&why) => {
                for (flag, letter) in LETTERS {
                    let goal = (reached - flag) | (wanted & flag);
                    match if goal == reached { Ok(()) } else { set(goal) } {
                        Ok(()) => reached = goal,
                        Err(why) if is_refused(&why) => {
                            refused.extend(wanted.contains(flag).then_some(letter));
                        }
                        Err(why) => return Err(why),
                    }
                }
            }
            Err(why) => return Err(why),
        }
        let project =
            file_ioctls::get_fsxattr(copy).ok().filter(|found| found.project != self.project);
        if let Some(found) = project {
            let mut found = found;
            found.project = self.project;
            if change("flags: set project", || file_ioctls::set_fsxattr(copy, &found)).is_err() {
                refused.push_str(" and its project id");
            }
        }
        Ok(refused)
    }
}

/// All flags of an open file or directory; `None` where its file system has none.
pub fn read_flags(file: impl AsFd) -> io::Result<Option<IFlags>> {
    match fs::ioctl_getflags(file) {
        Ok(flags) => Ok(Some(flags)),
        Err(why) if has_none(why) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Forbids changes, the last that is done to a copy. Returns the letters of what is not taken.
pub fn lock_changes(copy: BorrowedFd<'_>, locks: IFlags) -> io::Result<String> {
    match change("flags: lock", || set_locks(copy, locks)) {
        Ok(()) => Ok(String::new()),
        Err(why) if Errno::from_io_error(&why).is_some_and(has_none) => Ok(flag_letters(locks)),
        Err(why) => Err(why),
    }
}

/// Allows changes to an open file or directory, and to what is in it; returns the flags that forbade them.
pub fn unlock_changes(file: BorrowedFd<'_>) -> io::Result<IFlags> {
    let locks = read_flags(file)?.unwrap_or(IFlags::empty()) & LOCKS;
    if !locks.is_empty() {
        change("flags: unlock", || set_locks(file, IFlags::empty()))?;
    }
    Ok(locks)
}

/// `FS_IOC_SETFLAGS` with `+c` would set the compression that Btrfs uses anew (btrfs(5)).
fn set_locks(file: BorrowedFd<'_>, locks: IFlags) -> io::Result<()> {
    let Ok(mut found) = file_ioctls::get_fsxattr(file) else {
        let flags = fs::ioctl_getflags(file)?;
        return Ok(fs::ioctl_setflags(file, (flags - LOCKS) | locks)?);
    };
    found.flags &= !(file_ioctls::IMMUTABLE | file_ioctls::APPEND);
    for (lock_changes, bit) in
        [(IFlags::IMMUTABLE, file_ioctls::IMMUTABLE), (IFlags::APPEND, file_ioctls::APPEND)]
    {
        found.flags |= if locks.contains(lock_changes) { bit } else { 0 };
    }
    file_ioctls::set_fsxattr(file, &found)
}

/// Whether two open files or directories differ in what both their file systems can tell and keep.
pub fn flags_differ(one: BorrowedFd<'_>, other: BorrowedFd<'_>, is_file: bool) -> io::Result<bool> {
    let (Some(a), Some(b)) = (InodeFlags::of(one)?, InodeFlags::of(other)?) else {
        return Ok(false);
    };
    if a == b {
        return Ok(false);
    }
    if of_open(one)?.device == of_open(other)?.device
        || boundary::file_system_type(one)? == boundary::file_system_type(other)?
    {
        return Ok(a.project != b.project || comparable_flags(a.flags, b.flags, is_file));
    }
    let both =
        kept_by(boundary::file_system_type(one)?) & kept_by(boundary::file_system_type(other)?);
    Ok(comparable_flags(a.flags & both, b.flags & both, is_file))
}

/// Btrfs itself gives files `+m` that turn out not to be worth compressing, which hides `+c`.
fn comparable_flags(a: IFlags, b: IFlags, is_file: bool) -> bool {
    let compression = NOCOMP | IFlags::COMPRESSED;
    let ignored = if is_file && (a | b).contains(NOCOMP) { compression } else { IFlags::empty() };
    a - ignored != b - ignored
}

/// What a file system of this kind keeps.
fn kept_by(kind: u64) -> IFlags {
    let few = IFlags::IMMUTABLE | IFlags::APPEND | IFlags::NODUMP;
    let more = few | IFlags::SYNC | IFlags::NOATIME;
    match kind {
        boundary::BTRFS => known_flags() - PROJINHERIT,
        boundary::EXT4 => more | IFlags::DIRSYNC,
        boundary::XFS => more,
        _ => few,
    }
}

fn known_flags() -> IFlags {
    LETTERS.into_iter().fold(IFlags::empty(), |all, (flag, _)| all | flag)
}

/// The letters of flags in chattr(1).
pub fn flag_letters(flags: IFlags) -> String {
    LETTERS
        .into_iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, letter)| letter)
        .collect()
}

/// Whether a file system has no flags, or not this one.
fn has_none(why: Errno) -> bool {
    matches!(why, Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS)
}
