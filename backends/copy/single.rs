//! Copies one file that is no directory, whatever its type; of a nested subvolume, the empty place.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};

use crate::changes::FileType;
use crate::fault::change;
use crate::handle::{self, Handle};
use crate::stat::{Place, Stat, of_open};

use super::{Failure, Progress, attributes, data};

/// Copies one file that is no directory: the one that `stat` tells of, which is opened once, so that
/// its content cannot get the owner of another that had its name a moment before.
pub(super) fn copy(
    from: Place<'_>,
    stat: &Stat,
    to: Place<'_>,
    can_clone: &mut bool,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let file_type = stat.facts.file_type;
    let source = handle::open(from, stat).map_err(Failure::reading)?;
    let mut stat = *stat;
    if file_type != FileType::Subvolume {
        stat = of_open(source.as_fd())?;
    }
    let from = Handle::new(source.as_fd(), file_type);
    let made: OwnedFd = match file_type {
        FileType::File => {
            let source = source.try_clone()?.into();
            data::copy(&source, to, can_clone, &mut |bytes| progress(0, bytes))?.into()
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
    attributes::copy(from, &stat, Handle::new(made.as_fd(), file_type))?;
    progress(1, 0);
    Ok(())
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
pub(super) fn make_file(to: Place<'_>) -> io::Result<std::fs::File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    change("copy: make file", || {
        Ok(fs::openat(to.dir, to.name, flags, Mode::RUSR | Mode::WUSR)?.into())
    })
}
