//! Both trees side by side, with what reading their inodes and directories needs.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use dirfd::boundary::Boundary;
use dirfd::directory_walker::open_path;
use dirfd::stat::{Place, Stat, is_gone};
use dirfd::{Change, ChangeKind, FileType, TreePath};

use crate::btrfs::diff::directory_listing::Listing;
use crate::btrfs::diff::directory_pair::DirectoryNames;
use crate::btrfs::diff::directory_size_check::DirectorySizeCheck;
use crate::btrfs::diff::prefetch::Prefetched;
use crate::btrfs::diff::written_inodes::ScannedTree;
use crate::btrfs::top_level::{Subvolume, Top};
use crate::btrfs::tree_items::InodeItem;
use crate::btrfs::tree_queries::{Searcher, Xattrs, nested_subvolumes, path_of};

/// One of the trees with what reading it needs.
pub struct TreeReader<'a> {
    pub(crate) side: &'a ScannedTree<'a>,
    pub(crate) search: Searcher<'a>,
    pub(crate) prefetched: Prefetched,
}

impl<'a> TreeReader<'a> {
    pub(crate) fn new(top: &Top, side: &'a ScannedTree<'a>, prefetched: Prefetched) -> Self {
        Self { side, search: Searcher::subvolume(side.subvolume.fd.as_fd(), top), prefetched }
    }

    pub(crate) fn inode(&mut self, ino: u64) -> io::Result<Option<InodeItem>> {
        match self.side.touched.inode(ino) {
            Some(item) => Ok(Some(*item)),
            None => match self.prefetched.inodes.get(&ino) {
                Some(facts) => Ok(facts.item),
                None => self.search.inode(ino),
            },
        }
    }

    fn xattrs(&mut self, ino: u64) -> io::Result<Cow<'_, Xattrs>> {
        match self.prefetched.inodes.get(&ino) {
            Some(facts) => Ok(Cow::Borrowed(&facts.xattrs)),
            None => Ok(Cow::Owned(self.search.facts(ino, |_| {})?.xattrs)),
        }
    }

    pub(crate) fn listing(&mut self, dir: Option<u64>) -> io::Result<DirectoryNames<'a>> {
        let Some(ino) = dir else { return Ok(DirectoryNames::Own(Listing::default())) };
        let touched = &self.side.touched;
        if touched.is_new(ino) {
            let (listing, entries) = touched.new_entries(ino);
            return Ok(DirectoryNames::Scanned(listing, entries));
        }
        if let Some(listing) = self.prefetched.listings.remove(&ino) {
            return Ok(DirectoryNames::Own(listing));
        }
        let mut listing = Listing::default();
        self.search.each_entry(ino, |item| listing.push_items(item))?;
        Ok(DirectoryNames::Own(listing))
    }
}

/// Both trees, with the check by which most directories need not be listed.
pub struct TreePair<'a> {
    pub(crate) older: TreeReader<'a>,
    pub(crate) newer: TreeReader<'a>,
    pub(crate) size_check: DirectorySizeCheck<'a>,
}

impl TreePair<'_> {
    /// Whether a number that both trees have is one inode in both: neither tree made it since they parted.
    ///
    /// Before, a number was one inode to both. Since then, either may have deleted that and given its number
    /// to another one: the first that is made after a mount gets the number after the highest in use. The
    /// generation tells, and is in the item that is read anyway. That it is the same in both is not enough:
    /// both may have made an inode of one number in one transaction.
    pub fn is_same_inode(&self, ino: u64) -> bool {
        [&self.newer, &self.older].iter().all(|half| !half.side.touched.is_new(ino))
    }

    /// The same inode in both trees, which have its number, and not written to in either.
    pub fn is_untouched(&self, ino: u64) -> bool {
        self.newer.side.touched.inode(ino).is_none() && self.older.side.touched.inode(ino).is_none()
    }

    pub(crate) fn has_written_below(&self, ino: u64) -> bool {
        [&self.newer, &self.older].iter().any(|half| half.side.touched.back_references.has(ino))
    }

    /// What a back reference leads to: something touched, or a directory on the way to it.
    pub fn type_of(&self, ino: u64) -> FileType {
        let touched =
            self.newer.side.touched.inode(ino).or_else(|| self.older.side.touched.inode(ino));
        touched.and_then(|item| FileType::from_mode(item.mode)).unwrap_or(FileType::Dir)
    }

    /// Whether owner, mode, flags or extended attributes differ.
    pub fn metadata_differs(
        &mut self,
        (new_ino, new): (u64, &InodeItem),
        (old_ino, old): (u64, &InodeItem),
    ) -> io::Result<bool> {
        Ok((new.mode, new.uid, new.gid) != (old.mode, old.uid, old.gid)
            || new.flags_differ(old)
            || self.newer.xattrs(new_ino)? != self.older.xattrs(old_ino)?)
    }
}

// The nested subvolumes that hold something: what is in one belongs to no other tree, so that the tree
// around it is not written to when something is made in it.

/// A row for each nested subvolume of `newer` that holds something where `older` has an empty one, or
/// the stub of one. The others have rows for the names that one tree lacks.
pub fn rows_of_nested(top: &Top, older: &Subvolume, newer: &Subvolume) -> io::Result<Vec<Change>> {
    let mut rows = Vec::new();
    let (was, is) = (Boundary::of(older.fd.as_fd())?, Boundary::of(newer.fd.as_fd())?);
    for child in nested_subvolumes(top, newer.info.id).map_err(io::Error::other)? {
        let dir = match path_of(top, newer.info.id, child.dir) {
            Err(error) if is_gone(&error) => continue,
            dir => dir?,
        };
        let Ok(path) = TreePath::parse(&[dir.as_slice(), &child.name].concat()) else { continue };
        let Some(found) = stat_at_path(newer.fd.as_fd(), &is, &path)? else { continue };
        if found.facts.file_type != FileType::Subvolume || !found.has_names {
            continue;
        }
        let there = stat_at_path(older.fd.as_fd(), &was, &path)?;
        let is_empty =
            |there: &Stat| there.facts.file_type == FileType::Subvolume && !there.has_names;
        if there.as_ref().is_some_and(is_empty) {
            rows.push(Change { path, kind: ChangeKind::Modified, facts: found.facts });
        }
    }
    Ok(rows)
}

/// What a tree has at `path`; `None` if nothing.
fn stat_at_path(
    tree: BorrowedFd<'_>,
    boundary: &Boundary,
    path: &TreePath,
) -> io::Result<Option<Stat>> {
    let names = path.as_bytes().split(|&b| b == b'/').map(CString::new);
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let Some((name, dirs)) = names.split_last() else { return Ok(None) };
    let found = open_path(tree, dirs)
        .and_then(|dir| boundary.stat(Place { dir: dir.as_ref().map_or(tree, AsFd::as_fd), name }));
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
