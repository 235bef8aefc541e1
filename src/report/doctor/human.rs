//! `doctor` for people: what matters most first; what several findings share is said once.

use std::io::{self, BufWriter, Write};

use super::DoctorReport;
use crate::doctor::{Finding, Severity};
use crate::report::paint::{ALERT, GOOD, QUIET, STRONG};
use crate::report::{Style, figures};

/// Writes the findings.
pub fn write(report: &DoctorReport<'_>, style: &Style, out: impl Write) -> io::Result<()> {
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
                figures::count_of(count, severity.word(), &format!("{}s", severity.word()))
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

    /// Findings of one check: a reason or a mend that the next one has as well is left to that.
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
            if next.is_none_or(|next| next.mend != finding.mend) {
                self.line("mend:", &finding.mend)?;
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
