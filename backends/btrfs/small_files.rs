//! What small files hold: Btrfs keeps their bytes in the tree, beside the inode, so that one search tells of
//! many of them and none has to be opened.

use std::io;
use std::os::fd::AsFd;

use dirfd::FileType;
use dirfd::fingerprint::{ContentHasher, FileContent};

use crate::FoundInode;
use crate::btrfs::diff::change_rows::facts;
use crate::btrfs::diff::prefetch::in_threads;
use crate::btrfs::top_level::{Subvolume, Top};
use crate::btrfs::tree_items::{FileExtent, InodeItem, Source, dir_items, kind};
use crate::btrfs::tree_queries::Searcher;
use crate::sys::tree_search::{Item, Key};

/// To pass over so many inodes takes less than another search.
const GAP: u64 = 16;
/// The kernel may not list more extended attributes of one file (listxattr(2)): those are looked at one by one.
const XATTRS: usize = 16;

/// What each of these files of a tree holds; `None` of those that are no longer as they were found, that have
/// their bytes elsewhere, or of which the kernel tells something else than the tree has.
pub(crate) fn read_small_files(
    top: &Top,
    tree: &Subvolume,
    files: &[Option<FoundInode>],
) -> io::Result<Vec<Option<FileContent>>> {
    let mut held = vec![None; files.len()];
    let mut wanted: Vec<(u64, usize)> = Vec::new();
    wanted.extend(files.iter().enumerate().filter_map(|(at, file)| {
        let file = file.as_ref()?;
        Some((file.number.get(), at))
    }));
    wanted.sort_unstable();
    let found = in_threads(&wanted, |share| {
        let mut search = Searcher::subvolume(tree.fd.as_fd(), top);
        let mut found = Vec::new();
        for run in share.chunk_by(|a, b| b.0 - a.0 <= GAP) {
            read_run(&mut search, run, files, &mut found)?;
        }
        Ok(found)
    })?;
    for (at, what) in found.into_iter().flatten() {
        held[at] = what;
    }
    Ok(held)
}

/// The same of files whose inodes lie close together; each is told with its place among all.
fn read_run(
    search: &mut Searcher<'_>,
    run: &[(u64, usize)],
    files: &[Option<FoundInode>],
    found: &mut Vec<(usize, Option<FileContent>)>,
) -> io::Result<()> {
    let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { return Ok(()) };
    let mut rest = run;
    let mut open = SmallFile::default();
    let mut close = |ino: u64, file: &mut SmallFile| {
        // Hard links are several files of one inode.
        while let Some((number, at)) = rest.first().filter(|(number, _)| *number <= ino) {
            let is_found = *number == ino;
            found.extend(is_found.then(|| (*at, file.held(files[*at].as_ref()))));
            rest = &rest[1..];
        }
        file.clear();
    };
    let mut current = 0;
    let range = (Key::first(*first, kind::INODE_ITEM), Key::last(*last, kind::EXTENT_DATA));
    search.each_but(range, 0, |item| {
        if item.key.objectid != current {
            close(current, &mut open);
            current = item.key.objectid;
        }
        open.take(item)
    })?;
    close(current, &mut open);
    Ok(())
}

/// What the tree tells of one inode.
#[derive(Debug, Default)]
struct SmallFile {
    item: Option<InodeItem>,
    /// Names and values.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// All bytes, if they are here.
    bytes: Option<Vec<u8>>,
    /// Some of its bytes lie elsewhere.
    is_large: bool,
}

impl SmallFile {
    /// Takes an item and says from which on there is more to take, if not from the next.
    fn take(&mut self, item: Item<'_>) -> Option<Key> {
        match item.key.kind {
            kind::INODE_ITEM => self.item = InodeItem::parse(item.data),
            kind::XATTR_ITEM => {
                let xattrs = dir_items(item.data);
                self.xattrs.extend(xattrs.map(|one| (one.name.to_vec(), one.value.to_vec())));
            }
            kind::EXTENT_DATA => {
                let extent = FileExtent::parse(item.key.offset, item.data);
                match extent.map(|extent| (extent.start, extent.source)) {
                    Some((0, Source::Inline(bytes))) => self.bytes = Some(bytes.to_vec()),
                    _ => self.is_large = true,
                }
                return self.is_large.then(|| Key::last_of(item.key.objectid).next()).flatten();
            }
            kind::DIR_ITEM.. => return Key::last_of(item.key.objectid).next(),
            _ => {}
        }
        None
    }

    fn held(&mut self, expected: Option<&FoundInode>) -> Option<FileContent> {
        let (item, expected) = (self.item?, expected?);
        let file_type = FileType::from_mode(item.mode)?;
        if facts(file_type, &item) != expected.facts || item.has_owners_flags() {
            return None;
        }
        let mut hasher = ContentHasher::default();
        self.xattrs.sort();
        let is_told = self.xattrs.iter().all(|(name, _)| is_told_as_kept(name));
        if !is_told || self.xattrs.len() > XATTRS {
            return None;
        }
        self.xattrs.iter().for_each(|(name, value)| hasher.add_xattr(name, value));
        let bytes = match &self.bytes {
            _ if self.is_large => return None,
            Some(bytes) if bytes.len() as u64 == item.size => bytes.as_slice(),
            None if item.size == 0 || file_type == FileType::Dir => &[],
            _ => return None,
        };
        match file_type {
            FileType::File if !bytes.is_empty() => hasher.add_bytes(bytes),
            FileType::File | FileType::Dir | FileType::Symlink => {}
            _ => return None,
        }
        let target = if file_type == FileType::Symlink { bytes.to_vec() } else { Vec::new() };
        Some(FileContent { content: hasher.finish(), target })
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Whether the kernel tells an extended attribute as the tree has it. Access control lists are kept in another
/// form, properties of Btrfs (btrfs(5)) are more than their bytes, and our own marks do not count.
fn is_told_as_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"security.")
}
