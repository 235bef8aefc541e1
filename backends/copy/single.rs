//! Copies one file that is no directory, whatever its type; of a nested subvolume, the empty place.

use std::io;

use rustix::fs::{self, Mode, OFlags};

use crate::changes::FileType;
use crate::fault::change;
use crate::stat::{Place, Stat};

use super::{Failure, Progress, attributes, data};

/// Copies one file that is no directory.
pub(super) fn copy(
    from: Place<'_>,
    stat: &Stat,
    to: Place<'_>,
    can_clone: &mut bool,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    match stat.facts.file_type {
        FileType::File => data::copy(from, to, can_clone, &mut |bytes| progress(0, bytes))?,
        FileType::Symlink => {
            let target = fs::readlinkat(from.dir, from.name, Vec::new());
            let target = target.map_err(|why| Failure::reading(why.into()))?;
            change("copy: make link", || Ok(fs::symlinkat(&*target, to.dir, to.name)?))?;
        }
        // What is in it is no part of the tree around it, and what has its place is no subvolume.
        FileType::Subvolume => super::make_dir(to.dir, to.name)?,
        _ => make_node(stat, to)?,
    }
    attributes::copy(from, stat, to)?;
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
