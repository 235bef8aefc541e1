//! `diff --storage` for people: each storage with its leftovers, and how to look at them.

use std::io::{self, BufWriter, Write};

use backends::FileType;
use backends::weigh::Weight;
use chrono::{DateTime, TimeZone};
use unicode_width::UnicodeWidthStr;

use super::{mark, paint, remarks, total};
use crate::leftovers::{Leftover, Leftovers, Looked, Why};
use crate::report::paint::{PLAIN, QUIET, escaped_name};
use crate::report::{Style, figures};

/// Longer names push their own line out instead of all others.
const NAME_WIDTH: usize = 44;

/// Writes the storages, the sum, and what was not looked at.
pub fn write<Tz: TimeZone>(
    leftovers: &Leftovers,
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let cells: Vec<Cells> = leftovers.found.iter().map(|one| Cells::of(one, now)).collect();
    let widths = Widths::of(&cells);
    for storage in &leftovers.storages {
        let found = leftovers.found.iter().zip(&cells);
        let found = found.filter(|(one, _)| one.storage == storage.path).collect::<Vec<_>>();
        write_storage(storage, &found, &widths, style, &mut out)?;
    }
    let (count, bytes) = total(leftovers);
    for path in &leftovers.mounted_over {
        let note = format_args!("note: {path} was not looked into: something is mounted there");
        writeln!(out, "{}", style.paint(QUIET, note))?;
    }
    match (leftovers.storages.len(), count) {
        (0, _) => writeln!(out, "No storage is declared.")?,
        (_, 0) => writeln!(out, "Nothing is left over.")?,
        _ => {
            let what = figures::count_of(count, "leftover", "leftovers");
            writeln!(out, "\n{what}, {}. None of it is ever deleted.", figures::size(bytes))?;
            let look = "look at them: blankroot diff --storage -0 | xargs -0 ls -ld";
            writeln!(out, "{}", style.paint(QUIET, look))?;
        }
    }
    out.flush()
}

fn write_storage(
    storage: &Looked,
    found: &[(&Leftover, &Cells)],
    widths: &Widths,
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
struct Cells {
    name: String,
    count: String,
    size: String,
    age: String,
}

impl Cells {
    fn of<Tz: TimeZone>(leftover: &Leftover, now: &DateTime<Tz>) -> Self {
        let (path, weight) = (leftover.path.as_bytes(), &leftover.weight);
        // Both are whole paths, and one lies in the other.
        let below = path.get(leftover.storage.as_bytes().len() + 1..).unwrap_or(path);
        let count = match leftover.facts.file_type {
            FileType::File => String::new(),
            FileType::Dir => count(weight),
            other => other.word().to_string(),
        };
        let shows_size = leftover.facts.file_type == FileType::File || weight.bytes > 0;
        Self {
            name: escaped_name(below, leftover.facts.file_type),
            count,
            size: if shows_size { figures::size(weight.bytes) } else { String::new() },
            age: weight.newest.map_or(String::new(), |(time, _)| figures::age(time, now)),
        }
    }
}

/// Files, or directories where there is nothing else.
fn count(weight: &Weight) -> String {
    match (weight.files, weight.dirs.saturating_sub(1), weight.mounts + weight.subvolumes) {
        (0, 0, 0) => "empty".to_string(),
        (0, 0, _) => String::new(),
        (0, dirs, _) => figures::count_of(dirs, "directory", "directories"),
        (files, _, _) => figures::count_of(files, "file", "files"),
    }
}

struct Widths {
    name: usize,
    count: usize,
    size: usize,
    age: usize,
}

impl Widths {
    fn of(cells: &[Cells]) -> Self {
        let widest = |width: fn(&Cells) -> usize| cells.iter().map(width).max().unwrap_or(0);
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
    cells: &Cells,
    guide: &str,
    widths: &Widths,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let why = &leftover.why;
    // What is explained stands back as a whole line.
    let (name, figures) = match why {
        Why::Undeclared => (style.file(leftover.path.as_bytes(), &leftover.facts), PLAIN),
        _ => (QUIET, QUIET),
    };
    let padding = widths.name.saturating_sub(cells.name.width());
    write!(out, "{} {}", style.paint(paint(why), mark(why)), style.paint(QUIET, guide))?;
    write!(out, "{}{:padding$}", style.paint(name, &cells.name), "")?;
    let columns =
        [(&cells.count, widths.count), (&cells.size, widths.size), (&cells.age, widths.age)];
    let mut line = String::new();
    for (text, width) in columns.into_iter().filter(|&(_, width)| width > 0) {
        line.push_str(&format!("  {text:>width$}"));
    }
    let remarks = remarks(leftover);
    if !remarks.is_empty() {
        line.push_str(&format!("  {remarks}"));
    }
    writeln!(out, "{}", style.paint(figures, line.trim_end()))
}
