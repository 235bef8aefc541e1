//! Finds out which entries of a directory have to be looked at, and pairs them with their others.

use std::io;

use super::frame::{Event, Frame, Names};
use super::halves::Halves;
use super::listing::{Entry, Listing};
use crate::btrfs::items::Target;

impl<'a> Halves<'a> {
    /// A directory with what is to be done in it; `None` where a tree does not have it.
    pub fn frame(&mut self, newer: Option<u64>, older: Option<u64>) -> io::Result<Frame<'a>> {
        if let (Some(ino), true) = (newer, newer == older)
            && self.lost_nothing(ino)?
        {
            return Ok(self.frame_of_news(ino));
        }
        let (newer_names, older_names) = (self.newer.listing(newer)?, self.older.listing(older)?);
        let events = if newer == older {
            self.pair_by_index(&newer_names, &older_names)
        } else {
            let all = |names: &Names<'_>| (0..names.entries().len() as u32).collect();
            let (new, old) = (all(&newer_names), all(&older_names));
            self.pair_by_name(&newer_names, new, &older_names, old)
        };
        Ok(Frame::new(newer_names, older_names, events))
    }

    /// Whether a directory that both trees have kept every entry that it had: either it was not
    /// touched, or its size grew by just what its new entries add.
    ///
    /// Why that is a proof: the kernel adds twice a name's length to the directory's size with each
    /// entry, a subvolume's and a stub's too, takes it off with each that goes, and puts the running
    /// transaction into each entry that it makes, in a rename, an exchange and the replay of a log
    /// as well. What is older than the floor was in the older tree, which nobody has written to. So
    /// the sizes differ by what came less what went, and what came is known.
    fn lost_nothing(&mut self, ino: u64) -> io::Result<bool> {
        if self.is_untouched(ino) {
            return Ok(true);
        }
        if !self.older.side.touched.is_empty() {
            return Ok(false);
        }
        let (Some(newer), Some(older)) = (self.newer.inode(ino)?, self.older.inode(ino)?) else {
            return Ok(false);
        };
        // The size and the entries were read at two moments; meanwhile it must not have changed.
        if self.newer.search.inode(ino)? != Some(newer) {
            return Ok(false);
        }
        let (_, news) = self.newer.side.touched.new_entries(ino);
        let added: u64 = news.iter().map(Entry::directory_bytes).sum();
        Ok(newer.size == older.size.saturating_add(added))
    }

    /// A directory that lost nothing: only its new entries matter, and the old ones that lead on.
    fn frame_of_news(&self, ino: u64) -> Frame<'a> {
        let (listing, news) = self.newer.side.touched.new_entries(ino);
        let mut newer = Listing::default();
        for entry in news {
            newer.push_entry(listing, entry);
        }
        let news_end = newer.len();
        let mut news: Vec<&[u8]> = news.iter().map(|entry| listing.name(entry)).collect();
        news.sort_unstable();
        let mut older = Listing::default();
        let mut leads: Vec<_> = [&self.newer, &self.older]
            .iter()
            .flat_map(|half| half.side.touched.leads.of(ino))
            .filter(|(name, _)| news.binary_search(name).is_err())
            .collect();
        leads.sort_unstable();
        leads.dedup();
        for (name, child) in leads {
            let file_type = self.type_of(child);
            newer.push(name, 0, file_type, Target::Inode(child));
            older.push(name, 0, file_type, Target::Inode(child));
        }
        let mut events = Vec::new();
        for (at, entry) in newer.entries().iter().enumerate() {
            let same = at.checked_sub(news_end).and_then(|at| Some((at, older.entries().get(at)?)));
            let same = same.map(|(at, entry)| (at as u32, entry));
            self.push_events(&mut events, Some((at as u32, entry)), same);
        }
        Frame::new(Names::Own(newer), Names::Own(older), events)
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
