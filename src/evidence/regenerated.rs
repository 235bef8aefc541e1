//! Which strays may come back by themselves: all old roots that were looked at made them alike, and live looks the
//! same today, so that reading it tells. Pure.
//!
//! What is in a directory that is new as a whole is told as a whole: where something in it is of the class
//! `new`, none of it is regenerated. Half of a database is no comfort.

use dirfd::Changes;
use dirfd::fingerprint::FileContent;

use crate::evidence::classes::{Class, Classes, Version};
use crate::evidence::read_files::ChangedFile;
use crate::evidence::topmost_added::TopmostAdded;

/// A stray that is regenerated if live has this version of it.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Its place among the changes.
    pub(crate) at: usize,
    /// What live has.
    pub(crate) file: ChangedFile,
    /// What all old roots had there.
    pub(crate) version: Version,
}

impl Candidate {
    /// Whether it is regenerated, where live has this in it.
    pub(crate) fn is_regenerated(&self, held: &FileContent) -> bool {
        let now = Version::new(self.file.kind, self.file.facts, held.content, &held.target);
        self.version.is_same_as(&now)
    }
}

/// The candidates, in the order of the changes. `is_stray` tells of a change by its place whether nobody has
/// decided about it.
pub(crate) fn find_candidates(
    changes: &Changes,
    classes: &Classes,
    is_stray: impl Fn(usize) -> bool,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let holds_new = find_holding_new(changes, classes, &is_stray);
    let mut dirs = TopmostAdded::default();
    let (mut cursor, mut at) = (changes.cursor(), 0);
    while let Some((path, kind, facts)) = cursor.next_row() {
        let is_new = classes.class(at) == Some(Class::New);
        let within = dirs.enter(at, path, kind, facts, is_new);
        let is_told_as_whole = within.is_some_and(|dir| holds_new.binary_search(&dir).is_ok());
        if !is_told_as_whole
            && is_stray(at)
            && let Some(version) = classes.version_to_read_for(at, kind, facts)
        {
            let (path, facts, version) = (path.to_vec(), *facts, *version);
            let file = ChangedFile { path, kind, facts, inode: cursor.inode() };
            candidates.push(Candidate { at, file, version });
        }
        at += 1;
    }
    candidates
}

/// The places of the topmost added directories that hold a stray of the class `new`, ascending.
fn find_holding_new(
    changes: &Changes,
    classes: &Classes,
    is_stray: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut holding = Vec::new();
    let mut dirs = TopmostAdded::default();
    let (mut cursor, mut at) = (changes.cursor(), 0);
    while let Some((path, kind, facts)) = cursor.next_row() {
        let is_new = classes.class(at) == Some(Class::New);
        let within = dirs.enter(at, path, kind, facts, is_new);
        holding.extend(within.filter(|_| is_new && is_stray(at)));
        at += 1;
    }
    holding.sort_unstable();
    holding.dedup();
    holding
}

#[cfg(test)]
#[path = "regenerated_tests.rs"]
mod tests;
