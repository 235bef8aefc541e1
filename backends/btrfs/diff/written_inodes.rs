//! Finds the inodes of a tree that were written since a transaction.

use std::collections::HashSet;
use std::io;
use std::num::NonZero;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::btrfs::diff::back_references::BackReferences;
use crate::btrfs::diff::directory_listing::{Entry, Listing};
use crate::btrfs::top_level::{ROOT_INODE, Subvolume, Top};
use crate::btrfs::tree_items::{InodeItem, kind};
use crate::btrfs::tree_queries::Searcher;
use crate::sys::tree_search::{Item, Key};

/// Ranges of inode numbers for each thread: enough that an uneven spread evens out.
const RANGES_PER_THREAD: usize = 8;
/// Longer runs of inode numbers that are not seen are taken for blocks that were not written.
const GAP: u64 = 16;
/// More of them in one range of inode numbers are not kept: an old tree is full of them.
const GAPS: usize = 1 << 12;

/// An inode whose item was written since the floor.
#[derive(Clone, Copy, Debug)]
struct WrittenInode {
    ino: u64,
    item: InodeItem,
}

/// Everything that was written in a tree since the floor.
#[derive(Debug, Default)]
pub struct WrittenInodes {
    /// The transaction from which on things count as touched.
    floor: u64,
    /// Sorted by inode number.
    inodes: Vec<WrittenInode>,
    /// The entries of the directories that were made since the floor, each directory's together.
    entries: Listing,
    /// Directory inode and where its run in `entries` starts; sorted by inode number.
    runs: Vec<(u64, usize)>,
    /// The names of touched inodes in older directories, and the ways to them.
    pub back_references: BackReferences,
    /// Short runs of inode numbers that were passed over and may be those of deleted inodes.
    pub gaps: Vec<(u64, u64)>,
}

/// One of the two trees that are compared.
pub(crate) struct ScannedTree<'a> {
    pub(crate) subvolume: &'a Subvolume,
    pub(crate) touched: WrittenInodes,
}

impl WrittenInodes {
    pub(crate) fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    pub(crate) fn inode(&self, ino: u64) -> Option<&InodeItem> {
        let at = self.inodes.binary_search_by_key(&ino, |inode| inode.ino).ok()?;
        self.inodes.get(at).map(|inode| &inode.item)
    }

    /// Whether the inode was made since the floor, so that everything about it is known.
    pub fn is_new(&self, ino: u64) -> bool {
        self.inode(ino).is_some_and(|item| item.generation >= self.floor)
    }

    /// The touched inodes that are older than the floor, so that the other tree may have them.
    pub fn old_inodes(&self) -> Vec<u64> {
        let old = self.inodes.iter().filter(|inode| inode.item.generation < self.floor);
        old.map(|inode| inode.ino).collect()
    }

    /// The touched directories that have a name.
    pub fn directories(&self) -> impl Iterator<Item = u64> {
        let named =
            self.inodes.iter().filter(|inode| inode.item.is_directory() && inode.item.links > 0);
        named.map(|inode| inode.ino)
    }

    /// The entries of the new directory `ino`, and the listing that has their names.
    pub fn new_entries(&self, ino: u64) -> (&Listing, &[Entry]) {
        let run = self.runs.binary_search_by_key(&ino, |run| run.0);
        let range = run.ok().and_then(|run| {
            let start = self.runs.get(run)?.1;
            let end = self.runs.get(run + 1).map_or(self.entries.len(), |next| next.1);
            Some(start..end)
        });
        let entries = range.and_then(|range| self.entries.entries().get(range));
        (&self.entries, entries.unwrap_or_default())
    }

    fn append(&mut self, other: Self) {
        let base = self.entries.len();
        self.inodes.extend(other.inodes);
        self.runs.extend(other.runs.iter().map(|(ino, start)| (*ino, start + base)));
        self.entries.append(&other.entries);
        self.back_references.append(&other.back_references);
        self.gaps.extend(other.gaps);
    }
}

/// Collects what was written in the subvolume behind `fd` in transaction `floor` or later.
pub fn scan_written_inodes(top: &Top, fd: BorrowedFd<'_>, floor: u64) -> io::Result<WrittenInodes> {
    let mut search = Searcher::subvolume(fd, top);
    let mut touched = WrittenInodes { floor, ..WrittenInodes::default() };
    let mut incomplete = HashSet::new();
    for part in scan_ranges(top, fd, floor, &inode_ranges(&mut search)?)? {
        touched.append(part.touched);
        incomplete.extend(part.incomplete);
    }
    let mut back_references = std::mem::take(&mut touched.back_references);
    back_references.retain(|parent, child| !incomplete.contains(&child) && !touched.is_new(parent));
    for ino in incomplete {
        let names = (Key::first(ino, kind::INODE_REF), Key::last(ino, kind::INODE_EXTREF));
        search.each(names, 0, |item| {
            back_references.push_item(item, |_| false);
        })?;
    }
    back_references.complete(|directory| touched.inode(directory).is_some(), &mut search)?;
    touched.back_references = back_references;
    Ok(touched)
}

