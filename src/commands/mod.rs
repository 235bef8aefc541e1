//! The commands: parse, dispatch, show; what to do is decided elsewhere.

mod apply;
mod demo;
mod diff;
mod doctor;
mod editing;
mod expire;
mod forget;
mod hold;
mod in_initrd;
mod init;
mod keep;
mod leftovers;
mod named;
mod rollback;
pub(crate) mod show;
mod status;
mod unkeep;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backends::TreePath;

use crate::cli::{Cli, Command};
use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::facts::CommandLine;
use crate::host::{HostRoot, Machine, is_not_found};
use crate::plan::InitRefusal;

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something could not be done.
    Error(backends::Error),
    /// Several things could not be done.
    Errors(Vec<backends::Error>),
    /// The configuration cannot be used.
    Config(ConfigError),
    /// Nothing was done, for these reasons.
    Refused(Vec<InitRefusal>),
    /// The output could not be written.
    Output(io::Error),
}

impl From<backends::Error> for Failure {
    fn from(error: backends::Error) -> Self {
        Self::Error(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs what the command line asks for, and returns the exit code that is documented there.
pub fn run(cli: &Cli) -> ExitCode {
    let done = match &cli.command {
        Command::Init(args) => init::run(cli, args),
        Command::Rollback(args) => return rollback::run(cli, args).into(),
        Command::Hold(args) => hold::run(cli, args),
        Command::Expire(args) => expire::run(cli, args),
        Command::Apply(args) => apply::run(cli, args),
        Command::Keep(args) => keep::run(cli, args),
        Command::Forget(args) => forget::run(cli, args),
        Command::Unkeep(args) => unkeep::run(cli, args),
        Command::Diff(args) => diff::run(cli, args),
        Command::Status(args) => status::run(cli, args),
        Command::Doctor(args) => doctor::run(cli, args),
        Command::Demo(args) => demo::run(cli, args),
    };
    match done {
        Ok(code) => code,
        // Who reads no further has what they wanted.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            show_failure(&failure);
            ExitCode::from(2)
        }
    }
}

fn show_failure(failure: &Failure) {
    match failure {
        Failure::Error(error) => show::problem(error),
        Failure::Errors(errors) => errors.iter().for_each(show::problem),
        Failure::Config(error) => show::problem(error),
        Failure::Refused(refusals) => refusals.iter().for_each(show::problem),
        Failure::Output(error) => {
            show::problem(backends::Error::new(
                "write the output",
                backends::error::describe(error),
            ));
        }
    }
}

/// Where the configuration is: named on the command line, or at its usual place below `root`.
fn config_file(cli: &Cli, root: &Path) -> PathBuf {
    match &cli.config {
        Some(file) => file.clone(),
        None => root.join(DEFAULT_FILE.trim_start_matches('/')),
    }
}

/// Reads the configuration. The one below `root` may be blank's older one: where it keeps itself, and
/// a storage has it, that one counts.
fn load_config(cli: &Cli, root: &Path) -> Result<Config, ConfigError> {
    let config = Config::load(&config_file(cli, root))?;
    if cli.config.is_some() {
        return Ok(config);
    }
    match crate::keep::kept_configuration(&config, root) {
        Some(kept) => Config::load(&kept),
        None => Ok(config),
    }
}

/// The kernel command line of `host`, if it is what booted the root that is at `root`: a root that is
/// mounted elsewhere than at `/` is another system's, unless the host is named, too.
fn command_line_of(root: &Path, host: &Path) -> backends::Result<Option<CommandLine>> {
    if root != host && host == Path::new("/") {
        return Ok(None);
    }
    match HostRoot::open(host)?.read("proc/cmdline") {
        Ok(line) => Ok(Some(CommandLine::parse(&line))),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(backends::Error::io("read the kernel command line", error)),
    }
}

/// The machine whose root is `root`. Its storages, and the one that is `asked` for, are below
/// `elsewhere`, if that is given.
fn open_machine(
    config: &Config,
    root: &Path,
    elsewhere: Option<&Path>,
    asked: Option<&TreePath>,
) -> backends::Result<Machine> {
    let Some(base) = elsewhere else { return Machine::open(root) };
    let declared = config.storages.iter().map(|storage| &storage.path);
    Machine::with_storages_below(root, base, declared.chain(asked).cloned().collect())
}
