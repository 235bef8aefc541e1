//! `history` for people.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use chrono::{DateTime, TimeZone};
use dirfd::path::Escaped;

use crate::history::path_versions::{PathHistory, PathState, PathVersion, RootOfHistory};
use crate::history::root_lives::{Growth, NewPath, RootLife};
use crate::ui::colours::{PLAIN, QUIET, STRONG, Style};
use crate::ui::figures;

const LIVE: &str = "live";

/// Writes what each root lost, the oldest first; `now` also says which time zone to show times in.
pub(crate) fn write_lives<Tz>(
    lives: &[RootLife],
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()>
where
    Tz: TimeZone<Offset: Display>,
{
    let mut out = BufWriter::new(out);
    for life in lives {
        let name = style.paint(STRONG, life.name.as_deref().unwrap_or(LIVE));
        writeln!(out, "{name}  {}", style.paint(QUIET, describe_life(life, now)))?;
        let lost = &life.lost;
        let paths = figures::count_noun(lost.paths, "path", "paths");
        let size = figures::format_size(lost.bytes);
        let verb = if life.ended.is_some() { "lost" } else { "has to lose" };
        let new = match (lost.new, lost.paths) {
            (_, 0) => String::new(),
            (None, _) => ", with no root before it to compare with".to_string(),
            (Some(0), _) => ", nothing of it new".to_string(),
            (Some(new), _) => format!(", {} of them new", figures::format_count(new)),
        };
        writeln!(out, "  {verb} {paths} ({size}){new}")?;
        for new in &lost.notable {
            writeln!(out, "  {}  {}", style.paint(QUIET, "new "), describe_new(new))?;
        }
        for Growth { path, bytes } in &lost.grew {
            let (path, size) = (Escaped(path), figures::format_size(*bytes));
            writeln!(out, "  {}  /{path} by {size}", style.paint(QUIET, "grew"))?;
        }
    }
    out.flush()
}

/// `2026-11-27 09:12 to 2026-11-28 21:30, 1 day, 2 boots`.
fn describe_life<Tz: TimeZone<Offset: Display>>(life: &RootLife, now: &DateTime<Tz>) -> String {
    let local = |time| figures::format_local_time(time, now);
    let mut parts = match (life.began, life.ended) {
        (Some(began), Some(ended)) => vec![
            format!("{} to {}", local(began), local(ended)),
            figures::describe_age(began.timestamp(), &ended),
        ],
        (None, Some(ended)) => vec![format!("until {}", local(ended))],
        (Some(began), None) => vec![format!("since {}", local(began))],
        (None, None) => Vec::new(),
    };
    parts.extend(life.boots.map(|boots| figures::count_noun(boots as u64, "boot", "boots")));
    parts.join(", ")
}

fn describe_new(new: &NewPath) -> String {
    let below = match new.paths {
        0 | 1 => figures::format_size(new.bytes),
        paths => {
            format!("{} paths, {}", figures::format_count(paths), figures::format_size(new.bytes))
        }
    };
    let what = new.what.as_ref().map(|what| format!(": {what}")).unwrap_or_default();
    format!("/{} ({below}){what}", Escaped(&new.path))
}

/// Writes the versions of each path, a line for each root, the oldest first.
pub(crate) fn write_versions<Tz>(
    of: &[RootOfHistory],
    histories: &[PathHistory],
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()>
where
    Tz: TimeZone<Offset: Display>,
{
    let mut out = BufWriter::new(out);
    let names: Vec<&str> = of.iter().map(name_of).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for history in histories {
        writeln!(out, "{}", style.paint(STRONG, &history.path))?;
        for ((root, name), state) in of.iter().zip(&names).zip(&history.states) {
            let time = style.paint(QUIET, format!("{:<16}", describe_end(root, now)));
            let paint = match state {
                PathState::AsInBlank | PathState::Absent => QUIET,
                PathState::Differs(_) => PLAIN,
            };
            let state = style.paint(paint, describe_state(state));
            writeln!(out, "  {name:<width$}  {time}  {state}")?;
        }
    }
    out.flush()
}

/// The name of an old root, or `live`.
pub(crate) fn name_of(root: &RootOfHistory) -> &str {
    root.name.as_deref().unwrap_or(LIVE)
}

/// When a root was set aside.
pub(crate) fn describe_end<Tz: TimeZone<Offset: Display>>(
    root: &RootOfHistory,
    now: &DateTime<Tz>,
) -> String {
    let ended = root.ended.map(|ended| figures::format_local_time(ended, now));
    ended.unwrap_or_else(|| "now".to_string())
}

/// What a root had at a path.
pub(crate) fn describe_state(state: &PathState) -> String {
    match state {
        PathState::AsInBlank => "as in blank".to_string(),
        PathState::Absent => "not there".to_string(),
        PathState::Differs(version) => describe_version(version),
    }
}

/// `version 2: modified, 0644 0:0, 312 B`.
pub(crate) fn describe_version(version: &PathVersion) -> String {
    let mut parts = Vec::new();
    if let Some((kind, facts)) = &version.own {
        parts.push(kind.word().to_string());
        parts.push(format!("{} {:04o} {}:{}", facts.file_type, facts.mode, facts.uid, facts.gid));
    }
    if !version.target.is_empty() {
        parts.push(format!("to {}", Escaped(&version.target)));
    }
    if version.below > 0 {
        parts.push(format!(
            "{} below",
            figures::count_noun(version.below, "changed path", "changed paths")
        ));
    }
    parts.push(figures::format_size(version.bytes));
    if version.is_unread {
        parts.push("not all of it was read".to_string());
    }
    format!("version {}: {}", version.number, parts.join(", "))
}
