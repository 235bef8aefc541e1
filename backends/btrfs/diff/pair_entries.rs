//! Finds out which entries of a directory have to be looked at, and pairs them with their others.

use std::io;

use dirfd::FileType;

use crate::btrfs::diff::directory_listing::{Entry, Listing};
use crate::btrfs::diff::directory_pair::{DirectoryNames, DirectoryPair, DirectoryStep};
use crate::btrfs::diff::tree_pair::TreePair;
use crate::btrfs::tree_items::Target;

impl<'a> TreePair<'a> {
    /// A directory with what is to be done in it; `None` where a tree does not have it.
    pub fn directory_pair(
        &mut self,
        newer: Option<u64>,
        older: Option<u64>,
    ) -> io::Result<DirectoryPair<'a>> {
        let both = newer.filter(|ino| older == Some(*ino) && self.is_same_inode(*ino));
        if let Some(ino) = both
            && let Some(frame) = self.directory_of_written_names(ino)?
        {
            return Ok(frame);
        }
        let (newer_names, older_names) = (self.newer.listing(newer)?, self.older.listing(older)?);
        let events = if both.is_some() {
            self.pair_by_index(&newer_names, &older_names)
        } else {
            self.pair_by_name(&newer_names, newer_names.all(), &older_names, older_names.all())
        };
        DirectoryPair::new(newer_names, older_names, events)
    }

    /// A directory that both trees have, from the names in it that were touched and those that lead
    /// on; `None` if there may be others that matter.
    fn directory_of_written_names(&mut self, ino: u64) -> io::Result<Option<DirectoryPair<'a>>> {
        let untouched = self.is_untouched(ino);
        if !untouched && !self.all_is_known(ino)? {
            return Ok(None);
        }
        let (mut newer, mut older) = (Listing::default(), Listing::default());
        let sides =
            [&self.newer, &self.older].map(|half| half.side.touched.back_references.of(ino));
        let mut back_references: Vec<_> = sides.into_iter().flatten().collect();
        back_references.sort_unstable();
        back_references.dedup();
        for (name, child) in back_references {
            let (file_type, target) = (self.type_of(child), Target::Inode(child));
            newer.push(name, 0, file_type, target);
            if untouched || self.is_untouched(child) {
                older.push(name, 0, file_type, target);
            }
        }
        let former = (!untouched).then(|| self.size_check.former.of(ino));
        for (name, child) in former.into_iter().flatten() {
            let item = self.older.prefetched.inodes.get(&child).and_then(|facts| facts.item);
            match item.and_then(|item| FileType::from_mode(item.mode)) {
                Some(file_type) => older.push(name, 0, file_type, Target::Inode(child)),
                None => return Ok(None),
            }
        }
        let (newer, older) = (DirectoryNames::Own(newer), DirectoryNames::Own(older));
        let events = self.pair_by_name(&newer, newer.all(), &older, older.all());
        DirectoryPair::new(newer, older, events).map(Some)
    }

    /// Whether every name that came into a directory or left it is known.
    fn all_is_known(&mut self, ino: u64) -> io::Result<bool> {
        let (Some(newer), Some(older)) = (self.newer.inode(ino)?, self.older.inode(ino)?) else {
            return Ok(false);
        };
        if !self.size_check.balances(ino, &older, &newer) {
            return Ok(false);
        }
        // The size and the names were read at two moments; meanwhile it must not have changed.
        let again = match self.newer.prefetched.inodes.get(&ino) {
            Some(facts) => facts.item,
            None => self.newer.search.inode(ino)?,
        };
        Ok(again == Some(newer))
    }

    /// Pairs the entries of one directory in its two states. An entry that was not touched kept its
    /// index, so that most pairs are found without comparing names.
    fn pair_by_index(
        &self,
        newer: &DirectoryNames<'_>,
        older: &DirectoryNames<'_>,
    ) -> Vec<DirectoryStep> {
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
        newer: &DirectoryNames<'_>,
        mut new: Vec<u32>,
        older: &DirectoryNames<'_>,
        mut old: Vec<u32>,
    ) -> Vec<DirectoryStep> {
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
        events: &mut Vec<DirectoryStep>,
        newer: Option<(u32, &Entry)>,
        older: Option<(u32, &Entry)>,
    ) {
        let (new_dir, old_dir) =
            (newer.and_then(|(_, e)| e.directory()), older.and_then(|(_, e)| e.directory()));
        let event = DirectoryStep {
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
            Some(ino) => !same || self.has_written_below(ino),
            None => false,
        };
        if enter {
            events.push(DirectoryStep { descend: true, ..event });
        }
    }
}
