//! Puts a keep list in force on a machine: probes, plans, executes, and prints what was done. `apply` runs
//! this in the booted system and in the initrd, and `keep` for what it has moved.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::ExitCode;

use backends::Backend;
use dirfd::{Result, TreePath};
use rustix::fs::OFlags;

use crate::cli::arguments::Apply;
use crate::cli::invocation::Failure;
use crate::config::Config;
use crate::host::{HostRoot, Machine};
use crate::persist::accounts::Accounts;
use crate::persist::execute::{self, ApplyOutcome};
use crate::persist::hidden_content::Baseline;
use crate::persist::list::KeepEntry;
use crate::persist::plan::{Adopt, ApplyOptions, ApplyPlan, plan_apply};
use crate::persist::plan_target::leads_to;
use crate::persist::probe::probe_entries;
use crate::persist::resolve::{ResolvedEntry, resolve_entries};
use crate::persist::step::ApplyStep;
use crate::persist::utab;
use crate::ui;
use crate::ui::progress::ProgressCounter;

/// Some entries are in force and others are not.
pub(crate) const INCOMPLETE: u8 = 1;

/// A keep list on a machine.
pub struct Persistence<'m> {
    machine: &'m Machine,
    accounts: Accounts,
    resolved: Vec<ResolvedEntry>,
    baseline: Baseline<'m>,
    linked: BTreeSet<TreePath>,
}

impl<'m> Persistence<'m> {
    /// `open` opens what holds the machine's root, if anything restores it.
    pub fn new(
        machine: &'m Machine,
        list: &[KeepEntry],
        open: impl Fn() -> Result<Option<Box<dyn Backend>>> + 'm,
    ) -> Result<Self> {
        Ok(Self {
            machine,
            accounts: Accounts::read(machine.root())?,
            resolved: resolve_entries(list),
            baseline: Baseline::new(open),
            linked: BTreeSet::new(),
        })
    }

    /// What is missing is like what it was in this old root: data is taken from there.
    pub(crate) fn take_from(&mut self, old_root: BorrowedFd<'m>) {
        self.baseline.take_from(old_root);
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.resolved.len()
    }

    /// Tells which paths were linked before in this boot although nothing says so.
    pub(crate) fn set_linked(&mut self, paths: BTreeSet<TreePath>) {
        self.linked = paths;
    }

    /// The paths that are links to their data by now although nothing says so.
    pub(crate) fn linked(&self) -> impl Iterator<Item = &TreePath> {
        let is_link = |one: &&ResolvedEntry| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let target = self
                .machine
                .open_at(&one.made_at, flags)
                .and_then(|link| Ok(rustix::fs::readlinkat(link, c"", Vec::new())?.into_bytes()));
            target.is_ok_and(|target| leads_to(&target, one))
        };
        let open = self.resolved.iter().filter(|one| one.entry.fixed_placement().is_none());
        open.filter(is_link).map(|one| &one.entry.path)
    }

    /// What has to be done by now.
    pub fn plan(&mut self, asked: ApplyOptions) -> Result<ApplyPlan> {
        let mut observed = probe_entries(self.machine, &self.resolved, &mut self.baseline)?;
        observed.linked.clone_from(&self.linked);
        Ok(plan_apply(&self.resolved, &observed, &self.accounts, asked))
    }

    /// The entries that are not in force after a run: refused, or with a step that failed.
    pub(crate) fn not_in_force<'p>(
        &'p self,
        plan: &'p ApplyPlan,
        outcome: &ApplyOutcome,
    ) -> Vec<&'p TreePath> {
        let failed = outcome.failed.iter().map(|(at, _)| *at);
        let failed = failed.chain(outcome.not_tried.iter().map(|(at, _)| *at));
        let broken: Vec<&TreePath> =
            failed.filter_map(|at| plan.steps.get(at)).map(ApplyStep::path).collect();
        let is_broken = |one: &&ResolvedEntry| {
            let mut places = [&one.source, &one.made_at, &one.seen_at].into_iter();
            places.any(|place| broken.iter().any(|broken| place.is_within(broken)))
        };
        let broken = self.resolved.iter().filter(is_broken).map(|one| &one.entry.path);
        plan.refusals.iter().map(|refusal| &refusal.path).chain(broken).collect()
    }

    /// Does it; `progress` is told of names and bytes that are copied.
    pub fn execute(&self, plan: &ApplyPlan, progress: &mut dyn FnMut(u64, u64)) -> ApplyOutcome {
        execute::apply_steps(&plan.steps, self.machine, progress)
    }
}

