//! Reads ahead, both trees at once in two threads, what the descent will ask for one by one.
//!
//! It only saves time: what is not read ahead is searched for when it is needed.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use super::Side;
use super::listing::{Entry, Listing};
use crate::btrfs::items::{InodeItem, dir_items, kind};
use crate::btrfs::search::Searcher;
use crate::btrfs::top::Top;
use crate::kernel::tree_search::Key;

/// More inodes than this are not read ahead: what is known of them takes memory.
const INODES: usize = 1 << 14;
/// Directories are read ahead up to this sum of their sizes, which count each name's bytes twice.
const DIRECTORY_BYTES: u64 = 4 << 20;

/// Extended attributes with their values, sorted.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What was read of one tree.
#[derive(Debug, Default)]
pub struct Ahead {
    pub inodes: HashMap<u64, (Option<InodeItem>, Xattrs)>,
    pub listings: HashMap<u64, Listing>,
}

/// Reads ahead in the older and in the newer tree.
pub fn read(top: &Top, older: &Side<'_>, newer: &Side<'_>) -> io::Result<(Ahead, Ahead)> {
    let mut inodes = newer.touched.old_inodes();
    inodes.truncate(INODES);
    let (old, new) =
        both(|| read_inodes(top, older, &inodes), || read_inodes(top, newer, &inodes))?;
    let mut budget = DIRECTORY_BYTES;
    let mut lost = Vec::new();
    for &ino in &inodes {
        let (_, news) = newer.touched.new_entries(ino);
        let added: u64 = news.iter().map(Entry::directory_bytes).sum();
        let (before, now) = (old.get(&ino).and_then(|(item, _)| *item), newer.touched.inode(ino));
        if let (Some(before), Some(now)) = (before, now)
            && now.is_directory()
            && now.size != before.size.saturating_add(added)
            && let Some(rest) = budget.checked_sub(before.size.saturating_add(now.size))
        {
            budget = rest;
            lost.push(ino);
        }
    }
    let (old_lists, new_lists) = both(|| list(top, older, &lost), || list(top, newer, &lost))?;
    let older = Ahead { inodes: old, listings: old_lists };
    Ok((older, Ahead { inodes: new, listings: new_lists }))
}

fn both<T: Send>(
    first: impl FnOnce() -> io::Result<T> + Send,
    second: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, T)> {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().map_err(|_| io::Error::other("a thread ended early"))?;
        Ok((first?, second?))
    })
}

fn read_inodes(
    top: &Top,
    side: &Side<'_>,
    inodes: &[u64],
) -> io::Result<HashMap<u64, (Option<InodeItem>, Xattrs)>> {
    let mut search = Searcher::subvolume(side.subvolume.fd.as_fd(), top);
    let mut known = HashMap::with_capacity(inodes.len());
    for &ino in inodes {
        let (mut inode, mut xattrs) = (None, Xattrs::new());
        let range = (Key::first(ino, kind::INODE_ITEM), Key::last(ino, kind::XATTR_ITEM));
        search.each(range, 0, |item| match item.key.kind {
            kind::INODE_ITEM => inode = InodeItem::parse(item.data),
            kind::XATTR_ITEM => {
                xattrs.extend(dir_items(item.data).map(|x| (x.name.to_vec(), x.value.to_vec())))
            }
            _ => {}
        })?;
        xattrs.sort();
        known.insert(ino, (inode, xattrs));
    }
    Ok(known)
}

fn list(top: &Top, side: &Side<'_>, dirs: &[u64]) -> io::Result<HashMap<u64, Listing>> {
    let mut search = Searcher::subvolume(side.subvolume.fd.as_fd(), top);
    let mut known = HashMap::with_capacity(dirs.len());
    for &ino in dirs {
        let mut listing = Listing::default();
        search.each_entry(ino, |item| listing.push_items(item, 0))?;
        known.insert(ino, listing);
    }
    Ok(known)
}
