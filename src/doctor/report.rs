//! `doctor`: findings with their hints, for people and for programs (JSON).

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::doctor::finding::{Finding, Severity};
use crate::doctor::machine_facts::Unchecked;
use crate::ui::colours::{ALERT, GOOD, QUIET, STRONG, Style};
use crate::ui::figures;

/// Everything that `doctor` shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DoctorReport<'a> {
    /// What was found, what matters most first.
    pub(crate) findings: &'a [Finding],
    /// What could not be looked at.
    pub(crate) unchecked: &'a [Unchecked],
}

impl DoctorReport<'_> {
    /// How many findings of this severity there are.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// 0: nothing worse than a note; 1: something is; 2: not everything could be checked.
    pub(crate) fn exit_code(&self) -> u8 {
        match (self.unchecked.is_empty(), self.findings.len() - self.count(Severity::Note)) {
            (false, _) => 2,
            (true, 0) => 0,
            (true, _) => 1,
        }
    }
}

// `doctor` for people: what matters most first; what several findings share is said once.

/// Writes the findings.
pub(crate) fn write_text(
    report: &DoctorReport<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut view = View { style, out: BufWriter::new(out) };
    view.head(report)?;
    let same = |a: &Finding, b: &Finding| (a.id, a.severity) == (b.id, b.severity);
    report.findings.chunk_by(same).try_for_each(|group| view.group(group))?;
    view.unchecked(report)?;
    view.foot(report)?;
    view.out.flush()
}

struct View<'a, W> {
    style: &'a Style,
    out: W,
}

impl<W: Write> View<'_, W> {
    fn head(&mut self, report: &DoctorReport<'_>) -> io::Result<()> {
        let mut parts: Vec<String> = Severity::ALL
            .into_iter()
            .map(|severity| (severity, report.count(severity) as u64))
            .filter(|(_, count)| *count > 0)
            .map(|(severity, count)| {
                figures::count_noun(count, severity.word(), &format!("{}s", severity.word()))
            })
            .collect();
        if !report.unchecked.is_empty() {
            parts.push("not everything could be checked".to_string());
        }
        let paint = if report.exit_code() == 0 { GOOD } else { ALERT };
        let state = if parts.is_empty() { "nothing found".to_string() } else { parts.join(", ") };
        let state = self.style.paint(paint.bold(), state);
        writeln!(self.out, "{} {state}", self.style.paint(paint, "●"))
    }

    /// Findings of one check: a reason or a hint that the next one has as well is left to that.
    fn group(&mut self, group: &[Finding]) -> io::Result<()> {
        writeln!(self.out)?;
        for (at, finding) in group.iter().enumerate() {
            let next = group.get(at + 1);
            let label = format!("{}:", finding.severity.word());
            let label = self.style.paint(Self::paint(finding.severity), label);
            let id = self.style.paint(QUIET, format!("[{}]", finding.id));
            writeln!(self.out, "{label} {} {id}", finding.what)?;
            if next.is_none_or(|next| next.why != finding.why) {
                self.line("why: ", &finding.why)?;
            }
            if next.is_none_or(|next| next.hint != finding.hint) {
                self.line("hint:", &finding.hint)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {} {text}", self.style.paint(STRONG, label))
    }

    fn paint(severity: Severity) -> anstyle::Style {
        match severity {
            Severity::Danger => ALERT.bold(),
            Severity::Warning => STRONG,
            Severity::Note => QUIET,
        }
    }

    fn unchecked(&mut self, report: &DoctorReport<'_>) -> io::Result<()> {
        if report.unchecked.is_empty() {
            return Ok(());
        }
        writeln!(self.out)?;
        for unchecked in report.unchecked {
            let label = self.style.paint(ALERT.bold(), "could not check");
            writeln!(self.out, "{label} {}", unchecked.what)?;
            self.line("why: ", &unchecked.why)?;
        }
        writeln!(self.out, "Run it as root, or mend what kept it from looking; then run it again.")
    }

    fn foot(&mut self, report: &DoctorReport<'_>) -> io::Result<()> {
        match (report.findings.is_empty(), report.exit_code()) {
            (true, 0) => writeln!(self.out, "\nNothing needs attention."),
            (false, 0) => writeln!(self.out, "\nNothing has to be done."),
            _ => Ok(()),
        }
    }
}

// `doctor --format json`: one document for programs.
//
// Keys: `version` (1), `safe` (nothing worse than a note, and everything was checked), `findings`
// (`id`, `severity`: `danger`, `warning` or `note`, `what`, `why`, `hint`), `unchecked` (`what`,
// `why`). What matters most comes first.

/// Writes the document, and a newline after it.
pub(crate) fn write_json(report: &DoctorReport<'_>, out: impl Write) -> io::Result<()> {
    let findings = report.findings.iter().map(|finding| JsonFinding {
        id: finding.id,
        severity: finding.severity.word(),
        what: &finding.what,
        why: &finding.why,
        hint: &finding.hint,
    });
    let unchecked =
        report.unchecked.iter().map(|u| JsonUnchecked { what: &u.what, why: &u.why }).collect();
    let safe = report.exit_code() == 0;
    let document = Document { version: 1, safe, findings: findings.collect(), unchecked };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    safe: bool,
    findings: Vec<JsonFinding<'a>>,
    unchecked: Vec<JsonUnchecked<'a>>,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    id: &'a str,
    severity: &'a str,
    what: &'a str,
    why: &'a str,
    hint: &'a str,
}

#[derive(Serialize)]
struct JsonUnchecked<'a> {
    what: &'a str,
    why: &'a str,
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