/// Ranges of inode numbers that together hold every inode of the tree.
fn inode_ranges(search: &mut Searcher<'_>) -> io::Result<Vec<(Key, Key)>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let end = search.inode_bound()?;
    let count = (threads * RANGES_PER_THREAD) as u64;
    let width = (end - ROOT_INODE).div_ceil(count).max(1);
    let starts = (0..count).map(|at| ROOT_INODE + at * width).take_while(|start| *start <= end);
    Ok(starts.map(|start| (Key::first(start, 0), Key::last(start + width - 1, u8::MAX))).collect())
}

/// Scans the ranges in as many threads as there are processors; the parts come in their order.
fn scan_ranges(
    top: &Top,
    fd: BorrowedFd<'_>,
    floor: u64,
    ranges: &[(Key, Key)],
) -> io::Result<Vec<Part>> {
    let next = AtomicUsize::new(0);
    let parts: Mutex<Vec<(usize, io::Result<Part>)>> = Mutex::new(Vec::new());
    let work = || {
        let mut search = Searcher::subvolume(fd, top);
        while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
            let part = Part::scan(&mut search, floor, *range);
            let mut parts = parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            parts.push((range.0.objectid as usize, part));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(ranges.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut parts = parts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    parts.sort_unstable_by_key(|(start, _)| *start);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What one range of inode numbers holds.
struct Part {
    touched: WrittenInodes,
    /// Old inodes of which not every name was seen: their names lie in several blocks.
    incomplete: Vec<u64>,
    /// Whether the last of the touched inodes is being read, and how many names of it were seen.
    open: Option<u32>,
    /// The last inode that was passed, touched or not.
    passed: u64,
}

impl Part {
    fn scan(search: &mut Searcher<'_>, floor: u64, range: (Key, Key)) -> io::Result<Self> {
        let touched = WrittenInodes { floor, ..WrittenInodes::default() };
        let mut part = Self { touched, incomplete: Vec::new(), open: None, passed: u64::MAX };
        search.each_but(range, floor, |item| part.take(item))?;
        part.close_inode();
        Ok(part)
    }

    /// Takes an item and says from which on there is more to take, if not from the next.
    ///
    /// What is in a directory is told by the names of what was touched. The entries are read of new
    /// directories alone, and of their two copies the one in the order in which they were made.
    fn take(&mut self, item: Item<'_>) -> Option<Key> {
        let ino = item.key.objectid;
        if item.key.kind == kind::INODE_ITEM {
            self.enter(ino, item);
            return None;
        }
        let current = self.touched.inodes.last().filter(|current| current.ino == ino);
        let is_new = current.is_some_and(|current| current.item.generation >= self.touched.floor);
        match item.key.kind {
            kind::INODE_REF | kind::INODE_EXTREF if current.is_some() => {
                let WrittenInodes { inodes, back_references, floor, .. } = &mut self.touched;
                let seen =
                    back_references.push_item(item, |dir| is_new && is_new_in(inodes, dir, *floor));
                self.open = self.open.map(|names| names + seen);
                None
            }
            kind::DIR_ITEM if is_new => Some(Key::first(ino, kind::DIR_INDEX)),
            kind::DIR_INDEX if is_new => {
                if self.touched.runs.last().is_none_or(|run| run.0 != ino) {
                    self.touched.runs.push((ino, self.touched.entries.len()));
                }
                self.touched.entries.push_items(item);
                None
            }
            kind::DIR_ITEM | kind::DIR_INDEX => Key::last_of(ino).next(),
            _ => None,
        }
    }

    /// Begins another inode.
    fn enter(&mut self, ino: u64, item: Item<'_>) {
        self.close_inode();
        let passed = std::mem::replace(&mut self.passed, ino);
        if let Some(width @ 1..=GAP) = ino.checked_sub(passed.saturating_add(1))
            && self.touched.gaps.len() < GAPS
        {
            self.touched.gaps.push((ino - width, ino - 1));
        }
        // The block is new, but the item may be old.
        let floor = self.touched.floor;
        if let Some(item) = InodeItem::parse(item.data).filter(|item| item.transid >= floor) {
            self.touched.inodes.push(WrittenInode { ino, item });
            self.open = Some(0);
        }
    }

    fn close_inode(&mut self) {
        if let Some(seen) = self.open.take()
            && let Some(last) = self.touched.inodes.last()
            && last.item.generation < self.touched.floor
            && seen < last.item.links
        {
            self.incomplete.push(last.ino);
        }
    }
}

/// Whether `dir` is known to be new; the names in it are among its entries.
fn is_new_in(inodes: &[WrittenInode], dir: u64, floor: u64) -> bool {
    let at = inodes.binary_search_by_key(&dir, |inode| inode.ino);
    at.is_ok_and(|at| inodes[at].item.generation >= floor)
}
