//! Questions to the B-trees: what an inode is, what a directory holds, who is nested where.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use dirfd::error::Torn;
use dirfd::{Error, Result};
use uuid::Uuid;

use crate::btrfs::top_level::{ROOT_INODE, Top};
use crate::btrfs::tree_items::{
    FileExtent, InodeItem, RootItem, RootRef, Source, Target, dir_items, inode_refs, kind,
};
use crate::sys::tree_search::{Item, Key, SearchBuffer};

/// The tree of tree roots (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// The tree that finds subvolumes by UUID (`BTRFS_UUID_TREE_OBJECTID`).
const UUID_TREE: u64 = 9;
/// The directory in it that holds the name "default" (`BTRFS_ROOT_TREE_DIR_OBJECTID`).
const ROOT_TREE_DIR: u64 = 6;
/// The subvolume that all others are in (`BTRFS_FS_TREE_OBJECTID`).
pub const TOP_LEVEL: u64 = 5;
/// The highest number that an inode can have (`BTRFS_LAST_FREE_OBJECTID`).
const LAST_INODE: u64 = u64::MAX - 255;
/// Bytes of a search's result. Measured: larger buffers cost the kernel more than they save.
const BUFFER: usize = 128 * 1024;
/// Items that a search which may skip some gets at once. Measured: copying an item takes a fifth of
/// a microsecond, another call as long as seven of them.
const STEP: u32 = 64;

/// Searches in one tree, with a buffer that is used again and again.
#[derive(Debug)]
pub struct Searcher<'fd> {
    fd: BorrowedFd<'fd>,
    tree: u64,
    node_size: u32,
    buffer: SearchBuffer,
}

impl<'fd> Searcher<'fd> {
    /// Searches in the subvolume that `fd` is in.
    pub fn subvolume(fd: BorrowedFd<'fd>, top: &Top) -> Self {
        Self::tree(fd, 0, top)
    }

    /// The same for a few items at a time: the kernel touches a whole buffer at each search.
    pub fn few(fd: BorrowedFd<'fd>, top: &Top) -> Self {
        Self::with_room(fd, 0, top, 2 * top.info().node_size as usize)
    }

    /// Searches in the tree of tree roots, of which only a few items at a time are asked for.
    pub fn roots(top: &'fd Top) -> Self {
        Self::with_room(top.as_fd(), ROOT_TREE, top, 2 * top.info().node_size as usize)
    }

    fn tree(fd: BorrowedFd<'fd>, tree: u64, top: &Top) -> Self {
        Self::with_room(fd, tree, top, BUFFER)
    }

    /// `bytes` of room, more than a block, since an item may be that large.
    fn with_room(fd: BorrowedFd<'fd>, tree: u64, top: &Top, bytes: usize) -> Self {
        let node_size = top.info().node_size;
        Self { fd, tree, node_size, buffer: SearchBuffer::new(bytes) }
    }

