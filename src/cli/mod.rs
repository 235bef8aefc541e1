//! The commands: parse, dispatch, show; what to do is decided elsewhere.

pub mod arguments;
pub(crate) mod exit_code;
pub mod help;
pub mod invocation;

use std::io;
use std::process::ExitCode;

use dirfd::Error;
use dirfd::error::describe;

use crate::audit::audit_command;
use crate::boot::{expire, hold_next, init, rollback, status};
use crate::cli::arguments::{Cli, Command};
use crate::cli::invocation::Failure;
use crate::diff::command;
use crate::evidence::digest_command;
use crate::explain::explain_command;
use crate::history::history_command;
use crate::persist::{apply, forget, keep, unkeep};
use crate::report::report_command;
use crate::restore::restore_command;
use crate::review::review_command;
use crate::{doctor, ui};

/// By this variable of the environment a shell says that it completes a command line, and which shell it is.
pub const COMPLETION_VARIABLE: &str = "BLANKROOT_COMPLETE";

/// Runs what the command line asks for, and returns the exit code that is documented there.
pub fn run(cli: &Cli) -> ExitCode {
    let done = match &cli.command {
        Command::Init(args) => init::run(cli, args),
        Command::Rollback(args) => return rollback::run(cli, args).into(),
        Command::Hold(args) => hold_next::run(cli, args),
        Command::Expire(args) => expire::run(cli, args),
        Command::Digest(args) => digest_command::run(cli, args),
        Command::Apply(args) => apply::run(cli, args),
        Command::Keep(args) => keep::run(cli, args),
        Command::Forget(args) => forget::run(cli, args),
        Command::Unkeep(args) => unkeep::run(cli, args),
        Command::Restore(args) => restore_command::run(cli, args),
        Command::Diff(args) => command::run(cli, args),
        Command::Explain(args) => explain_command::run(cli, args),
        Command::Review(args) => review_command::run(cli, args),
        Command::Audit(args) => audit_command::run(cli, args),
        Command::Report(args) => report_command::run(cli, args),
        Command::History(args) => history_command::run(cli, args),
        Command::Status(args) => status::run(cli, args),
        Command::Doctor(args) => doctor::run(cli, args),
        // It runs the other commands, so the program has it, and not this library.
        Command::Demo(_) => {
            Err(Error::new("play the demo", "only the program `blankroot` has it").into())
        }
    };
    report_outcome(done)
}

/// The exit code of a command that ended; a failure is shown.
pub fn report_outcome(done: Result<ExitCode, Failure>) -> ExitCode {
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
        Failure::Error(error) => ui::report_problem(error),
        Failure::Errors(errors) => errors.iter().for_each(ui::report_problem),
        Failure::Config(error) => ui::report_problem(error),
        Failure::Refused(refusals) => refusals.iter().for_each(ui::report_problem),
        Failure::Output(error) => {
            ui::report_problem(Error::new("write the output", describe(error)));
        }
    }
}
