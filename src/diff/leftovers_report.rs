//! `diff --storage`: leftovers for people, for `grep`, for `xargs` and for programs.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use chrono::{DateTime, Local, TimeZone};
use dirfd::disk_usage::Weight;
use dirfd::path::Escaped;
use dirfd::{Error, FileType, TreePath};
use unicode_width::UnicodeWidthStr;

use crate::cli::arguments::{Cli, Diff, Format};
use crate::cli::invocation::Failure;
use crate::config::Config;
use crate::diff::leftovers::{self, DeclaredStorage, Leftover, LeftoverReason, Leftovers};
use crate::diff::leftovers_json::write_leftovers_json;
use crate::host::HostRoot;
use crate::ui::colours::{ALERT, PLAIN, QUIET, Style, escaped_name};
use crate::ui::progress::ProgressCounter;
use crate::ui::{self, figures};

pub(crate) fn run(
    cli: &Cli,
    args: &Diff,
    config: &Config,
    only: &[TreePath],
) -> Result<ExitCode, Failure> {
    let host = HostRoot::open(&args.root.root)?;
    let progress = ProgressCounter::of_names("looking");
    let found = leftovers::find_leftovers(&host, config, only, &|count| progress.set(count))?;
    drop(progress);
    write_report(cli, args, &found)?;
    Ok(report_missing_storages(&found))
}

fn write_report(cli: &Cli, args: &Diff, found: &Leftovers) -> io::Result<()> {
    let (out, style, now) = (io::stdout().lock(), ui::style_of_output(cli), Local::now());
    match args.format {
        Format::Json => write_leftovers_json(found, out),
        Format::Human if args.null => write_leftovers_nul(found, out),
        Format::Human if args.flat => write_leftovers_flat(found, &style, &now, out),
        Format::Human => write_leftovers_text(found, &style, &now, out),
    }
}

/// A storage that is not there was not looked into, so that the answer is not whole.
fn report_missing_storages(found: &Leftovers) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for storage in found.storages.iter().filter(|storage| storage.enabled && !storage.there) {
        let action = format!("look into the storage {}", storage.path);
        ui::report_problem(Error::new(action, "it is not there").hint("mount it first"));
        code = ExitCode::from(2);
    }
    code
}

/// The character that stands for it: a question where nobody decided.
fn mark_of_reason(why: &LeftoverReason) -> char {
    if *why == LeftoverReason::Undeclared { '?' } else { '·' }
}

fn paint_of_reason(why: &LeftoverReason) -> anstyle::Style {
    if *why == LeftoverReason::Undeclared { ALERT } else { QUIET }
}

/// What there is to say of one beside its figures; empty for most.
fn describe_leftover(leftover: &Leftover) -> String {
    let mut remarks = Vec::new();
    match &leftover.why {
        LeftoverReason::Undeclared => {}
        LeftoverReason::NotEnabled { line } => {
            remarks.push(format!("declared but not enabled, line {line}"))
        }
        LeftoverReason::SetAside { of } => {
            remarks.push(format!("was `{}` until other data took its place", Escaped(of)));
        }
        LeftoverReason::Unnamed { of } => {
            remarks.push(format!("whole: an interrupted run was to name it `{}`", Escaped(of)));
        }
        LeftoverReason::Temporary { of } => {
            remarks.push(format!("not whole: an interrupted run was writing `{}`", Escaped(of)));
        }
    }
    let weight = &leftover.weight;
    let (below, own) = match leftover.facts.file_type {
        FileType::Subvolume => (0, 1),
        _ => (weight.subvolumes, 0),
    };
    match (own, below) {
        (1, _) => remarks.push("a subvolume, not looked into".to_string()),
        (_, 0) => {}
        (_, 1) => remarks.push("has a subvolume, not looked into".to_string()),
        (_, many) => remarks.push(format!("has {many} subvolumes, not looked into")),
    }
    if weight.mounts > 0 {
        remarks.push("has something mounted in it, not looked into".to_string());
    }
    remarks.join("; ")
}

/// Longer names push their own line out instead of all others.
const NAME_WIDTH: usize = 44;

/// Writes for people: each storage with its leftovers, the sum, and what was not looked at.
pub(crate) fn write_leftovers_text<Tz: TimeZone>(
    leftovers: &Leftovers,
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let cells: Vec<LeftoverCells> =
        leftovers.found.iter().map(|one| LeftoverCells::of(one, now)).collect();
    let widths = LeftoverWidths::of(&cells);
    for storage in &leftovers.storages {
        let found = leftovers.found.iter().zip(&cells);
        let found = found.filter(|(one, _)| one.storage == storage.path).collect::<Vec<_>>();
        write_storage(storage, &found, &widths, style, &mut out)?;
    }
    let (count, bytes) = leftovers.count_and_bytes();
    for path in &leftovers.mounted_over {
        let note = format_args!("note: {path} was not looked into: something is mounted there");
        writeln!(out, "{}", style.paint(QUIET, note))?;
    }
    match (leftovers.storages.len(), count) {
        (0, _) => writeln!(out, "No storage is declared.")?,
        (_, 0) => writeln!(out, "Nothing is left over.")?,
        _ => {
            let what = figures::count_noun(count, "leftover", "leftovers");
            writeln!(
                out,
                "\n{what}, {}. None of it is ever deleted.",
                figures::format_size(bytes)
            )?;
            let look = "look at them: blankroot diff --storage -0 | xargs -0 ls -ld";
            writeln!(out, "{}", style.paint(QUIET, look))?;
        }
    }
    out.flush()
}

