//! Plans an expiry: survey + retention + clock → which old roots go, and for each one why it stays or
//! goes. Pure.

use std::fmt;

use backends::{Obstacle, OldRoot, Record, Survey, Tree, Unfinished, kinship};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use dirfd::path::Escaped;
use dirfd::{TreeName, TreePath};

use crate::boot::nested_trees;
use crate::config::rollback_options::{Retention, Snapshots};

/// What becomes of everything of which a record of ours tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirePlan {
    /// Old roots, the oldest first, then what interrupted runs left.
    pub(crate) decisions: Vec<ExpiryDecision>,
}

impl ExpirePlan {
    /// What is deleted, in order.
    pub(crate) fn deletions(&self) -> impl Iterator<Item = &ExpiryDecision> {
        self.decisions.iter().filter(|decision| !matches!(decision, ExpiryDecision::Stays(..)))
    }

    /// Looks what nested trees hold in the old roots that go, so that it is told before it is gone.
    pub(crate) fn look_inside(
        &mut self,
        look: impl Fn(&Tree) -> dirfd::Result<Vec<TreePath>>,
    ) -> dirfd::Result<()> {
        for decision in &mut self.decisions {
            if let ExpiryDecision::Goes(old_root, _) = decision {
                old_root.nested = look(&old_root.tree)?;
            }
        }
        Ok(())
    }

    /// The old roots that the rules would let go, if nobody had made snapshots of them.
    pub(crate) fn kept_by_snapshots(&self) -> impl Iterator<Item = &TreeName> {
        self.decisions.iter().filter_map(|decision| match decision {
            ExpiryDecision::Stays(old_root, KeepReason::HasSnapshots) => Some(&old_root.tree.name),
            _ => None,
        })
    }

    /// How many old roots stay.
    pub(crate) fn staying(&self) -> usize {
        self.decisions
            .iter()
            .filter(|decision| matches!(decision, ExpiryDecision::Stays(..)))
            .count()
    }
}

/// What becomes of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpiryDecision {
    /// The old root stays.
    Stays(OldRoot, KeepReason),
    /// The old root is deleted.
    Goes(OldRoot, DeletionReason),
    /// What an interrupted run left is deleted.
    Cleared(Unfinished),
}

impl ExpiryDecision {
    /// Whether it is told although nothing is done: its owner has to do something, or it stays for good.
    pub(crate) fn is_reported_always(&self) -> bool {
        matches!(self, Self::Stays(_, KeepReason::OfOtherSystem | KeepReason::HasSnapshots))
    }
}

/// Why an old root stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// It is one of so many that always stay.
    Newest(u32),
    /// It is of this age, and the rules keep it for so many days.
    Young(Age, u32),
    /// By its record it was set aside at a time that is yet to come, so nothing tells its age.
    OfTheFuture(DateTime<Utc>),
    /// Mounts that name no tree lead to it.
    Default,
    /// Nothing says that it is of this system.
    OfOtherSystem,
    /// By its record it was another live, which is still there.
    OfOtherLive,
    /// It has snapshots that somebody made, and the rules keep those.
    HasSnapshots,
}

/// Why an old root goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionReason {
    /// It is older than the rules keep it.
    pub(crate) age: Age,
    /// So many newer ones stay.
    pub(crate) newer: usize,
}

/// How long ago an old root was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// That long.
    pub(crate) passed: TimeDelta,
    /// Or less: its own record says more, and that of an older one proves it wrong.
    pub(crate) at_most: bool,
}

/// A reason not to delete anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpireRefusal {
    /// The rollback of this boot may still come.
    InInitrd,
    /// What only the backend knows.
    Obstacle(Obstacle),
}

