//! Both trees side by side, with what reading their inodes and directories needs.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;

use super::Side;
use super::account::Account;
use super::ahead::Ahead;
use super::frame::Names;
use super::listing::Listing;
use crate::btrfs::items::InodeItem;
use crate::btrfs::search::{Searcher, Xattrs};
use crate::btrfs::top::Top;
use crate::changes::FileType;

/// One of the trees with what reading it needs.
pub struct Half<'a> {
    pub side: &'a Side<'a>,
    pub search: Searcher<'a>,
    pub ahead: Ahead,
}

impl<'a> Half<'a> {
    pub fn new(top: &Top, side: &'a Side<'a>, ahead: Ahead) -> Self {
        Self { side, search: Searcher::subvolume(side.subvolume.fd.as_fd(), top), ahead }
    }

    pub fn inode(&mut self, ino: u64) -> io::Result<Option<InodeItem>> {
        match self.side.touched.inode(ino) {
            Some(item) => Ok(Some(*item)),
            None => match self.ahead.inodes.get(&ino) {
                Some(facts) => Ok(facts.item),
                None => self.search.inode(ino),
            },
        }
    }

    fn xattrs(&mut self, ino: u64) -> io::Result<Cow<'_, Xattrs>> {
        match self.ahead.inodes.get(&ino) {
            Some(facts) => Ok(Cow::Borrowed(&facts.xattrs)),
            None => Ok(Cow::Owned(self.search.facts(ino, |_| {})?.xattrs)),
        }
    }

    pub fn listing(&mut self, dir: Option<u64>) -> io::Result<Names<'a>> {
        let Some(ino) = dir else { return Ok(Names::Own(Listing::default())) };
        let touched = &self.side.touched;
        if touched.is_new(ino) {
            let (listing, entries) = touched.new_entries(ino);
            return Ok(Names::Scanned(listing, entries));
        }
        if let Some(listing) = self.ahead.listings.remove(&ino) {
            return Ok(Names::Own(listing));
        }
        let mut listing = Listing::default();
        self.search.each_entry(ino, |item| listing.push_items(item))?;
        Ok(Names::Own(listing))
    }
}

/// Both of them.
pub struct Halves<'a> {
    pub older: Half<'a>,
    pub newer: Half<'a>,
    pub account: Account<'a>,
}

impl Halves<'_> {
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

    pub fn leads_on(&self, ino: u64) -> bool {
        [&self.newer, &self.older].iter().any(|half| half.side.touched.leads.has(ino))
    }

    /// What a lead goes to: something touched, or a directory on the way to it.
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
