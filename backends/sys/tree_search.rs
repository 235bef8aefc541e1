//! `BTRFS_IOC_TREE_SEARCH_V2`: items of a B-tree in order, only from blocks written since a
//! transaction (`linux/btrfs.h`, `linux/btrfs_tree.h`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

mod raw {

    nix::ioctl_readwrite!(tree_search_v2, 0x94, 17, super::RawSearchHead);
}

/// The range and filter of a tree search, as the kernel lays it out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawSearchKey {
    tree_id: u64,
    min_objectid: u64,
    max_objectid: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    nr_items: u32,
    unused: u32,
    unused_more: [u64; 4],
}

#[repr(C)]
struct RawSearchHead {
    key: RawSearchKey,
    buf_size: u64,
}

const _: () = assert!(size_of::<RawSearchHead>() == 112, "the ioctl's number contains its size");

/// The key of an item in a B-tree; ordered as the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Usually an inode number.
    pub objectid: u64,
    /// `BTRFS_*_KEY`.
    pub kind: u8,
    /// What it means depends on `kind`.
    pub offset: u64,
}

impl Key {
    /// The lowest key of one kind of items of one object.
    pub fn first(objectid: u64, kind: u8) -> Self {
        Self { objectid, kind, offset: 0 }
    }

    /// The highest key of one kind of items of one object.
    pub fn last(objectid: u64, kind: u8) -> Self {
        Self { objectid, kind, offset: u64::MAX }
    }

    /// The highest key of one object.
    pub fn last_of(objectid: u64) -> Self {
        Self::last(objectid, u8::MAX)
    }

    /// The next higher key, if there is one.
    pub fn next(self) -> Option<Self> {
        if let Some(offset) = self.offset.checked_add(1) {
            Some(Self { offset, ..self })
        } else if let Some(kind) = self.kind.checked_add(1) {
            Some(Self { kind, offset: 0, ..self })
        } else {
            self.objectid.checked_add(1).map(|objectid| Self { objectid, kind: 0, offset: 0 })
        }
    }
}

/// A buffer for tree searches, used again and again.
#[derive(Debug)]
pub struct SearchBuffer {
    /// `u64` for its alignment: the head comes first, then what was found.
    words: Vec<u64>,
    items: u32,
    limit: u32,
}

const HEAD: usize = size_of::<RawSearchHead>();

impl SearchBuffer {
    /// With room for `bytes` of results. Larger is not faster: the kernel touches every page of
    /// what is left of it once for each block that it reads.
    pub fn new(bytes: usize) -> Self {
        Self { words: vec![0; HEAD.div_ceil(8) + bytes.div_ceil(8)], items: 0, limit: 0 }
    }

    /// Searches tree `tree` (0: the subvolume that `fd` is in) for items from `min` to `max` that
    /// lie in blocks written by transaction `min_transid` or later. Needs `CAP_SYS_ADMIN`.
    ///
    /// Fills the buffer with as many items as fit, at most `limit`, in order; none when the range
    /// has no more.
    pub fn search(
        &mut self,
        fd: impl AsFd,
        tree: u64,
        (min, max): (Key, Key),
        min_transid: u64,
        limit: u32,
    ) -> io::Result<()> {
        let room = (self.words.len() * 8 - HEAD) as u64;
        let head = RawSearchHead {
            key: RawSearchKey {
                tree_id: tree,
                min_objectid: min.objectid,
                max_objectid: max.objectid,
                min_offset: min.offset,
                max_offset: max.offset,
                min_transid,
                max_transid: u64::MAX,
                min_type: min.kind.into(),
                max_type: max.kind.into(),
                nr_items: limit,
                ..RawSearchKey::default()
            },
            buf_size: room,
        };
        let place: *mut RawSearchHead = self.words.as_mut_ptr().cast();
        // SAFETY: the vector is aligned for `u64`, as the head is, and longer than the head. The
        // kernel writes the head and at most `buf_size` bytes behind it, which is the vector's rest.
        let head = unsafe {
            place.write(head);
            raw::tree_search_v2(fd.as_fd().as_raw_fd(), place)?;
            place.read()
        };
        (self.items, self.limit) = (head.key.nr_items, limit);
        Ok(())
    }

    /// Whether the last search ended at its limit or for want of room rather than of items: an
    /// item of up to `node_size` bytes might not have fitted.
    pub fn may_have_more(&self, node_size: u32) -> bool {
        let used: usize = self.items().map(|item| ITEM_HEAD + item.data.len()).sum();
        let full = self.bytes().len() - used < node_size as usize + ITEM_HEAD;
        self.items > 0 && (full || self.items >= self.limit)
    }

    /// The items that were found, in order.
    pub fn items(&self) -> Items<'_> {
        Items::new(self.bytes(), self.items)
    }

    fn bytes(&self) -> &[u8] {
        let len = self.words.len() * 8;
        // SAFETY: any initialised `u64` is eight valid bytes, and the borrow covers just the vector.
        let bytes = unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), len) };
        &bytes[HEAD..]
    }
}

/// Bytes of `struct btrfs_ioctl_search_header`.
const ITEM_HEAD: usize = 32;

/// One item of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its key.
    pub key: Key,
    /// Its content, in the layout of `linux/btrfs_tree.h`.
    pub data: &'a [u8],
}

/// The items in a search's result. Pure; ends early, and for good, where the bytes make no sense.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl<'a> Items<'a> {
    /// `bytes` holds `count` items, each with its header.
    pub fn new(bytes: &'a [u8], count: u32) -> Self {
        Self { bytes, left: count }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let left = self.left.checked_sub(1)?;
        match split_item(self.bytes) {
            Some((item, rest)) => {
                (self.bytes, self.left) = (rest, left);
                Some(item)
            }
            // Behind what makes no sense, nothing does.
            None => {
                self.left = 0;
                None
            }
        }
    }
}

/// The first item, with its header, and the bytes behind it.
fn split_item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<ITEM_HEAD>()?;
    let word = |at: usize| head[at..].first_chunk::<8>().map(|b| u64::from_ne_bytes(*b));
    let half = |at: usize| head[at..].first_chunk::<4>().map(|b| u32::from_ne_bytes(*b));
    let (data, rest) = rest.split_at_checked(half(28)? as usize)?;
    let key = Key { objectid: word(8)?, kind: u8::try_from(half(24)?).ok()?, offset: word(16)? };
    Some((Item { key, data }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: u32, data: &[u8]) -> Vec<u8> {
        let words = [7u64, 257, 0].map(u64::to_ne_bytes).concat();
        let halves = [kind, data.len() as u32].map(u32::to_ne_bytes).concat();
        [&words, &halves, data].concat()
    }

    #[test]
    fn items_end_for_good_where_the_bytes_make_no_sense() {
        let bytes = [item(1, b"a"), item(256, b"no byte"), item(1, b"b")].concat();
        let mut items = Items::new(&bytes, 3);
        assert_eq!(items.next().map(|item| item.data), Some(&b"a"[..]));
        assert_eq!((items.next(), items.next()), (None, None));
    }

    #[test]
    fn a_count_that_lies_shows_no_more_than_there_is() {
        let bytes = [item(1, b"a"), item(1, b"")].concat();
        assert_eq!(Items::new(&bytes, u32::MAX).count(), 2);
        assert_eq!(Items::new(&bytes, 1).count(), 1);
        assert_eq!(Items::new(&bytes[..bytes.len() - 1], 2).count(), 1);
    }
}
