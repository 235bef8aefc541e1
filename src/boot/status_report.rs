//! What `status` tells, as data: what this boot did, what is on the disk and what is wrong.
//! `status_text` and `status_json` write it.

use std::fmt;

use backends::Survey;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ui::json_value;

/// What this boot did about the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct BootState {
    /// The kernel's id of this boot.
    pub(crate) boot_id: String,
    /// The rollback of this boot, if one ran.
    pub(crate) rolled_back: Option<RolledBack>,
    /// Why none ran, to follow "not rolled back: "; `None` where that is not known.
    pub(crate) skipped: Option<String>,
}

/// A rollback that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RolledBack {
    /// The name of the old root that it set aside; none if live was a fresh copy already.
    pub(crate) old_root: Option<String>,
    /// When it ended, by the wall clock of the initrd.
    #[serde(serialize_with = "json_value::as_timestamp")]
    pub(crate) at: DateTime<Utc>,
    /// Milliseconds that it took, where they were recorded.
    pub(crate) duration_ms: Option<u64>,
}

/// Something that its owner should mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StatusProblem {
    /// What is wrong.
    pub(crate) text: String,
    /// What to do about it, if that is known.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for StatusProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Everything that `status` shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusReport<'a> {
    /// What is on the disk.
    pub(crate) survey: &'a Survey,
    /// What this boot did.
    pub(crate) boot: &'a BootState,
    /// What was found wrong.
    pub(crate) problems: &'a [StatusProblem],
    /// Live survives a reboot, so that there has to be a blank.
    pub(crate) needs_rollback: bool,
}

impl StatusReport<'_> {
    /// Nothing is wrong, and both trees are there where both are needed: without them no list of
    /// problems is complete.
    pub(crate) fn is_healthy(&self) -> bool {
        let trees = [&self.survey.live, &self.survey.blank];
        let complete = !self.needs_rollback || trees.iter().all(|slot| slot.tree().is_some());
        self.problems.is_empty() && complete
    }
}

#[cfg(test)]
#[path = "status_report_tests.rs"]
mod tests;
