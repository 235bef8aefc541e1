//! `status`: whether this boot was rolled back, and what is wrong.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::{fmt, io};

use backends::{Backend, Slot, Survey, Tree, View};
use chrono::{DateTime, Local, Utc};
use dirfd::Error;

use crate::boot::facts::Facts;
use crate::boot::health::{self, Running};
use crate::boot::next_root::{Boot, OtherRoot};
use crate::boot::stamp::ThisRoot;
use crate::boot::{fstab, status_json, status_text};
use crate::cli::arguments::{Cli, Format, Status};
use crate::cli::invocation::{Failure, command_line_of, load_config};
use crate::config::Config;
use crate::doctor::gather;
use crate::doctor::sources::Sources;
use crate::host::HostRoot;
use crate::log::Entry;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Status) -> Result<ExitCode, Failure> {
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
        Format::Json => status_json::write(&report, out),
        Format::Human => status_text::write(&report, &ui::style(cli), &Local::now(), out),
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
    told.iter().for_each(ui::problem);
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

// `status`: what is on the disk and what this boot did, for people ([`human`]) and programs
// ([`json`]).

/// What this boot did about the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootState {
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The rollback of this boot, if one ran.
    pub rolled_back: Option<RolledBack>,
    /// Why none ran, to follow "not rolled back: "; `None` where that is not known.
    pub skipped: Option<String>,
}

/// A rollback that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The name of the old root that it set aside; none if live was a fresh copy already.
    pub old_root: Option<String>,
    /// When it ended, by the wall clock of the initrd.
    pub at: DateTime<Utc>,
    /// Milliseconds that it took, where they were recorded.
    pub duration_ms: Option<u64>,
}

/// Something that its owner should mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub text: String,
    /// What to do about it, if that is known.
    pub mend: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.mend.iter().try_for_each(|mend| write!(f, "\n  mend: {mend}"))
    }
}

/// Everything that `status` shows.
#[derive(Clone, Copy, Debug)]
pub struct StatusReport<'a> {
    /// What is on the disk.
    pub survey: &'a Survey,
    /// What this boot did.
    pub boot: &'a BootState,
    /// What was found wrong.
    pub problems: &'a [Problem],
    /// Live survives a reboot, so that there has to be a blank.
    pub needs_rollback: bool,
}

impl StatusReport<'_> {
    /// Nothing is wrong, and both trees are there where both are needed: without them no list of problems is complete.
    pub fn healthy(&self) -> bool {
        let trees = [&self.survey.live, &self.survey.blank];
        let complete = !self.needs_rollback || trees.iter().all(|slot| slot.tree().is_some());
        self.problems.is_empty() && complete
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
