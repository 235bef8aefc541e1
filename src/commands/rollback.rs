//! `rollback`: sets live aside and puts a fresh copy of blank in its place.

use std::io::{self, Write};
use std::time::Instant;

use backends::{Backend, Error, LockedBackend, Survey};
use chrono::Utc;

use super::status::with_fstab;
use super::{load_config, show};
use crate::apply::{self, LiveNow};
use crate::cli::{Cli, Rollback};
use crate::config::Config;
use crate::exit::Exit;
use crate::facts::stamp::Outcome;
use crate::facts::{Asked, Facts, Stamp};
use crate::host::HostRoot;
use crate::plan::{Plan, Refusal, rollback};

pub fn run(cli: &Cli, args: &Rollback) -> Exit {
    let started = Instant::now();
    let host = HostRoot::open(&args.host.host);
    let facts = host.and_then(|host| Ok((Facts::gather(&host, Utc::now())?, host)));
    let asked = facts.as_ref().ok().and_then(|(facts, _)| facts.command_line.asked.clone());
    let config = match load_config(cli, &args.host.host) {
        Ok(config) => config,
        // The way out must work with a broken configuration, too.
        Err(_) if asked == Some(Asked::Skip) => {
            return facts.map_or(Exit::CouldNotRun, |(facts, host)| {
                Run { facts, host, dry_run: args.dry_run, started }
                    .refuse(&[Refusal::Skip], Exit::Done)
            });
        }
        Err(error) => {
            show::problem(&error);
            if let Ok((facts, host)) = facts {
                let reasons = vec![error.to_string()];
                Run { facts, host, dry_run: args.dry_run, started }
                    .stamp(Outcome::Refused { reasons });
            }
            return Exit::CouldNotRun;
        }
    };
    let on_failure = Exit::after_failure(config.rollback.on_failure, asked.as_ref());
    match facts {
        Ok((facts, host)) => {
            let mut run = Run { facts, host, dry_run: args.dry_run, started };
            run.roll_back(&config, args, on_failure)
        }
        Err(error) => {
            show::problem(error);
            on_failure
        }
    }
}

/// One run and what it knows of its boot.
struct Run {
    facts: Facts,
    host: HostRoot,
    dry_run: bool,
    started: Instant,
}

impl Run {
    fn roll_back(&mut self, config: &Config, args: &Rollback, on_failure: Exit) -> Exit {
        let Some(layout) = config.root.layout() else {
            say("there is nothing to roll back: this root starts empty at every boot by itself\n");
            return Exit::Done;
        };
        // While a hibernated system may be waiting, not even reading is safe.
        let refusals = rollback::refusals_before_survey(&self.facts, layout);
        if !refusals.is_empty() {
            return self.refuse(&refusals, on_failure);
        }
        let backend = match config.open_backend(&args.host.host) {
            Ok(backend) => backend,
            Err(error) => return self.fail(&error, on_failure),
        };
        if self.dry_run {
            return match backend
                .survey()
                .and_then(|survey| self.plan(backend.as_ref(), &survey, config))
            {
                Ok(Ok(plan)) => {
                    say(&plan.to_string());
                    Exit::Done
                }
                Ok(Err(refusals)) => self.refuse(&refusals, on_failure),
                Err(error) => self.fail(&error, on_failure),
            };
        }
        let done = backend.lock().and_then(|mut locked| {
            let survey = locked.survey()?;
            Ok(match self.plan(backend.as_ref(), &survey, config)? {
                Ok(plan) => self.execute(&plan, locked.as_mut(), &survey, on_failure),
                Err(refusals) => self.refuse(&refusals, on_failure),
            })
        });
        done.unwrap_or_else(|error| self.fail(&error, on_failure))
    }

    fn plan(
        &mut self,
        backend: &dyn Backend,
        survey: &Survey,
        config: &Config,
    ) -> Result<Result<Plan, Vec<Refusal>>, Error> {
        self.facts = with_fstab(self.facts.clone(), backend, survey)?;
        Ok(match config.root.layout() {
            Some(layout) => rollback::plan(survey, &self.facts, layout),
            None => Ok(Plan { steps: Vec::new(), already_fresh: true }),
        })
    }

    fn execute(
        &self,
        plan: &Plan,
        locked: &mut dyn LockedBackend,
        survey: &Survey,
        on_failure: Exit,
    ) -> Exit {
        let stamp = self.empty_stamp(Outcome::RolledBack);
        match apply::rollback(plan, locked, survey, &self.host, stamp, self.started) {
            Ok(stamp) => {
                say(&match &stamp.old_root {
                    Some(name) => format!(
                        "rolled back in {}: live is a fresh copy of blank, and the old root is {name}\n",
                        milliseconds(stamp.duration_us)
                    ),
                    None => "live is a fresh copy of blank already\n".to_string(),
                });
                Exit::Done
            }
            Err(stopped) => {
                show::problem(&stopped);
                if stopped.only_stamp && stopped.live == LiveNow::Fresh {
                    return Exit::Done;
                }
                self.write(&stopped.stamp);
                on_failure
            }
        }
    }

    /// Says why nothing is done, and writes it down for this boot.
    fn refuse(&self, refusals: &[Refusal], on_failure: Exit) -> Exit {
        refusals.iter().for_each(show::problem);
        if refusals.iter().all(Refusal::is_by_request) {
            self.stamp(Outcome::Skipped);
            return Exit::Done;
        }
        let reasons = refusals.iter().map(ToString::to_string).collect();
        self.stamp(Outcome::Refused { reasons });
        on_failure
    }

    fn fail(&self, error: &Error, on_failure: Exit) -> Exit {
        show::problem(error);
        self.stamp(Outcome::Failed { reasons: vec![error.to_string()] });
        on_failure
    }

    fn empty_stamp(&self, outcome: Outcome) -> Stamp {
        Stamp::new(self.facts.boot_id.clone(), self.facts.clock, outcome)
    }

    fn stamp(&self, outcome: Outcome) {
        let duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.write(&Stamp { duration_us, ..self.empty_stamp(outcome) });
    }

    /// Best effort: what it tells was told on standard error already.
    fn write(&self, stamp: &Stamp) {
        if !self.dry_run
            && let Err(error) = stamp.write(&self.host)
        {
            show::problem(error);
        }
    }
}

/// Output that matters less than the boot: what cannot be written is dropped.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}
