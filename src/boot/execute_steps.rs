//! The only executor: does the steps of a plan one after the other, and decides nothing.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use backends::{LockedBackend, Survey, Tree, TreeId, Unfinished};
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreeName, atomic_file};

use crate::boot::expire_plan::{ExpirePlan, ExpiryDecision};
use crate::boot::hold_plan::HoldStep;
use crate::boot::init_plan::InitStep;
use crate::boot::rollback_plan::{RollbackPlan, RollbackStep};
use crate::boot::stamp::{RollbackOutcome, Stamp};
use crate::host::HostRoot;

/// Does the steps of an `init`; `done` hears of each that took effect.
pub fn execute_init(
    steps: &[InitStep],
    locked: &mut LockedBackend<'_>,
    mut done: impl FnMut(&InitStep),
) -> Result<()> {
    for step in steps {
        match step {
            InitStep::WriteConfig { path, text } => write_config(path, text)?,
            InitStep::MakeOldDir { .. } => locked.make_old_dir()?,
            InitStep::ListStubs { blank } => locked.list_stubs(blank)?,
            InitStep::Adopt { live, blank } => locked.adopt(live, blank)?,
            InitStep::Capture { origin, .. } => locked.capture(*origin).map(drop)?,
        }
        done(step);
    }
    Ok(())
}

/// Writes a file that must not be there yet, and the directories that lead to it.
fn write_config(path: &Path, text: &str) -> Result<()> {
    let action = || format!("write {}", Escaped::of_path(path));
    let Some(name) = path.file_name() else {
        return Err(Error::new(action(), "this is no name of a file"));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let there = parent.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
    let missing = parent.strip_prefix(there).unwrap_or(parent);
    let dir = HostRoot::open(there)?.make_dirs(missing).map_err(|e| Error::io(action(), e))?;
    atomic_file::create(dir.as_fd(), name, text.as_bytes(), 0o644)
        .map_err(|e| Error::io(action(), e))
}

/// Sets or releases a hold.
pub fn execute_hold(step: &HoldStep, locked: &mut LockedBackend<'_>) -> Result<()> {
    match step {
        HoldStep::Write(hold) => locked.hold(hold),
        HoldStep::Remove => locked.release(),
    }
}

/// Does the deletions of an expiry. One that fails stops no other; `done` hears of each how it ended.
pub fn execute_expiry(
    plan: &ExpirePlan,
    locked: &mut LockedBackend<'_>,
    mut done: impl FnMut(&ExpiryDecision, Result<()>),
) {
    for decision in &plan.decisions {
        let ended = match decision {
            ExpiryDecision::Stays(..) => continue,
            ExpiryDecision::Goes(old_root, _) => locked.discard(old_root),
            ExpiryDecision::Cleared(left) => locked.discard_unfinished(left),
        };
        done(decision, ended);
    }
}

/// What live is after a rollback that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveNow {
    /// The tree that it was before.
    AsBefore,
    /// A fresh copy of blank.
    Fresh,
    /// It could not be told.
    Unknown,
}

/// A rollback that did not complete.
#[derive(Debug)]
pub struct StoppedRollback {
    /// What failed, with its hint.
    pub(crate) error: Error,
    /// What live is now.
    pub live: LiveNow,
    /// Only the stamp is missing: the rollback itself was done.
    pub(crate) only_stamp: bool,
    /// What there is to write down about it.
    pub stamp: Stamp,
}

impl fmt::Display for StoppedRollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.live, self.only_stamp) {
            (LiveNow::AsBefore, _) => "live is the tree that it was before",
            (LiveNow::Fresh, true) => "the rollback itself was done: live is a fresh copy of blank",
            (LiveNow::Fresh, false) => {
                "live is a fresh copy of blank by now, but the rollback is not complete; the next \
                 one completes it"
            }
            (LiveNow::Unknown, _) => {
                "whether live was replaced could not be told; `blankroot status` does"
            }
        };
        write!(f, "{}\n  state: {state}", self.error)
    }
}

