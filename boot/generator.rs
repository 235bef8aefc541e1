//! The systemd generator: writes units for the keep list before any unit is started.

use std::path::PathBuf;
use std::process::ExitCode;

use blankroot::systemd::generator::Generator;
use clap::Parser;

/// Writes mount units and services for the keep list of /etc/blankroot.toml. Started by systemd.
#[derive(Debug, Parser)]
#[command(name = "blankroot-generator", version)]
struct Arguments {
    /// Where units belong that outweigh those of packages
    normal_dir: PathBuf,
    /// Where units belong that outweigh those of administrators; nothing is written there
    _early_dir: PathBuf,
    /// Where units belong that all others outweigh; nothing is written there
    _late_dir: PathBuf,
    /// Read the configuration below DIR
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { normal_dir, root, .. } = Arguments::parse();
    let generator = Generator { root: &root, normal_dir: &normal_dir, command: Generator::COMMAND };
    match generator.run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
