//! The command `blankroot`.

mod demo;

use std::process::ExitCode;

use blankroot::cli::COMPLETION_VARIABLE;
use blankroot::cli::arguments::{Cli, Command};
use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

fn main() -> ExitCode {
    // A shell that completes a command line says so in the environment, and gets its answer here.
    CompleteEnv::with_factory(Cli::command).var(COMPLETION_VARIABLE).complete();
    let cli = Cli::parse();
    match &cli.command {
        Command::Demo(args) => blankroot::cli::report_outcome(demo::run(&cli, args)),
        _ => blankroot::cli::run(&cli),
    }
}
