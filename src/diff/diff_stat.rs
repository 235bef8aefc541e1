//! `diff --stat`: counts and bytes per verdict for each directory at the top of the tree.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, BufWriter, Write};

use dirfd::FileType;
use dirfd::path::Escaped;
use unicode_width::UnicodeWidthStr;

use crate::diff::classify::Verdict;
use crate::diff::diff_flat::style_of_verdict;
use crate::diff::summary::{Summary, Tally, VERDICTS};
use crate::diff::{DiffReport, DiffRow};
use crate::ui::colours::{PLAIN, STRONG, Style};
use crate::ui::figures;

/// Writes a table: a row for each directory, `/` for files beside them, and the total.
pub(crate) fn write_diff_stat(
    report: &DiffReport<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut places: BTreeMap<Vec<u8>, Summary> = BTreeMap::new();
    let mut total = Summary::default();
    let Ok(()) = report.for_each::<Infallible>(|row| {
        total.add(row);
        let place = top_directory(row);
        match places.get_mut(place) {
            Some(summary) => summary.add(row),
            None => places.entry(place.to_vec()).or_default().add(row),
        }
        Ok(())
    });
    let mut rows: Vec<(String, Summary)> =
        places.iter().map(|(place, summary)| (format!("/{}", Escaped(place)), *summary)).collect();
    rows.push(("total".to_string(), total));
    write_table(&rows, style, &mut out)?;
    out.flush()
}

/// The directory at the top that a change belongs to; empty for what is no directory itself.
fn top_directory<'a>(row: &DiffRow<'a>) -> &'a [u8] {
    match row.path.iter().position(|&b| b == b'/') {
        Some(end) => &row.path[..end],
        None if matches!(row.facts.file_type, FileType::Dir | FileType::Subvolume) => row.path,
        None => &[],
    }
}

fn write_table(rows: &[(String, Summary)], style: &Style, out: &mut impl Write) -> io::Result<()> {
    let names = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    // Without old roots nothing can be known to come back by itself.
    let is_told = |verdict: &Verdict| {
        let count = |(_, summary): &(String, Summary)| summary.verdict(*verdict).count;
        *verdict != Verdict::Regenerated || rows.iter().any(|row| count(row) > 0)
    };
    let columns = VERDICTS.into_iter().filter(is_told).map(|verdict| Column {
        word: verdict.word(),
        paint: style_of_verdict(verdict),
        cells: rows.iter().map(|(_, summary)| cells_of_tally(summary.verdict(verdict))).collect(),
    });
    let columns: Vec<Column> = columns.collect();
    write!(out, "{:names$}", "")?;
    for column in &columns {
        let (count, size) = column.widths();
        let width = count + 2 + size;
        write!(out, "   {}", style.paint(column.paint, format_args!("{:>width$}", column.word)))?;
    }
    writeln!(out)?;
    for (at, (name, _)) in rows.iter().enumerate() {
        let last = at + 1 == rows.len();
        let paint = if last { STRONG } else { PLAIN };
        let padding = names - name.width();
        write!(out, "{}{:padding$}", style.paint(paint, name), "")?;
        for column in &columns {
            let (count_width, size_width) = column.widths();
            let Some((count, size)) = column.cells.get(at) else { continue };
            let cell = format_args!("{count:>count_width$}  {size:>size_width$}");
            write!(out, "   {}", style.paint(column.paint, cell))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

struct Column {
    word: &'static str,
    paint: anstyle::Style,
    cells: Vec<(String, String)>,
}

impl Column {
    /// Of counts and of sizes, wide enough for the word above both.
    fn widths(&self) -> (usize, usize) {
        let count = self.cells.iter().map(|(count, _)| count.len()).max().unwrap_or(0);
        let size = self.cells.iter().map(|(_, size)| size.len()).max().unwrap_or(0);
        (count.max(self.word.len().saturating_sub(size + 2)), size)
    }
}

fn cells_of_tally(tally: Tally) -> (String, String) {
    match tally.count {
        0 => ("-".to_string(), "-".to_string()),
        count => (figures::format_count(count), figures::format_size(tally.bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::diff_fixture::{Fixture, text_of, week_of_changes};

    #[test]
    fn a_table_of_the_top() {
        let fixture = Fixture::new(week_of_changes());
        let shown = text_of(|out| write_diff_stat(&fixture.report(), &Style::default(), out));
        insta::assert_snapshot!(shown, @r#"
                              stray          kept         forgotten
        /              1        0 B    -        -       -         -
        /etc           6    2.9 KiB    1     33 B       -         -
        /home          7    3.8 MiB    -        -       -         -
        /opt           3        0 B    -        -       -         -
        /run           2        0 B    -        -       -         -
        /srv           3       17 B    1      1 B       -         -
        /srv-backup    2        1 B    -        -       -         -
        /var          38  581.1 KiB   30  2.9 KiB   1,204  17.9 MiB
        total         62    4.4 MiB   32  3.0 KiB   1,204  17.9 MiB
        "#);
        let style = Style { color: true, ls_colors: None };
        let coloured = text_of(|out| write_diff_stat(&fixture.report(), &style, out));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), shown);
    }
}
