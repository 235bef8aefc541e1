//! The command `blankroot`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    blankroot::cli::run(&blankroot::cli::arguments::Cli::parse())
}