/// Does a rollback, and returns the stamp that tells of it. `stamp` has the boot; what happened is
/// filled in. `survey` is the one that the plan was made from.
pub fn execute_rollback(
    plan: &RollbackPlan,
    locked: &mut LockedBackend<'_>,
    survey: &Survey,
    host: &HostRoot,
    stamp: Stamp,
    started: Instant,
) -> Result<Stamp, Box<StoppedRollback>> {
    let live_id = survey.live.tree().map(|live| live.id.clone());
    let mut stamp = Stamp {
        file_system: Some(survey.file_system.clone()),
        live_now: live_id.filter(|_| plan.already_fresh),
        outcome: if plan.held.is_some() {
            RollbackOutcome::Skipped
        } else {
            RollbackOutcome::RolledBack
        },
        ..stamp
    };
    let mut live = if plan.already_fresh { LiveNow::Fresh } else { LiveNow::AsBefore };
    let mut prepared = None;
    for step in &plan.steps {
        // Writing the stamp is a step, too: what it says of the time is what all before it took.
        stamp.duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let done = match step {
            RollbackStep::UseHold(hold) => locked.hold(hold),
            RollbackStep::RemoveHold => locked.release(),
            RollbackStep::Prepare { blank, record, .. } => {
                locked.prepare(blank, record).map(|copy| prepared = Some(copy.id))
            }
            RollbackStep::Swap { live, aside } => locked.swap(live, aside),
            RollbackStep::Revert { live, blank } => locked.revert(live, blank),
            RollbackStep::MoveDefault { .. } => locked.make_live_default(),
            RollbackStep::Stamp => stamp.write(host),
        };
        // What is live by now decides whether the boot may go on, and the stamp says it, also where the
        // exchange failed.
        if let RollbackStep::Swap { live: before, aside } = step {
            live = match done {
                Ok(()) => LiveNow::Fresh,
                Err(_) => survey_live_again(locked, before),
            };
            if live == LiveNow::Fresh {
                stamp.live_before = Some(before.id.clone());
                stamp.old_root = Some(escape_name(aside.file_name()));
                stamp.live_now = prepared.clone().or_else(|| find_left_copy(survey, aside));
            }
        }
        // Nothing is exchanged: live is the same tree with other content.
        if let (RollbackStep::Revert { live: before, .. }, Ok(())) = (step, &done) {
            live = LiveNow::Fresh;
            stamp.live_before = Some(before.id.clone());
            stamp.live_now = Some(before.id.clone());
        }
        if let Err(error) = done {
            stamp.outcome = RollbackOutcome::Failed { reasons: vec![error.to_string()] };
            let only_stamp = *step == RollbackStep::Stamp;
            return Err(Box::new(StoppedRollback { error, live, only_stamp, stamp }));
        }
    }
    Ok(stamp)
}

/// An exchange may have taken effect although making it durable failed.
fn survey_live_again(locked: &LockedBackend<'_>, before: &Tree) -> LiveNow {
    match locked.survey_for_rollback().map(|survey| survey.live.tree().map(|live| live.id.clone()))
    {
        Ok(Some(id)) if id == before.id => LiveNow::AsBefore,
        Ok(Some(_)) => LiveNow::Fresh,
        Ok(None) | Err(_) => LiveNow::Unknown,
    }
}

/// The copy that an interrupted run left under this name.
fn find_left_copy(survey: &Survey, name: &TreeName) -> Option<TreeId> {
    survey.unfinished.iter().find_map(|unfinished| match unfinished {
        Unfinished::FreshCopy { tree, .. } if tree.name == *name => Some(tree.id.clone()),
        _ => None,
    })
}

fn escape_name(name: &OsStr) -> String {
    Escaped(name.as_encoded_bytes()).to_string()
}
