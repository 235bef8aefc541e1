//! `rollback`: sets live aside and puts a fresh copy of blank in its place.

use std::path::{Path, PathBuf};
use std::time::Instant;

use backends::{Backend, Layout, LockedBackend, Survey, Tree, View};
use chrono::Utc;
use dirfd::Error;

use crate::boot::command_line::BootRequest;
use crate::boot::execute_steps::{self, LiveNow};
use crate::boot::facts::{self, BootFacts};
use crate::boot::next_root::{OtherRoot, find_other_root};
use crate::boot::refusal::Refusal;
use crate::boot::resume::Resume;
use crate::boot::rollback_plan::{self, RollbackPlan};
use crate::boot::stamp::{RollbackOutcome, Stamp, ThisRoot};
use crate::cli::arguments::{Cli, Rollback};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::load_config;
use crate::config::Config;
use crate::config::reader::ConfigError;
use crate::host::HostRoot;
use crate::log::{self, LogLevel, RollbackLogEntry};
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Rollback) -> Exit {
    let started = Instant::now();
    let config = load_config(cli, &args.host.host);
    let known = HostRoot::open(&args.host.host)
        .and_then(|host| Ok((BootFacts::gather(&host, Utc::now())?, host)));
    let (facts, host) = match known {
        Ok(known) => known,
        Err(error) => {
            ui::report_problem(error);
            let on_failure = config.map(|config| config.rollback.on_failure);
            return on_failure.map_or(Exit::CouldNotRun, |what| Exit::after_failure(what, None));
        }
    };
    let asked = facts.command_line.asked.as_ref();
    let on_failure = match (&config, asked) {
        (Ok(config), _) => Exit::after_failure(config.rollback.on_failure, asked),
        // What the configuration would say is not known, but what the kernel was told is.
        (Err(_), Some(BootRequest::Halt)) => Exit::MustHalt,
        (Err(_), Some(BootRequest::Boot)) => Exit::MayBoot,
        (Err(_), _) => Exit::CouldNotRun,
    };
    if args.finish {
        return complete_interrupted(config, &facts, &args.host.host);
    }
    let run = RollbackRun {
        root: args.host.host.clone(),
        facts,
        host,
        dry_run: args.dry_run,
        started,
        on_failure,
        about: config.as_ref().ok().and_then(|config| config.root.this_root()),
    };
    match config {
        Ok(config) => run.roll_back(&config, &args.host.host),
        // The way out must work with a broken configuration, too.
        Err(_) if run.facts.command_line.asked == Some(BootRequest::Skip) => {
            run.report_refusals(&[Refusal::Skip])
        }
        Err(error) => {
            ui::report_problem(&error);
            run.write_new_stamp(RollbackOutcome::Refused { reasons: vec![error.to_string()] });
            run.on_failure
        }
    }
}

