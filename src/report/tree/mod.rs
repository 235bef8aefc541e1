//! `diff` for people: a tree in which whatever came or went as a whole takes one line.

mod fold;
mod line;
mod nodes;

use std::io::{self, BufWriter, Write};

use super::flat::mark;
use super::paint::{PLAIN, QUIET, STRONG};
use super::summary::{KINDS, Summary, VERDICTS};
use super::{DiffReport, Style, figures};
use crate::classify::Verdict;
use crate::diff::Method;

/// Writes the tree, the summary, and how the changes were found if that was slow.
pub fn write(report: &DiffReport<'_>, style: &Style, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut summary = Summary::default();
    let mut builder = nodes::Builder::new();
    report.for_each(|row| {
        summary.add(row);
        builder.add(row);
        Ok(())
    })?;
    if summary.total() == 0 {
        write_nothing(report, &mut out)?;
    } else {
        let nodes = builder.finish();
        let lines = fold::fold(&nodes);
        line::write(&nodes, &lines, style, &mut out)?;
        writeln!(out)?;
        write_summary(&summary, style, &mut out)?;
        if lines.iter().any(|line| line.covers() > 1) {
            writeln!(out, "{}", style.paint(QUIET, "--flat shows what is folded here"))?;
        }
    }
    write_method(report, style, &mut out)?;
    out.flush()
}

fn write_nothing(report: &DiffReport<'_>, out: &mut impl Write) -> io::Result<()> {
    let live = &report.live.name;
    let Some(blank) = report.blank.map(|blank| &blank.name) else {
        return writeln!(out, "Nothing there: {live} is empty.");
    };
    if report.only.is_empty() {
        return writeln!(out, "Nothing changed: {live} is the same as {blank}.");
    }
    let within: Vec<String> = report.only.iter().map(ToString::to_string).collect();
    let within = within.join(", ");
    writeln!(out, "Nothing changed in {within}: {live} is the same as {blank} there.")
}

/// `+ 14 added, ~ 3 modified: 12 stray (1.2 MiB), 4 kept`: the legend of the marks is in it.
fn write_summary(summary: &Summary, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let mut separator = "";
    for kind in KINDS {
        let count = summary.kind(kind);
        if count > 0 {
            let mark = style.paint(STRONG, mark(kind));
            write!(out, "{separator}{mark} {} {}", figures::grouped(count), kind.word())?;
            separator = ", ";
        }
    }
    separator = ": ";
    for verdict in VERDICTS {
        let tally = summary.verdict(verdict);
        if tally.count == 0 {
            continue;
        }
        let size = match tally.bytes {
            0 => String::new(),
            bytes => format!(" ({})", figures::size(bytes)),
        };
        let (count, word) = (figures::grouped(tally.count), verdict.word());
        let paint = if verdict == Verdict::Stray { Style::verdict(verdict) } else { PLAIN };
        let part = format_args!("{count} {word}{size}");
        write!(out, "{separator}{}", style.paint(paint, part))?;
        separator = ", ";
    }
    writeln!(out)
}

fn write_method(report: &DiffReport<'_>, style: &Style, out: &mut impl Write) -> io::Result<()> {
    match &report.diff.method {
        Method::Fast => Ok(()),
        Method::Walk(why) => {
            let note = format_args!("note: walked both trees, because {why}");
            writeln!(out, "{}", style.paint(QUIET, note))
        }
        Method::Alone => {
            let note = "note: there is no blank to compare with, so that everything is new";
            writeln!(out, "{}", style.paint(QUIET, note))
        }
    }
}

#[cfg(test)]
mod tests;
