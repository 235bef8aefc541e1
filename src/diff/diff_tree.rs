//! `diff` for people: a tree in which whatever came or went as a whole takes one line.

use std::convert::Infallible;
use std::io::{self, BufWriter, Write};

use dirfd::path::Escaped;
use dirfd::{ChangeKind, FileType};
use unicode_width::UnicodeWidthStr;

use crate::diff::classify::Verdict;
use crate::diff::diff_flat::{mark_of_change, style_of_verdict};
use crate::diff::summary::{Summary, VERDICTS, content_bytes};
use crate::diff::tree_fold::{
    self, ChangeCounts, ChangeSort, ChangeTree, Changed, FoldedLine, LineBody, NodeId,
};
use crate::diff::{DiffMethod, DiffReport};
use crate::evidence::classes::{Class, ClassCounts};
use crate::ui::colours::{PLAIN, Painted, QUIET, STRONG, Style, escaped_name};
use crate::ui::figures;

/// Writes the tree, the summary, and how the changes were found if that was slow.
pub(crate) fn write_diff_tree(
    report: &DiffReport<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut summary = Summary::default();
    let mut builder = tree_fold::ChangeTreeBuilder::new();
    let Ok(()) = report.for_each::<Infallible>(|row| {
        summary.add(row);
        if report.all || row.verdict != Verdict::Regenerated {
            builder.add(row);
        }
        Ok(())
    });
    if summary.total() == 0 {
        write_nothing(report, &mut out)?;
    } else {
        let nodes = builder.finish();
        let lines = tree_fold::fold_tree(&nodes);
        let cells = LinesAsCells { nodes: &nodes, boots: report.boots() };
        cells.write_lines(&lines, style, &mut out)?;
        if !lines.is_empty() {
            writeln!(out)?;
        }
        write_summary(&summary, style, &mut out)?;
        write_hidden(report, &summary, style, &mut out)?;
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
    for kind in ChangeKind::ALL {
        let count = summary.kind(kind);
        if count > 0 {
            let mark = style.paint(STRONG, mark_of_change(kind));
            write!(out, "{separator}{mark} {} {}", figures::format_count(count), kind.word())?;
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
            bytes => format!(" ({})", figures::format_size(bytes)),
        };
        let (count, word) = (figures::format_count(tally.count), verdict.word());
        let paint = if verdict == Verdict::Stray { style_of_verdict(verdict) } else { PLAIN };
        let part = format_args!("{count} {word}{size}");
        write!(out, "{separator}{}", style.paint(paint, part))?;
        separator = ", ";
    }
    writeln!(out)
}

/// What comes back by itself takes one line.
fn write_hidden(
    report: &DiffReport<'_>,
    summary: &Summary,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let hidden = summary.verdict(Verdict::Regenerated).count;
    if report.all || hidden == 0 {
        return Ok(());
    }
    let paths = figures::count_noun(hidden, "path", "paths");
    let old_roots = match report.boots() {
        1 => "the last old root has".to_string(),
        boots => format!("the last {boots} old roots all have"),
    };
    let note = format_args!("--all shows what comes back by itself: {paths} that {old_roots}, too");
    writeln!(out, "{}", style.paint(QUIET, note))
}

fn write_method(report: &DiffReport<'_>, style: &Style, out: &mut impl Write) -> io::Result<()> {
    match &report.diff.method {
        DiffMethod::Fast => Ok(()),
        DiffMethod::Walk(why) => {
            let note = format_args!("note: walked both trees, because {why}");
            writeln!(out, "{}", style.paint(QUIET, note))
        }
        DiffMethod::Alone => {
            let note = "note: there is no blank to compare with, so that everything is new";
            writeln!(out, "{}", style.paint(QUIET, note))
        }
    }
}

/// Longer names push their own line out instead of all others.
const NAME_WIDTH: usize = 44;

/// The texts of one line, without paint.
struct LineCells {
    name: String,
    /// `None` for an unchanged directory, whose line ends with its name.
    change: Option<ChangeCells>,
}

struct ChangeCells {
    sort: ChangeSort,
    count: String,
    size: String,
    /// What old roots tell of it; empty where that is nothing, or no news.
    class: String,
}

/// The tree, and what its lines need beside it.
struct LinesAsCells<'t> {
    nodes: &'t ChangeTree,
    /// How many old roots were asked.
    boots: u16,
}

