//! Plans a rollback: what the disk and the boot are like → the steps, or every reason against it.

use std::ffi::OsString;
use std::fmt;

use backends::{
    Held, Hold, Kinship, Layout, LiveMount, Obstacle, Record, Slot, Survey, Tree, Unfinished,
};
use dirfd::TreeName;

use crate::boot::command_line::BootRequest;
use crate::boot::facts::BootFacts;
use crate::boot::next_root;
use crate::boot::refusal::Refusal;
use crate::boot::resume::Resume;
use crate::boot::stamp::RollbackOutcome;
use crate::config::rollback_options::Strategy;
use crate::steps::write_numbered;

/// What a rollback will do, in order. It may be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackPlan {
    /// Executed one after the other; the first that fails ends the run.
    pub(crate) steps: Vec<RollbackStep>,
    /// Live is an untouched copy of blank, so nothing has to be copied or swapped.
    pub(crate) already_fresh: bool,
    /// Live stays as it is for this boot, as this says.
    pub(crate) held: Option<Hold>,
}

/// A change of the disk, or of what is written down of this boot; printed as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RollbackStep {
    /// Write this boot into the hold, so that it holds for no later one.
    UseHold(Hold),
    /// Remove a hold that an earlier boot has used.
    RemoveHold,
    /// Make a fresh copy of blank under the record's name.
    Prepare {
        /// What the copy is made of.
        blank: Tree,
        /// What will be true of that name once the copy is swapped with live.
        record: Record,
        /// Where the copy will be.
        aside: TreeName,
    },
    /// Exchange live and the copy.
    Swap {
        /// The tree that is live until then.
        live: Tree,
        /// Where the copy is, and the old root will be.
        aside: TreeName,
    },
    /// Put live back to blank in place.
    Revert {
        /// The tree that is live.
        live: Tree,
        /// What it is to be.
        blank: Tree,
    },
    /// Let mounts that name no tree lead to what is live by now.
    MoveDefault {
        /// The name of live.
        live: TreeName,
    },
    /// Write down for this boot that the rollback was done.
    Stamp,
}

impl fmt::Display for RollbackStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UseHold(_) => {
                f.write_str("write this boot into the hold, which is used up by that")
            }
            Self::RemoveHold => f.write_str("remove the hold, which an earlier boot has used up"),
            Self::Prepare { blank, aside, .. } => {
                write!(f, "make a fresh copy of `{}` as `{aside}`", blank.name)
            }
            Self::Swap { live, aside } => write!(
                f,
                "exchange `{live}` and `{aside}`: the copy becomes live, and live the old root",
                live = live.name
            ),
            Self::Revert { live, blank } => write!(
                f,
                "put `{}` back to `{}` in place: nothing that was written since is left",
                live.name, blank.name
            ),
            Self::MoveDefault { live } => {
                write!(f, "let mounts that name no tree lead to `{live}`")
            }
            Self::Stamp => f.write_str("write the stamp of this boot"),
        }
    }
}

impl fmt::Display for RollbackPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_some() {
            writeln!(f, "live stays as it is: this boot is held")?;
        }
        if self.already_fresh {
            writeln!(f, "live is a fresh copy of blank already")?;
        }
        write_numbered(f, &self.steps)
    }
}

/// The reasons that are known before the disk is touched.
///
/// To be asked before a backend opens the file system: even mounting it read-only may write to it,
/// which a waiting hibernation image would not survive.
pub(crate) fn refusals_before_survey(facts: &BootFacts, layout: &Layout) -> Vec<Refusal> {
    let line = &facts.command_line;
    if line.asked == Some(BootRequest::Skip) {
        return vec![Refusal::Skip];
    }
    let mut refusals = Vec::new();
    if let Some(BootRequest::Unknown(value)) = &line.asked {
        refusals.push(Refusal::UnknownRequest(value.clone()));
    }
    if facts.resume != Resume::RuledOut {
        refusals.push(Refusal::Resume(facts.resume.clone()));
    }
    if let (Some(flags), Some(subvolid)) = (&line.root_flags, line.root_flag(b"subvolid")) {
        let corrected = next_root::correct_root_flags(flags, &layout.live);
        refusals.push(Refusal::NumberOnCommandLine { subvolid: subvolid.to_vec(), corrected });
    }
    refusals
}

