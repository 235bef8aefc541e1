//! Directory entries, kept compactly: half a million of them fit in tens of megabytes.

use dirfd::FileType;

use crate::btrfs::tree_items::{Target, dir_items};
use crate::sys::tree_search::Item;

/// One entry of a directory; its name lies in the arena of its listing.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    start: u64,
    /// Its place in the directory; never given to another entry of the same directory again.
    pub index: u64,
    len: u8,
    pub(crate) file_type: FileType,
    pub(crate) target: Target,
}

/// Entries with their names in one arena.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    entries: Vec<Entry>,
}

impl Listing {
    pub(crate) fn push(&mut self, name: &[u8], index: u64, file_type: FileType, target: Target) {
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

    /// Adds all entries of `other` behind its own.
    pub fn append(&mut self, other: &Self) {
        let base = self.names.len() as u64;
        self.names.extend_from_slice(&other.names);
        let moved = other.entries.iter().map(|e| Entry { start: e.start + base, ..*e });
        self.entries.extend(moved);
    }

    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        self.names.get(start..start + usize::from(entry.len)).unwrap_or_default()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    /// The inode of the directory that this leads to, if it does and it is of the same subvolume.
    pub fn directory(&self) -> Option<u64> {
        match self.target {
            Target::Inode(ino) if self.file_type == FileType::Dir => Some(ino),
            _ => None,
        }
    }
}