/// Plans an expiry at the time `now`, or names the reasons against it.
///
/// The newest ones stay whatever any clock says. Which these are is told by the file system's own
/// order, in which `survey` has them.
pub fn plan_expiry(
    survey: &Survey,
    retention: Retention,
    now: DateTime<Utc>,
) -> Result<ExpirePlan, Vec<ExpireRefusal>> {
    if !survey.obstacles.is_empty() {
        return Err(survey.obstacles.iter().cloned().map(ExpireRefusal::Obstacle).collect());
    }
    let others = kinship::of_other_systems(survey);
    let is_other = |old_root: &&OldRoot| others.contains(&old_root.tree.id);
    let (others, own): (Vec<&OldRoot>, Vec<&OldRoot>) = survey.old_roots.iter().partition(is_other);
    let at_least = usize::try_from(retention.at_least).unwrap_or(usize::MAX);
    let always_stay = own.len().saturating_sub(at_least);
    let ages = ages_of_records(&own, now);
    let mut decisions = Vec::new();
    let mut newer = 0;
    for (at, (old_root, age)) in own.into_iter().zip(ages).enumerate().rev() {
        let why = match age {
            _ if at >= always_stay => Ok(KeepReason::Newest(retention.at_least)),
            _ if is_default_subvolume(survey, old_root) => Ok(KeepReason::Default),
            None => Ok(KeepReason::OfTheFuture(old_root.record.time)),
            Some(age) if age.passed > TimeDelta::days(retention.days.into()) => {
                let keeps = retention.snapshots == Snapshots::Keep;
                let has_some = keeps && !old_root.snapshots.is_empty();
                if has_some { Ok(KeepReason::HasSnapshots) } else { Err(age) }
            }
            Some(age) => Ok(KeepReason::Young(age, retention.days)),
        };
        decisions.push(match why {
            Ok(why) => ExpiryDecision::Stays(old_root.clone(), why),
            Err(age) => ExpiryDecision::Goes(old_root.clone(), DeletionReason { age, newer }),
        });
        newer += usize::from(why.is_ok());
    }
    decisions.reverse();
    let stays = |old_root: &OldRoot| {
        let is_named = survey.is_of_other(&old_root.record);
        let why = if is_named { KeepReason::OfOtherLive } else { KeepReason::OfOtherSystem };
        ExpiryDecision::Stays(old_root.clone(), why)
    };
    decisions.extend(others.into_iter().map(stays));
    decisions.extend(
        survey
            .own_unfinished()
            .filter(|left| is_cleared_by_record(left))
            .cloned()
            .map(ExpiryDecision::Cleared),
    );
    Ok(ExpirePlan { decisions })
}

/// The age of each, where its record can be right; `None` where it lies in the future.
///
/// A record's time is what an initrd's clock said, which may have been 1970. But none of them can
/// have been set aside before one that is older by the file system's order.
fn ages_of_records(oldest_first: &[&OldRoot], now: DateTime<Utc>) -> Vec<Option<Age>> {
    let mut newest = DateTime::<Utc>::MIN_UTC;
    let age = |old_root: &&OldRoot| {
        let told = old_root.record.time;
        if told > now {
            return None;
        }
        newest = newest.max(told);
        Some(Age { passed: now - newest, at_most: newest > told })
    };
    oldest_first.iter().map(age).collect()
}

fn is_default_subvolume(survey: &Survey, old_root: &OldRoot) -> bool {
    survey.unfinished.iter().any(|left| match left {
        Unfinished::DefaultLeftBehind(other) => other.tree.id == old_root.tree.id,
        _ => false,
    })
}

/// Whether a record of ours says what it is, and that nobody needs it.
fn is_cleared_by_record(left: &Unfinished) -> bool {
    match left {
        Unfinished::RecordOnly(_)
        | Unfinished::FreshCopy { .. }
        | Unfinished::HalfDeleted { .. } => true,
        Unfinished::DefaultLeftBehind(_)
        | Unfinished::HalfSetAside(_)
        | Unfinished::Foreign(_)
        | Unfinished::Leftover(_)
        | Unfinished::UnreadableRecord { .. } => false,
    }
}

