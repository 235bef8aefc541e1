//! `[rollback]`: how the root is restored, what happens when it cannot be, how long old roots stay.

use crate::config::reader::{Position, Problems, TableReader};
use crate::config::root::RootConfig;

/// What to do when the rollback fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Boot the old root and say so loudly.
    #[default]
    Boot,
    /// Stop in the initrd.
    Halt,
}

/// How live is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Live becomes an old root, and a fresh copy of blank takes its place.
    #[default]
    SetAside,
    /// Live goes back in place and nothing of it is left (zfs only).
    Rollback,
}

/// Which old roots may be deleted: only those that all of these allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// This many old roots stay, whatever the clock says.
    pub at_least: u32,
    /// Younger old roots stay, however many there are.
    pub days: u32,
    /// What becomes of an old root that has snapshots.
    pub snapshots: Snapshots,
}

/// What becomes of snapshots and bookmarks that somebody made of a root, and that went with it when it was
/// set aside (zfs only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snapshots {
    /// An old root that has some stays.
    #[default]
    Keep,
    /// They are deleted with it.
    Delete,
}

impl Default for Retention {
    fn default() -> Self {
        Self { at_least: 5, days: 30, snapshots: Snapshots::Keep }
    }
}

/// How the root is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollbackOptions {
    /// What to do when it fails.
    pub(crate) on_failure: OnFailure,
    /// How live is restored.
    pub strategy: Strategy,
    /// How long old roots stay.
    pub retention: Retention,
    /// Where `strategy` stands, for messages.
    strategy_place: Option<Position>,
}

impl RollbackOptions {
    pub(crate) fn read(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let failures = [("boot", OnFailure::Boot), ("halt", OnFailure::Halt)];
        let strategies = [("set-aside", Strategy::SetAside), ("rollback", Strategy::Rollback)];
        let read = Self {
            on_failure: table.choice("on_failure", &failures, problems).unwrap_or_default(),
            strategy: table.choice("strategy", &strategies, problems).unwrap_or_default(),
            retention: table
                .table("retention", "`retention` of [rollback]", problems)
                .map(|retention| read_retention(retention, problems))
                .unwrap_or_default(),
            strategy_place: table.key_place("strategy", problems),
        };
        table.finish(problems);
        read
    }

    /// Not every backend can do every strategy.
    pub(crate) fn check_against(&self, root: &RootConfig, problems: &mut Problems<'_>) {
        let possible = matches!(root, RootConfig::Zfs { .. });
        if self.strategy == Strategy::Rollback && !possible {
            let what = format!(
                "the strategy `rollback` is not possible with the backend `{}`",
                root.backend_word()
            );
            let hint = "remove `strategy`, or write \"set-aside\"";
            problems.add(self.strategy_place.unwrap_or_default(), what, hint);
        }
    }
}

fn read_retention(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Retention {
    let default = Retention::default();
    let read = Retention {
        at_least: table.count("at_least", problems).unwrap_or(default.at_least),
        days: table.count("days", problems).unwrap_or(default.days),
        snapshots: table
            .choice(
                "snapshots",
                &[("keep", Snapshots::Keep), ("delete", Snapshots::Delete)],
                problems,
            )
            .unwrap_or(default.snapshots),
    };
    table.finish(problems);
    read
}
