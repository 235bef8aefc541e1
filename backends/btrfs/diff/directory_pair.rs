//! A directory that is being compared: its entries in both trees, and what is to be done with them.

use std::io;

use dirfd::changes;
use dirfd::error::Torn;

use crate::btrfs::diff::directory_listing::{Entry, Listing};

/// The entries of one directory in one tree.
pub enum DirectoryNames<'a> {
    /// Found by the scan, of a new directory.
    Scanned(&'a Listing, &'a [Entry]),
    /// Read for this frame.
    Own(Listing),
}

impl DirectoryNames<'_> {
    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::Scanned(_, entries) => entries,
            Self::Own(listing) => listing.entries(),
        }
    }

    /// The positions of all entries.
    pub fn all(&self) -> Vec<u32> {
        (0..self.entries().len() as u32).collect()
    }

    pub(crate) fn entry(&self, at: u32) -> &Entry {
        &self.entries()[at as usize]
    }

    pub(crate) fn name(&self, at: u32) -> &[u8] {
        match self {
            Self::Scanned(listing, entries) => listing.name(&entries[at as usize]),
            Self::Own(listing) => listing.name(&listing.entries()[at as usize]),
        }
    }
}

/// A directory that is being compared.
pub struct DirectoryPair<'a> {
    pub(crate) newer: DirectoryNames<'a>,
    pub(crate) older: DirectoryNames<'a>,
    /// In the order of paths: a row has the key `name`, the descent into it the key `name/`.
    events: Vec<DirectoryStep>,
    next: usize,
}

impl<'a> DirectoryPair<'a> {
    /// [`Torn`] if a name is in it twice, as one that is made again while the directory is read.
    pub fn new(
        newer: DirectoryNames<'a>,
        older: DirectoryNames<'a>,
        events: Vec<DirectoryStep>,
    ) -> io::Result<Self> {
        let mut frame = Self { newer, older, events: Vec::new(), next: 0 };
        let mut events = events;
        events.sort_unstable_by(|a, b| {
            changes::compare((frame.name(a), a.descend), (frame.name(b), b.descend))
        });
        let is_twice = |pair: &[DirectoryStep]| {
            pair[0].descend == pair[1].descend && frame.name(&pair[0]) == frame.name(&pair[1])
        };
        if events.windows(2).any(is_twice) {
            return Err(Torn::here());
        }
        frame.events = events;
        Ok(frame)
    }

    /// The next thing to do.
    pub fn pop(&mut self) -> Option<DirectoryStep> {
        let event = self.events.get(self.next).copied()?;
        self.next += 1;
        Some(event)
    }

    pub(crate) fn name(&self, event: &DirectoryStep) -> &[u8] {
        match (event.newer, event.older) {
            (Some(at), _) => self.newer.name(at),
            (None, Some(at)) => self.older.name(at),
            (None, None) => &[],
        }
    }
}

/// A row to write or a directory to enter; positions in the frame's listings.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryStep {
    pub(crate) newer: Option<u32>,
    pub(crate) older: Option<u32>,
    pub(crate) descend: bool,
}
