//! What differs between two subvolumes that share blocks: the file system tells which blocks were
//! written since they parted, and only what those blocks hold is compared.
//!
//! Why nothing is missed: every change of an inode, of its names or of a directory's entries writes
//! the inode's item with the number of the running transaction. An inode whose item is older than
//! the parting, in both trees, is the same in both. What is named too much costs a comparison. A number
//! that both trees have is one inode only if neither made it since: numbers are given out again.
//!
//! An inode that is gone leaves no item behind. Its directory does, and its size tells whether the
//! names that are known explain what it holds ([`directory_size_check`]); where they do not, it is listed.

pub mod back_references;
pub mod change_rows;
pub mod directory_listing;
pub mod directory_pair;
pub mod directory_size_check;
pub mod file_content;
pub mod pair_entries;
pub mod prefetch;
pub mod tree_pair;
pub mod written_inodes;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;

use dirfd::changes::ChangesWriter;
use dirfd::error::{Torn, look_until_whole};
use dirfd::{ChangeKind, Changes, Error, FileType, Result, TreeName, TreePath};
use uuid::Uuid;

use crate::btrfs::diff::change_rows::{Rows, facts};
use crate::btrfs::diff::directory_listing::Entry;
use crate::btrfs::diff::file_content::Files;
use crate::btrfs::diff::tree_pair::{TreePair, TreeReader};
use crate::btrfs::diff::written_inodes::ScannedTree;
use crate::btrfs::top_level::{ROOT_INODE, Subvolume, Top};
use crate::btrfs::tree_items::{RootItem, kind};
use crate::btrfs::tree_queries::{Searcher, bytes_written, path_of};
use crate::sys::btrfs_ioctls::SubvolumeInfo;
use crate::sys::tree_search::Key;
use crate::{FastChanges, Tree};

/// The changes from `from` to `to`, or why only a walk can tell them.
pub fn find_changes(top: &Top, from: &Tree, to: &Tree) -> Result<FastChanges> {
    let (older, newer) = (top.subvolume(from)?, top.subvolume(to)?);
    let action = || format!("compare {} with {}", to.name, from.name);
    look_until_whole(|| match search_changes(top, &older, &newer) {
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

fn search_changes(top: &Top, older: &Subvolume, newer: &Subvolume) -> io::Result<Option<Changes>> {
    // What is still in memory is not in the trees that are searched.
    rustix::fs::syncfs(newer.fd.as_fd())?;
    let Some(floor) = floor(top, &older.info, &newer.info)? else { return Ok(None) };
    let scan = |subvolume: &Subvolume| {
        written_inodes::scan_written_inodes(top, subvolume.fd.as_fd(), floor)
    };
    let older = ScannedTree { subvolume: older, touched: scan(older)? };
    let newer = ScannedTree { subvolume: newer, touched: scan(newer)? };
    let changes = compare_from_root(top, &older, &newer)?;
    Ok(Some(changes.with(tree_pair::rows_of_nested(top, older.subvolume, newer.subvolume)?)))
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
        let mut search = Searcher::subvolume(subvolume.fd.as_fd(), top);
        bytes_written(&mut search, floor)
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
    let range = (Key::first(256, kind::ROOT_ITEM), Key::last(u64::MAX - 256, 132));
    Searcher::roots(top).each(range, 0, |item| {
        if let Some(root) = RootItem::parse(item.data)
            && item.key.kind == kind::ROOT_ITEM
        {
            known.insert(root.uuid, (root.parent_uuid, root.otransid));
        }
    })?;
    Ok(known)
}

/// The changes from `older` to `newer`: goes down both trees at once, only where something was written.
fn compare_from_root(
    top: &Top,
    older: &ScannedTree<'_>,
    newer: &ScannedTree<'_>,
) -> io::Result<Changes> {
    let files = Files::new(older.subvolume.fd.as_fd(), newer.subvolume.fd.as_fd())?;
    let mut rows = Rows { files, writer: ChangesWriter::new() };
    let (old, new, size_check) = prefetch::prefetch(top, older, newer)?;
    let (older, newer) = (TreeReader::new(top, older, old), TreeReader::new(top, newer, new));
    let mut pair = TreePair { older, newer, size_check };
    compare_root(&mut pair, &mut rows.writer)?;
    let mut entered = Entered::default();
    entered.enter(Some(ROOT_INODE), Some(ROOT_INODE));
    let mut stack = vec![pair.directory_pair(Some(ROOT_INODE), Some(ROOT_INODE))?];
    while let Some(frame) = stack.last_mut() {
        let Some(event) = frame.pop() else {
            stack.pop();
            rows.writer.ascend();
            continue;
        };
        let newer = event.newer.map(|at| frame.newer.entry(at));
        let older = event.older.map(|at| frame.older.entry(at));
        let name = frame.name(&event);
        if event.descend {
            rows.writer.descend(name);
            let directory = |entry: Option<&Entry>| entry.and_then(Entry::directory);
            let (newer, older) = (directory(newer), directory(older));
            let here = || Torn::at(rows.writer.current_path());
            if !entered.enter(newer, older) {
                return Err(here());
            }
            let next = pair.directory_pair(newer, older);
            stack.push(next.map_err(|why| if Torn::is(&why) { here() } else { why })?);
        } else {
            rows.row(&mut pair, name, newer, older)?;
        }
    }
    entered.expect_all(top, &mut pair)?;
    Ok(rows.writer.finish())
}

/// The directories that were gone into.
///
/// A directory has one name, so each is gone into once in each tree, and each that was touched is. Where
/// directories are moved while the trees are read, names from two moments may lead to one twice, in a circle
/// even, or never: no such answer is given, and none takes longer than there are directories.
#[derive(Debug, Default)]
struct Entered {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Entered {
    /// Notes a directory of one tree, or of both; says whether it was not gone into before.
    fn enter(&mut self, newer: Option<u64>, older: Option<u64>) -> bool {
        newer.is_none_or(|ino| self.newer.insert(ino))
            && older.is_none_or(|ino| self.older.insert(ino))
    }

    /// Fails if a touched directory was not gone into, and is still there.
    fn expect_all(&self, top: &Top, pair: &mut TreePair<'_>) -> io::Result<()> {
        let pair = [(&self.newer, &mut pair.newer), (&self.older, &mut pair.older)];
        for (entered, half) in pair {
            for ino in half.side.touched.directories().filter(|ino| !entered.contains(ino)) {
                if half.search.inode(ino)?.is_some_and(|item| item.links > 0) {
                    let path = path_of(top, half.side.subvolume.info.id, ino);
                    // Who is just being moved has no way to it.
                    let Ok(mut path) = path else { return Err(Torn::here()) };
                    path.pop_if(|last| *last == b'/');
                    return Err(Torn::at(TreePath::from_clean(path)));
                }
            }
        }
        Ok(())
    }
}

fn compare_root(pair: &mut TreePair<'_>, writer: &mut ChangesWriter) -> io::Result<()> {
    if pair.is_untouched(ROOT_INODE) {
        return Ok(());
    }
    if let (Some(newer), Some(older)) =
        (pair.newer.inode(ROOT_INODE)?, pair.older.inode(ROOT_INODE)?)
        && pair.metadata_differs((ROOT_INODE, &newer), (ROOT_INODE, &older))?
    {
        writer.record_root(ChangeKind::Metadata, facts(FileType::Dir, &newer));
    }
    Ok(())
}
