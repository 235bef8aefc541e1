//! `apply`: puts every kept path in its place.

use std::io::{self, Write};
use std::process::ExitCode;

use backends::{Backend, Result};

use super::{Failure, load_config, show};
use crate::apply::persist::Outcome;
use crate::cli::{Apply, Cli};
use crate::config::Config;
use crate::host::{HostRoot, Machine};
use crate::keep;
use crate::persistence::{self, Persistence};
use crate::plan::apply::{ApplyPlan, Asked};

/// Some entries are in force and others are not.
const INCOMPLETE: u8 = 1;

pub fn run(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    let config = load_config(cli, &args.root.root)?;
    let list = keep::list(&config);
    let machine = match &args.storages {
        None => Machine::open(&args.root.root)?,
        Some(base) => {
            let storages = config.storages.iter().map(|storage| storage.path.clone()).collect();
            Machine::with_storages_below(&args.root.root, base, storages)?
        }
    };
    let open = || open_backend(&config, args);
    let mut persistence = Persistence::new(&machine, &list, open)?;
    let plan = persistence.plan(Asked { adopt: args.adopt, mounts: !args.no_mounts })?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        write!(out, "{plan}")?;
    } else {
        let progress = show::Progress::new("copying");
        let mut names = 0;
        let outcome = persistence.execute(&plan, &mut |more, _| {
            names += more;
            progress.at(names);
        });
        drop(progress);
        tell(&plan, &outcome, &mut out)?;
        let host = HostRoot::open(&args.host.host)?;
        persistence::announce(&plan, &outcome, &machine, &host)?;
        if !outcome.is_complete() {
            tell_refusals(&plan);
            return Ok(ExitCode::from(INCOMPLETE));
        }
    }
    tell_refusals(&plan);
    if !plan.refusals.is_empty() {
        return Ok(ExitCode::from(INCOMPLETE));
    }
    if plan.steps.is_empty() {
        writeln!(out, "nothing to do: {}", in_force(persistence.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn open_backend(config: &Config, args: &Apply) -> Result<Option<Box<dyn Backend>>> {
    config.open_backend(&args.root.root).map(Some)
}

fn in_force(entries: usize) -> String {
    match entries {
        0 => "the keep list is empty".to_string(),
        1 => "the one kept path is in its place".to_string(),
        more => format!("all {more} kept paths are in their places"),
    }
}

fn tell(plan: &ApplyPlan, outcome: &Outcome, out: &mut impl Write) -> Result<(), Failure> {
    for step in outcome.done.iter().filter_map(|&at| plan.steps.get(at)) {
        writeln!(out, "done: {step}")?;
    }
    for (from, to) in &outcome.set_aside {
        writeln!(out, "note: what {from} had before is {to} by now")?;
    }
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    out.flush()?;
    for (_, error) in &outcome.failed {
        show::problem(error);
    }
    for (at, missing) in &outcome.not_tried {
        if let Some(step) = plan.steps.get(*at) {
            show::problem(format_args!("not tried, because of {missing}: {step}"));
        }
    }
    Ok(())
}

fn tell_refusals(plan: &ApplyPlan) {
    plan.refusals.iter().for_each(show::problem);
}
