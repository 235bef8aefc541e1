//! What a copy of blank that never became live may be used for: to become live, to be deleted, or nothing.

use std::collections::HashMap;
use std::ffi::OsString;

use super::found::as_id;
use super::output::Row;
use super::properties::UNFINISHED;
use crate::record::Record;
use crate::survey::{Tree, TreeId, Unfinished};

/// A copy of blank that somebody has written to may have been live, and put there by hand: the record
/// beside it does not tell of it. And one that is not told what it replaces may lack other properties, too,
/// which a clone gets in a transaction of its own: it can be deleted, and never become live. Of one that says so
/// itself, what counts as written is not known either.
pub fn doubt(left: Unfinished, datasets: &HashMap<OsString, Row>) -> Unfinished {
    let row_of = |tree: &Tree| datasets.get(tree.name.file_name());
    let is_told =
        |tree: &Tree, record: &Record| row_of(tree).is_some_and(|row| replaces(row, &record.live));
    let is_unfinished =
        |tree: &Tree| row_of(tree).is_some_and(|row| row.replaces == Some(UNFINISHED));
    match left {
        Unfinished::FreshCopy { mut tree, record } if is_unfinished(&tree) => {
            tree.pristine = None;
            Unfinished::FreshCopy { tree, record }
        }
        Unfinished::FreshCopy { tree, .. } if tree.pristine == Some(false) => {
            Unfinished::Foreign(tree.name)
        }
        Unfinished::FreshCopy { mut tree, record } if !is_told(&tree, &record) => {
            tree.pristine = None;
            Unfinished::FreshCopy { tree, record }
        }
        left => left,
    }
}

/// Whether a copy was told to replace this tree, which is what it was told last.
pub fn replaces(copy: &Row, live: &TreeId) -> bool {
    copy.replaces.is_some_and(|guid| as_id(guid) == *live)
}
