//! The tree that the next boot will see: blank, with kept data from storages in its place, and with
//! what is mounted from elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use backends::View;
use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::stat::{self, Stat};
use dirfd::{Error, Facts, FileType, Result, TreePath};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};

use crate::config::entry::EntryKind;
use crate::doctor::entries::Mounts;
use crate::doctor::machine_facts::{Lies, Node};
use crate::host::{HostRoot, is_not_found};
use crate::persist::create;
use crate::persist::list::KeepEntry;
use crate::persist::real_path::MAX_LINKS;

/// The content of a file, if there is one, and where that comes from, in words.
pub(crate) type Found = (Option<Vec<u8>>, String);

/// The tree of the next boot, to read from.
pub(crate) struct Tomorrow<'a> {
    pub(crate) root: &'a HostRoot,
    pub(crate) blank: Option<&'a View>,
    /// What people call the tree that the boot starts from.
    pub(crate) blank_name: String,
    pub(crate) entries: &'a [KeepEntry],
    pub(crate) storages: &'a BTreeMap<TreePath, Lies>,
    pub(crate) mounts: &'a Mounts,
}

/// Where a path comes from at the next boot.
struct Place<'a> {
    tree: BorrowedFd<'a>,
    path: TreePath,
    origin: String,
}

impl Tomorrow<'_> {
    /// Reads a short file.
    pub(crate) fn read(&self, path: &TreePath) -> Result<Found> {
        read_through_links(path, &self.blank_name, |path| self.place(path))
    }

    /// The names in a directory; none if it is not there.
    pub(crate) fn names(&self, path: &TreePath) -> Result<Vec<std::ffi::OsString>> {
        let Some(place) = self.place(path)? else { return Ok(Vec::new()) };
        match look_up_in_tree(place.tree, &place.path)? {
            Look::Seen(seen) if seen.node.file_type == FileType::Dir => {
                let dir = open_beneath(place.tree, &place.path);
                let names = dir.and_then(|dir| list_names(dir.as_fd(), 1000));
                names.map_err(|e| Error::io(format!("list {}", Escaped(path.as_bytes())), e))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether a path is there only as long as nobody wipes the root.
    pub(crate) fn survives(&self, path: &TreePath) -> bool {
        self.kept(path).is_some() || self.mounts.lies(path) == Lies::Safe
    }

    fn place(&self, path: &TreePath) -> Result<Option<Place<'_>>> {
        if let Some(entry) = self.kept(path) {
            let below = path.below(&entry.path).unwrap_or_default();
            let source = entry.source();
            self.mounts.refuse_users_own(&source.join_path(&below))?;
            // Without data in storage, blank's own stays.
            if !matches!(look_up_in_tree(self.root.as_fd(), &source)?, Look::Nothing) {
                let path = source.join_path(&below);
                let origin = format!("the storage {}", entry.storage);
                return Ok(Some(Place { tree: self.root.as_fd(), path, origin }));
            }
        }
        if self.mounts.lies(path) == Lies::Safe {
            self.mounts.refuse_users_own(path)?;
            let origin = "another file system than the root's".to_string();
            return Ok(Some(Place { tree: self.root.as_fd(), path: path.clone(), origin }));
        }
        let origin = self.blank_name.clone();
        Ok(self.blank.map(|blank| Place { tree: blank.as_fd(), path: path.clone(), origin }))
    }

    /// The entry that keeps a path, if its storage survives; the deepest counts.
    fn kept(&self, path: &TreePath) -> Option<&KeepEntry> {
        let keeps = |entry: &&KeepEntry| {
            let covers = match entry.kind {
                EntryKind::Dir => path.is_within(&entry.path),
                EntryKind::File => *path == entry.path,
            };
            covers && self.storages.get(&entry.storage) == Some(&Lies::Safe)
        };
        self.entries.iter().filter(keeps).max_by_key(|entry| entry.path.as_bytes().len())
    }
}

/// Reads a short file of the root as it is now.
pub(crate) fn read_now(root: &HostRoot, mounts: &Mounts, path: &TreePath) -> Result<Found> {
    read_through_links(path, "live", |path| {
        mounts.refuse_users_own(path)?;
        Ok(Some(Place { tree: root.as_fd(), path: path.clone(), origin: "live".to_string() }))
    })
}

/// Follows links from place to place. `otherwise` is what people call the tree that has none.
fn read_through_links<'p>(
    path: &TreePath,
    otherwise: &str,
    place: impl Fn(&TreePath) -> Result<Option<Place<'p>>>,
) -> Result<Found> {
    let mut path = path.clone();
    for _ in 0..MAX_LINKS {
        let Some(place) = place(&path)? else {
            return Ok((None, otherwise.to_string()));
        };
        match look_up_in_tree(place.tree, &place.path)? {
            Look::Nothing => return Ok((None, place.origin)),
            Look::Seen(seen) if seen.node.file_type == FileType::File => {
                return Ok((Some(read_content(place.tree, &place.path)?), place.origin));
            }
            Look::Seen(seen) => {
                let why = format!("it is no file, but a {}", seen.node.file_type);
                return Err(Error::new(format!("read {}", place.path), why));
            }
            Look::Link { left, to } => match resolve_link_in_path(&path, left, &to) {
                Some(real) => path = real,
                None => return Ok((None, place.origin)),
            },
        }
    }
    Err(Error::new(format!("read {path}"), "too many links follow one another"))
}

