//! What people and programs see of a diff and of a status survey: from data to text, nothing else.
//!
//! One module a format: [`tree`], [`flat`], [`stat`] and [`json`] show a [`DiffReport`], [`status`]
//! shows a survey, [`leftovers`] what lies in storages undeclared, [`doctor`] findings. Nothing here
//! reads a clock, the environment or a disk.

pub mod doctor;
pub(crate) mod figures;
pub mod flat;
pub mod json;
mod json_value;
pub mod leftovers;
pub(crate) mod paint;
pub mod stat;
pub mod status;
mod summary;
pub mod tree;

#[cfg(test)]
mod fixture;

use std::io;

use backends::{ChangeKind, Facts, Tree, TreePath};

use crate::classify::{Verdict, Verdicts};
use crate::diff::Diff;

pub use paint::Style;
pub use summary::{Summary, Tally};

/// A diff with its verdicts, narrowed to what was asked for.
#[derive(Clone, Copy, Debug)]
pub struct DiffReport<'a> {
    /// The older tree; `None` where there is none to compare with, so that everything is new.
    pub blank: Option<&'a Tree>,
    /// The newer tree.
    pub live: &'a Tree,
    /// What differs.
    pub diff: &'a Diff,
    /// One verdict for each change.
    pub verdicts: &'a Verdicts,
    /// Shows and counts only changes at or below one of these; empty: all.
    pub only: &'a [TreePath],
}

/// One change that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// As in [`TreePath::as_bytes`]: without a leading slash, empty for the root.
    pub path: &'a [u8],
    /// How it differs.
    pub kind: ChangeKind,
    /// What the file is; what it was, if removed.
    pub facts: &'a Facts,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The rule that decided so.
    pub rule: Option<&'a str>,
}

impl DiffReport<'_> {
    /// Shows each change that passes the narrowing to `see`, in order.
    pub fn for_each(&self, mut see: impl FnMut(&Row<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut verdicts = self.verdicts.iter();
        self.diff.changes.for_each(|path, kind, facts| {
            // A change without a verdict is one that nobody decided about.
            let (verdict, rule) = verdicts.next().unwrap_or((Verdict::Stray, None));
            if self.shows(path) {
                see(&Row { path, kind, facts, verdict, rule })?;
            }
            Ok(())
        })
    }

    /// Whether the narrowing lets `path` through.
    fn shows(&self, path: &[u8]) -> bool {
        self.only.is_empty() || self.only.iter().any(|dir| is_within(path, dir.as_bytes()))
    }
}

pub(crate) fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}