/// Who takes the lock completes what was begun. It is done whatever the kernel was told: without it there may be
/// no root at all.
fn complete_interrupted(
    config: Result<Config, ConfigError>,
    facts: &BootFacts,
    root: &Path,
) -> Exit {
    if facts.resume != Resume::RuledOut {
        ui::report_problem(Refusal::Resume(facts.resume.clone()));
        return Exit::MayBoot;
    }
    let done = match &config {
        Ok(config) => {
            config.with_lock(root, ui::report_waiting, |_| Ok(())).map_err(|e| e.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            ui::report_problem(error);
            Exit::MayBoot
        }
    }
}

/// One run and what it knows of its boot.
struct RollbackRun {
    /// The directory of `host`.
    root: PathBuf,
    facts: BootFacts,
    host: HostRoot,
    dry_run: bool,
    started: Instant,
    on_failure: Exit,
    /// The root that it is about, as far as the configuration knows.
    about: Option<ThisRoot>,
}

impl RollbackRun {
    fn roll_back(&self, config: &Config, root: &Path) -> Exit {
        let Some(layout) = config.root.layout() else {
            ui::print_text(
                "there is nothing to roll back: this root starts empty at every boot by itself\n",
            );
            return Exit::Done;
        };
        // While a hibernated system may be waiting, not even reading is safe.
        let refusals = rollback_plan::refusals_before_survey(&self.facts, layout);
        if !refusals.is_empty() {
            return self.report_refusals(&refusals);
        }
        let done = if self.dry_run {
            let backend = config.open_backend(root);
            backend.and_then(|backend| self.plan_without_lock(backend.as_ref(), config, layout))
        } else {
            config.with_lock(root, ui::report_waiting, |locked| {
                self.plan_and_execute(locked, config, layout)
            })
        };
        done.unwrap_or_else(|error| {
            ui::report_problem(&error);
            self.write_new_stamp(RollbackOutcome::Failed { reasons: vec![error.to_string()] });
            self.on_failure
        })
    }

    /// Plans without the lock, which would need the file system open for changes.
    fn plan_without_lock(
        &self,
        backend: &dyn Backend,
        config: &Config,
        layout: &Layout,
    ) -> Result<Exit, Error> {
        let view = |tree: &Tree| backend.view(tree);
        Ok(match self.make_plan(config, view, &backend.survey()?, layout)? {
            Ok(plan) => {
                ui::print_text(&plan.to_string());
                Exit::Done
            }
            Err(refusals) => self.report_refusals(&refusals),
        })
    }

    fn plan_and_execute(
        &self,
        locked: &mut LockedBackend<'_>,
        config: &Config,
        layout: &Layout,
    ) -> Result<Exit, Error> {
        let survey = locked.survey_for_rollback()?;
        Ok(match self.make_plan(config, |tree| locked.view(tree), &survey, layout)? {
            Ok(plan) => self.execute_plan(&plan, locked, &survey, layout),
            Err(refusals) => self.report_refusals(&refusals),
        })
    }

    fn make_plan(
        &self,
        config: &Config,
        view: impl FnOnce(&Tree) -> Result<View, Error>,
        survey: &Survey,
        layout: &Layout,
    ) -> Result<Result<RollbackPlan, Vec<Refusal>>, Error> {
        let facts = self.facts.clone().with_fstab_of_blank(view, survey)?;
        let facts = facts.about(&config.root.this_root().unwrap_or_default().into_surveyed(survey));
        if let Some(other) = find_other_root(&config.root, &facts, survey, true) {
            self.warn_of_other_root(&other);
        }
        Ok(rollback_plan::plan_rollback(config.rollback.strategy, survey, &facts, layout))
    }

    fn execute_plan(
        &self,
        plan: &RollbackPlan,
        locked: &mut LockedBackend<'_>,
        survey: &Survey,
        layout: &Layout,
    ) -> Exit {
        let stamp = self.new_stamp(RollbackOutcome::RolledBack);
        match execute_steps::execute_rollback(plan, locked, survey, &self.host, stamp, self.started)
        {
            Ok(stamp) => {
                self.log_stamp(&stamp);
                self.print_result(plan, &stamp, layout);
                Exit::Done
            }
            Err(stopped) => {
                ui::report_problem(&stopped);
                if stopped.only_stamp && stopped.live == LiveNow::Fresh {
                    return Exit::Done;
                }
                self.record_stamp(&stopped.stamp);
                self.on_failure
            }
        }
    }

    fn print_result(&self, plan: &RollbackPlan, stamp: &Stamp, layout: &Layout) {
        let text = match &stamp.old_root {
            _ if plan.held.is_some() => {
                "not rolled back: this boot is held, as `blankroot hold` asked\n".to_string()
            }
            Some(name) => {
                let (took, old) = (stamp.milliseconds(), &layout.old);
                format!(
                    "rolled back in {took}: live is a fresh copy of blank, and the old root is \
                     {old}/{name}\n"
                )
            }
            None if stamp.live_before.is_some() => {
                let took = stamp.milliseconds();
                format!("rolled back in {took}: live is blank again, and there is no old root\n")
            }
            None => "live is a fresh copy of blank already\n".to_string(),
        };
        ui::print_text(&text);
    }

    /// Says why nothing is done, and writes it down for this boot.
    fn report_refusals(&self, refusals: &[Refusal]) -> Exit {
        refusals.iter().for_each(ui::report_problem);
        if refusals.iter().all(Refusal::is_by_request) {
            self.write_new_stamp(RollbackOutcome::Skipped);
            return Exit::Done;
        }
        let reasons = refusals.iter().map(ToString::to_string).collect();
        self.write_new_stamp(RollbackOutcome::Refused { reasons });
        self.on_failure
    }

    /// What is restored is not what this boot goes on with: nobody may notice otherwise.
    fn warn_of_other_root(&self, other: &OtherRoot) {
        let message = format!("the next root is not what is rolled back: {other}");
        ui::report_problem(format_args!("{message}\n  hint: {}", other.hint()));
        if !self.dry_run {
            let _ = log::write_kernel_log(&self.host, "blankroot", LogLevel::Warning, &message);
        }
    }

    fn log_stamp(&self, stamp: &Stamp) {
        if !self.dry_run {
            RollbackLogEntry::from_stamp(stamp).write(&self.root);
        }
    }

    fn new_stamp(&self, outcome: RollbackOutcome) -> Stamp {
        Stamp {
            // Who cannot tell does not claim it.
            in_initrd: facts::is_initrd(&self.host).unwrap_or(false),
            root: self.about.as_ref().and_then(|about| about.place.clone()),
            live: self.about.as_ref().map(|about| about.live.clone()),
            ..Stamp::new(self.facts.boot_id.clone(), self.facts.clock, outcome)
        }
    }

    fn write_new_stamp(&self, outcome: RollbackOutcome) {
        let duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.record_stamp(&Stamp { duration_us, ..self.new_stamp(outcome) });
    }

    /// Best effort: what it tells was told on standard error already.
    fn record_stamp(&self, stamp: &Stamp) {
        self.log_stamp(stamp);
        if !self.dry_run
            && let Err(error) = stamp.write(&self.host)
        {
            ui::report_problem(error);
        }
    }
}
