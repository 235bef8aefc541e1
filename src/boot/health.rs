//! What `status` makes of a survey and of this boot's facts: did the rollback run, and what is
//! wrong? Pure.

use backends::{Abilities, Held, Layout, Survey, TreeId, Unfinished};
use chrono::TimeDelta;
use dirfd::path::Escaped;

use crate::boot::command_line::BootRequest;
use crate::boot::facts::BootFacts;
use crate::boot::rollback_plan;
use crate::boot::stamp::{RollbackOutcome, Stamp};
use crate::boot::status_report::{BootState, RolledBack, StatusProblem};
use crate::config::rollback_options::Strategy;

/// The tree that is mounted as the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunningRoot {
    /// A tree of the file system that the configuration names.
    Tree(TreeId),
    /// Something on another file system.
    Elsewhere,
}

/// What this boot did about the root.
pub(crate) fn boot_state(survey: &Survey, facts: &BootFacts, abilities: Abilities) -> BootState {
    let mut boot = BootState { boot_id: facts.boot_id.clone(), rolled_back: None, skipped: None };
    if !abilities.needs_rollback {
        boot.skipped = Some("this root starts empty at every boot by itself".into());
        return boot;
    }
    match facts.stamp_of_this_boot().map(|stamp| (stamp, &stamp.outcome)) {
        Some((stamp, RollbackOutcome::RolledBack)) => boot.rolled_back = Some(rolled_back(stamp)),
        Some((_, RollbackOutcome::Skipped)) => boot.skipped = Some("it was asked not to".into()),
        Some((_, RollbackOutcome::Refused { .. })) => boot.skipped = Some("it was refused".into()),
        Some((_, RollbackOutcome::Failed { .. })) => boot.skipped = Some("it failed".into()),
        None if is_pending(survey, facts) => {
            boot.skipped =
                Some("pending: blank was made in this boot, and the next one does it".into());
        }
        None if facts.stamp.is_err() => {}
        None => boot.skipped = Some("no rollback has run in this boot".into()),
    }
    boot
}

fn rolled_back(stamp: &Stamp) -> RolledBack {
    let micros = i64::try_from(stamp.duration_us).unwrap_or(i64::MAX);
    let at = stamp.started.checked_add_signed(TimeDelta::microseconds(micros));
    RolledBack {
        old_root: stamp.old_root.clone(),
        at: at.unwrap_or(stamp.started),
        duration_ms: Some(stamp.duration_us / 1000),
    }
}

/// Whether the next boot is the first of which a rollback can be expected.
fn is_pending(survey: &Survey, facts: &BootFacts) -> bool {
    facts.is_before_first_rollback(survey.blank.tree(), !survey.old_roots.is_empty())
}

/// Only what went wrong in this boot, and whether the root that runs is the one that it made.
pub(crate) fn problems_of_this_boot(
    survey: &Survey,
    facts: &BootFacts,
    layout: &Layout,
    running: &RunningRoot,
) -> Vec<StatusProblem> {
    let mut problems = failures_of_this_boot(survey, facts);
    problems.extend(wrong_root(survey, layout, running));
    problems
}

/// Everything that its owner should mend, what matters most first.
pub(crate) fn find_problems(
    survey: &Survey,
    facts: &BootFacts,
    layout: Option<&Layout>,
    running: &RunningRoot,
    abilities: Abilities,
) -> Vec<StatusProblem> {
    let Some(layout) = layout.filter(|_| abilities.needs_rollback) else { return Vec::new() };
    let mut problems = problems_of_this_boot(survey, facts, layout, running);
    problems.extend(refusals_of_next_boot(survey, facts, layout));
    problems.extend(survey.own_unfinished().map(problem_of_unfinished));
    problems
}

fn new_problem(text: impl Into<String>, hint: &str) -> StatusProblem {
    StatusProblem { text: text.into(), hint: Some(hint.to_string()) }
}

