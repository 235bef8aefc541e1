//! Reads, in as many threads as there are processors, what the descent would ask for one by one.
//!
//! What is not read ahead is searched for when it is needed.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::os::fd::AsFd;

use dirfd::FileType;

use crate::btrfs::diff::back_references::BackReferences;
use crate::btrfs::diff::directory_listing::Listing;
use crate::btrfs::diff::directory_size_check::DirectorySizeCheck;
use crate::btrfs::diff::written_inodes::ScannedTree;
use crate::btrfs::top_level::Top;
use crate::btrfs::tree_items::InodeItem;
use crate::btrfs::tree_queries::{InodeFacts, Searcher, nested_subvolumes};
use crate::sys::tree_search::Item;

/// More inodes than this are not read ahead: what is known of them takes memory.
const INODES: usize = 1 << 16;
/// Directories are read ahead up to this sum of their sizes, which count each name's bytes twice.
const DIRECTORY_BYTES: u64 = 4 << 20;
/// To look into a gap takes as long as to list this many bytes of a directory's size.
const GAP_BYTES: u64 = 256;
/// Fewer are not worth a thread.
const PER_THREAD: usize = 32;

/// What was read of one tree.
#[derive(Debug, Default)]
pub struct Prefetched {
    pub(crate) inodes: HashMap<u64, InodeFacts>,
    pub(crate) listings: HashMap<u64, Listing>,
}

/// Reads ahead in the older and in the newer tree, and finds out what came and went.
pub(crate) fn prefetch<'a>(
    top: &Top,
    older: &'a ScannedTree<'_>,
    newer: &'a ScannedTree<'_>,
) -> io::Result<(Prefetched, Prefetched, DirectorySizeCheck<'a>)> {
    let mut inodes = newer.touched.old_inodes();
    let whole = inodes.len() <= INODES && older.touched.is_empty();
    inodes.truncate(INODES);
    let (mut old, mut former) = (Prefetched::default(), BackReferences::default());
    for (found, names) in in_threads(&inodes, |part| read_known_inodes(top, older, part))? {
        old.inodes.extend(found);
        former.append(&names);
    }
    former.sort();
    let nested = if whole { nested_dirs(top, newer)? } else { Vec::new() };
    let mut size_check = DirectorySizeCheck { touched: &newer.touched, former, nested, whole };
    let mut open = size_check.open(&inodes, &old.inodes);
    if whole && worth_a_look(&open, &newer.touched.gaps) {
        for (found, names) in
            in_threads(&newer.touched.gaps, |part| find_lost_inodes(top, older, newer, part))?
        {
            old.inodes.extend(found);
            size_check.former.append(&names);
        }
        size_check.former.sort();
        open = size_check.open(&inodes, &old.inodes);
    }
    let mut new = Prefetched::default();
    inodes.retain(|ino| {
        let (before, now) = (old.inodes.get(ino), newer.touched.inode(*ino));
        before.and_then(|before| before.item).zip(now).is_some_and(|(a, b)| may_be_same(&a, b))
    });
    for (found, _) in in_threads(&inodes, |part| read_known_inodes(top, newer, part))? {
        new.inodes.extend(found);
    }
    let open = within_budget(&open);
    for (side, prefetched) in [(older, &mut old), (newer, &mut new)] {
        for listings in in_threads(&open, |part| list_directories(top, side, part))? {
            prefetched.listings.extend(listings);
        }
    }
    Ok((old, new, size_check))
}

/// Whether nothing but extended attributes and what is inside can tell two states of an inode apart.
fn may_be_same(a: &InodeItem, b: &InodeItem) -> bool {
    let is_file = FileType::from_mode(a.mode) == Some(FileType::File);
    let same = (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid) && !a.flags_differ(b);
    same && (!is_file || a.size == b.size)
}