    /// Calls `each` for every item from `min` to `max` in blocks that `min_transid` or a later
    /// transaction wrote, in order.
    pub fn each(
        &mut self,
        range: (Key, Key),
        min_transid: u64,
        mut each: impl FnMut(Item<'_>),
    ) -> io::Result<()> {
        self.steps(range, min_transid, u32::MAX, |item| {
            each(item);
            None
        })
    }

    /// As [`Searcher::each`], where `each` answers from which key on more is wanted, if not from
    /// the very next. What lies between may be told or not.
    pub fn each_but(
        &mut self,
        range: (Key, Key),
        min_transid: u64,
        each: impl FnMut(Item<'_>) -> Option<Key>,
    ) -> io::Result<()> {
        self.steps(range, min_transid, STEP, each)
    }

    fn steps(
        &mut self,
        (mut min, max): (Key, Key),
        min_transid: u64,
        limit: u32,
        mut each: impl FnMut(Item<'_>) -> Option<Key>,
    ) -> io::Result<()> {
        loop {
            self.buffer.search(self.fd, self.tree, (min, max), min_transid, limit)?;
            let mut next = None;
            for item in self.buffer.items() {
                let key = item.key;
                next = each(item).max(key.next());
            }
            match next {
                Some(next) if next <= max && self.buffer.may_have_more(self.node_size) => {
                    min = next;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Every item of one kind of one object.
    pub fn each_of(&mut self, object: u64, kind: u8, each: impl FnMut(Item<'_>)) -> io::Result<()> {
        self.each((Key::first(object, kind), Key::last(object, kind)), 0, each)
    }

    /// The inode `ino`; `None` where there is none any more.
    pub fn inode(&mut self, ino: u64) -> io::Result<Option<InodeItem>> {
        let mut found = None;
        self.each_of(ino, kind::INODE_ITEM, |item| found = InodeItem::parse(item.data))?;
        Ok(found)
    }

    /// A number that no inode of the tree exceeds, at most twice the highest.
    pub fn inode_bound(&mut self) -> io::Result<u64> {
        let mut bound = 512;
        loop {
            let rest = (Key::first(bound + 1, 0), Key::last(LAST_INODE, u8::MAX));
            self.buffer.search(self.fd, self.tree, rest, 0, 1)?;
            if self.buffer.items().next().is_none() || bound > LAST_INODE / 2 {
                return Ok(bound.min(LAST_INODE));
            }
            bound *= 2;
        }
    }

    /// Every entry of the directory `ino`, in the order in which they were made.
    pub fn each_entry(&mut self, ino: u64, each: impl FnMut(Item<'_>)) -> io::Result<()> {
        self.each_of(ino, kind::DIR_INDEX, each)
    }

    /// What is known of `ino` alone: its item, its names, its extended attributes. `each_name` is
    /// given the items with its names.
    pub fn facts(&mut self, ino: u64, each_name: impl FnMut(Item<'_>)) -> io::Result<InodeFacts> {
        let mut found = InodeFacts::default();
        self.each_facts((ino, ino), each_name, |_, facts| found = facts)?;
        Ok(found)
    }

    /// The same of every inode from `first` to `last`, in order.
    pub fn each_facts(
        &mut self,
        (first, last): (u64, u64),
        mut each_name: impl FnMut(Item<'_>),
        mut each: impl FnMut(u64, InodeFacts),
    ) -> io::Result<()> {
        let mut open: Option<(u64, InodeFacts)> = None;
        let range = (Key::first(first, kind::INODE_ITEM), Key::last(last, kind::XATTR_ITEM));
        let mut close = |open: Option<(u64, InodeFacts)>| {
            if let Some((ino, mut facts)) = open {
                facts.xattrs.sort();
                each(ino, facts);
            }
        };
        self.each_but(range, 0, |item| {
            let ino = item.key.objectid;
            if open.as_ref().is_none_or(|(of, _)| *of != ino) {
                close(open.replace((ino, InodeFacts::default())));
            }
            let (_, facts) = open.as_mut()?;
            match item.key.kind {
                kind::INODE_ITEM => facts.item = InodeItem::parse(item.data),
                kind::INODE_REF | kind::INODE_EXTREF => each_name(item),
                kind::XATTR_ITEM => {
                    let attributes = dir_items(item.data);
                    facts.xattrs.extend(attributes.map(|x| (x.name.to_vec(), x.value.to_vec())));
                }
                kind::DIR_ITEM.. => return Key::last_of(ino).next(),
                _ => {}
            }
            None
        })?;
        close(open);
        Ok(())
    }
}

/// Extended attributes with their values, sorted.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// An inode as a tree has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InodeFacts {
    /// `None` where there is none any more.
    pub item: Option<InodeItem>,
    /// What `getxattr` would tell.
    pub xattrs: Xattrs,
}

/// The number of the subvolume that a mount without a name leads to.
pub fn default_subvolume(top: &Top) -> Result<u64> {
    let mut found = TOP_LEVEL;
    Searcher::roots(top)
        .each_of(ROOT_TREE_DIR, kind::DIR_ITEM, |item| {
            for entry in dir_items(item.data).filter(|entry| entry.name == b"default") {
                if let Target::Subvolume(id) = entry.target {
                    found = id;
                }
            }
        })
        .map_err(|e| Error::io("read which subvolume is the default one", e))?;
    Ok(found)
}

/// The subvolume that the one with this UUID is a snapshot of; `None` where it is none, or is gone.
pub fn parent_of(top: &Top, uuid: Uuid) -> io::Result<Option<Uuid>> {
    // The tree is keyed by both halves of the UUID (`btrfs_uuid_to_key`).
    let (low, high) = uuid.as_u64_pair();
    let key =
        Key { objectid: low.swap_bytes(), kind: kind::UUID_SUBVOL, offset: high.swap_bytes() };
    let mut id = None;
    let mut search =
        Searcher::with_room(top.as_fd(), UUID_TREE, top, 2 * top.info().node_size as usize);
    search.each((key, key), 0, |item| {
        id = item.data.first_chunk().copied().map(u64::from_le_bytes);
    })?;
    let Some(id) = id else { return Ok(None) };
    let mut parent = None;
    Searcher::roots(top).each_of(id, kind::ROOT_ITEM, |item| {
        parent = RootItem::parse(item.data).filter(|root| root.uuid == uuid);
    })?;
    Ok(parent.and_then(|root| root.parent_uuid))
}

/// A subvolume that has its name inside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    pub(crate) id: u64,
    /// The inode of the directory that has its name.
    pub dir: u64,
    pub(crate) name: Vec<u8>,
}

/// The subvolumes whose names lie directly in subvolume `id`.
pub fn nested_subvolumes(top: &Top, id: u64) -> Result<Vec<Nested>> {
    let mut found = Vec::new();
    Searcher::roots(top)
        .each_of(id, kind::ROOT_REF, |item| {
            if let Some(parsed) = RootRef::parse(item.data) {
                let name = parsed.name.to_vec();
                found.push(Nested { id: item.key.offset, dir: parsed.dir, name });
            }
        })
        .map_err(|e| Error::io(format!("read which subvolumes are inside subvolume {id}"), e))?;
    Ok(found)
}

/// The path of subvolume `id` from the top level on: the directory that has its name, with a slash at
/// its end, and the name; `None` where it has none any more.
pub fn place_of(top: &Top, id: u64) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut place: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut at = id;
    // No subvolume lies in itself; a torn view may say so.
    let mut passed = HashSet::new();
    while at != TOP_LEVEL && passed.insert(at) {
        let mut above = None;
        Searcher::roots(top).each_of(at, kind::ROOT_BACKREF, |item| {
            let parsed = RootRef::parse(item.data);
            above = parsed.map(|name| (item.key.offset, name.dir, name.name.to_vec()));
        })?;
        let Some((parent, dir, name)) = above else { return Ok(None) };
        let dir = path_of(top, parent, dir)?;
        place = Some(match place {
            None => (dir, name),
            Some((below, last)) => ([dir.as_slice(), &name, b"/", &below].concat(), last),
        });
        at = parent;
    }
    Ok(place)
}

/// The path of directory `ino` below the root of subvolume `tree`, with a slash at its end; empty
/// for the root itself. However long it is, where `BTRFS_IOC_INO_LOOKUP` ends at 4080 bytes.
pub fn path_of(top: &Top, tree: u64, mut ino: u64) -> io::Result<Vec<u8>> {
    let mut search = Searcher::tree(top.as_fd(), tree, top);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut passed = HashSet::new();
    while ino != ROOT_INODE {
        // Directories that are moved into each other meanwhile would lead in a circle.
        if !passed.insert(ino) {
            return Err(Torn::here());
        }
        let mut above = None;
        search.each_of(ino, kind::INODE_REF, |item| {
            above =
                inode_refs(item.key.offset, item.data).next().map(|n| (n.parent, n.name.into()));
        })?;
        // Deleted since it was found, or just being moved: its old name is gone before it has the new one.
        let (parent, name) = above.ok_or_else(Torn::here)?;
        names.push(name);
        ino = parent;
    }
    Ok(names.iter().rev().flat_map(|name| [name.as_slice(), b"/"].concat()).collect())
}

/// Bytes on disk of the data extents that a transaction from `floor` on wrote for a subvolume.
pub fn bytes_written(search: &mut Searcher<'_>, floor: u64) -> io::Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0u64;
    let range = (Key::first(0, 0), Key::last(u64::MAX, u8::MAX));
    search.each(range, floor, |item| {
        if item.key.kind != kind::EXTENT_DATA {
            return;
        }
        let extent = FileExtent::parse(item.key.offset, item.data);
        if let Some(extent) = extent.filter(|extent| extent.generation >= floor) {
            let more = match extent.source {
                Source::Disk { address, .. } if !seen.insert(address) => 0,
                Source::Inline(data) | Source::Packed(data) => data.len() as u64,
                Source::Disk { .. } | Source::Zero => extent.disk_bytes,
            };
            bytes = bytes.saturating_add(more);
        }
    })?;
    Ok(bytes)
}
