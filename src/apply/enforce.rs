//! Gives what is there its declared owner and mode, by one descriptor, and only if nobody else than root
//! can have put it there since it was looked at.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use backends::stat::{SET_ID, Stat, of_open};
use backends::{FileType, TreePath};
use rustix::fs::{self, Mode, OFlags};

use crate::host::{Machine, beneath, making};
use crate::plan::apply::{Expected, Owner, Unsafe, Way, ancestors};

/// Gives `path` this owner and mode, if it is still what was `found` there.
pub fn enforce(
    machine: &Machine,
    path: &TreePath,
    found: &Expected,
    owner: Option<Owner>,
    mode: Option<u16>,
) -> io::Result<()> {
    let (way, parent) = open_parent(machine, path)?;
    let opened = open(parent, path, found)?;
    let stat = of_open(opened.as_fd())?;
    way.check(path, stat.facts.uid).map_err(refused)?;
    way.check_set_id(path, &stat, owner, mode).map_err(refused)?;
    if let Some(Owner { uid, gid }) = owner {
        making::set_owner(opened.as_fd(), (uid, gid))?;
        // Whatever the kernel does by itself (chown(2)).
        let kept = of_open(opened.as_fd())?.facts.mode;
        if stat.facts.file_type == FileType::File && kept & SET_ID != 0 && mode.is_none() {
            making::set_mode(opened.as_fd(), kept & !SET_ID)?;
        }
    }
    mode.map_or(Ok(()), |mode| making::set_mode(opened.as_fd(), mode))
}

/// The directory that holds `path`, opened from the root on, one by one: each was looked at before
/// what is in it.
fn open_parent(machine: &Machine, path: &TreePath) -> io::Result<(Way, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dirs: Vec<TreePath> = ancestors(path).collect();
    dirs.reverse();
    let mut opened = fs::openat(machine.base_of(path), c".", flags, Mode::empty())?;
    let mut way = Way::default();
    enter(&mut way, TreePath::root(), &opened)?;
    for dir in dirs {
        let name = dir.name().unwrap_or_default();
        opened = beneath::open(opened.as_fd(), name.as_ref(), flags)?;
        enter(&mut way, dir, &opened)?;
    }
    Ok((way, opened))
}

fn enter(way: &mut Way, dir: TreePath, opened: &OwnedFd) -> io::Result<()> {
    let facts = of_open(opened.as_fd())?.facts;
    way.enter(dir, facts.uid, facts.mode).map_err(refused)
}

/// Opens what was `found`. A file with a second name might be somebody else's.
fn open(parent: OwnedFd, path: &TreePath, found: &Expected) -> io::Result<OwnedFd> {
    let name = path.name().ok_or_else(|| io::Error::other("it is the root itself"))?;
    let open = |flags| beneath::open(parent.as_fd(), name.as_ref(), flags | OFlags::NOFOLLOW);
    // Its path alone first: opening a device that has come to lie there could have effects.
    let there = check(&open(OFlags::PATH)?, found)?;
    let opened = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    match check(&opened, found)?.is_same_file(&there) {
        true => Ok(opened),
        false => Err(changed()),
    }
}

fn check(opened: &OwnedFd, found: &Expected) -> io::Result<Stat> {
    let stat = of_open(opened.as_fd())?;
    match stat.facts.file_type {
        FileType::Dir => {}
        FileType::File if stat.links == 1 => {}
        FileType::File => return Err(io::Error::other("it has another name somewhere")),
        _ => return Err(io::Error::other("it is neither a file nor a directory")),
    }
    if found.is(&stat) { Ok(stat) } else { Err(changed()) }
}

fn changed() -> io::Error {
    io::Error::other("somebody else changed it at the same moment")
}

fn refused(why: Unsafe) -> io::Error {
    io::Error::other(why)
}
