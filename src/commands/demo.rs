//! `demo`: the whole story on a throwaway file system.

use std::process::ExitCode;

use super::Failure;
use crate::cli::{Cli, Demo};
use crate::demo;

pub fn run(cli: &Cli, args: &Demo) -> Result<ExitCode, Failure> {
    demo::play(cli, args)?;
    Ok(ExitCode::SUCCESS)
}
