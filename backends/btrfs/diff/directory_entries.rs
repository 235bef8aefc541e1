//! Finds out which entries of a directory have to be looked at, and pairs them with their others.

use std::collections::HashMap;
use std::io;

use dirfd::FileType;

use crate::btrfs::diff::back_references::Leads;
use crate::btrfs::diff::tree_pair::Halves;
use crate::btrfs::diff::written_inodes::Touched;
use crate::btrfs::diff::{Event, Frame, Names};
use crate::btrfs::tree_items::{InodeItem, Target, dir_items};
use crate::btrfs::tree_queries::InodeFacts;
use crate::sys::tree_search::Item;

impl<'a> Halves<'a> {
    /// A directory with what is to be done in it; `None` where a tree does not have it.
    pub fn frame(&mut self, newer: Option<u64>, older: Option<u64>) -> io::Result<Frame<'a>> {
        let both = newer.filter(|ino| older == Some(*ino) && self.is_same_inode(*ino));
        if let Some(ino) = both
            && let Some(frame) = self.frame_of_names(ino)?
        {
            return Ok(frame);
        }
        let (newer_names, older_names) = (self.newer.listing(newer)?, self.older.listing(older)?);
        let events = if both.is_some() {
            self.pair_by_index(&newer_names, &older_names)
        } else {
            self.pair_by_name(&newer_names, newer_names.all(), &older_names, older_names.all())
        };
        Frame::new(newer_names, older_names, events)
    }

    /// A directory that both trees have, from the names in it that were touched and those that lead
    /// on; `None` if there may be others that matter.
    fn frame_of_names(&mut self, ino: u64) -> io::Result<Option<Frame<'a>>> {
        let untouched = self.is_untouched(ino);
        if !untouched && !self.all_is_known(ino)? {
            return Ok(None);
        }
        let (mut newer, mut older) = (Listing::default(), Listing::default());
        let sides = [&self.newer, &self.older].map(|half| half.side.touched.leads.of(ino));
        let mut leads: Vec<_> = sides.into_iter().flatten().collect();
        leads.sort_unstable();
        leads.dedup();
        for (name, child) in leads {
            let (file_type, target) = (self.type_of(child), Target::Inode(child));
            newer.push(name, 0, file_type, target);
            if untouched || self.is_untouched(child) {
                older.push(name, 0, file_type, target);
            }
        }
        let former = (!untouched).then(|| self.account.former.of(ino));
        for (name, child) in former.into_iter().flatten() {
            let item = self.older.ahead.inodes.get(&child).and_then(|facts| facts.item);
            match item.and_then(|item| FileType::from_mode(item.mode)) {
                Some(file_type) => older.push(name, 0, file_type, Target::Inode(child)),
                None => return Ok(None),
            }
        }
        let (newer, older) = (Names::Own(newer), Names::Own(older));
        let events = self.pair_by_name(&newer, newer.all(), &older, older.all());
        Frame::new(newer, older, events).map(Some)
    }

    /// Whether every name that came into a directory or left it is known.
    fn all_is_known(&mut self, ino: u64) -> io::Result<bool> {
        let (Some(newer), Some(older)) = (self.newer.inode(ino)?, self.older.inode(ino)?) else {
            return Ok(false);
        };
        if !self.account.balances(ino, &older, &newer) {
            return Ok(false);
        }
        // The size and the names were read at two moments; meanwhile it must not have changed.
        let again = match self.newer.ahead.inodes.get(&ino) {
            Some(facts) => facts.item,
            None => self.newer.search.inode(ino)?,
        };
        Ok(again == Some(newer))
    }

    /// Pairs the entries of one directory in its two states. An entry that was not touched kept its
    /// index, so that most pairs are found without comparing names.
    fn pair_by_index(&self, newer: &Names<'_>, older: &Names<'_>) -> Vec<Event> {
        let (new, old) = (newer.entries(), older.entries());
        let (mut i, mut j) = (0, 0);
        let (mut rest_new, mut rest_old) = (Vec::new(), Vec::new());
        let mut events = Vec::new();
        while i < new.len() || j < old.len() {
            let order = match (new.get(i), old.get(j)) {
                (Some(a), Some(b)) => a.index.cmp(&b.index),
                (Some(_), None) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            if order.is_eq() {
                let (at_new, at_old) = (i as u32, j as u32);
                if newer.name(at_new) == older.name(at_old) {
                    let pair = (Some((at_new, &new[i])), Some((at_old, &old[j])));
                    self.push_events(&mut events, pair.0, pair.1);
                } else {
                    rest_new.push(at_new);
                    rest_old.push(at_old);
                }
            }
            if order.is_lt() {
                rest_new.push(i as u32);
            }
            if order.is_gt() {
                rest_old.push(j as u32);
            }
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
        events.append(&mut self.pair_by_name(newer, rest_new, older, rest_old));
        events
    }

    fn pair_by_name(
        &self,
        newer: &Names<'_>,
        mut new: Vec<u32>,
        older: &Names<'_>,
        mut old: Vec<u32>,
    ) -> Vec<Event> {
        new.sort_unstable_by(|a, b| newer.name(*a).cmp(newer.name(*b)));
        old.sort_unstable_by(|a, b| older.name(*a).cmp(older.name(*b)));
        let (mut new, mut old) = (new.into_iter().peekable(), old.into_iter().peekable());
        let mut events = Vec::new();
        loop {
            let (take_new, take_old) = match (new.peek(), old.peek()) {
                (None, None) => return events,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(&a), Some(&b)) => {
                    let order = newer.name(a).cmp(older.name(b));
                    (order.is_le(), order.is_ge())
                }
            };
            let a = if take_new { new.next() } else { None };
            let b = if take_old { old.next() } else { None };
            let (a, b) = (a.map(|at| (at, newer.entry(at))), b.map(|at| (at, older.entry(at))));
            self.push_events(&mut events, a, b);
        }
    }

    /// Adds what has to be done for one name.
    fn push_events(
        &self,
        events: &mut Vec<Event>,
        newer: Option<(u32, &Entry)>,
        older: Option<(u32, &Entry)>,
    ) {
        let (new_dir, old_dir) =
            (newer.and_then(|(_, e)| e.directory()), older.and_then(|(_, e)| e.directory()));
        let event = Event {
            newer: newer.map(|(at, _)| at),
            older: older.map(|(at, _)| at),
            descend: false,
        };
        let same = match (newer, older) {
            (Some((_, new)), Some((_, old))) => match (new.target, old.target) {
                // The stub that a snapshot leaves of a subvolume counts as the subvolume.
                (Target::Subvolume(_), Target::Subvolume(_)) => true,
                (Target::Inode(a), Target::Inode(b)) => a == b && self.is_untouched(a),
                _ => false,
            },
            _ => false,
        };
        if !same {
            events.push(event);
        }
        let enter = match new_dir.or(old_dir) {
            Some(ino) => !same || self.leads_on(ino),
            None => false,
        };
        if enter {
            events.push(Event { descend: true, ..event });
        }
    }
}