/// Where `path` really leads, if the part of it before its last `left` components is a link.
fn resolve_link_in_path(path: &TreePath, left: usize, to: &[u8]) -> Option<TreePath> {
    let at = path.depth().checked_sub(left)?;
    let real = resolve_link(&leading_components(path, at), to)?;
    let rest: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').skip(at).collect();
    TreePath::parse(&[real.as_bytes(), b"/", &rest.join(&b'/')].concat()).ok()
}

// Looks at single paths in an open tree, never through a link: a link is an answer of its own.

/// What a name holds.
pub(crate) struct Seen {
    pub(crate) fd: OwnedFd,
    pub(crate) node: Node,
    pub(crate) stat: Stat,
}

/// What is at a path.
pub(crate) enum Look {
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
pub(crate) fn look_up_in_tree(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Look> {
    let failed = |e: io::Error| Error::io(format!("look at {path}"), e);
    match open_if_there(tree, path) {
        Ok(None) => Ok(Look::Nothing),
        Ok(Some(seen)) if seen.node.file_type == FileType::Symlink => {
            Ok(Look::Link { left: 0, to: text_of_link(&seen).map_err(failed)? })
        }
        Ok(Some(seen)) => Ok(Look::Seen(seen)),
        Err(error) if Cause::of(&error) == Cause::Link => first_link(tree, path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// The first `components` components of a path.
pub(crate) fn leading_components(path: &TreePath, components: usize) -> TreePath {
    let parts: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').take(components).collect();
    // Parts of a clean path make a clean path.
    TreePath::parse(&parts.join(&b'/')).unwrap_or_default()
}

/// The names in a directory, sorted; at most `limit`.
pub(crate) fn list_names(dir: BorrowedFd<'_>, limit: usize) -> io::Result<Vec<OsString>> {
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
pub(crate) fn open_dir(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(fs::openat2(tree, path.as_path(), flags, Mode::empty(), resolve)?)
}

/// The same through mounts.
pub(crate) fn open_beneath(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<OwnedFd> {
    create::open_beneath(tree, path.as_path(), OFlags::RDONLY | OFlags::DIRECTORY)
}

impl Seen {
    /// The number of the mount through which it was reached.
    pub(crate) fn mount(&self) -> io::Result<u64> {
        let unknown = || io::Error::other("this kernel does not number its mounts");
        self.stat.mount.ok_or_else(unknown)
    }
}

/// The content of a short file; the error is about `path`.
pub(crate) fn read_content(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(create::open_beneath(tree, path.as_path(), flags)?);
        dirfd::atomic_file::read_open(file, dirfd::atomic_file::MAX_SYSTEM)
    };
    read().map_err(|e| Error::io(format!("read /{}", Escaped(path.as_bytes())), e))
}

/// What a name holds; a link on the way is `ELOOP`.
fn open_if_there(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Option<Seen>> {
    let fd = match create::open_beneath(tree, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
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
        match open_if_there(tree, &leading_components(path, components))? {
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

/// The path that a link at `link` stands for; `None` if it leads above the root.
pub(crate) fn resolve_link(link: &TreePath, to: &[u8]) -> Option<TreePath> {
    let parent = match link.as_bytes().iter().rposition(|&b| b == b'/') {
        Some(at) if !to.starts_with(b"/") => &link.as_bytes()[..at],
        _ => &[],
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in parent.split(|&b| b == b'/').chain(to.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    TreePath::parse(&parts.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_their_text() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        for (link, to, expected) in [
            ("/var/log", "/persist/log", Some("/persist/log")),
            ("/var/log", "../persist/./log/", Some("/persist/log")),
            ("/a", "b", Some("/b")),
            ("/a/b", "../../..", None),
            ("/a/b", "/", Some("/")),
        ] {
            let found = resolve_link(&path(link), to.as_bytes());
            assert_eq!(found, expected.map(path), "{link} -> {to}");
        }
    }
}
