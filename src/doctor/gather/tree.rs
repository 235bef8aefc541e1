//! Looks at single paths in an open tree, never through a link: a link is an answer of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use backends::changes::Facts;
use backends::path::Escaped;
use backends::stat::{self, Stat};
use backends::{Error, FileType, Result, TreePath};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::doctor::facts::Node;
use crate::host::{beneath, is_not_found};

/// What a name holds.
pub(super) struct Seen {
    pub fd: OwnedFd,
    pub node: Node,
    pub stat: Stat,
}

/// What is at a path.
pub(super) enum Look {
    Nothing,
    /// The path itself, or a part of the way to it, is a link.
    Link {
        /// How many components of the path come after the link.
        left: usize,
        to: Vec<u8>,
    },
    Seen(Seen),
}

/// Looks at `path` in the tree, without following links.
pub(super) fn look(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Look> {
    let failed = |e: io::Error| Error::io(format!("look at {path}"), e);
    match seen(tree, path) {
        Ok(None) => Ok(Look::Nothing),
        Ok(Some(seen)) if seen.node.file_type == FileType::Symlink => {
            Ok(Look::Link { left: 0, to: text_of_link(&seen).map_err(failed)? })
        }
        Ok(Some(seen)) => Ok(Look::Seen(seen)),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            first_link(tree, path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The first `components` components of a path.
pub(super) fn first(path: &TreePath, components: usize) -> TreePath {
    let parts: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').take(components).collect();
    // Parts of a clean path make a clean path.
    TreePath::parse(&parts.join(&b'/')).unwrap_or_default()
}

/// The names in a directory, sorted; at most `limit`.
pub(super) fn names(dir: BorrowedFd<'_>, limit: usize) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsStr::from_bytes(name).to_os_string());
        }
        if names.len() == limit {
            break;
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a directory of a tree for listing, without passing links or mounts.
pub(super) fn open_dir(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(fs::openat2(tree, path.as_path(), flags, Mode::empty(), resolve)?)
}

/// The same through mounts.
pub(super) fn open_beneath(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<OwnedFd> {
    beneath::open(tree, path.as_path(), OFlags::RDONLY | OFlags::DIRECTORY)
}

impl Seen {
    /// The number of the mount through which it was reached.
    pub fn mount(&self) -> io::Result<u64> {
        let unknown = || io::Error::other("this kernel does not number its mounts");
        self.stat.mount.ok_or_else(unknown)
    }
}

/// The content of a short file; the error is about `path`.
pub(super) fn content(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(beneath::open(tree, path.as_path(), flags)?);
        backends::file::read_open(file, backends::file::MAX_SYSTEM)
    };
    read().map_err(|e| Error::io(format!("read /{}", Escaped(path.as_bytes())), e))
}

/// What a name holds; a link on the way is `ELOOP`.
fn seen(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Option<Seen>> {
    let fd = match beneath::open(tree, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(fd) => fd,
        Err(error) if is_not_found(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = stat::of_open(fd.as_fd())?;
    let Facts { file_type, mode, uid, gid, .. } = stat.facts;
    Ok(Some(Seen { fd, node: Node { file_type, mode, uid, gid }, stat }))
}

fn first_link(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Look> {
    let whole = path.depth();
    for components in 1..whole {
        match seen(tree, &first(path, components))? {
            Some(seen) if seen.node.file_type == FileType::Symlink => {
                return Ok(Look::Link { left: whole - components, to: text_of_link(&seen)? });
            }
            Some(_) => {}
            None => return Ok(Look::Nothing),
        }
    }
    Err(io::Error::other("a link on the way vanished meanwhile"))
}

fn text_of_link(link: &Seen) -> io::Result<Vec<u8>> {
    Ok(fs::readlinkat(&link.fd, "", Vec::new())?.into_bytes())
}
