//! The command `blankroot`.

mod demo;

use std::process::ExitCode;

use blankroot::cli::arguments::{Cli, Command};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Demo(args) => blankroot::cli::report_outcome(demo::run(&cli, args)),
        _ => blankroot::cli::run(&cli),
    }
}
