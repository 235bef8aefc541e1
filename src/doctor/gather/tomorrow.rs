//! The tree that the next boot will see: blank, with kept data from storages in its place, and with
//! what is mounted from elsewhere.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use backends::path::Escaped;
use backends::{Error, FileType, Result, TreePath, View};

use super::mounts::Mounts;
use super::tree::{self, Look};
use crate::config::EntryKind;
use crate::doctor::facts::Lies;
use crate::doctor::way::follow;
use crate::host::HostRoot;
use crate::keep::KeepEntry;

/// As many links as the kernel follows on one way.
const LINKS: usize = 40;

/// The content of a file, if there is one, and where that comes from, in words.
pub(super) type Found = (Option<Vec<u8>>, String);

/// The tree of the next boot, to read from.
pub(super) struct Tomorrow<'a> {
    pub root: &'a HostRoot,
    pub blank: Option<&'a View>,
    /// What people call the tree that the boot starts from.
    pub blank_name: String,
    pub entries: &'a [KeepEntry],
    pub storages: &'a BTreeMap<TreePath, Lies>,
    pub mounts: &'a Mounts,
}

/// Where a path comes from at the next boot.
struct Place<'a> {
    tree: BorrowedFd<'a>,
    path: TreePath,
    origin: String,
}

impl Tomorrow<'_> {
    /// Reads a short file.
    pub fn read(&self, path: &TreePath) -> Result<Found> {
        read(path, &self.blank_name, |path| self.place(path))
    }

    /// The names in a directory; none if it is not there.
    pub fn names(&self, path: &TreePath) -> Result<Vec<std::ffi::OsString>> {
        let Some(place) = self.place(path)? else { return Ok(Vec::new()) };
        match tree::look(place.tree, &place.path)? {
            Look::Seen(seen) if seen.node.file_type == FileType::Dir => {
                let dir = tree::open_beneath(place.tree, &place.path);
                let names = dir.and_then(|dir| tree::names(dir.as_fd(), 1000));
                names.map_err(|e| Error::io(format!("list {}", Escaped(path.as_bytes())), e))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether a path is there only as long as nobody wipes the root.
    pub fn survives(&self, path: &TreePath) -> bool {
        self.kept(path).is_some() || self.mounts.lies(path) == Lies::Safe
    }

    fn place(&self, path: &TreePath) -> Result<Option<Place<'_>>> {
        if let Some(entry) = self.kept(path) {
            let below = path.below(&entry.path).unwrap_or_default();
            let source = entry.source();
            self.mounts.refuse_users_own(&source.join_path(&below))?;
            // Without data in storage, blank's own stays.
            if !matches!(tree::look(self.root.as_fd(), &source)?, Look::Nothing) {
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
pub(super) fn read_now(root: &HostRoot, mounts: &Mounts, path: &TreePath) -> Result<Found> {
    read(path, "live", |path| {
        mounts.refuse_users_own(path)?;
        Ok(Some(Place { tree: root.as_fd(), path: path.clone(), origin: "live".to_string() }))
    })
}

/// Follows links from place to place. `otherwise` is what people call the tree that has none.
fn read<'p>(
    path: &TreePath,
    otherwise: &str,
    place: impl Fn(&TreePath) -> Result<Option<Place<'p>>>,
) -> Result<Found> {
    let mut path = path.clone();
    for _ in 0..LINKS {
        let Some(place) = place(&path)? else {
            return Ok((None, otherwise.to_string()));
        };
        match tree::look(place.tree, &place.path)? {
            Look::Nothing => return Ok((None, place.origin)),
            Look::Seen(seen) if seen.node.file_type == FileType::File => {
                return Ok((Some(tree::content(place.tree, &place.path)?), place.origin));
            }
            Look::Seen(seen) => {
                let why = format!("it is no file, but a {}", seen.node.file_type);
                return Err(Error::new(format!("read {}", place.path), why));
            }
            Look::Link { left, to } => match through(&path, left, &to) {
                Some(real) => path = real,
                None => return Ok((None, place.origin)),
            },
        }
    }
    Err(Error::new(format!("read {path}"), "too many links follow one another"))
}

/// Where `path` really leads, if the part of it before its last `left` components is a link.
fn through(path: &TreePath, left: usize, to: &[u8]) -> Option<TreePath> {
    let at = path.depth().checked_sub(left)?;
    let real = follow(&tree::first(path, at), to)?;
    let rest: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').skip(at).collect();
    TreePath::parse(&[real.as_bytes(), b"/", &rest.join(&b'/')].concat()).ok()
}
