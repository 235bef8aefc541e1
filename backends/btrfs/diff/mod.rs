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

pub mod back_references;
pub mod change_rows;
pub mod directory_entries;
pub mod file_content;
pub mod prefetch;
pub mod tree_pair;
pub mod written_inodes;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;

use dirfd::changes::{self, ChangesWriter};
use dirfd::error::{Torn, look_until_whole};
use dirfd::{ChangeKind, Changes, Error, FileType, Result, TreeName, TreePath};
use uuid::Uuid;

use crate::btrfs::diff::change_rows::{Rows, facts};
use crate::btrfs::diff::directory_entries::{Entry, Listing};
use crate::btrfs::diff::file_content::Files;
use crate::btrfs::diff::tree_pair::{Half, Halves};
use crate::btrfs::top_level::{ROOT_INODE, Subvolume, Top};
use crate::btrfs::tree_queries::path_of;
use crate::sys::btrfs_ioctls::SubvolumeInfo;
use crate::sys::tree_search::Key;
use crate::{FastChanges, Tree};

/// One of the two trees that are compared.
pub(crate) struct Side<'a> {
    subvolume: &'a Subvolume,
    touched: written_inodes::Touched,
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
    let scan = |subvolume: &Subvolume| written_inodes::touched(top, subvolume.fd.as_fd(), floor);
    let older = Side { subvolume: older, touched: scan(older)? };
    let newer = Side { subvolume: newer, touched: scan(newer)? };
    let changes = descend(top, &older, &newer)?;
    Ok(Some(changes.with(tree_pair::rows(top, older.subvolume, newer.subvolume)?)))
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
        let mut search = crate::btrfs::tree_queries::Searcher::subvolume(subvolume.fd.as_fd(), top);
        crate::btrfs::tree_queries::bytes_written(&mut search, floor)
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
    let range = (
        Key::first(256, crate::btrfs::tree_items::kind::ROOT_ITEM),
        Key::last(u64::MAX - 256, 132),
    );
    crate::btrfs::tree_queries::Searcher::roots(top).each(range, 0, |item| {
        if let Some(root) = crate::btrfs::tree_items::RootItem::parse(item.data)
            && item.key.kind == crate::btrfs::tree_items::kind::ROOT_ITEM
        {
            known.insert(root.uuid, (root.parent_uuid, root.otransid));
        }
    })?;
    Ok(known)
}

// Goes down both trees at once, only where something was written.

/// The changes from `older` to `newer`.
pub(crate) fn descend(top: &Top, older: &Side<'_>, newer: &Side<'_>) -> io::Result<Changes> {
    let files = Files::new(older.subvolume.fd.as_fd(), newer.subvolume.fd.as_fd())?;
    let mut rows = Rows { files, writer: ChangesWriter::new() };
    let (old, new, account) = prefetch::read(top, older, newer)?;
    let (older, newer) = (Half::new(top, older, old), Half::new(top, newer, new));
    let mut halves = Halves { older, newer, account };
    root(&mut halves, &mut rows.writer)?;
    let mut entered = Entered::default();
    entered.enter(Some(ROOT_INODE), Some(ROOT_INODE));
    let mut stack = vec![halves.frame(Some(ROOT_INODE), Some(ROOT_INODE))?];
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
            let next = halves.frame(newer, older);
            stack.push(next.map_err(|why| if Torn::is(&why) { here() } else { why })?);
        } else {
            rows.row(&mut halves, name, newer, older)?;
        }
    }
    entered.expect_all(top, &mut halves)?;
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
    fn expect_all(&self, top: &Top, halves: &mut Halves<'_>) -> io::Result<()> {
        let halves = [(&self.newer, &mut halves.newer), (&self.older, &mut halves.older)];
        for (entered, half) in halves {
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

fn root(halves: &mut Halves<'_>, writer: &mut ChangesWriter) -> io::Result<()> {
    if halves.is_untouched(ROOT_INODE) {
        return Ok(());
    }
    if let (Some(newer), Some(older)) =
        (halves.newer.inode(ROOT_INODE)?, halves.older.inode(ROOT_INODE)?)
        && halves.metadata_differs((ROOT_INODE, &newer), (ROOT_INODE, &older))?
    {
        writer.record_root(ChangeKind::Metadata, facts(FileType::Dir, &newer));
    }
    Ok(())
}

// A directory that is being compared: its entries in both trees, and what is to be done with them.

/// The entries of one directory in one tree.
pub enum Names<'a> {
    /// Found by the scan, of a new directory.
    Scanned(&'a Listing, &'a [Entry]),
    /// Read for this frame.
    Own(Listing),
}

impl Names<'_> {
    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::Scanned(_, entries) => entries,
            Self::Own(listing) => listing.entries(),
        }
    }

    /// The positions of all entries.
    pub fn all(&self) -> Vec<u32> {
        (0..self.entries().len() as u32).collect()
    }

    pub(crate) fn entry(&self, at: u32) -> &Entry {
        &self.entries()[at as usize]
    }

    pub(crate) fn name(&self, at: u32) -> &[u8] {
        match self {
            Self::Scanned(listing, entries) => listing.name(&entries[at as usize]),
            Self::Own(listing) => listing.name(&listing.entries()[at as usize]),
        }
    }
}

/// A directory that is being compared.
pub struct Frame<'a> {
    pub(crate) newer: Names<'a>,
    pub(crate) older: Names<'a>,
    /// In the order of paths: a row has the key `name`, the descent into it the key `name/`.
    events: Vec<Event>,
    next: usize,
}

impl<'a> Frame<'a> {
    /// [`Torn`] if a name is in it twice, as one that is made again while the directory is read.
    pub fn new(newer: Names<'a>, older: Names<'a>, events: Vec<Event>) -> io::Result<Self> {
        let mut frame = Self { newer, older, events: Vec::new(), next: 0 };
        let mut events = events;
        events.sort_unstable_by(|a, b| {
            changes::compare((frame.name(a), a.descend), (frame.name(b), b.descend))
        });
        let is_twice = |pair: &[Event]| {
            pair[0].descend == pair[1].descend && frame.name(&pair[0]) == frame.name(&pair[1])
        };
        if events.windows(2).any(is_twice) {
            return Err(Torn::here());
        }
        frame.events = events;
        Ok(frame)
    }

    /// The next thing to do.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.events.get(self.next).copied()?;
        self.next += 1;
        Some(event)
    }

    pub(crate) fn name(&self, event: &Event) -> &[u8] {
        match (event.newer, event.older) {
            (Some(at), _) => self.newer.name(at),
            (None, Some(at)) => self.older.name(at),
            (None, None) => &[],
        }
    }
}

/// A row to write or a directory to enter; positions in the frame's listings.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub(crate) newer: Option<u32>,
    pub(crate) older: Option<u32>,
    pub(crate) descend: bool,
}
