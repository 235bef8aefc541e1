//! A directory that is being compared: its entries in both trees, and what is to be done with them.

use std::io;

use super::listing::{Entry, Listing};
use crate::order;
use crate::torn::Torn;

/// The entries of one directory in one tree.
pub enum Names<'a> {
    /// Found by the scan, of a new directory.
    Scanned(&'a Listing, &'a [Entry]),
    /// Read for this frame.
    Own(Listing),
}

impl Names<'_> {
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Scanned(_, entries) => entries,
            Self::Own(listing) => listing.entries(),
        }
    }

    /// The positions of all entries.
    pub fn all(&self) -> Vec<u32> {
        (0..self.entries().len() as u32).collect()
    }

    pub fn entry(&self, at: u32) -> &Entry {
        &self.entries()[at as usize]
    }

    pub fn name(&self, at: u32) -> &[u8] {
        match self {
            Self::Scanned(listing, entries) => listing.name(&entries[at as usize]),
            Self::Own(listing) => listing.name(&listing.entries()[at as usize]),
        }
    }
}

/// A directory that is being compared.
pub struct Frame<'a> {
    pub newer: Names<'a>,
    pub older: Names<'a>,
    /// In the order of paths: a row has the key `name`, the descent into it the key `name/`.
    events: Vec<Event>,
    next: usize,
}

impl<'a> Frame<'a> {
    /// [`Torn`] if a name is in it twice, as one that is made again while the directory is read.
    pub fn new(newer: Names<'a>, older: Names<'a>, events: Vec<Event>) -> io::Result<Self> {
        let mut frame = Self { newer, older, events: Vec::new(), next: 0 };
        let mut events = events;
        events.sort_unstable_by(|a, b| {
            order::compare((frame.name(a), a.descend), (frame.name(b), b.descend))
        });
        let is_twice = |pair: &[Event]| {
            pair[0].descend == pair[1].descend && frame.name(&pair[0]) == frame.name(&pair[1])
        };
        if events.windows(2).any(is_twice) {
            return Err(Torn::here());
        }
        frame.events = events;
        Ok(frame)
    }

    /// The next thing to do.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.events.get(self.next).copied()?;
        self.next += 1;
        Some(event)
    }

    pub fn name(&self, event: &Event) -> &[u8] {
        match (event.newer, event.older) {
            (Some(at), _) => self.newer.name(at),
            (None, Some(at)) => self.older.name(at),
            (None, None) => &[],
        }
    }
}

/// A row to write or a directory to enter; positions in the frame's listings.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub newer: Option<u32>,
    pub older: Option<u32>,
    pub descend: bool,
}
