//! `doctor`: is the set-up safe, and if not, what is to be done?

use std::io;
use std::process::ExitCode;

use chrono::Utc;

use super::{Failure, command_line_of, load_config, show};
use crate::cli::{Cli, Doctor, Format};
use crate::doctor::examine;
use crate::doctor::gather::{Sources, gather};
use crate::host::HostRoot;
use crate::report::doctor::{DoctorReport, human, json};

pub fn run(cli: &Cli, args: &Doctor) -> Result<ExitCode, Failure> {
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
    let report = DoctorReport { findings: &examine(&facts), unchecked: &facts.unchecked };
    let out = io::stdout().lock();
    let written = match args.format {
        Format::Json => json::write(&report, out),
        Format::Human => human::write(&report, &show::style(cli), out),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(report.exit_code())),
    }
}
