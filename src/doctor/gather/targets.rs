//! What is at each kept path, and what its storage has for it.

use std::io;
use std::os::fd::AsFd;

use backends::{Error, FileType, Result, TreePath, View, xattrs};
use rustix::fs::OFlags;

use super::mounts::Mounts;
use super::tree::{self, Look, Seen};
use crate::doctor::facts::{Data, EntryFacts, Target, Unchecked};
use crate::doctor::way::follow;
use crate::host::{HostRoot, beneath};
use crate::keep::KeepEntry;

/// Looks at one entry; `live` says whether live is what the root shows.
pub(super) fn gather(
    root: &HostRoot,
    mounts: &Mounts,
    entry: KeepEntry,
    live: bool,
    blank: Option<&View>,
    unchecked: &mut Vec<Unchecked>,
) -> EntryFacts {
    let mut cannot = |error: Error| {
        unchecked.push(Unchecked::new(format!("whether {} is in its place", entry.path), &error));
    };
    let stored = match stored(root, mounts, &entry) {
        Ok(stored) => Some(stored),
        Err(error) => {
            cannot(error);
            None
        }
    };
    let data = match &stored {
        Some(Some(seen)) => Data::Present(seen.node),
        Some(None) => Data::Absent,
        None => Data::Unknown,
    };
    let noted_as_replaced = match data {
        Data::Present(_) => is_noted(root, &entry).unwrap_or_else(|error| {
            cannot(error);
            false
        }),
        Data::Absent | Data::Unknown => false,
    };
    let target = live.then(|| {
        target(root, mounts, &entry, stored.flatten().as_ref()).unwrap_or_else(|error| {
            cannot(error);
            Target::Unknown
        })
    });
    let known = entry.known();
    let in_blank = blank.is_some_and(|blank| {
        // What cannot be looked at is not promised to come.
        matches!(tree::look(blank.as_fd(), &entry.path), Ok(Look::Seen(_)))
    });
    EntryFacts { entry, known, data, noted_as_replaced, in_blank, target }
}

fn is_noted(root: &HostRoot, entry: &KeepEntry) -> Result<bool> {
    let source = entry.source();
    let opened = beneath::open(root.as_fd(), source.as_path(), OFlags::PATH | OFlags::NOFOLLOW);
    opened
        .and_then(|file| xattrs::is_marked_as_replaced(file.as_fd()))
        .map_err(|why| Error::io(format!("look at {source}"), why))
}

fn stored(root: &HostRoot, mounts: &Mounts, entry: &KeepEntry) -> Result<Option<Seen>> {
    let source = entry.source();
    mounts.refuse_users_own(&source)?;
    match tree::look(root.as_fd(), &source)? {
        Look::Nothing => Ok(None),
        Look::Seen(seen) => Ok(Some(seen)),
        Look::Link { .. } => Err(Error::new(format!("look at {source}"), "a link is on the way")
            .mend("put a directory in the link's place, or name the real path of the storage")),
    }
}

fn target(
    root: &HostRoot,
    mounts: &Mounts,
    entry: &KeepEntry,
    stored: Option<&Seen>,
) -> Result<Target> {
    let path = &entry.path;
    mounts.refuse_users_own(path)?;
    let seen = match tree::look(root.as_fd(), path)? {
        Look::Nothing => return Ok(Target::Absent),
        Look::Link { left: 0, to } if follow(path, &to) == Some(entry.source()) => {
            return Ok(Target::RightLink);
        }
        Look::Link { left: 0, to } => return Ok(Target::OtherLink(to)),
        Look::Link { left, to } => {
            let link = tree::first(path, path.depth().saturating_sub(left));
            return Ok(Target::BehindLink { link, to });
        }
        Look::Seen(seen) => seen,
    };
    if stored.is_some_and(|stored| stored.stat.is_same_file(&seen.stat)) {
        return Ok(Target::RightMount);
    }
    let failed = |e: io::Error| Error::io(format!("look at {path}"), e);
    if is_mounted(root, path, &seen).map_err(failed)? {
        return Ok(Target::OtherMount);
    }
    Ok(match seen.node.file_type {
        FileType::Dir => {
            let dir = tree::open_beneath(root.as_fd(), path).map_err(failed)?;
            Target::Dir { empty: tree::names(dir.as_fd(), 1).map_err(failed)?.is_empty() }
        }
        FileType::File => Target::File { empty: seen.stat.facts.size == 0 },
        other => Target::Odd(other),
    })
}

/// Whether something is mounted right there.
fn is_mounted(root: &HostRoot, path: &TreePath, seen: &Seen) -> io::Result<bool> {
    let parent = path.parent().unwrap_or_default();
    match tree::look(root.as_fd(), &parent) {
        Ok(Look::Seen(parent)) => Ok(parent.mount()? != seen.mount()?),
        Ok(_) => Err(io::Error::other("its parent changes at this moment")),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
