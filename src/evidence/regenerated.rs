//! Which strays come back by themselves: all old roots that were looked at made them, and live has the same
//! today. Pure, but for the callback that reads a file of live.
//!
//! What is in a directory that is new as a whole is told as a whole: where something in it is of the class
//! `new`, none of it is regenerated. Half of a database is no comfort.

use std::convert::Infallible;

use dirfd::{ChangeKind, Changes, Facts};

use crate::evidence::classes::{Class, Classes, Version};
use crate::evidence::topmost_added::TopmostAdded;

/// What is asked about the change at one place.
pub(crate) trait Question {
    /// Whether it is a stray: nobody has decided about it.
    fn is_stray(&self, at: usize) -> bool;
    /// Reads what live has there. Asked only where the answer matters.
    fn version_in_live(&mut self, path: &[u8], kind: ChangeKind, facts: &Facts) -> Version;
}

/// For each change, whether it is regenerated.
pub(crate) fn find_regenerated(
    changes: &Changes,
    classes: &Classes,
    question: &mut impl Question,
) -> Vec<bool> {
    let mut regenerated = vec![false; changes.len()];
    if classes.boots() == 0 {
        return regenerated;
    }
    let holds_new = find_holding_new(changes, classes, question);
    let mut dirs = TopmostAdded::default();
    let mut at = 0;
    let all: Result<(), Infallible> = changes.for_each(|path, kind, facts| {
        let within = dirs.enter(at, path, kind, facts);
        let decided = within.is_some_and(|dir| holds_new.binary_search(&dir).is_ok());
        if !decided
            && question.is_stray(at)
            && let Some(version) = classes.version_to_read_for(at, kind, facts)
        {
            regenerated[at] = version.is_same_as(&question.version_in_live(path, kind, facts));
        }
        at += 1;
        Ok(())
    });
    match all {
        Ok(()) => regenerated,
    }
}

/// The places of the topmost added directories that hold a stray of the class `new`, ascending.
fn find_holding_new(changes: &Changes, classes: &Classes, question: &impl Question) -> Vec<usize> {
    let mut holding = Vec::new();
    let mut dirs = TopmostAdded::default();
    let mut at = 0;
    let all: Result<(), Infallible> = changes.for_each(|path, kind, facts| {
        let within = dirs.enter(at, path, kind, facts);
        let is_new = classes.class(at) == Some(Class::New) && question.is_stray(at);
        holding.extend(within.filter(|_| is_new));
        at += 1;
        Ok(())
    });
    match all {
        Ok(()) => {
            holding.sort_unstable();
            holding.dedup();
            holding
        }
    }
}

#[cfg(test)]
#[path = "regenerated_tests.rs"]
mod tests;
