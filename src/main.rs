//! The command `blankroot`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    blankroot::commands::run(&blankroot::cli::Cli::parse())
}
