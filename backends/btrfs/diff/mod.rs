//! What differs between two subvolumes that share blocks: the file system tells which blocks were
//! written since they parted, and only what those blocks hold is compared.
//!
//! Why nothing is missed: every change of an inode, of its names or of a directory's entries writes
//! the inode's item with the number of the running transaction. An inode whose item is older than
//! the parting, in both trees, is the same in both. What is named too much costs a comparison. A number
//! that both trees have is one inode only if neither made it since: numbers are given out again.
//!
//! An inode that is gone leaves no item behind. Its directory does, and its size tells whether the
//! names that are known explain what it holds (`account`); where they do not, it is listed.

mod account;
mod ahead;
mod descend;
mod files;
mod frame;
mod halves;
mod leads;
mod listing;
mod nested;
mod pairing;
mod placement;
mod rows;
mod scan;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use uuid::Uuid;

use super::top::{Subvolume, Top};
use crate::error::{Error, Result};
use crate::kernel::btrfs::SubvolumeInfo;
use crate::kernel::tree_search::Key;
use crate::survey::Tree;
use crate::torn::look_until_whole;
use crate::{Changes, FastChanges, TreeName};

/// One of the two trees that are compared.
pub(super) struct Side<'a> {
    subvolume: &'a Subvolume,
    touched: scan::Touched,
}

/// The changes from `from` to `to`, or why only a walk can tell them.
pub fn changes(top: &Top, from: &Tree, to: &Tree) -> Result<FastChanges> {
    let (older, newer) = (top.subvolume(from)?, top.subvolume(to)?);
    let action = || format!("compare {} with {}", to.name, from.name);
    look_until_whole(|| match fast(top, &older, &newer) {
        Ok(Some(changes)) => Ok(FastChanges::Exact(changes)),
        Ok(None) => Ok(FastChanges::Unavailable(format!(
            "{} and {} are not copies of each other or of one tree",
            to.name, from.name
        ))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(FastChanges::Unavailable("only root may search the file system's trees".into()))
        }
        Err(error) => Err(Error::io(action(), error)),
    })
}

fn fast(top: &Top, older: &Subvolume, newer: &Subvolume) -> io::Result<Option<Changes>> {
    // What is still in memory is not in the trees that are searched.
    rustix::fs::syncfs(newer.fd.as_fd())?;
    let Some(floor) = floor(top, &older.info, &newer.info)? else { return Ok(None) };
    let scan = |subvolume: &Subvolume| scan::touched(top, subvolume.fd.as_fd(), floor);
    let older = Side { subvolume: older, touched: scan(older)? };
    let newer = Side { subvolume: newer, touched: scan(newer)? };
    let changes = descend::changes(top, &older, &newer)?;
    Ok(Some(changes.with(nested::rows(top, older.subvolume, newer.subvolume)?)))
}

/// Bytes of data that `tree` has had written since it parted from blank, or since ever where it did
/// not come from it; `None` where this process may not search trees.
pub fn own_bytes(top: &Top, tree: &Tree, blank: &TreeName) -> Result<Option<u64>> {
    let subvolume = top.subvolume(tree)?;
    let blank = top.look(blank)?.info();
    let read = || {
        let floor = match blank {
            Some(blank) => floor(top, &subvolume.info, &blank)?.unwrap_or(0),
            None => 0,
        };
        let mut search = super::search::Searcher::subvolume(subvolume.fd.as_fd(), top);
        super::search::bytes_written(&mut search, floor)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(Error::io(format!("search the subvolume {}", tree.name), error)),
    }
}

/// The transaction from which on the two trees may differ: the first in which either was copied
/// from what they have in common. `None` if they have nothing in common.
fn floor(top: &Top, a: &SubvolumeInfo, b: &SubvolumeInfo) -> io::Result<Option<u64>> {
    let known = all_subvolumes(top)?;
    let (a, b) = (lineage(a, &known), lineage(b, &known));
    for (uuid, copied_a) in &a {
        if let Some((_, copied_b)) = b.iter().find(|(other, _)| other == uuid) {
            let copied = [copied_a, copied_b].into_iter().flatten().min();
            // A tree has nothing to differ in from itself.
            return Ok(Some(copied.copied().unwrap_or(u64::MAX)));
        }
    }
    Ok(None)
}

/// A subvolume's identity, that of its origin, and the transaction that made it.
type Origins = HashMap<Uuid, (Option<Uuid>, u64)>;

/// A subvolume and those it is a copy of, nearest first, each with the first transaction of the
/// copies between (none for itself).
fn lineage(info: &SubvolumeInfo, known: &Origins) -> Vec<(Uuid, Option<u64>)> {
    let mut line: Vec<(Uuid, Option<u64>)> = vec![(info.uuid, None)];
    let mut origin = info.parent_uuid.map(|uuid| (uuid, info.otransid));
    while let Some((uuid, copied)) = origin {
        if line.iter().any(|(seen, _)| *seen == uuid) {
            break;
        }
        let earliest = line.last().and_then(|(_, at)| *at).map_or(copied, |at| at.min(copied));
        line.push((uuid, Some(earliest)));
        origin = known.get(&uuid).and_then(|(parent, made)| Some(((*parent)?, *made)));
    }
    line
}

/// Reads `struct btrfs_root_item` of every subvolume.
fn all_subvolumes(top: &Top) -> io::Result<Origins> {
    let mut known = Origins::new();
    let range = (Key::first(256, super::items::kind::ROOT_ITEM), Key::last(u64::MAX - 256, 132));
    super::search::Searcher::roots(top).each(range, 0, |item| {
        if let Some(root) = super::items::RootItem::parse(item.data)
            && item.key.kind == super::items::kind::ROOT_ITEM
        {
            known.insert(root.uuid, (root.parent_uuid, root.otransid));
        }
    })?;
    Ok(known)
}
