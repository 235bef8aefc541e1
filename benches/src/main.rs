//! Measures Blankroot against its peers: side by side, in one run, on throwaway file systems.
//!
//! docs/explanation/performance.md tells how, and keeps the last table.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::Parser;
use dirfd::private_namespace::PrivateNamespace;
use scratch::file_systems::Throwaway;

mod aide;
mod apply;
mod changes;
mod diff;
mod evidence;
mod field;
mod host;
mod machine;
mod measure;
mod owners;
mod owners_judged;
mod restore;
mod rollback;
mod snapper;
mod table;
mod tree;
mod week;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The table stands between these lines.
const MARKERS: [&str; 2] = ["<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"];

/// Measures Blankroot against its peers and prints one table, in Markdown.
#[derive(Debug, Parser)]
#[command(after_help = "Ends with status 1 if a limit is missed, 2 if something went wrong.")]
struct Options {
    /// The command to measure
    #[arg(long, value_name = "FILE")]
    blankroot: PathBuf,
    /// A former build of it, which then counts as one more peer
    #[arg(long, value_name = "FILE")]
    former: Option<PathBuf>,
    /// How often each command runs; the median counts
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Only these parts: a, 1,900 changes; b, in ten times the files; c, everything is new; d,
    /// old roots are asked; e, rollback; f, a week's history; g, apply; h, restore; i, owners; j, audit.
    /// Memory is told with a and c
    #[arg(long, value_name = "LETTERS", default_value = "abcdefghij")]
    only: String,
    /// Put the table into FILE, between its markers, too
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Options {
    fn wants(&self, part: char) -> bool {
        let left_out = part == 'b' && env::var_os("BENCH_LARGE").is_some_and(|value| value == "0");
        self.only.contains(part) && !left_out
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let done = match args.get(1) {
        Some(first) if first == measure::ARGUMENT => measure::in_this_process(&args[2..]),
        _ => compare(&Options::parse()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::from(2)
    })
}

fn compare(options: &Options) -> Result<ExitCode> {
    if let Some(why) = Throwaway::unavailable() {
        return Err(format!("cannot measure on a throwaway file system: {why}").into());
    }
    let mut report = machine::description(&options.blankroot);
    let week = if options.wants('f') { Some(week::compare()?) } else { None };
    let namespace = PrivateNamespace::enter()?;
    let mut rows = Vec::new();
    if ['a', 'b', 'c', 'j'].into_iter().any(|part| options.wants(part)) {
        rows.extend(diff::measure(options, &namespace)?);
    }
    if options.wants('d') {
        rows.extend(evidence::measure(options, &namespace)?);
    }
    if options.wants('e') {
        rows.extend(rollback::measure(options, &namespace)?);
    }
    if options.wants('g') {
        rows.extend(apply::measure(options, &namespace)?);
    }
    if options.wants('h') {
        rows.extend(restore::measure(options, &namespace)?);
    }
    let mut owners = String::new();
    if options.wants('i') {
        let (of_owners, text) = owners::measure(options, &namespace)?;
        rows.extend(of_owners);
        owners = text;
    }
    if !rows.is_empty() {
        report.push('\n');
        report.push_str(&table::markdown(&rows));
    }
    if let Some(week) = week {
        report.push_str(&format!("\n{week}\n"));
    }
    if !owners.is_empty() {
        report.push_str(&format!("\n{owners}"));
    }
    println!("{report}");
    if let Some(file) = &options.write {
        put(&report, file)?;
    }
    Ok(if rows.iter().all(table::Row::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Replaces what stands between the markers in `file`.
fn put(report: &str, file: &Path) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let [begin, end] = MARKERS;
    let parts = text.split_once(begin).and_then(|(before, rest)| {
        rest.split_once(end).map(|(_, after)| [before, begin, report, end, after].concat())
    });
    let text = parts.ok_or_else(|| format!("cannot write {}: no markers", file.display()))?;
    Ok(fs::write(file, text)?)
}

/// Tells what is being done: some of it takes minutes.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