impl fmt::Display for ExpiryDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |record: &Record| Escaped(record.name.as_bytes()).to_string();
        match self {
            Self::Stays(old_root, why) => {
                write!(f, "keep {}: {why}", name(&old_root.record))?;
                match why {
                    KeepReason::HasSnapshots => {
                        let list = old_root.snapshots.join(", ");
                        write!(f, ": {list} (`snapshots = \"delete\"` in `retention` lets them go)")
                    }
                    KeepReason::OfOtherLive => {
                        let name = old_root.record.live_name.as_deref().unwrap_or_default();
                        write!(f, ", `{name}`")
                    }
                    _ => Ok(()),
                }
            }
            Self::Goes(old_root, why) => {
                write!(f, "discard {}: {why}", name(&old_root.record))?;
                if !old_root.nested.is_empty() {
                    write!(f, "; with what is in {}", nested_trees::list_paths(&old_root.nested))?;
                }
                if !old_root.snapshots.is_empty() {
                    write!(f, "; with its snapshots {}", old_root.snapshots.join(", "))?;
                }
                Ok(())
            }
            Self::Cleared(Unfinished::RecordOnly(record)) => {
                write!(f, "discard the record {}: its old root is gone, or never was", name(record))
            }
            Self::Cleared(Unfinished::FreshCopy { record, .. }) => {
                write!(f, "discard {}: a fresh copy that never became live", name(record))
            }
            Self::Cleared(Unfinished::HalfDeleted { record, .. }) => {
                write!(f, "discard {}: the rest of it, for a run was interrupted", name(record))
            }
            Self::Cleared(other) => match other.name() {
                Some(name) => write!(f, "discard {name}"),
                None => f.write_str("discard what is left"),
            },
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(1) => f.write_str("the newest"),
            Self::Newest(count) => write!(f, "among the newest {count}"),
            Self::Young(age, days) => write!(f, "{age}, and it stays for {}", in_days(*days)),
            Self::OfTheFuture(time) => {
                let time = time.to_rfc3339_opts(SecondsFormat::Secs, true);
                write!(f, "set aside at {time}, which is yet to come")
            }
            Self::Default => f.write_str("mounts that name no tree lead to it"),
            Self::HasSnapshots => f.write_str("it has snapshots that somebody made"),
            Self::OfOtherLive => f.write_str("it was another system's live"),
            Self::OfOtherSystem => f.write_str(
                "it may be another system's: neither its record nor what was copied from what leads from \
                 it to live",
            ),
        }
    }
}

impl fmt::Display for DeletionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.newer {
            0 => write!(f, "{}, and no newer one stays", self.age),
            1 => write!(f, "{}, 1 newer one stays", self.age),
            newer => write!(f, "{}, {newer} newer ones stay", self.age),
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.passed.num_days(), self.at_most) {
            (0, _) => f.write_str("less than a day old"),
            (days, false) => write!(f, "{} old", in_days(days)),
            (days, true) => write!(f, "at most {} old", in_days(days)),
        }
    }
}

fn in_days(days: impl Into<i64>) -> String {
    match days.into() {
        1 => "1 day".to_string(),
        days => format!("{days} days"),
    }
}

impl fmt::Display for ExpirePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decisions.iter().try_for_each(|decision| writeln!(f, "{decision}"))
    }
}

impl fmt::Display for ExpireRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self {
            Self::InInitrd => {
                f.write_str(
                    "cannot delete old roots: this is an initrd, and the rollback of this \
                             boot may still come",
                )?;
                Some("run it in the booted system")
            }
            Self::Obstacle(obstacle) => {
                write!(f, "cannot delete old roots: {}", obstacle.reason)?;
                obstacle.hint.as_deref()
            }
        };
        hint.map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

#[cfg(test)]
#[path = "expire_plan_tests.rs"]
mod tests;
