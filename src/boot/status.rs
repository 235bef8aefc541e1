//! `status`: whether this boot was rolled back, and what is wrong.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use backends::{Backend, Survey};
use chrono::{Local, Utc};
use dirfd::Error;

use crate::boot::facts::BootFacts;
use crate::boot::health::{self, RunningRoot};
use crate::boot::next_root::find_other_root;
use crate::boot::status_report::{StatusProblem, StatusReport};
use crate::boot::{status_json, status_text};
use crate::cli::arguments::{Cli, Format, Status};
use crate::cli::invocation::{Failure, command_line_of, load_config};
use crate::doctor::gather;
use crate::doctor::sources::Sources;
use crate::host::HostRoot;
use crate::log::RollbackLogEntry;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Status) -> Result<ExitCode, Failure> {
    if args.boot {
        return run_for_boot(cli, args);
    }
    let config = load_config(cli, &args.root.root)?;
    let host = HostRoot::open(&args.host.host)?;
    let facts = BootFacts::gather(&host, Utc::now())?.with_soft_reboots(&args.host.host);
    let backend = config.open_backend(&args.root.root)?;
    let mut survey = backend.survey()?;
    for old_root in &mut survey.old_roots {
        old_root.own_bytes = backend.own_bytes(&old_root.tree)?;
    }
    let facts = facts.with_fstab_of_blank(|tree| backend.view(tree), &survey)?;
    let facts = facts.about(&config.root.this_root().unwrap_or_default().into_surveyed(&survey));
    let running = find_running_root(backend.as_ref(), &args.root.root)?;
    let abilities = backend.abilities();
    let mut problems =
        health::find_problems(&survey, &facts, config.root.layout(), &running, abilities);
    let command_line = command_line_of(&args.root.root, &args.host.host)?;
    let is_hosts = command_line.is_some();
    if let Some(other) = find_other_root(&config.root, &facts, &survey, is_hosts)
        .filter(|_| abilities.needs_rollback)
    {
        let text = format!("the next boot does not run what the rollback restores: {other}");
        problems.push(StatusProblem { text, hint: Some(other.hint()) });
    }
    // A kernel whose modules are gone is no problem of the root's, but the next boot meets it, too.
    problems.extend(kernel_problems(&Sources {
        config: &config,
        root_path: &args.root.root,
        root: &HostRoot::open(&args.root.root)?,
        host: &host,
        backend: Ok(backend),
        command_line,
        clock: facts.clock,
    }));
    let boot = health::boot_state(&survey, &facts, abilities);
    let report = StatusReport {
        survey: &survey,
        boot: &boot,
        problems: &problems,
        needs_rollback: abilities.needs_rollback,
    };
    let out = io::stdout().lock();
    let written = match args.format {
        Format::Json => status_json::write_status_json(&report, out),
        Format::Human => {
            status_text::write_status_text(&report, &ui::style_of_output(cli), &Local::now(), out)
        }
    };
    // Who reads no further has what they wanted; the exit code tells the rest.
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Only whether this boot's rollback ran, for the boot itself: nothing is listed, and the journal is
/// told, since an initrd may have had none.
fn run_for_boot(cli: &Cli, args: &Status) -> Result<ExitCode, Failure> {
    let config = load_config(cli, &args.root.root)?;
    let Some(layout) = config.root.layout() else { return Ok(ExitCode::SUCCESS) };
    let root = &args.host.host;
    let facts = BootFacts::gather(&HostRoot::open(root)?, Utc::now())?.with_soft_reboots(root);
    let backend = config.open_backend(&args.root.root)?;
    let (live, blank) = backend.live_and_blank()?;
    let survey = Survey::new(backend.file_system()?, live, blank);
    let facts = facts.about(&config.root.this_root().unwrap_or_default().into_surveyed(&survey));
    let running = find_running_root(backend.as_ref(), &args.root.root)?;
    let problems = health::problems_of_this_boot(&survey, &facts, layout, &running);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    told.iter().for_each(ui::report_problem);
    match facts.stamp_of_this_boot() {
        Some(stamp) if problems.is_empty() || stamp.outcome.is_problem() => {
            RollbackLogEntry::from_stamp(stamp)
        }
        _ => RollbackLogEntry::missing(told.join("\n")),
    }
    .write(root);
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Kernels that lack their modules; that they cannot be looked at is a problem, too.
fn kernel_problems(sources: &Sources<'_>) -> Vec<StatusProblem> {
    match gather::gather_kernels(sources) {
        Ok(kernels) => kernels.problems(),
        Err(error) => vec![StatusProblem { text: error.to_string(), hint: None }],
    }
}

/// The tree that is mounted where the root is said to be.
fn find_running_root(backend: &dyn Backend, root: &Path) -> Result<RunningRoot, Error> {
    let dir = std::fs::File::open(root).map_err(|e| Error::io("open the running root", e))?;
    Ok(backend.identify(dir.as_fd())?.map_or(RunningRoot::Elsewhere, RunningRoot::Tree))
}
