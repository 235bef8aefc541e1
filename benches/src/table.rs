//! The one table: what was measured, of us and of the peer, and whether it is within the limit.

use std::fmt::Write;

/// A former build, as a peer: how it is called, and how much longer than it the present one may take.
pub const FORMER: (&str, f64) = ("the former build", 1.05);

/// One comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Our figure, with its unit.
    pub ours: String,
    /// The peer's name and figure.
    pub peer: String,
    /// Ours divided by the peer's.
    pub ratio: f64,
    /// The highest ratio that is promised, if one is.
    pub limit: Option<f64>,
    /// Why nothing was measured, if nothing was.
    pub skipped: Option<&'static str>,
}

impl Row {
    /// Compares two times, in seconds.
    pub fn times(what: &str, ours: f64, (name, peer): (&str, f64), limit: f64) -> Self {
        Self {
            what: what.to_string(),
            ours: duration(ours),
            peer: format!("{name}: {}", duration(peer)),
            ratio: ours / peer,
            limit: Some(limit),
            skipped: None,
        }
    }

    /// Compares a peak of memory with 64 MiB and 250 bytes for each of `changes`.
    pub fn memory(what: &str, peak: u64, changes: usize) -> Self {
        let allowed = (64 << 20) + 250 * changes as u64;
        Self {
            what: what.to_string(),
            ours: mebibytes(peak),
            peer: format!("64 MiB and 250 bytes a change: {}", mebibytes(allowed)),
            ratio: peak as f64 / allowed as f64,
            limit: Some(1.0),
            skipped: None,
        }
    }

    /// Compares two counts of what should not be.
    pub fn counts(what: &str, ours: usize, (peer, count): (&str, usize)) -> Self {
        Self {
            what: what.to_string(),
            ours: ours.to_string(),
            peer: format!("{peer}: {count}"),
            ratio: ours as f64 / count as f64,
            limit: Some(1.0),
            skipped: None,
        }
    }

    /// A comparison with a peer that is not there.
    pub fn skipped(what: &str, peer: &str, why: &'static str) -> Self {
        let (what, ours, peer) = (what.to_string(), String::new(), peer.to_string());
        Self { what, ours, peer, ratio: f64::NAN, limit: None, skipped: Some(why) }
    }

    /// The same with nothing promised: it is told, and not judged.
    pub fn without_limit(self) -> Self {
        Self { limit: None, ..self }
    }

    /// Whether the limit is kept, if there is one.
    pub fn is_ok(&self) -> bool {
        self.limit.is_none_or(|limit| self.ratio <= limit)
    }
}

/// The table in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| what | Blankroot | against | ratio | limit | |\n".to_string();
    text.push_str("| --- | ---: | ---: | ---: | ---: | --- |\n");
    for row in rows {
        let Row { what, ours, peer, .. } = row;
        if let Some(why) = row.skipped {
            let _ = writeln!(text, "| {what} | {ours} | {peer} | | | SKIPPED: {why} |");
            continue;
        }
        let (ratio, limit) = (figure(row.ratio), row.limit.map_or("none".into(), figure));
        let verdict = match row.limit {
            None => "",
            Some(_) if row.is_ok() => "ok",
            Some(_) => "MISSED",
        };
        let _ = writeln!(text, "| {what} | {ours} | {peer} | {ratio} | {limit} | {verdict} |");
    }
    text
}

fn duration(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Two digits that matter, and no more.
fn figure(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_limit_is_told() {
        let rows = [
            Row::times("a tree", 0.02, ("peer", 1.5), 0.02),
            Row::times("a tree", 1.0, ("peer", 2.0), 0.35),
            Row::memory("memory", 64 << 20, 4),
        ];
        assert_eq!(rows.each_ref().map(Row::is_ok), [true, false, true]);
        let text = markdown(&rows);
        let row = "| a tree | 1.00 s | peer: 2.00 s | 0.50 | 0.35 | MISSED |";
        assert_eq!(text.lines().nth(3), Some(row));
        assert_eq!(text.matches("MISSED").count(), 1);
    }

    #[test]
    fn what_is_not_promised_is_told_and_not_judged() {
        let row = Row::times("the worst case", 1.0, ("peer", 2.0), 0.35).without_limit();
        assert!(row.is_ok());
        let text = markdown(&[row]);
        assert!(text.ends_with("| the worst case | 1.00 s | peer: 2.00 s | 0.50 | none |  |\n"));
    }

    #[test]
    fn a_peer_that_is_not_there_is_told() {
        let row = Row::skipped("a tree", "peer", "it is not installed");
        assert!(row.is_ok());
        let text = markdown(&[row]);
        assert!(text.ends_with("| a tree |  | peer | | | SKIPPED: it is not installed |\n"));
    }

    #[test]
    fn what_could_not_be_measured_is_no_success() {
        assert!(!Row::times("nothing", f64::NAN, ("peer", 1.0), 1.0).is_ok());
    }
}