impl LinesAsCells<'_> {
    /// Writes all lines in columns that fit them: mark, name, count, size, verdict, class.
    fn write_lines(
        &self,
        lines: &[FoldedLine],
        style: &Style,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let cells: Vec<LineCells> = lines.iter().map(|line| self.cells_of_line(line)).collect();
        let widths = LineWidths::of(lines, &cells);
        for (line, cells) in lines.iter().zip(&cells) {
            match &cells.change {
                None => {
                    let name = style.paint(style.directory(), &cells.name);
                    writeln!(out, "  {}{name}", painted_guide(line, style))?;
                }
                Some(change) => {
                    let name = name_style(self.nodes, &line.body, style);
                    write_change(line, cells, change, &widths, (style, name), out)?;
                }
            }
        }
        Ok(())
    }

    fn cells_of_line(&self, line: &FoldedLine) -> LineCells {
        let nodes = self.nodes;
        // The outermost names have the machine's root before them instead of a guide.
        let root = if line.guide.is_empty() { "/" } else { "" };
        let one = |id: NodeId, facts_type| {
            format!("{root}{}", escaped_name(&nodes.get(id).name, facts_type))
        };
        let change = |sort: ChangeSort, count, size, classes: &ClassCounts| {
            // What is decided has none.
            let class = classes.describe().filter(|_| sort.1 == Verdict::Stray).unwrap_or_default();
            Some(ChangeCells { sort, count, size, class })
        };
        match &line.body {
            LineBody::Branch(chain) => {
                LineCells { name: format!("{root}{}", join_chain(nodes, chain)), change: None }
            }
            LineBody::Single(id, it) => {
                let (count, size) = match id {
                    0 => Default::default(),
                    id => (type_word(nodes, *id, it), own_size(it)),
                };
                let class = self.words_of_class(it);
                LineCells {
                    // The root's own name is empty: the slash before it is all.
                    name: if *id == 0 { "/".to_string() } else { one(*id, it.facts.file_type) },
                    change: Some(ChangeCells { sort: it.sort(), count, size, class }),
                }
            }
            LineBody::Whole(id, it, below) => {
                let mut classes = below.classes;
                classes.add(ClassCounts::one(it.class));
                let (count, size) = (whole_count(it, below), below_size(it.sort(), below));
                LineCells {
                    name: one(*id, it.facts.file_type),
                    change: change(it.sort(), count, size, &classes),
                }
            }
            LineBody::Within(chain, sort, below) => {
                let (count, size) = (count_below(below), below_size(*sort, below));
                LineCells {
                    name: format!("{root}{}*", join_chain(nodes, chain)),
                    change: change(*sort, count, size, &below.classes),
                }
            }
            LineBody::More(sort, hidden, below) => LineCells {
                name: format!("… and {} more", figures::format_count(*hidden)),
                change: change(*sort, String::new(), below_size(*sort, below), &below.classes),
            },
        }
    }

    /// `some (2 of 5)`: the class of one stray. What is decided has none.
    fn words_of_class(&self, change: &Changed) -> String {
        match change.class.filter(|_| change.verdict == Verdict::Stray) {
            None => String::new(),
            Some(Class::Some(boots)) => format!("some ({boots} of {})", self.boots),
            Some(class) => class.word().to_string(),
        }
    }
}

