//! `status` for people: aligned labels, what needs attention last.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use backends::{Held, LiveMount, OldRoot, Record, SeenBy, Slot, Survey, Tree, Unfinished};
use chrono::{DateTime, TimeZone};
use dirfd::path::Escaped;

use crate::boot::nested_trees;
use crate::boot::status_report::StatusReport;
use crate::ui::colours::{ALERT, GOOD, PLAIN, QUIET, STRONG, Style};
use crate::ui::figures;

/// Nested subvolumes that are named; of the others the number is told.
const NAMED: usize = 20;
/// The longest label, "Old roots".
const LABEL: usize = 9;

/// Writes the status; `now` also says which time zone to show times in.
pub(crate) fn write_status_text<Tz>(
    report: &StatusReport<'_>,
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()>
where
    Tz: TimeZone<Offset: Display>,
{
    let mut view = StatusWriter { style, now, out: BufWriter::new(out) };
    view.head(report)?;
    view.boot(report)?;
    view.slot("Live", &report.survey.live, report.survey.blank.tree())?;
    view.slot("Blank", &report.survey.blank, None)?;
    view.mounts(report)?;
    view.old_roots(report)?;
    view.unfinished(report)?;
    view.room(report)?;
    view.problems(report)?;
    view.out.flush()
}

struct StatusWriter<'a, Tz: TimeZone, W> {
    style: &'a Style,
    now: &'a DateTime<Tz>,
    out: W,
}

