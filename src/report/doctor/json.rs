//! `doctor --format json`: one document for programs.
//!
//! Keys: `version` (1), `safe` (nothing worse than a note, and everything was checked), `findings`
//! (`id`, `severity`: `danger`, `warning` or `note`, `what`, `why`, `mend`), `unchecked` (`what`,
//! `why`). What matters most comes first.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::DoctorReport;

/// Writes the document, and a newline after it.
pub fn write(report: &DoctorReport<'_>, out: impl Write) -> io::Result<()> {
    let findings = report.findings.iter().map(|finding| JsonFinding {
        id: finding.id,
        severity: finding.severity.word(),
        what: &finding.what,
        why: &finding.why,
        mend: &finding.mend,
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
    mend: &'a str,
}

#[derive(Serialize)]
struct JsonUnchecked<'a> {
    what: &'a str,
    why: &'a str,
}
