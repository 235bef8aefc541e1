//! The names of one directory in both trees, each once, and what is left to do with them.

use std::cmp::Ordering;
use std::ffi::CString;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::Known;
use crate::descent::Entry;
use crate::order::Waiting;

/// Which of the trees have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    pub older: bool,
    pub newer: bool,
}

impl Sides {
    pub const BOTH: Self = Self { older: true, newer: true };

    pub fn any(self) -> bool {
        self.older || self.newer
    }
}

/// How to go into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On these sides.
    Into(Sides),
    /// It is the same in both trees, and has this inode number: one list is enough.
    Unchanged(u64),
}

/// One directory on the way: which sides have it, and what is left to do in it.
pub struct Frame {
    pub sides: Sides,
    /// Each name, and how to go into what is there if that is known without a look.
    pub names: Peekable<IntoIter<(CString, Way)>>,
    pub waiting: Waiting<Way>,
    /// How many names are in it of which nothing has to be said.
    pub equal: u64,
}

impl Frame {
    /// A directory that is listed in each of the trees that have it.
    pub fn new(
        sides: Sides,
        older: Vec<Entry>,
        newer: Vec<Entry>,
        known: Option<&dyn Known>,
    ) -> Self {
        Self::of(sides, merge(older, newer), known)
    }

    /// A directory that is the same in both trees.
    pub fn unchanged(entries: Vec<Entry>, known: Option<&dyn Known>) -> Self {
        let merged = entries.into_iter().map(|entry| (entry, Sides::BOTH, true)).collect();
        Self::of(Sides::BOTH, merged, known)
    }

    fn of(sides: Sides, merged: Vec<(Entry, Sides, bool)>, known: Option<&dyn Known>) -> Self {
        let mut names = Vec::new();
        let mut equal = 0;
        for (entry, sides, same_inode) in merged {
            let unchanged = same_inode && known.is_some_and(|k| k.is_unchanged(entry.inode));
            match entry.is_dir {
                Some(false) if unchanged => equal += 1,
                Some(true) if unchanged => names.push((entry.name, Way::Unchanged(entry.inode))),
                _ => names.push((entry.name, Way::Into(sides))),
            }
        }
        Self { sides, names: names.into_iter().peekable(), waiting: Waiting::default(), equal }
    }
}

/// The names of two sorted lists, each once, and whether both trees have the same inode number there.
fn merge(older: Vec<Entry>, newer: Vec<Entry>) -> Vec<(Entry, Sides, bool)> {
    let mut merged = Vec::with_capacity(older.len().max(newer.len()));
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let order = match (older.peek(), newer.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let sides = Sides { older: order.is_le(), newer: order.is_ge() };
        let from_older = if sides.older { older.next() } else { None };
        let from_newer = if sides.newer { newer.next() } else { None };
        let inodes = from_older.as_ref().zip(from_newer.as_ref());
        let same_inode = inodes.is_some_and(|(a, b)| a.inode == b.inode && a.is_dir == b.is_dir);
        merged.extend(from_newer.or(from_older).map(|entry| (entry, sides, same_inode)));
    }
}