fn write_change(
    line: &FoldedLine,
    cells: &LineCells,
    change: &ChangeCells,
    widths: &LineWidths,
    (style, name): (&Style, anstyle::Style),
    out: &mut impl Write,
) -> io::Result<()> {
    let (kind, verdict) = change.sort;
    let paint = style_of_verdict(verdict);
    // What is decided stands back as a whole line.
    let (name, figures) = if verdict == Verdict::Stray { (name, PLAIN) } else { (QUIET, QUIET) };
    let used = line.guide.width() + cells.name.width();
    let padding = widths.name.saturating_sub(used);
    write!(out, "{} ", style.paint(paint, mark_of_change(kind)))?;
    write!(out, "{}{}", painted_guide(line, style), style.paint(name, &cells.name))?;
    write!(out, "{:padding$}", "")?;
    for (text, width) in [(&change.count, widths.count), (&change.size, widths.size)] {
        if width > 0 {
            write!(out, "  {}", style.paint(figures, format_args!("{text:>width$}")))?;
        }
    }
    write!(out, "  {}", style.paint(paint, verdict.word()))?;
    if !change.class.is_empty() {
        write!(out, "  {}", style.paint(figures, &change.class))?;
    }
    writeln!(out)
}

/// Nothing at all for the outermost lines: an empty pair of escapes is noise in a log.
fn painted_guide<'a>(line: &'a FoldedLine, style: &Style) -> Painted<&'a str> {
    style.paint(if line.guide.is_empty() { PLAIN } else { QUIET }, &line.guide)
}

struct LineWidths {
    name: usize,
    count: usize,
    size: usize,
}

impl LineWidths {
    fn of(lines: &[FoldedLine], cells: &[LineCells]) -> Self {
        let mut widths = Self { name: 0, count: 0, size: 0 };
        for (line, cells) in lines.iter().zip(cells) {
            let Some(change) = &cells.change else { continue };
            let name = line.guide.width() + cells.name.width();
            if name <= NAME_WIDTH {
                widths.name = widths.name.max(name);
            }
            widths.count = widths.count.max(change.count.len());
            widths.size = widths.size.max(change.size.len());
        }
        widths
    }
}

fn join_chain(nodes: &ChangeTree, chain: &[NodeId]) -> String {
    chain.iter().map(|&id| format!("{}/", Escaped(&nodes.get(id).name))).collect()
}

/// What it is, unless that is a file, or a directory whose content follows.
fn type_word(nodes: &ChangeTree, id: NodeId, change: &Changed) -> String {
    match change.facts.file_type {
        FileType::File => String::new(),
        FileType::Dir => match change.kind {
            ChangeKind::Added if nodes.get(id).children.is_empty() => "empty".to_string(),
            _ => String::new(),
        },
        other => other.word().to_string(),
    }
}

fn whole_count(change: &Changed, below: &ChangeCounts) -> String {
    match change.facts.file_type {
        FileType::Dir => count_below(below),
        // A directory gave way to something else, and its content went with it.
        _ => format!("had {}", count_below(below)),
    }
}

/// Files, or directories where there is nothing else.
fn count_below(below: &ChangeCounts) -> String {
    match below.files {
        0 => figures::count_noun(below.dirs, "directory", "directories"),
        files => figures::count_noun(files, "file", "files"),
    }
}

fn own_size(change: &Changed) -> String {
    match (change.kind, change.facts.file_type) {
        // The content is the same, so its size is no news.
        (ChangeKind::Metadata, _) => String::new(),
        (_, FileType::File) => figures::format_size(content_bytes(&change.facts)),
        _ => String::new(),
    }
}

fn below_size((kind, _): ChangeSort, below: &ChangeCounts) -> String {
    match (kind, below.bytes) {
        (ChangeKind::Metadata, _) | (_, 0) => String::new(),
        (_, bytes) => figures::format_size(bytes),
    }
}

fn name_style(nodes: &ChangeTree, body: &LineBody, style: &Style) -> anstyle::Style {
    match body {
        LineBody::Single(id, change) | LineBody::Whole(id, change, _) => {
            style.file(&nodes.get(*id).name, &change.facts)
        }
        LineBody::Branch(_) | LineBody::Within(..) => style.directory(),
        LineBody::More(..) => QUIET,
    }
}

#[cfg(test)]
#[path = "diff_tree_tests.rs"]
mod tests;
