//! The commands: parse, dispatch, show; what to do is decided elsewhere.

pub mod arguments;
pub mod exit_code;
pub mod help;
pub mod invocation;

use std::io;
use std::process::ExitCode;

use crate::boot::{expire, hold_next, init, rollback, status};
use crate::cli::arguments::{Cli, Command};
use crate::cli::invocation::Failure;
use crate::diff::command;
use crate::persist::{apply, forget, keep, unkeep};
use crate::{demo, doctor, ui};

/// Runs what the command line asks for, and returns the exit code that is documented there.
pub fn run(cli: &Cli) -> ExitCode {
    let done = match &cli.command {
        Command::Init(args) => init::run(cli, args),
        Command::Rollback(args) => return rollback::run(cli, args).into(),
        Command::Hold(args) => hold_next::run(cli, args),
        Command::Expire(args) => expire::run(cli, args),
        Command::Apply(args) => apply::run(cli, args),
        Command::Keep(args) => keep::run(cli, args),
        Command::Forget(args) => forget::run(cli, args),
        Command::Unkeep(args) => unkeep::run(cli, args),
        Command::Diff(args) => command::run(cli, args),
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
        Failure::Error(error) => ui::problem(error),
        Failure::Errors(errors) => errors.iter().for_each(ui::problem),
        Failure::Config(error) => ui::problem(error),
        Failure::Refused(refusals) => refusals.iter().for_each(ui::problem),
        Failure::Output(error) => {
            ui::problem(dirfd::Error::new("write the output", dirfd::error::describe(error)));
        }
    }
}