/// The directories of the newer tree in which a subvolume has its name, sorted.
fn nested_dirs(top: &Top, newer: &ScannedTree<'_>) -> io::Result<Vec<u64>> {
    let nested = nested_subvolumes(top, newer.subvolume.info.id).map_err(io::Error::other)?;
    let mut dirs: Vec<u64> = nested.iter().map(|nested| nested.dir).collect();
    dirs.sort_unstable();
    Ok(dirs)
}

/// Whether it takes less to look for deleted inodes than to list the directories that lost some.
fn worth_a_look(open: &[(u64, u64)], gaps: &[(u64, u64)]) -> bool {
    let bytes = open.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    (gaps.len() as u64).saturating_mul(GAP_BYTES) < bytes
}

fn within_budget(open: &[(u64, u64)]) -> Vec<u64> {
    let mut budget = DIRECTORY_BYTES;
    let affordable = open.iter().filter(|(_, bytes)| {
        let rest = budget.checked_sub(*bytes);
        budget = rest.unwrap_or(budget);
        rest.is_some()
    });
    affordable.map(|(ino, _)| *ino).collect()
}

/// Does `work` on runs of `all` at once; the results come in their order.
pub(crate) fn in_threads<I: Sync, T: Send>(
    all: &[I],
    work: impl Fn(&[I]) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let each = all.len().div_ceil(threads).max(PER_THREAD);
    std::thread::scope(|scope| {
        let mut parts = all.chunks(each);
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        let mut done = Vec::with_capacity(others.len() + 1);
        done.extend(first.map(&work).transpose()?);
        for other in others {
            done.push(other.join().map_err(|_| io::Error::other("a thread ended early"))??);
        }
        Ok(done)
    })
}

/// Inodes with what is known of them, and their names.
type Known = (Vec<(u64, InodeFacts)>, BackReferences);

fn read_known_inodes(top: &Top, side: &ScannedTree<'_>, inodes: &[u64]) -> io::Result<Known> {
    let mut search = Searcher::subvolume(side.subvolume.fd.as_fd(), top);
    let (mut known, mut names) = (Vec::with_capacity(inodes.len()), BackReferences::default());
    for &ino in inodes {
        let facts = search.facts(ino, |item| {
            names.push_item(item, |_| false);
        })?;
        known.push((ino, facts));
    }
    Ok((known, names))
}

/// The inodes in `gaps` that the older tree has and the newer one does not.
fn find_lost_inodes(
    top: &Top,
    older: &ScannedTree<'_>,
    newer: &ScannedTree<'_>,
    gaps: &[(u64, u64)],
) -> io::Result<Known> {
    let mut search = Searcher::subvolume(older.subvolume.fd.as_fd(), top);
    let mut search_newer = Searcher::subvolume(newer.subvolume.fd.as_fd(), top);
    let (mut known, mut names) = (Vec::new(), BackReferences::default());
    for &gap in gaps {
        let (mut found, mut found_names) = (Vec::new(), BackReferences::default());
        let push = |item: Item<'_>| {
            found_names.push_item(item, |_| false);
        };
        search.each_facts(gap, push, |ino, facts| found.push((ino, facts)))?;
        if found.is_empty() {
            continue;
        }
        // They may lie in a small block that was not written.
        let mut still_there = Vec::new();
        search_newer.each_facts(gap, |_| {}, |ino, _| still_there.push(ino))?;
        found.retain(|(ino, _)| !still_there.contains(ino));
        found_names.retain(|_, child| !still_there.contains(&child));
        known.append(&mut found);
        names.append(&found_names);
    }
    Ok((known, names))
}

fn list_directories(
    top: &Top,
    side: &ScannedTree<'_>,
    dirs: &[u64],
) -> io::Result<Vec<(u64, Listing)>> {
    let mut search = Searcher::subvolume(side.subvolume.fd.as_fd(), top);
    let listed = dirs.iter().map(|&ino| {
        let mut listing = Listing::default();
        search.each_entry(ino, |item| listing.push_items(item))?;
        Ok((ino, listing))
    });
    listed.collect()
}
