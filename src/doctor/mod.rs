//! `doctor`: is the set-up safe? Facts are gathered at the edge (`gather`); the checks, one file a
//! family, are pure functions from facts to findings.

pub(crate) mod blank;
pub(crate) mod checks;
pub(crate) mod entries;
pub(crate) mod finding;
pub(crate) mod gather;
pub(crate) mod login;
pub mod login_sources;
pub(crate) mod machine_facts;
pub(crate) mod next_tree;
pub(crate) mod report;
pub(crate) mod root_and_memory;
pub mod shadow;
pub(crate) mod sources;
pub(crate) mod start_kernels;
pub(crate) mod storage_content;
pub(crate) mod storages;
pub(crate) mod targets;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;

use chrono::Utc;

use crate::cli::arguments::{Cli, Doctor, Format};
use crate::cli::invocation::{Failure, command_line_of, load_config};
use crate::doctor::finding::Finding;
use crate::doctor::gather::gather;
use crate::doctor::machine_facts::Facts;
use crate::doctor::report::DoctorReport;
use crate::doctor::sources::Sources;
use crate::host::HostRoot;
use crate::ui;

/// All findings, what matters most first; those of one check stand together.
pub(crate) fn run_checks(facts: &Facts) -> Vec<Finding> {
    let families = [
        root_and_memory::check_root,
        login::check,
        storages::check,
        targets::check,
        entries::check,
        root_and_memory::check_memory,
        blank::check,
        start_kernels::check,
        root_and_memory::check_swap,
    ];
    let mut findings: Vec<Finding> = families.iter().flat_map(|check| check(facts)).collect();
    let order = |finding: &Finding| checks::ALL.iter().position(|check| check.id == finding.id);
    findings.sort_by_key(|finding| (finding.severity, order(finding)));
    findings
}

pub(crate) fn run(cli: &Cli, args: &Doctor) -> Result<ExitCode, Failure> {
    let root_path = args.root.root.as_path();
    let config = load_config(cli, root_path)?;
    let facts = gather(&Sources {
        config: &config,
        root_path,
        root: &HostRoot::open(root_path)?,
        host: &HostRoot::open(&args.host.host)?,
        backend: config.open_backend(root_path),
        command_line: command_line_of(root_path, &args.host.host)?,
        clock: Utc::now(),
    })?;
    let report = DoctorReport { findings: &run_checks(&facts), unchecked: &facts.unchecked };
    let out = io::stdout().lock();
    let written = match args.format {
        Format::Json => report::write_json(&report, out),
        Format::Human => report::write_text(&report, &ui::style_of_output(cli), out),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(report.exit_code())),
    }
}