impl<Tz: TimeZone<Offset: Display>, W: Write> StatusWriter<'_, Tz, W> {
    fn head(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        let (paint, state) = match (report.is_healthy(), report.problems.len() as u64) {
            (true, _) => (GOOD, "healthy".to_string()),
            (false, 0) => (ALERT, "not set up".to_string()),
            (false, n) => (ALERT, figures::count_noun(n, "problem", "problems")),
        };
        let state = self.style.paint(paint.bold(), state);
        let file_system = self.style.paint(QUIET, &report.survey.file_system);
        writeln!(self.out, "{} {state}  {file_system}", self.style.paint(paint, "●"))
    }

    fn label(&mut self, label: &str) -> io::Result<()> {
        let colon = if label.is_empty() { ' ' } else { ':' };
        let label = format_args!("{label:>LABEL$}{colon}");
        write!(self.out, "  {} ", self.style.paint(STRONG, label))
    }

    fn boot(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        self.label("Boot")?;
        match (&report.boot.rolled_back, &report.boot.skipped) {
            (Some(done), _) => {
                write!(self.out, "{}", self.style.paint(GOOD, "rolled back"))?;
                write!(self.out, " at {}", self.time(done.at))?;
                if let Some(ms) = done.duration_ms {
                    write!(self.out, " in {} ms", figures::format_count(ms))?;
                }
                match &done.old_root {
                    Some(name) => writeln!(self.out, "; set aside {}", Escaped(name.as_bytes()))?,
                    None => writeln!(self.out, "; live was a fresh copy already")?,
                }
            }
            (None, skipped) => {
                write!(self.out, "{}", self.style.paint(ALERT, "not rolled back"))?;
                writeln!(self.out, ": {}", skipped.as_deref().unwrap_or("the reason is unknown"))?;
            }
        }
        self.label("")?;
        writeln!(self.out, "{}", self.style.paint(QUIET, &report.boot.boot_id))?;
        self.hold(report)
    }

    /// What the owner asked of the next boot.
    fn hold(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        let Some(Held::By(hold)) = &report.survey.hold else { return Ok(()) };
        if hold.used_by.is_some() {
            return Ok(());
        }
        self.label("Next boot")?;
        write!(self.out, "{}", self.style.paint(ALERT, "held"))?;
        writeln!(self.out, " since {}, so it is not rolled back", self.time(hold.time))
    }

    fn slot(&mut self, label: &str, slot: &Slot, origin: Option<&Tree>) -> io::Result<()> {
        self.label(label)?;
        match slot {
            Slot::Missing => writeln!(self.out, "{}", self.style.paint(ALERT, "missing")),
            Slot::NotATree(what) => {
                writeln!(
                    self.out,
                    "{}",
                    self.style.paint(ALERT, format_args!("no tree, but {what}"))
                )
            }
            Slot::Present(tree) => self.tree(tree, origin),
        }
    }

    fn tree(&mut self, tree: &Tree, origin: Option<&Tree>) -> io::Result<()> {
        write!(self.out, "{}", tree.name)?;
        if tree.read_only {
            write!(self.out, ", read-only")?;
        }
        if let Some(origin) = origin.filter(|origin| tree.copy_of.as_ref() == Some(&origin.id)) {
            write!(self.out, ", a copy of {}", origin.name)?;
        }
        if tree.pristine == Some(true) {
            write!(self.out, ", never written to")?;
        }
        match tree.created {
            Some(created) => writeln!(self.out, ", made {}", self.time(created)),
            None => writeln!(self.out),
        }
    }

    fn mounts(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        self.mounted(report.survey)?;
        let nested = &report.survey.nested;
        let mut rows: Vec<String> = nested.iter().take(NAMED).map(ToString::to_string).collect();
        if let Some(more @ 1..) = nested.len().checked_sub(NAMED) {
            rows.push(format!("and {} more", figures::format_count(more as u64)));
        }
        self.list("Nested", rows)?;
        let stubs = match &report.survey.stubs {
            None => {
                Some("which ones blank has is not known yet; `blankroot expire` looks".to_string())
            }
            Some(stubs) => nested_trees::note_on_stubs(stubs),
        };
        self.list("Stubs", stubs.into_iter().collect())
    }

    /// In one line: services with mount namespaces of their own are many on most machines.
    fn mounted(&mut self, survey: &Survey) -> io::Result<()> {
        let mounts = &survey.live_mounts;
        if mounts.is_empty() && !survey.more_live_mounts {
            return Ok(());
        }
        let private = |mount: &&LiveMount| matches!(mount.seen_by, SeenBy::Process(_));
        let ours = mounts.iter().filter(|mount| !private(mount)).map(ToString::to_string);
        let mut words: Vec<String> = ours.collect();
        let namespaces: BTreeSet<i32> = mounts
            .iter()
            .filter_map(|mount| match mount.seen_by {
                SeenBy::Process(pid) => Some(pid),
                _ => None,
            })
            .collect();
        if !namespaces.is_empty() {
            let count = namespaces.len() as u64;
            words.push(figures::count_noun(
                count,
                "private mount namespace",
                "private mount namespaces",
            ));
        }
        if survey.more_live_mounts {
            words.push(
                "cannot tell where else: other mount namespaces have more mounts than can be looked at in a \
                 second (the next boot has none of them)"
                    .to_string(),
            );
        }
        self.label("Mounted")?;
        writeln!(self.out, "{}", words.join(", "))
    }

    fn list(&mut self, label: &str, rows: Vec<String>) -> io::Result<()> {
        let mut label = label;
        for row in rows {
            self.label(label)?;
            writeln!(self.out, "{row}")?;
            label = "";
        }
        Ok(())
    }

    fn old_roots(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        let roots = &report.survey.old_roots;
        self.label("Old roots")?;
        if roots.is_empty() {
            let none = match () {
                // What hides them is told as an obstacle.
                () if !report.survey.obstacles.is_empty() => "cannot tell",
                () if report.survey.has_old_dir => "none",
                () => "none, and no place for them",
            };
            return writeln!(self.out, "{none}");
        }
        write!(self.out, "{}", figures::format_count(roots.len() as u64))?;
        // A sum of what is known of some would pass for the sum of all.
        let sizes: Option<Vec<u64>> = roots.iter().map(|root| root.own_bytes).collect();
        match sizes {
            Some(sizes) => {
                writeln!(self.out, ", {} of their own", figures::format_size(sizes.iter().sum()))?
            }
            None => writeln!(self.out)?,
        }
        let width =
            roots.iter().map(|root| escape_record_name(&root.record).len()).max().unwrap_or(0);
        roots.iter().try_for_each(|root| self.old_root(root, width))
    }

    fn old_root(&mut self, root: &OldRoot, width: usize) -> io::Result<()> {
        let size = root.own_bytes.map_or("unknown".to_string(), figures::format_size);
        let time = self.time(root.record.time);
        self.label("")?;
        writeln!(self.out, "{:<width$}  {size:>10}  {time}", escape_record_name(&root.record))
    }

    fn unfinished(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        let rows = report.survey.unfinished.iter().map(describe_unfinished).collect();
        self.list("Half done", rows)
    }

    fn room(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        let Some(space) = report.survey.space else { return Ok(()) };
        self.label("Room")?;
        let paint = if space.available < space.needed { ALERT } else { PLAIN };
        let available = self.style.paint(paint, figures::format_size(space.available));
        writeln!(
            self.out,
            "{available} for metadata; a rollback needs {}",
            figures::format_size(space.needed)
        )
    }

    fn problems(&mut self, report: &StatusReport<'_>) -> io::Result<()> {
        writeln!(self.out)?;
        if report.is_healthy() {
            return writeln!(self.out, "Nothing needs attention.");
        }
        for problem in report.problems {
            writeln!(self.out, "{} {}", self.style.paint(ALERT.bold(), "problem:"), problem.text)?;
            if let Some(hint) = &problem.hint {
                writeln!(self.out, "  {} {hint}", self.style.paint(STRONG, "hint:"))?;
            }
        }
        if report.problems.is_empty() {
            writeln!(self.out, "Live and blank must both be there before a rollback can run.")?;
        }
        Ok(())
    }

    fn time(&self, time: DateTime<chrono::Utc>) -> String {
        format!(
            "{} ({})",
            figures::format_local_time(time, self.now),
            figures::describe_time_ago(time, self.now)
        )
    }
}

/// A record is a file that anything may have written to: its name is escaped like any other.
fn escape_record_name(record: &Record) -> String {
    Escaped(record.name.as_bytes()).to_string()
}

fn describe_unfinished(what: &Unfinished) -> String {
    match what {
        Unfinished::RecordOnly(record) => {
            format!("{}: a record without its fresh copy; harmless", escape_record_name(record))
        }
        Unfinished::FreshCopy { record, .. } => {
            format!("{}: a fresh copy that never became live; harmless", escape_record_name(record))
        }
        Unfinished::HalfDeleted { record, .. } => {
            format!(
                "{}: its deletion was interrupted; no whole old root any more",
                escape_record_name(record)
            )
        }
        Unfinished::DefaultLeftBehind(root) => {
            format!(
                "{}: mounts that name no tree still lead to this old root",
                escape_record_name(&root.record)
            )
        }
        Unfinished::HalfSetAside(name) => {
            format!(
                "{name}: was live when a rollback was interrupted, which the next one completes"
            )
        }
        Unfinished::Foreign(name) => format!("{name}: no record tells of it; never touched"),
        Unfinished::Leftover(name) => {
            format!("{name}: left unfinished by a power cut; never touched, harmless")
        }
        Unfinished::UnreadableRecord { name, why } => {
            format!("{name}: cannot read this record: {why}; what it belongs to is never touched")
        }
    }
}
