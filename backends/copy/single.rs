//! Copies one file that is no directory, whatever its type; of a nested subvolume, the empty place.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, IFlags, Mode, OFlags};

use crate::changes::FileType;
use crate::fault::change;
use crate::handle::{self, Handle};
use crate::inode_flags::InodeFlags;
use crate::stat::{Place, Stat, of_open};

use super::limits::Limits;
use super::{Failure, Progress, attributes, data};

/// Flags that a copy does not have, or not yet.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// The letters of those that its file system does not take.
    pub refused: String,
    /// Those that forbid changes.
    pub locks: Option<IFlags>,
    /// Whether the original has set-user-ID bits or capabilities that the copy must not have.
    pub privileges: bool,
}

impl Flags {
    /// Gives a copy the flags of its original, but for those that forbid changes.
    pub fn give(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Self> {
        let Some(flags) = InodeFlags::of(from)? else { return Ok(Self::default()) };
        let locks = Some(flags.locks()).filter(|locks| !locks.is_empty());
        Ok(Self { refused: flags.give(to)?, locks, privileges: false })
    }
}

/// Copies one file that is no directory: the one that `stat` tells of, which is opened once, so that
/// its content cannot get the owner of another that had its name a moment before.
pub(super) fn copy(
    from: Place<'_>,
    stat: &Stat,
    to: Place<'_>,
    limits: &Limits,
    can_clone: &mut bool,
    progress: Progress<'_>,
) -> Result<Flags, Failure> {
    let file_type = stat.facts.file_type;
    limits.check(file_type)?;
    let source = handle::open(from, stat).map_err(Failure::reading)?;
    let mut stat = *stat;
    if file_type != FileType::Subvolume {
        stat = of_open(source.as_fd())?;
    }
    let from = Handle::new(source.as_fd(), file_type);
    let mut flags = Flags::default();
    let made: OwnedFd = match file_type {
        FileType::File => {
            let (source, target) = (source.try_clone()?.into(), make_file(to)?);
            flags = Flags::give(from.fd(), target.as_fd())?;
            data::copy(&source, &target, can_clone, &mut |bytes| progress(0, bytes))?;
            target.into()
        }
        FileType::Symlink => {
            let target = fs::readlinkat(&source, c"", Vec::new());
            let target = target.map_err(|why| Failure::reading(why.into()))?;
            change("copy: make link", || Ok(fs::symlinkat(&*target, to.dir, to.name)?))?;
            handle::open_made(to, file_type)?
        }
        // What is in it is no part of the tree around it, and what has its place is no subvolume.
        FileType::Subvolume => super::make_and_open_dir(to.dir, to.name)?,
        _ => {
            make_node(&stat, to)?;
            handle::open_made(to, file_type)?
        }
    };
    let made = Handle::new(made.as_fd(), file_type);
    flags.privileges = attributes::copy(from, &stat, made, limits)?;
    progress(1, 0);
    Ok(flags)
}

fn make_node(stat: &Stat, to: Place<'_>) -> io::Result<()> {
    let file_type = match stat.facts.file_type {
        FileType::Fifo => fs::FileType::Fifo,
        FileType::Socket => fs::FileType::Socket,
        FileType::Block => fs::FileType::BlockDevice,
        _ => fs::FileType::CharacterDevice,
    };
    let device = fs::makedev(stat.stands_for.0, stat.stands_for.1);
    let mode = Mode::RUSR | Mode::WUSR;
    change("copy: make node", || Ok(fs::mknodat(to.dir, to.name, file_type, mode, device)?))
}

/// Makes an empty file that nobody else can look into yet.
fn make_file(to: Place<'_>) -> io::Result<std::fs::File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    change("copy: make file", || {
        Ok(fs::openat(to.dir, to.name, flags, Mode::RUSR | Mode::WUSR)?.into())
    })
}
