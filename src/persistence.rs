//! Puts a keep list in force on a machine: looks, plans, does. What `apply` runs, and what `keep`
//! runs for what it has moved.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use backends::{Backend, Result, TreePath};
use rustix::fs::OFlags;

use crate::accounts::Accounts;
use crate::apply::persist::{self, Outcome};
use crate::host::{Machine, user_options};
use crate::keep::KeepEntry;
use crate::observe::{Baseline, observe};
use crate::plan::apply::{ApplyPlan, ApplyStep, Arranged, Asked, arrange, leads_to, plan};

/// A keep list on a machine.
pub struct Persistence<'m> {
    machine: &'m Machine,
    accounts: Accounts,
    arranged: Vec<Arranged>,
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
            arranged: arrange(list),
            baseline: Baseline::new(open),
            linked: BTreeSet::new(),
        })
    }

    /// What is missing is like what it was in this old root: data is taken from there.
    pub fn take_from(&mut self, old_root: BorrowedFd<'m>) {
        self.baseline.take_from(old_root);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.arranged.len()
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.arranged.is_empty()
    }

    /// Tells which paths were linked before in this boot although nothing says so.
    pub fn were_linked(&mut self, paths: BTreeSet<TreePath>) {
        self.linked = paths;
    }

    /// The paths that are links to their data by now although nothing says so.
    pub fn linked(&self) -> impl Iterator<Item = &TreePath> {
        let is_link = |one: &&Arranged| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let target = self
                .machine
                .open_at(&one.made_at, flags)
                .and_then(|link| Ok(rustix::fs::readlinkat(link, c"", Vec::new())?.into_bytes()));
            target.is_ok_and(|target| leads_to(&target, one))
        };
        let open = self.arranged.iter().filter(|one| one.how().is_none());
        open.filter(is_link).map(|one| &one.entry.path)
    }

    /// What has to be done by now.
    pub fn plan(&mut self, asked: Asked) -> Result<ApplyPlan> {
        let mut observed = observe(self.machine, &self.arranged, &mut self.baseline)?;
        observed.linked.clone_from(&self.linked);
        Ok(plan(&self.arranged, &observed, &self.accounts, asked))
    }

    /// The entries that are not in force after a run: refused, or with a step that failed.
    pub fn not_in_force<'p>(&'p self, plan: &'p ApplyPlan, outcome: &Outcome) -> Vec<&'p TreePath> {
        let failed = outcome.failed.iter().map(|(at, _)| *at);
        let failed = failed.chain(outcome.not_tried.iter().map(|(at, _)| *at));
        let broken: Vec<&TreePath> =
            failed.filter_map(|at| plan.steps.get(at)).map(ApplyStep::path).collect();
        let is_broken = |one: &&Arranged| {
            let mut places = [&one.source, &one.made_at, &one.seen_at].into_iter();
            places.any(|place| broken.iter().any(|broken| place.is_within(broken)))
        };
        let broken = self.arranged.iter().filter(is_broken).map(|one| &one.entry.path);
        plan.refusals.iter().map(|refusal| &refusal.path).chain(broken).collect()
    }

    /// Does it; `progress` is told of names and bytes that are copied.
    pub fn execute(&self, plan: &ApplyPlan, progress: &mut dyn FnMut(u64, u64)) -> Outcome {
        persist::apply(&plan.steps, self.machine, progress)
    }
}

/// Tells programs that look at mounts of the `x-…` options of those that were made, and of those that
/// were there already and that nobody has told of.
pub fn announce(
    plan: &ApplyPlan,
    outcome: &Outcome,
    machine: &Machine,
    host: &crate::host::HostRoot,
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
    user_options::announce(machine, host, &made, &there)
}