/// What went wrong in this boot.
fn failures_of_this_boot(survey: &Survey, facts: &BootFacts) -> Vec<StatusProblem> {
    let stamp = match &facts.stamp {
        Err(why) => return vec![new_problem(why.clone(), "the next rollback writes it anew")],
        Ok(_) => facts.stamp_of_this_boot(),
    };
    // A soft reboot keeps the stamp in /run, which is of an earlier userspace then.
    if let Some(count @ 1..) = facts.soft_reboots {
        let text = format!(
            "soft-reboot number {count} of this boot did not run the initrd, so nothing was rolled back"
        );
        return vec![new_problem(text, "systemctl reboot")];
    }
    match stamp.map(|stamp| (&stamp.outcome, stamp)) {
        None if is_pending(survey, facts) => Vec::new(),
        None => {
            let hint = "rebuild the initrd (update-initramfs -u, dracut --force --regenerate-all or \
                        mkinitcpio -P) and reboot; a kernel that kexec starts needs that initrd, too";
            vec![new_problem("no rollback has run in this boot", hint)]
        }
        Some((RollbackOutcome::RolledBack, stamp)) => {
            let live = survey.live.tree().map(|live| &live.id);
            let replaced = stamp.live_now.is_some() && live.is_some();
            if replaced && stamp.live_now.as_ref() != live {
                let text = "live is another tree than the one that this boot's rollback made";
                return vec![new_problem(text, "reboot, so that live is a fresh copy of blank")];
            }
            Vec::new()
        }
        Some((RollbackOutcome::Skipped, _)) => Vec::new(),
        Some((RollbackOutcome::Refused { reasons } | RollbackOutcome::Failed { reasons }, _)) => {
            reasons.iter().map(|reason| problem_from_reason(reason)).collect()
        }
    }
}

/// A reason as it was printed, with its hint on a line of its own.
fn problem_from_reason(reason: &str) -> StatusProblem {
    let (text, hint) = match reason.split_once("\n  hint: ") {
        Some((text, hint)) => (text, Some(hint.to_string())),
        None => (reason, None),
    };
    StatusProblem { text: format!("in this boot: {}", text.replace('\n', "; ")), hint }
}

/// Whether the running root is live at all.
fn wrong_root(survey: &Survey, layout: &Layout, running: &RunningRoot) -> Option<StatusProblem> {
    let live = survey.live.tree()?;
    let what = match running {
        RunningRoot::Tree(id) if *id == live.id => return None,
        RunningRoot::Tree(_) => "another tree of its file system is mounted as the root",
        RunningRoot::Elsewhere => "another file system is mounted as the root",
    };
    Some(new_problem(
        format!("live, `{}`, is not the running root: {what}", layout.live),
        "correct `root=`, `rootflags=` or fstab, or name where live is mounted with `--root DIR`",
    ))
}

/// What the next rollback would meet if everything stays as it is.
fn refusals_of_next_boot(
    survey: &Survey,
    facts: &BootFacts,
    layout: &Layout,
) -> Vec<StatusProblem> {
    // Mounts end with this boot, and what was asked was asked of this boot.
    let hold = survey.hold.clone().filter(|held| matches!(held, Held::Unreadable(_)));
    let survey =
        Survey { live_mounts: Vec::new(), more_live_mounts: false, hold, ..survey.clone() };
    let mut facts = facts.clone();
    facts.command_line.asked =
        facts.command_line.asked.filter(|asked| matches!(asked, BootRequest::Unknown(_)));
    let refusals = rollback_plan::plan_rollback(Strategy::SetAside, &survey, &facts, layout)
        .err()
        .unwrap_or_default();
    refusals
        .iter()
        .map(|refusal| StatusProblem {
            text: format!("the next rollback will be refused: {}", refusal.reason()),
            hint: refusal.hint(),
        })
        .collect()
}

