//! Counts what a report shows: per kind of change and per verdict.

use std::convert::Infallible;

use dirfd::{ChangeKind, Facts, FileType};
use serde::{Deserialize, Serialize};

use crate::diff::classify::Verdict;
use crate::diff::{DiffReport, DiffRow};
use crate::evidence::classes::ClassCounts;
use crate::ui::json_value::impl_has_word;

/// Every verdict, in the order of all output: what needs eyes comes first.
pub(crate) const VERDICTS: [Verdict; 4] =
    [Verdict::Stray, Verdict::Kept, Verdict::Forgotten, Verdict::Regenerated];

impl_has_word!(Verdict, VERDICTS);

/// How many changes, and how many bytes of content in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Tally {
    /// How many changes.
    pub(crate) count: u64,
    /// Bytes of regular files whose content live has and blank has not: added, modified and
    /// replaced ones. A removed file and one with other metadata have none.
    pub(crate) bytes: u64,
}

/// What a report shows, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    kinds: [u64; ChangeKind::ALL.len()],
    verdicts: [Tally; VERDICTS.len()],
    classes: ClassCounts,
}

impl Summary {
    /// Counts what `report` shows.
    pub(crate) fn of(report: &DiffReport<'_>) -> Self {
        let mut summary = Self::default();
        let Ok(()) = report.for_each::<Infallible>(|row| {
            summary.add(row);
            Ok(())
        });
        summary
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, row: &DiffRow<'_>) {
        self.kinds[kind_slot(row.kind)] += 1;
        let tally = &mut self.verdicts[verdict_slot(row.verdict)];
        tally.add(new_bytes(row.kind, row.facts));
        self.classes.add(ClassCounts::one(row.class));
    }

    /// How many of each class.
    pub(crate) fn classes(&self) -> ClassCounts {
        self.classes
    }

    /// How many changes in all.
    pub(crate) fn total(&self) -> u64 {
        self.kinds.iter().sum()
    }

    /// How many of this kind.
    pub(crate) fn kind(&self, kind: ChangeKind) -> u64 {
        self.kinds[kind_slot(kind)]
    }

    /// The word for each verdict, with how many have it, and their bytes.
    pub(crate) fn by_verdict(&self) -> impl Iterator<Item = (&'static str, Tally)> {
        VERDICTS.into_iter().map(|verdict| (verdict.word(), self.verdict(verdict)))
    }

    /// How many with this verdict, and their bytes.
    pub(crate) fn verdict(&self, verdict: Verdict) -> Tally {
        self.verdicts[verdict_slot(verdict)]
    }
}

impl Tally {
    /// Adds one change of so many bytes: a few sparse files have more than a number can hold.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Bytes of content of one file; a directory or a link has none.
pub(crate) fn content_bytes(facts: &Facts) -> u64 {
    if facts.file_type == FileType::File { facts.size } else { 0 }
}

/// Bytes of content that only live has.
pub(crate) fn new_bytes(kind: ChangeKind, facts: &Facts) -> u64 {
    match kind {
        ChangeKind::Added | ChangeKind::Modified | ChangeKind::Replaced => content_bytes(facts),
        ChangeKind::Metadata | ChangeKind::Removed => 0,
    }
}

fn kind_slot(kind: ChangeKind) -> usize {
    match kind {
        ChangeKind::Added => 0,
        ChangeKind::Modified => 1,
        ChangeKind::Metadata => 2,
        ChangeKind::Replaced => 3,
        ChangeKind::Removed => 4,
    }
}

fn verdict_slot(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Stray => 0,
        Verdict::Kept => 1,
        Verdict::Forgotten => 2,
        Verdict::Regenerated => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_where_the_lists_have_it() {
        assert!(ChangeKind::ALL.iter().enumerate().all(|(at, &kind)| kind_slot(kind) == at));
        assert!(VERDICTS.iter().enumerate().all(|(at, &verdict)| verdict_slot(verdict) == at));
    }
}
