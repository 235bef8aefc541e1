//! `diff --flat`: one line a change for `grep`; `-0`: paths alone for `xargs -0`.

use std::io::{self, BufWriter, Write};

use dirfd::path::Escaped;
use dirfd::{ChangeKind, FileType};

use crate::diff::classify::Verdict;
use crate::diff::summary::VERDICTS;
use crate::diff::{DiffReport, DiffRow};
use crate::evidence::classes::{CLASSES, Class};
use crate::ui::colours::{ALERT, GOOD, PLAIN, QUIET, Style};
use crate::ui::figures;

/// The character that stands for a kind of change.
pub(crate) fn mark_of_change(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Modified => '~',
        ChangeKind::Metadata => 'm',
        ChangeKind::Replaced => '!',
    }
}

/// How a verdict's word, and the mark beside it, look.
pub(crate) fn style_of_verdict(verdict: Verdict) -> anstyle::Style {
    match verdict {
        Verdict::Stray => ALERT,
        Verdict::Kept => GOOD.dimmed(),
        Verdict::Forgotten | Verdict::Regenerated => QUIET,
    }
}

/// Writes `+ file        1.2 MiB  stray        new       /path` for each change: mark, type, size of a regular
/// file, verdict, class if old roots were asked, escaped path; nothing else.
pub(crate) fn write_diff_flat(
    report: &DiffReport<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let asked = report.boots() > 0;
    // Without old roots nothing can be known to come back by itself.
    let verdicts = VERDICTS.into_iter().filter(|verdict| asked || *verdict != Verdict::Regenerated);
    let verdict = verdicts.map(|verdict| verdict.word().len()).max().unwrap_or(0);
    let class = CLASSES.map(str::len).into_iter().max().filter(|_| asked);
    let widths = (verdict, class);
    report.for_each(|row| write_row(row, style, widths, &mut out))?;
    out.flush()
}

fn write_row(
    row: &DiffRow<'_>,
    style: &Style,
    (width, class_width): (usize, Option<usize>),
    out: &mut impl Write,
) -> io::Result<()> {
    let size = match row.facts.file_type {
        FileType::File => figures::format_size(row.facts.size),
        _ => "-".to_string(),
    };
    let paint = style_of_verdict(row.verdict);
    // What is decided stands back as a whole line.
    let (rest, file) = if row.verdict == Verdict::Stray {
        (PLAIN, style.file(row.path, row.facts))
    } else {
        (QUIET, QUIET)
    };
    let class = match class_width {
        Some(width) => format!("{:<width$}  ", row.class.map_or("-", Class::word)),
        None => String::new(),
    };
    writeln!(
        out,
        "{} {}  {}  {class}{}",
        style.paint(paint, mark_of_change(row.kind)),
        style.paint(rest, format_args!("{:<9}  {size:>10}", row.facts.file_type.word())),
        style.paint(paint, format_args!("{:<width$}", row.verdict.word())),
        style.paint(file, format_args!("/{}", Escaped(row.path))),
    )
}

/// Writes each path as raw bytes with a NUL after it.
pub(crate) fn write_diff_nul(report: &DiffReport<'_>, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    report.for_each(|row| {
        out.write_all(b"/")?;
        out.write_all(row.path)?;
        out.write_all(b"\0")
    })?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::diff_fixture::{Fixture, text_of, week_of_changes};
    use dirfd::TreePath;

    fn narrowed(to: &[&str]) -> Fixture {
        let mut fixture = Fixture::new(week_of_changes());
        fixture.only = to.iter().map(|path| TreePath::parse(path.as_bytes()).unwrap()).collect();
        fixture
    }

    #[test]
    fn one_line_a_change_in_columns() {
        let fixture = narrowed(&["/etc", "/home", "/run", "/var/lib/machines"]);
        let shown = text_of(|out| write_diff_flat(&fixture.report(), &Style::default(), out));
        insta::assert_snapshot!(shown, @r#"
        + file             33 B  kept       /etc/machine-id
        - file            286 B  stray      /etc/motd
        ! file             12 B  stray      /etc/mtab
        ~ file          1.2 KiB  stray      /etc/passwd
        m file            900 B  stray      /etc/shadow
        m dir                 -  stray      /etc/ssl/private
        + file          1.7 KiB  stray      /etc/ssl/private/host key.pem
        + dir                 -  stray      /home/alice/bin
        + file          3.8 MiB  stray      /home/alice/bin/run
        + symlink             -  stray      /home/alice/bin/run.old
        + file             88 B  stray      /home/alice/caf\xe9.txt
        + dir                 -  stray      /home/alice/empty
        + file          5.0 KiB  stray      /home/alice/notes\nfor\u{1b}[31m me
        + file         11.7 KiB  stray      /home/alice/日本語.md
        + fifo                -  stray      /run/control
        + socket              -  stray      /run/control.sock
        + subvolume           -  stray      /var/lib/machines
        "#);
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let fixture = narrowed(&[]);
        let style = Style { color: true, ls_colors: Some(lscolors::LsColors::default()) };
        let plain = text_of(|out| write_diff_flat(&fixture.report(), &Style::default(), out));
        let coloured = text_of(|out| write_diff_flat(&fixture.report(), &style, out));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
        assert!(coloured.contains("\x1b[31mstray") && !plain.contains('\x1b'));
    }

    #[test]
    fn paths_alone_are_raw_bytes() {
        let mut out = Vec::new();
        write_diff_nul(&narrowed(&["/home", "/opt/old"]).report(), &mut out).unwrap();
        let paths: Vec<&[u8]> = out.split(|&b| b == 0).collect();
        assert!(paths.contains(&&b"/home/alice/caf\xe9.txt"[..]), "{paths:?}");
        assert!(paths.contains(&&b"/home/alice/notes\nfor\x1b[31m me"[..]), "{paths:?}");
        assert_eq!(paths.last(), Some(&&b""[..]), "the last path ends with a NUL as well");
        assert_eq!(paths.len(), 9 + 1);
    }
}