/// Plans a rollback, or names all reasons against it.
pub fn plan_rollback(
    strategy: Strategy,
    survey: &Survey,
    facts: &BootFacts,
    layout: &Layout,
) -> Result<RollbackPlan, Vec<Refusal>> {
    let mut refusals = refusals_before_survey(facts, layout);
    if refusals.iter().any(Refusal::is_by_request) {
        return Err(refusals);
    }
    // A hold for this boot comes before everything that the disk has against a rollback: there is none.
    let used_up = match &survey.hold {
        Some(Held::By(hold)) if hold.is_for(&facts.boot_id) && refusals.is_empty() => {
            return Ok(plan_held_boot(hold, facts));
        }
        Some(Held::Unreadable(why)) => {
            refusals.push(Refusal::HoldUnreadable(layout.old.clone(), why.clone()));
            false
        }
        Some(Held::By(hold)) => hold.used_by.is_some(),
        None => false,
    };
    // From here on every reason is collected: who mends one should not meet the next at the next boot.
    refusals.extend(numbers_in_fstab(facts, layout));
    refusals.extend(survey.obstacles.iter().cloned().map(Refusal::Obstacle));
    refusals.extend(obstacles_to_swap(strategy, survey).iter().cloned().map(Refusal::Obstacle));
    let live = expect_tree(&survey.live, &layout.live, Refusal::LiveMissing, Refusal::LiveNotATree);
    let blank =
        expect_tree(&survey.blank, &layout.blank, Refusal::BlankMissing, Refusal::BlankNotATree);
    let (live, blank) = match (live, blank) {
        (Ok(live), Ok(blank)) => (live, blank),
        (live, blank) => {
            // Who repairs one slot should learn at once what is wrong with the other.
            refusals.extend(
                live.map(|live| refusals_of_live(survey, live)).unwrap_or_else(|r| vec![r]),
            );
            refusals.extend(blank.map(refusal_of_writable_blank).unwrap_or_else(Some));
            return Err(refusals);
        }
    };
    refusals.extend(refusal_of_writable_blank(blank));
    refusals.extend(refusal_unrelated(survey, live, blank));
    let planned = if is_fresh(live, blank) {
        // Nothing is exchanged, so live may be in use.
        Ok(plan_completion(survey, facts, live))
    } else {
        refusals.extend(refusals_of_live(survey, live));
        match strategy {
            Strategy::SetAside => plan_swap(survey, facts, layout, live, blank),
            Strategy::Rollback => Ok(plan_revert(live, blank)),
        }
    };
    match planned {
        Ok(mut plan) if refusals.is_empty() => {
            if used_up {
                plan.steps.insert(0, RollbackStep::RemoveHold);
            }
            Ok(plan)
        }
        Ok(_) => Err(refusals),
        Err(refusal) => {
            refusals.push(refusal);
            Err(refusals)
        }
    }
}

/// The owner wants live as it is in this boot.
fn plan_held_boot(hold: &Hold, facts: &BootFacts) -> RollbackPlan {
    let mut steps = Vec::new();
    if hold.used_by.is_none() {
        steps.push(RollbackStep::UseHold(Hold {
            used_by: Some(facts.boot_id.clone()),
            ..hold.clone()
        }));
    }
    steps.push(RollbackStep::Stamp);
    RollbackPlan { steps, already_fresh: false, held: Some(hold.clone()) }
}

/// Live is fresh already: only what an interrupted run left undone.
fn plan_completion(survey: &Survey, facts: &BootFacts, live: &Tree) -> RollbackPlan {
    let mut steps = Vec::new();
    if survey.unfinished.iter().any(|u| matches!(u, Unfinished::DefaultLeftBehind(_))) {
        steps.push(RollbackStep::MoveDefault { live: live.name.clone() });
    }
    let stamped =
        facts.stamp_of_this_boot().is_some_and(|s| s.outcome == RollbackOutcome::RolledBack);
    if !steps.is_empty() || !stamped {
        steps.push(RollbackStep::Stamp);
    }
    RollbackPlan { steps, already_fresh: true, held: None }
}

/// Live stays the tree that it is, and nothing of what was written is left.
fn plan_revert(live: &Tree, blank: &Tree) -> RollbackPlan {
    let revert = RollbackStep::Revert { live: live.clone(), blank: blank.clone() };
    RollbackPlan { steps: vec![revert, RollbackStep::Stamp], already_fresh: false, held: None }
}

/// A fresh copy, made now or left by an interrupted run, takes the place of live.
fn plan_swap(
    survey: &Survey,
    facts: &BootFacts,
    layout: &Layout,
    live: &Tree,
    blank: &Tree,
) -> Result<RollbackPlan, Refusal> {
    let mut steps = Vec::new();
    let aside = match find_reusable_copy(survey, live, blank) {
        Some(copy) => copy.name.clone(),
        None => {
            if let Some(space) = survey.space.filter(|space| space.available < space.needed) {
                return Err(Refusal::NoSpace(space));
            }
            let (live, from) = (live.id.clone(), blank.id.clone());
            let record =
                Record::next(&taken_names(survey), &facts.boot_id, facts.clock, live, from)
                    .of(&layout.live);
            let aside = layout.old.child(&record.name);
            let aside = aside.map_err(|why| Refusal::OldName(layout.old.clone(), why))?;
            steps.push(RollbackStep::Prepare {
                blank: blank.clone(),
                record,
                aside: aside.clone(),
            });
            aside
        }
    };
    steps.push(RollbackStep::Swap { live: live.clone(), aside });
    let left_behind = |u: &Unfinished| matches!(u, Unfinished::DefaultLeftBehind(_));
    if survey.live_is_default || survey.unfinished.iter().any(left_behind) {
        steps.push(RollbackStep::MoveDefault { live: live.name.clone() });
    }
    steps.push(RollbackStep::Stamp);
    Ok(RollbackPlan { steps, already_fresh: false, held: None })
}

