//! `diff --storage`: what lies in the storages and nothing keeps.

use std::io;
use std::process::ExitCode;

use backends::{Error, TreePath};
use chrono::Local;

use super::Failure;
use super::show::{self, Progress};
use crate::cli::{Cli, Diff, Format};
use crate::config::Config;
use crate::host::HostRoot;
use crate::leftovers::{self, Leftovers};
use crate::report::leftovers::{flat, human, json};

pub fn run(
    cli: &Cli,
    args: &Diff,
    config: &Config,
    only: &[TreePath],
) -> Result<ExitCode, Failure> {
    let host = HostRoot::open(&args.root.root)?;
    let progress = Progress::new("looking");
    let found = leftovers::find(&host, config, only, &|count| progress.at(count))?;
    drop(progress);
    write(cli, args, &found)?;
    Ok(complain(&found))
}

fn write(cli: &Cli, args: &Diff, found: &Leftovers) -> io::Result<()> {
    let (out, style, now) = (io::stdout().lock(), show::style(cli), Local::now());
    match args.format {
        Format::Json => json::write(found, out),
        Format::Human if args.null => flat::write_nul(found, out),
        Format::Human if args.flat => flat::write(found, &style, &now, out),
        Format::Human => human::write(found, &style, &now, out),
    }
}

/// A storage that is not there was not looked into, so that the answer is not whole.
fn complain(found: &Leftovers) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for storage in found.storages.iter().filter(|storage| storage.enabled && !storage.there) {
        let action = format!("look into the storage {}", storage.path);
        show::problem(Error::new(action, "it is not there").mend("mount it first"));
        code = ExitCode::from(2);
    }
    code
}