/// Tells programs that look at mounts of the `x-…` options of those that were made, and of those that
/// were there already and that nobody has told of.
pub fn announce_mounts(
    plan: &ApplyPlan,
    outcome: &ApplyOutcome,
    machine: &Machine,
    host: &HostRoot,
) -> Result<()> {
    let made = outcome.done.iter().filter_map(|&at| plan.steps.get(at));
    let made = made.filter_map(|step| match step {
        ApplyStep::Bind { path, options, .. }
        | ApplyStep::Cover { path, options, .. }
        | ApplyStep::SetOptions { path, options }
            if !options.user.is_empty() =>
        {
            Some((path, options))
        }
        _ => None,
    });
    let there = plan.mounted.iter().map(|(path, options)| (path, options));
    let (made, there): (Vec<_>, Vec<_>) = (made.collect(), there.collect());
    if made.is_empty() && there.is_empty() {
        return Ok(());
    }
    utab::announce_in_utab(machine, host, &made, &there)
}

pub(crate) fn open_backend(config: &Config, root: &Path) -> Result<Option<Box<dyn Backend>>> {
    config.open_backend(root).map(Some)
}

/// Plans, and does it unless it is only to be shown.
pub(crate) fn put_in_force(
    persistence: &mut Persistence<'_>,
    args: &Apply,
) -> Result<(ApplyPlan, Option<ApplyOutcome>), Failure> {
    let adopt = match (args.adopt, args.adopt_replaced) {
        (true, _) => Adopt::Everything,
        (false, true) => Adopt::Replaced,
        (false, false) => Adopt::Nothing,
    };
    let asked = ApplyOptions { adopt, mounts: !args.no_mounts, early: args.in_initrd };
    let plan = persistence.plan(asked)?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        write!(out, "{plan}")?;
        print_notes(&plan, &mut out)?;
    }
    let outcome = if args.dry_run {
        None
    } else {
        let progress = ProgressCounter::of_names("copying");
        let mut names = 0;
        let outcome = persistence.execute(&plan, &mut |more, _| {
            names += more;
            progress.set(names);
        });
        drop(progress);
        print_outcome(&plan, &outcome, &mut out)?;
        Some(outcome)
    };
    let told = args.in_initrd && !plan.notes.is_empty();
    if plan.steps.is_empty() && plan.refusals.is_empty() && !told {
        writeln!(out, "nothing to do: {}", in_force_text(persistence.len()))?;
    }
    out.flush()?;
    plan.refusals.iter().for_each(ui::report_problem);
    Ok((plan, outcome))
}

pub(crate) fn exit_code(plan: &ApplyPlan, outcome: Option<&ApplyOutcome>) -> ExitCode {
    let complete = plan.refusals.is_empty() && outcome.is_none_or(ApplyOutcome::is_complete);
    if complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) }
}

fn in_force_text(entries: usize) -> String {
    match entries {
        0 => "the keep list is empty".to_string(),
        1 => "the one kept path is in its place".to_string(),
        2 => "both kept paths are in their places".to_string(),
        more => format!("all {more} kept paths are in their places"),
    }
}

fn print_notes(plan: &ApplyPlan, out: &mut impl Write) -> io::Result<()> {
    plan.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

fn print_outcome(
    plan: &ApplyPlan,
    outcome: &ApplyOutcome,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for step in outcome.done.iter().filter_map(|&at| plan.steps.get(at)) {
        writeln!(out, "done: {step}")?;
    }
    for (from, to) in &outcome.set_aside {
        writeln!(out, "note: what {from} had before is {to} by now")?;
    }
    let left_out = outcome.left_out.lines(|path| {
        format!(
            "{path} is a subvolume of its own, which holds something: it is not copied, and goes \
             with live"
        )
    });
    for line in left_out {
        writeln!(out, "note: {line}")?;
    }
    outcome.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    print_notes(plan, out)?;
    out.flush()?;
    for (_, error) in &outcome.failed {
        ui::report_problem(error);
    }
    for (at, missing) in &outcome.not_tried {
        if let Some(step) = plan.steps.get(*at) {
            ui::report_problem(format_args!("not tried, because of {missing}: {step}"));
        }
    }
    Ok(())
}