fn problem_of_unfinished(unfinished: &Unfinished) -> StatusProblem {
    match unfinished {
        Unfinished::RecordOnly(record) => new_problem(
            format!(
                "a rollback was interrupted and left the record {} alone",
                Escaped(record.name.as_bytes())
            ),
            "nothing needs to be done; `blankroot expire` removes it",
        ),
        Unfinished::FreshCopy { tree, .. } => new_problem(
            format!("a rollback was interrupted and left a fresh copy, `{}`", tree.name),
            "nothing needs to be done; the next rollback takes it, or `blankroot expire` removes it",
        ),
        Unfinished::HalfDeleted { tree, .. } => new_problem(
            format!("deleting `{}` was interrupted, and it is not whole any more", tree.name),
            "nothing needs to be done; the next `blankroot expire` deletes the rest",
        ),
        Unfinished::DefaultLeftBehind(old) => new_problem(
            format!("mounts that name no tree lead to the old root `{}`", old.tree.name),
            "reboot: the next rollback lets them lead to live; or run `blankroot rollback` while \
             live is not mounted",
        ),
        Unfinished::HalfSetAside(name) => new_problem(
            format!(
                "a rollback was interrupted between two of its steps, and `{name}` was live then"
            ),
            "delete nothing; the next `blankroot rollback` or `blankroot expire` of its system completes \
             the rollback",
        ),
        Unfinished::Foreign(name) => new_problem(
            format!("`{name}` lies among the old roots, and no record tells of it"),
            "move it elsewhere; Blankroot never touches it",
        ),
        Unfinished::Leftover(name) => new_problem(
            format!("a power cut left `{name}`, which is not whole"),
            "delete it when you like; Blankroot never touches it",
        ),
        Unfinished::UnreadableRecord { name, why } => new_problem(
            format!("the record `{name}` cannot be read: {why}"),
            "look at it; the old root that it belongs to is never touched",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::command_line::CommandLine;
    use crate::boot::resume::Resume;
    use backends::{Slot, Tree};
    use chrono::DateTime;
    use dirfd::TreeName;

    const ABILITIES: Abilities =
        Abilities { needs_rollback: true, constant_time: true, fast_changes: true };

    fn tree(id: &str, name: &str, read_only: bool) -> Slot {
        let (id, name) = (TreeId::new(id), TreeName::new(name).unwrap());
        let (created, copy_of, pristine) = (None, None, None);
        Slot::Present(Tree { id, name, read_only, created, copy_of, pristine })
    }

    fn survey() -> Survey {
        let blank = tree("blank", "root-blank", true);
        Survey { has_old_dir: true, ..Survey::new("x", tree("live", "root", false), blank) }
    }

    fn facts(stamp: Result<Option<Stamp>, String>) -> BootFacts {
        BootFacts {
            boot_id: "boot".into(),
            clock: DateTime::UNIX_EPOCH,
            command_line: CommandLine { asked: Some(BootRequest::Halt), ..CommandLine::default() },
            resume: Resume::RuledOut,
            fstab_roots: Vec::new(),
            soft_reboots: None,
            up_since: None,
            stamp,
        }
    }

    fn stamp(outcome: RollbackOutcome) -> Stamp {
        Stamp {
            live_now: Some(TreeId::new("live")),
            ..Stamp::new("boot", DateTime::UNIX_EPOCH, outcome)
        }
    }

    fn found(survey: &Survey, facts: &BootFacts, running: &str) -> Vec<String> {
        let name = |text: &str| TreeName::new(text).unwrap();
        let layout =
            Layout { live: name("root"), blank: name("root-blank"), old: name("old-roots") };
        let running = RunningRoot::Tree(TreeId::new(running));
        let problems = find_problems(survey, facts, Some(&layout), &running, ABILITIES);
        problems.into_iter().map(|problem| problem.text).collect()
    }

    #[test]
    fn a_rollback_of_this_boot_with_its_live_running_is_healthy() {
        let rolled_back = facts(Ok(Some(stamp(RollbackOutcome::RolledBack))));
        assert_eq!(found(&survey(), &rolled_back, "live"), [""; 0]);
        assert!(boot_state(&survey(), &rolled_back, ABILITIES).rolled_back.is_some());
    }

    #[test]
    fn another_live_than_the_one_that_was_made_is_told() {
        let other = Survey { live: tree("other", "root", false), ..survey() };
        let told = found(&other, &facts(Ok(Some(stamp(RollbackOutcome::RolledBack)))), "live");
        assert!(told[0].starts_with("live is another tree"), "{told:?}");
        assert!(told[1].contains("is not the running root"), "{told:?}");
    }

    #[test]
    fn a_stamp_that_cannot_be_read_is_no_missing_one() {
        let unreadable = facts(Err("cannot read the stamp: EOF".into()));
        assert_eq!(found(&survey(), &unreadable, "live"), ["cannot read the stamp: EOF"]);
        assert_eq!(boot_state(&survey(), &unreadable, ABILITIES).skipped, None);
        let older = Stamp { boot_id: "older".into(), ..stamp(RollbackOutcome::RolledBack) };
        let told = found(&survey(), &facts(Ok(Some(older))), "live");
        assert_eq!(told, ["no rollback has run in this boot"]);
    }

    #[test]
    fn a_reason_with_its_hint_is_told_as_both() {
        let reasons = vec!["cannot x: y\n  hint: z".to_string()];
        let facts = facts(Ok(Some(stamp(RollbackOutcome::Refused { reasons }))));
        let mended = failures_of_this_boot(&survey(), &facts);
        assert_eq!(mended[0].text, "in this boot: cannot x: y");
        assert_eq!(mended[0].hint.as_deref(), Some("z"));
    }

    #[test]
    fn a_root_that_starts_empty_has_no_rollback_to_miss() {
        let abilities = Abilities { needs_rollback: false, ..ABILITIES };
        let (survey, facts) = (survey(), facts(Ok(None)));
        assert_eq!(find_problems(&survey, &facts, None, &RunningRoot::Elsewhere, abilities), []);
        assert!(boot_state(&survey, &facts, abilities).skipped.is_some());
    }
}