// Directory entries, kept compactly: half a million of them fit in tens of megabytes.

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

// Tells what came into a directory and what left it by the names of what was touched, and proves
// by the directory's size that this is all.

/// What is known of the names in both trees.
pub struct Account<'a> {
    /// What was touched in the newer tree.
    pub touched: &'a Touched,
    /// Names in the older tree: all of what the newer one touched, and of some that it deleted.
    pub former: Leads,
    /// Directories of the newer tree in which a subvolume has its name, sorted.
    pub nested: Vec<u64>,
    /// Whether `former` has all that it must, and nobody wrote to the older tree.
    pub whole: bool,
}

impl Account<'_> {
    /// Whether all names that came into directory `ino` are among the touched ones and all that
    /// went are among the former ones.
    ///
    /// Why that is a proof: the kernel adds twice a name's length to the directory's size with each
    /// entry, a subvolume's and a stub's too, and takes it off with each that goes. Who gets or
    /// loses a name and stays is touched, and with it all its names are known, then and now. What
    /// came without being touched is a subvolume, and those are known; a stub cannot be moved. So
    /// what may be missing are names of what was deleted, and each would make the newer size less
    /// than what is known explains: none can make up for another.
    ///
    /// That holds for two states of one directory. Another one that has its number has no name among the
    /// touched ones, and a size that says nothing of what came.
    pub fn balances(&self, ino: u64, before: &InodeItem, now: &InodeItem) -> bool {
        let came = self.touched.leads.of(ino);
        let came = came.filter(|(_, child)| self.touched.inode(*child).is_some());
        let went = self.former.of(ino);
        self.whole
            && before.generation == now.generation
            && self.nested.binary_search(&ino).is_err()
            && before.size.checked_add(bytes(came)) == now.size.checked_add(bytes(went))
    }

    /// The directories among `inodes` that both trees have and that do not balance, each with the
    /// sum of its two sizes.
    pub fn open(&self, inodes: &[u64], older: &HashMap<u64, InodeFacts>) -> Vec<(u64, u64)> {
        let states = inodes
            .iter()
            .filter_map(|ino| Some((*ino, older.get(ino)?.item?, self.touched.inode(*ino)?)));
        let open = states.filter(|(ino, before, now)| {
            now.is_directory() && before.is_directory() && !self.balances(*ino, before, now)
        });
        open.map(|(ino, before, now)| (ino, before.size.saturating_add(now.size))).collect()
    }
}

/// What names add to their directory's size: each is in two of its items.
fn bytes<'n>(names: impl Iterator<Item = (&'n [u8], u64)>) -> u64 {
    names.map(|(name, _)| 2 * name.len() as u64).sum()
}
