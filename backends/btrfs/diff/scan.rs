//! Finds the inodes of a tree that were written since a transaction, and where they are.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

use crate::btrfs::items::{InodeItem, NameRef, Target, dir_items, inode_extrefs, inode_refs, kind};
use crate::btrfs::search::Searcher;
use crate::btrfs::top::{ROOT_INODE, Top};
use crate::changes::FileType;
use crate::kernel::tree_search::{Item, Key};

/// One entry of a directory; its name lies in the arena of its listing.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    start: u64,
    /// Its place in the directory; never given to another entry of the same directory again.
    pub index: u64,
    len: u8,
    pub file_type: FileType,
    pub target: Target,
}

/// Entries with their names in one arena.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    entries: Vec<Entry>,
}

impl Listing {
    pub fn push(&mut self, name: &[u8], index: u64, file_type: FileType, target: Target) {
        let start = self.names.len() as u64;
        self.names.extend_from_slice(name);
        // A file name has at most 255 bytes (BTRFS_NAME_LEN).
        let len = name.len().min(255) as u8;
        self.entries.push(Entry { start, index, len, file_type, target });
    }

    /// Adds the entries of one `DIR_INDEX` item.
    pub fn push_items(&mut self, item: Item<'_>) {
        for entry in dir_items(item.data) {
            if let Some(file_type) = entry.file_type() {
                self.push(entry.name, item.key.offset, file_type, entry.target);
            }
        }
    }

    pub fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        self.names.get(start..start + usize::from(entry.len)).unwrap_or_default()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

/// An inode whose item was written since the floor.
#[derive(Clone, Copy, Debug)]
pub struct TouchedInode {
    pub ino: u64,
    pub item: InodeItem,
}

/// Everything that was written in a tree since the floor.
#[derive(Debug, Default)]
pub struct Touched {
    /// The transaction from which on things count as touched.
    floor: u64,
    /// Sorted by inode number.
    inodes: Vec<TouchedInode>,
    /// The entries of directories that are new since the floor, each directory's together.
    entries: Listing,
    /// Directory inode and where its run in `entries` starts; sorted by inode number.
    runs: Vec<(u64, usize)>,
    /// For each directory that was not touched itself but leads to something that was: the entries
    /// that do.
    pub leads: HashMap<u64, Vec<(Box<[u8]>, u64)>>,
}

impl Touched {
    pub fn inode(&self, ino: u64) -> Option<&InodeItem> {
        let at = self.inodes.binary_search_by_key(&ino, |inode| inode.ino).ok()?;
        self.inodes.get(at).map(|inode| &inode.item)
    }

    /// The entries of a directory that is new since the floor, of [`new_listing`](Self::new_listing).
    pub fn new_directory(&self, ino: u64) -> Option<&[Entry]> {
        if self.inode(ino)?.generation < self.floor {
            return None;
        }
        let Ok(run) = self.runs.binary_search_by_key(&ino, |run| run.0) else {
            return Some(&[]);
        };
        let start = self.runs.get(run)?.1;
        let end = self.runs.get(run + 1).map_or(self.entries.len(), |next| next.1);
        self.entries.entries.get(start..end)
    }

    pub fn new_listing(&self) -> &Listing {
        &self.entries
    }
}

/// The names of touched inodes that are older than the floor. Those of newer ones lie in
/// directories that were touched when they got them.
struct OldNames {
    floor: u64,
    names: Vec<(u64, u64, Box<[u8]>)>,
    /// Names that were seen of the inode that is being read.
    seen: u32,
    incomplete: Vec<u64>,
}

/// Collects what was written in the subvolume behind `fd` in transaction `floor` or later.
pub fn touched(top: &Top, fd: BorrowedFd<'_>, floor: u64) -> io::Result<Touched> {
    let mut search = Searcher::subvolume(fd, top);
    let mut touched = Touched { floor, ..Touched::default() };
    let mut old = OldNames { floor, names: Vec::new(), seen: 0, incomplete: Vec::new() };
    let range = (Key::first(ROOT_INODE, 0), Key::last(u64::MAX - ROOT_INODE, u8::MAX));
    search.each(range, floor, |item| touched.take(item, &mut old))?;
    touched.close_inode(&mut old);
    for ino in std::mem::take(&mut old.incomplete) {
        old.names.retain(|(child, ..)| *child != ino);
        let names = (Key::first(ino, kind::INODE_REF), Key::last(ino, kind::INODE_EXTREF));
        search.each(names, 0, |item| {
            each_name(item, |name| old.names.push((ino, name.parent, name.name.into())));
        })?;
    }
    touched.lead(&mut search, old.names)?;
    Ok(touched)
}

fn each_name(item: Item<'_>, mut each: impl FnMut(NameRef<'_>)) {
    match item.key.kind {
        kind::INODE_REF => inode_refs(item.key.offset, item.data).for_each(&mut each),
        kind::INODE_EXTREF => inode_extrefs(item.data).for_each(&mut each),
        _ => {}
    }
}

impl Touched {
    fn take(&mut self, item: Item<'_>, old: &mut OldNames) {
        let ino = item.key.objectid;
        if item.key.kind == kind::INODE_ITEM {
            self.close_inode(old);
            // The block is new, but the item may be old.
            if let Some(item) = InodeItem::parse(item.data).filter(|item| item.transid >= old.floor)
            {
                self.inodes.push(TouchedInode { ino, item });
            }
            return;
        }
        let Some(current) = self.inodes.last().filter(|current| current.ino == ino) else {
            return;
        };
        let is_new = current.item.generation >= old.floor;
        match item.key.kind {
            kind::INODE_REF | kind::INODE_EXTREF if !is_new => each_name(item, |name| {
                old.seen += 1;
                old.names.push((ino, name.parent, name.name.into()));
            }),
            kind::DIR_INDEX if is_new => {
                if self.runs.last().is_none_or(|run| run.0 != ino) {
                    self.runs.push((ino, self.entries.len()));
                }
                self.entries.push_items(item);
            }
            _ => {}
        }
    }

    /// The names of one inode may lie in more than one block, and not all of them are new.
    fn close_inode(&mut self, old: &mut OldNames) {
        let seen = std::mem::take(&mut old.seen);
        if let Some(last) = self.inodes.last()
            && last.ino != ROOT_INODE
            && last.item.generation < old.floor
            && seen < last.item.links
            && !old.incomplete.last().is_some_and(|ino| *ino == last.ino)
        {
            old.incomplete.push(last.ino);
        }
    }

    /// Marks the way from the root to every name of an old touched inode.
    fn lead(
        &mut self,
        search: &mut Searcher<'_>,
        names: Vec<(u64, u64, Box<[u8]>)>,
    ) -> io::Result<()> {
        for (ino, parent, name) in names {
            let (mut child, mut parent, mut name) = (ino, parent, name);
            // A touched directory is listed whole, and marks the way to itself.
            while self.inode(parent).is_none() {
                let is_new = !self.leads.contains_key(&parent);
                let leads = self.leads.entry(parent).or_default();
                if !leads.iter().any(|(known, _)| *known == name) {
                    leads.push((name, child));
                }
                if !is_new || parent == ROOT_INODE {
                    break;
                }
                child = parent;
                let mut up = None;
                search.each_of(child, kind::INODE_REF, |item| {
                    each_name(item, |found| up = Some((found.parent, Box::from(found.name))));
                })?;
                match up {
                    Some(found) => (parent, name) = found,
                    // Removed since: nothing leads there any more.
                    None => break,
                }
            }
        }
        Ok(())
    }
}