fn write_storage(
    storage: &DeclaredStorage,
    found: &[(&Leftover, &LeftoverCells)],
    widths: &LeftoverWidths,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let state = match (storage.there, storage.enabled) {
        (false, true) => "  is not there",
        (false, false) => "  is not there, and not enabled",
        (true, false) => "  is not enabled",
        (true, true) if found.is_empty() => return Ok(()),
        (true, true) => "",
    };
    let path = format_args!("{}/", storage.path);
    writeln!(out, "  {}{}", style.paint(style.directory(), path), style.paint(QUIET, state))?;
    for (at, (leftover, cells)) in found.iter().enumerate() {
        let guide = if at + 1 == found.len() { "└─ " } else { "├─ " };
        write_line(leftover, cells, guide, widths, style, out)?;
    }
    Ok(())
}

/// The texts of one line, without paint.
struct LeftoverCells {
    name: String,
    count: String,
    size: String,
    age: String,
}

impl LeftoverCells {
    fn of<Tz: TimeZone>(leftover: &Leftover, now: &DateTime<Tz>) -> Self {
        let (path, weight) = (leftover.path.as_bytes(), &leftover.weight);
        // Both are whole paths, and one lies in the other.
        let below = path.get(leftover.storage.as_bytes().len() + 1..).unwrap_or(path);
        let count = match leftover.facts.file_type {
            FileType::File => String::new(),
            FileType::Dir => count_content(weight),
            other => other.word().to_string(),
        };
        let shows_size = leftover.facts.file_type == FileType::File || weight.bytes > 0;
        Self {
            name: escaped_name(below, leftover.facts.file_type),
            count,
            size: if shows_size { figures::format_size(weight.bytes) } else { String::new() },
            age: weight.newest.map_or(String::new(), |(time, _)| figures::describe_age(time, now)),
        }
    }
}

/// Files, or directories where there is nothing else.
fn count_content(weight: &Weight) -> String {
    match (weight.files, weight.dirs.saturating_sub(1), weight.mounts + weight.subvolumes) {
        (0, 0, 0) => "empty".to_string(),
        (0, 0, _) => String::new(),
        (0, dirs, _) => figures::count_noun(dirs, "directory", "directories"),
        (files, _, _) => figures::count_noun(files, "file", "files"),
    }
}

struct LeftoverWidths {
    name: usize,
    count: usize,
    size: usize,
    age: usize,
}

impl LeftoverWidths {
    fn of(cells: &[LeftoverCells]) -> Self {
        let widest =
            |width: fn(&LeftoverCells) -> usize| cells.iter().map(width).max().unwrap_or(0);
        let name = cells.iter().map(|cells| cells.name.width()).filter(|&name| name <= NAME_WIDTH);
        Self {
            name: name.max().unwrap_or(0),
            count: widest(|cells| cells.count.len()),
            size: widest(|cells| cells.size.len()),
            age: widest(|cells| cells.age.len()),
        }
    }
}

fn write_line(
    leftover: &Leftover,
    cells: &LeftoverCells,
    guide: &str,
    widths: &LeftoverWidths,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let why = &leftover.why;
    // What is explained stands back as a whole line.
    let (name, figures) = match why {
        LeftoverReason::Undeclared => {
            (style.file(leftover.path.as_bytes(), &leftover.facts), PLAIN)
        }
        _ => (QUIET, QUIET),
    };
    let padding = widths.name.saturating_sub(cells.name.width());
    write!(
        out,
        "{} {}",
        style.paint(paint_of_reason(why), mark_of_reason(why)),
        style.paint(QUIET, guide)
    )?;
    write!(out, "{}{:padding$}", style.paint(name, &cells.name), "")?;
    let columns =
        [(&cells.count, widths.count), (&cells.size, widths.size), (&cells.age, widths.age)];
    let mut line = String::new();
    for (text, width) in columns.into_iter().filter(|&(_, width)| width > 0) {
        line.push_str(&format!("  {text:>width$}"));
    }
    let remarks = describe_leftover(leftover);
    if !remarks.is_empty() {
        line.push_str(&format!("  {remarks}"));
    }
    writeln!(out, "{}", style.paint(figures, line.trim_end()))
}

/// Writes `? dir        1.2 MiB    3 weeks  undeclared   /persist/path` for each: mark, type, size
/// with all that is below, age of the newest of it, why it is one, escaped path.
pub(crate) fn write_leftovers_flat<Tz: TimeZone>(
    leftovers: &Leftovers,
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for leftover in &leftovers.found {
        let (why, weight) = (&leftover.why, &leftover.weight);
        let age =
            weight.newest.map_or("-".to_string(), |(time, _)| figures::describe_age(time, now));
        let size = match leftover.facts.file_type {
            FileType::File | FileType::Dir => figures::format_size(weight.bytes),
            _ => "-".to_string(),
        };
        let file_type = leftover.facts.file_type.word();
        writeln!(
            out,
            "{} {file_type:<9}  {size:>10}  {age:>13}  {}  {}",
            style.paint(paint_of_reason(why), mark_of_reason(why)),
            style.paint(paint_of_reason(why), format_args!("{:<11}", why.word())),
            style.paint(
                if style.color {
                    style.file(leftover.path.as_bytes(), &leftover.facts)
                } else {
                    PLAIN
                },
                format_args!("/{}", Escaped(leftover.path.as_bytes()))
            ),
        )?;
    }
    out.flush()
}

/// Writes each path as raw bytes with a NUL after it.
pub(crate) fn write_leftovers_nul(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for leftover in &leftovers.found {
        out.write_all(b"/")?;
        out.write_all(leftover.path.as_bytes())?;
        out.write_all(b"\0")?;
    }
    out.flush()
}

#[cfg(test)]
#[path = "leftovers_report_tests.rs"]
mod tests;
