//! `apply --in-initrd`: puts early kept paths in their places below the root that is about to start.

use std::io::{self, Write};
use std::process::ExitCode;

use backends::TreePath;

use super::apply::{INCOMPLETE, exit, open_backend, put_in_force};
use super::{Failure, load_config, show};
use crate::cli::{Apply, Cli};
use crate::early;
use crate::host::Machine;
use crate::keep::{self, KeepEntry};
use crate::persistence::Persistence;
use crate::plan::early::{EarlyPlan, entries};

pub fn run(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    // The root's own may be in a storage that is not there yet, and need not be newer.
    let config = load_config(cli, &args.host.host)?;
    let list = entries(&keep::list(&config));
    let machine = Machine::open(&args.root.root)?;
    let plan = early::look_and_plan(&machine, &list)?;
    plan.refusals.iter().for_each(show::problem);
    let (complete, list) =
        if args.dry_run { pretend(&plan, list)? } else { mount(&plan, &machine, args, list)? };
    if list.is_empty() {
        if complete && plan.mounts.is_empty() {
            writeln!(io::stdout(), "nothing to do: no kept path has to be there so early")?;
        }
        return Ok(ExitCode::from(if complete { 0 } else { INCOMPLETE }));
    }
    // Nothing that programs read of mounts is written here: they have other paths in the initrd, and
    // the system's own run tells of them.
    let open = || open_backend(&config, &args.root.root);
    let mut persistence = Persistence::new(&machine, &list, open)?;
    let (plan, done) = put_in_force(&mut persistence, args)?;
    Ok(if complete { exit(&plan, done.as_ref()) } else { ExitCode::from(INCOMPLETE) })
}

/// Mounts, and returns whether all of it worked, and the entries whose storages are there.
fn mount(
    plan: &EarlyPlan,
    machine: &Machine,
    args: &Apply,
    list: Vec<KeepEntry>,
) -> Result<(bool, Vec<KeepEntry>), Failure> {
    let mounted = early::execute(machine, &args.host.host, plan);
    let mut out = io::stdout().lock();
    for new in &mounted.done {
        writeln!(out, "done: {new}")?;
    }
    out.flush()?;
    mounted.failed.iter().for_each(show::problem);
    let (lost, rest) = early::part(list, &mounted.missing);
    for (entry, missing) in lost {
        show::problem(format_args!("not tried, because of {missing}: keep {}", entry.path));
    }
    Ok((mounted.missing.is_empty(), rest))
}

/// What lies in a mount to come is not there to be looked at.
fn pretend(plan: &EarlyPlan, list: Vec<KeepEntry>) -> Result<(bool, Vec<KeepEntry>), Failure> {
    let missing = plan.refusals.iter().map(|refusal| &refusal.point);
    let places: Vec<&TreePath> =
        plan.mounts.iter().map(|mount| &mount.point).chain(missing).collect();
    let (later, now) = early::part(list, &places);
    let mut out = io::stdout().lock();
    write!(out, "{plan}")?;
    for (entry, place) in later {
        writeln!(out, "then, with {place} in place: keep {}", entry.path)?;
    }
    out.flush()?;
    Ok((plan.refusals.is_empty(), now))
}
