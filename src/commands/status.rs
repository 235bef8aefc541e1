//! `status`: whether this boot was rolled back, and what is wrong.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use backends::{Backend, Error, Slot, Survey, Tree, View};
use chrono::{Local, Utc};

use super::{Failure, command_line_of, load_config, show};
use crate::cli::{Cli, Format, Status};
use crate::config::Config;
use crate::doctor::gather::{self, Sources};
use crate::facts::{Facts, ThisRoot, fstab};
use crate::health::{self, Running};
use crate::host::HostRoot;
use crate::log::Entry;
use crate::plan::next_root::{Boot, OtherRoot};
use crate::report::status::{Problem, StatusReport, human, json};

pub fn run(cli: &Cli, args: &Status) -> Result<ExitCode, Failure> {
    if args.boot {
        return this_boot(cli, args);
    }
    let config = load_config(cli, &args.root.root)?;
    let host = HostRoot::open(&args.host.host)?;
    let facts = Facts::gather(&host, Utc::now())?.with_soft_reboots(&args.host.host);
    let backend = config.open_backend(&args.root.root)?;
    let mut survey = backend.survey()?;
    for old_root in &mut survey.old_roots {
        old_root.own_bytes = backend.own_bytes(&old_root.tree)?;
    }
    let facts = with_fstab(facts, |tree| backend.view(tree), &survey)?;
    let facts = facts.about(&this_root(&config, &survey.file_system, &survey.live));
    let running = running(backend.as_ref(), &args.root.root)?;
    let abilities = backend.abilities();
    let mut problems = health::problems(&survey, &facts, config.root.layout(), &running, abilities);
    let command_line = command_line_of(&args.root.root, &args.host.host)?;
    let is_hosts = command_line.is_some();
    if let Some(other) =
        other_root(&config, &facts, &survey, is_hosts).filter(|_| abilities.needs_rollback)
    {
        let text = format!("the next boot does not run what the rollback restores: {other}");
        problems.push(Problem { text, mend: Some(other.mend()) });
    }
    problems.extend(kernels(&Sources {
        config: &config,
        root_path: &args.root.root,
        root: &HostRoot::open(&args.root.root)?,
        host: &host,
        backend: Ok(backend),
        command_line,
        clock: facts.clock,
    }));
    let mut boot = health::boot(&facts, abilities);
    if abilities.needs_rollback && health::is_pending(&survey, &facts) {
        boot.skipped =
            Some("pending: blank was made in this boot, and the next one does it".into());
    }
    let report = StatusReport {
        survey: &survey,
        boot: &boot,
        problems: &problems,
        needs_rollback: abilities.needs_rollback,
    };
    let out = io::stdout().lock();
    let written = match args.format {
        Format::Json => json::write(&report, out),
        Format::Human => human::write(&report, &show::style(cli), &Local::now(), out),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.healthy() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Only whether this boot's rollback ran, for the boot itself: nothing is listed, and the journal is
/// told, since an initrd may have had none.
fn this_boot(cli: &Cli, args: &Status) -> Result<ExitCode, Failure> {
    let config = load_config(cli, &args.root.root)?;
    let Some(layout) = config.root.layout() else { return Ok(ExitCode::SUCCESS) };
    let root = &args.host.host;
    let facts = Facts::gather(&HostRoot::open(root)?, Utc::now())?.with_soft_reboots(root);
    let backend = config.open_backend(&args.root.root)?;
    let (live, blank) = backend.live_and_blank()?;
    let survey = Survey::new(backend.file_system()?, live, blank);
    let facts = facts.about(&this_root(&config, &survey.file_system, &survey.live));
    let running = running(backend.as_ref(), &args.root.root)?;
    let problems = health::problems_of_this_boot(&survey, &facts, layout, &running);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    told.iter().for_each(show::problem);
    match facts.stamp_of_this_boot() {
        Some(stamp) if problems.is_empty() || stamp.outcome.is_problem() => Entry::of(stamp),
        _ => Entry::missing(told.join("\n")),
    }
    .tell(root);
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The root that the configuration is about, as it was found.
pub fn this_root(config: &Config, file_system: &str, live: &Slot) -> ThisRoot {
    ThisRoot {
        file_system: Some(file_system.to_string()),
        live_id: live.tree().map(|live| live.id.clone()),
        ..config.root.this_root().unwrap_or_default()
    }
}

/// Kernels that lack their modules; that they cannot be looked at is a problem, too.
fn kernels(sources: &Sources<'_>) -> Vec<Problem> {
    match gather::kernels(sources) {
        Ok(kernels) => kernels.problems(),
        Err(error) => vec![Problem { text: error.to_string(), mend: None }],
    }
}

/// The tree that is mounted where the root is said to be.
fn running(backend: &dyn Backend, root: &Path) -> Result<Running, Error> {
    let dir = std::fs::File::open(root).map_err(|e| Error::io("open the running root", e))?;
    Ok(backend.identify(dir.as_fd())?.map_or(Running::Elsewhere, Running::Tree))
}

/// What a boot mounts in live's stead, by blank's fstab and, if `is_hosts` says that it is this root's, the
/// kernel command line.
pub fn other_root(
    config: &Config,
    facts: &Facts,
    survey: &Survey,
    is_hosts: bool,
) -> Option<OtherRoot> {
    let line = is_hosts.then_some(&facts.command_line);
    let boot = Boot { line, fstab: &facts.fstab_roots, whose: "blank's fstab" };
    boot.other_root(&config.root, &survey.file_system)
}

/// Adds what blank's fstab says of the root; nothing where there is no blank.
pub fn with_fstab(
    facts: Facts,
    view: impl FnOnce(&Tree) -> Result<View, Error>,
    survey: &Survey,
) -> Result<Facts, Error> {
    let Some(blank) = survey.blank.tree() else { return Ok(facts) };
    let view = view(blank)?;
    let text = fstab::read(view.as_fd()).map_err(|e| Error::io("read blank's fstab", e))?;
    Ok(facts.with_fstab(&text))
}
