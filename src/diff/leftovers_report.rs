//! `diff --storage`: leftovers for people, for `grep`, for `xargs` and for programs.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use chrono::{DateTime, Local, TimeZone};
use dirfd::disk_usage::Weight;
use dirfd::path::Escaped;
use dirfd::{Error, FileType, TreePath};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::cli::arguments::{Cli, Diff, Format};
use crate::cli::invocation::Failure;
use crate::config::Config;
use crate::diff::leftovers::{self, DeclaredStorage, Leftover, LeftoverReason, Leftovers};
use crate::host::HostRoot;
use crate::ui::colours::{ALERT, PLAIN, QUIET, Style, escaped_name};
use crate::ui::json_value::{Absolute, JsonPath, Octal, Timestamps};
use crate::ui::{self, NameProgress, figures};

/// How many there are, and their bytes.
fn count_leftovers(leftovers: &Leftovers) -> (u64, u64) {
    let bytes = leftovers.found.iter().map(|one| one.weight.bytes);
    (leftovers.found.len() as u64, bytes.fold(0, u64::saturating_add))
}

/// The word for why something is a leftover, in all output.
fn word_of_reason(why: &LeftoverReason) -> &'static str {
    match why {
        LeftoverReason::Undeclared => "undeclared",
        LeftoverReason::NotEnabled { .. } => "not-enabled",
        LeftoverReason::SetAside { .. } => "set-aside",
        LeftoverReason::Temporary { .. } => "temporary",
    }
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

// `diff --storage` for people: each storage with its leftovers, and how to look at them.

/// Longer names push their own line out instead of all others.
const NAME_WIDTH: usize = 44;

/// Writes the storages, the sum, and what was not looked at.
pub fn write_leftovers_text<Tz: TimeZone>(
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
    let (count, bytes) = count_leftovers(leftovers);
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

// `diff --storage --flat`: one line a leftover for `grep`; `-0`: paths alone for `xargs -0`.

/// Writes `? dir        1.2 MiB    3 weeks  undeclared   /persist/path` for each: mark, type, size
/// with all that is below, age of the newest of it, why it is one, escaped path.
pub fn write_leftovers_flat<Tz: TimeZone>(
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
            style.paint(paint_of_reason(why), format_args!("{:<11}", word_of_reason(why))),
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
pub fn write_leftovers_nul(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for leftover in &leftovers.found {
        out.write_all(b"/")?;
        out.write_all(leftover.path.as_bytes())?;
        out.write_all(b"\0")?;
    }
    out.flush()
}

// `diff --storage --format json`: one document for programs.
//
// | key | value |
// | --- | --- |
// | `version` | 1 |
// | `storages` | one object each: `path`, `line` (of the configuration), `enabled`, `there` |
// | `mounted_over` | paths in storages where something is mounted, and which were not looked into |
// | `summary` | `count` and `bytes` of all leftovers |
// | `leftovers` | one object for each topmost path that nothing declares, sorted by path bytes |
//
// A leftover has `path` and `storage`; `why`: `undeclared`, `not-enabled` (with the `line` of what
// declares it), `set-aside` (with `of`, the name it had until other data took its place) or
// `temporary` (with `of`, the name of what was never whole); `line` and `of` are null otherwise.
// `type`, `mode`, `uid` and `gid` are its own; `bytes`, `files` (all that is no directory), `dirs`,
// `newest` (or null), `mounts` and `subvolumes` are of it with all below. `bytes` are those of the
// content of regular files, and a file with several names counts once in a storage; mounts and
// subvolumes are counted, not entered. Paths, modes and times are as in `diff --format json`.

/// Writes the document, and a newline after it.
pub fn write_leftovers_json(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let (count, bytes) = count_leftovers(leftovers);
    let mut times = Timestamps::default();
    let document = LeftoversDocument {
        version: 1,
        storages: leftovers.storages.iter().map(JsonStorage::new).collect(),
        mounted_over: leftovers.mounted_over.iter().map(Absolute).collect(),
        summary: LeftoversSummary { count, bytes },
        leftovers: leftovers.found.iter().map(|one| JsonLeftover::new(one, &mut times)).collect(),
    };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct LeftoversDocument<'a> {
    version: u32,
    storages: Vec<JsonStorage<'a>>,
    mounted_over: Vec<Absolute<'a>>,
    summary: LeftoversSummary,
    leftovers: Vec<JsonLeftover<'a>>,
}

#[derive(Serialize)]
struct LeftoversSummary {
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct JsonStorage<'a> {
    path: Absolute<'a>,
    line: u32,
    enabled: bool,
    there: bool,
}

impl<'a> JsonStorage<'a> {
    fn new(storage: &'a DeclaredStorage) -> Self {
        let DeclaredStorage { path, line, enabled, there } = storage;
        Self { path: Absolute(path), line: *line, enabled: *enabled, there: *there }
    }
}

#[derive(Serialize)]
struct JsonLeftover<'a> {
    path: Absolute<'a>,
    storage: Absolute<'a>,
    why: &'static str,
    line: Option<u32>,
    of: Option<JsonPath<'a>>,
    r#type: &'static str,
    mode: Octal,
    uid: u32,
    gid: u32,
    bytes: u64,
    files: u64,
    dirs: u64,
    newest: Option<String>,
    mounts: u64,
    subvolumes: u64,
}

impl<'a> JsonLeftover<'a> {
    fn new(leftover: &'a Leftover, times: &mut Timestamps) -> Self {
        let Leftover { path, storage, why, facts, weight } = leftover;
        let newest = weight.newest.and_then(|(time, nanos)| times.write(time, nanos));
        Self {
            path: Absolute(path),
            storage: Absolute(storage),
            why: word_of_reason(why),
            line: match why {
                LeftoverReason::NotEnabled { line } => Some(*line),
                _ => None,
            },
            of: match why {
                LeftoverReason::SetAside { of } | LeftoverReason::Temporary { of } => {
                    Some(JsonPath::new(of))
                }
                _ => None,
            },
            r#type: facts.file_type.word(),
            mode: Octal(facts.mode),
            uid: facts.uid,
            gid: facts.gid,
            bytes: weight.bytes,
            files: weight.files,
            dirs: weight.dirs,
            newest: newest.map(str::to_string),
            mounts: weight.mounts,
            subvolumes: weight.subvolumes,
        }
    }
}

// `diff --storage`: what lies in the storages and nothing keeps.

pub(crate) fn run(
    cli: &Cli,
    args: &Diff,
    config: &Config,
    only: &[TreePath],
) -> Result<ExitCode, Failure> {
    let host = HostRoot::open(&args.root.root)?;
    let progress = NameProgress::new("looking");
    let found = leftovers::find_leftovers(&host, config, only, &|count| progress.at(count))?;
    drop(progress);
    write_leftovers(cli, args, &found)?;
    Ok(report_missing_storages(&found))
}

fn write_leftovers(cli: &Cli, args: &Diff, found: &Leftovers) -> io::Result<()> {
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
        ui::report_problem(Error::new(action, "it is not there").mend("mount it first"));
        code = ExitCode::from(2);
    }
    code
}

#[cfg(test)]
#[path = "leftovers_report_tests.rs"]
mod tests;