/// The youngest untouched copy that an interrupted run made for exactly this live and blank.
fn find_reusable_copy<'a>(survey: &'a Survey, live: &Tree, blank: &Tree) -> Option<&'a Tree> {
    let copies = survey.unfinished.iter().filter_map(|unfinished| match unfinished {
        Unfinished::FreshCopy { tree, record }
            if is_fresh(tree, blank) && record.live == live.id && record.blank == blank.id =>
        {
            Some((record, tree))
        }
        _ => None,
    });
    copies.max_by(|(a, _), (b, _)| a.name.cmp(&b.name)).map(|(_, tree)| tree)
}

/// Whether `tree` is blank's content exactly. Where blank was written to after it was made, a copy
/// may be older than its content, so no copy counts.
fn is_fresh(tree: &Tree, blank: &Tree) -> bool {
    tree.pristine == Some(true)
        && tree.copy_of.as_ref() == Some(&blank.id)
        && !tree.read_only
        && blank.pristine != Some(false)
}

/// Every name in the directory of old roots.
fn taken_names(survey: &Survey) -> Vec<OsString> {
    let unfinished = survey.unfinished.iter().filter_map(|unfinished| match unfinished.record() {
        Some(record) => Some(OsString::from(&record.name)),
        None => unfinished.name().map(|name| name.file_name().to_os_string()),
    });
    survey.old_roots.iter().map(|old| OsString::from(&old.record.name)).chain(unfinished).collect()
}

fn expect_tree<'a>(
    slot: &'a Slot,
    name: &TreeName,
    missing: fn(TreeName) -> Refusal,
    not_a_tree: fn(TreeName, String) -> Refusal,
) -> Result<&'a Tree, Refusal> {
    match slot {
        Slot::Present(tree) => Ok(tree),
        Slot::Missing => Err(missing(name.clone())),
        Slot::NotATree(what) => Err(not_a_tree(name.clone(), what.clone())),
    }
}

fn refusals_of_live(survey: &Survey, live: &Tree) -> Vec<Refusal> {
    let (certain, uncertain): (Vec<LiveMount>, Vec<LiveMount>) =
        survey.live_mounts.iter().cloned().partition(|mount| mount.certain);
    let mut refusals = Vec::new();
    if !certain.is_empty() {
        refusals.push(Refusal::Mounted(live.name.clone(), certain));
    }
    if !uncertain.is_empty() {
        refusals.push(Refusal::MaybeMounted(live.name.clone(), uncertain));
    }
    if survey.more_live_mounts && survey.live_mounts.is_empty() {
        refusals.push(Refusal::TooManyMounts(live.name.clone()));
    }
    if live.read_only {
        refusals.push(Refusal::LiveReadOnly(live.name.clone()));
    }
    refusals
}

fn refusal_unrelated(survey: &Survey, live: &Tree, blank: &Tree) -> Option<Refusal> {
    let Kinship::Unrelated(unreadable) = &survey.kinship else { return None };
    let (live, blank) = (live.name.clone(), blank.name.clone());
    Some(Refusal::Unrelated { live, blank, unreadable: unreadable.clone() })
}

fn refusal_of_writable_blank(blank: &Tree) -> Option<Refusal> {
    (!blank.read_only).then(|| Refusal::BlankWritable(blank.name.clone()))
}

/// What keeps live from being exchanged, where it would be: whoever puts it back in place renames nothing.
pub(crate) fn obstacles_to_swap(strategy: Strategy, survey: &Survey) -> &[Obstacle] {
    match strategy {
        Strategy::SetAside => &survey.immovable,
        Strategy::Rollback => &[],
    }
}

fn numbers_in_fstab(facts: &BootFacts, layout: &Layout) -> Vec<Refusal> {
    let entries = facts.fstab_roots.iter();
    entries
        .filter_map(|entry| {
            Some(Refusal::NumberInFstab {
                blank: layout.blank.clone(),
                line: entry.line,
                subvolid: entry.subvolid()?.to_vec(),
                corrected: next_root::correct_fstab_line(&entry.text, &layout.live),
            })
        })
        .collect()
}

#[cfg(test)]
#[path = "rollback_plan_tests.rs"]
mod tests;
