//! `explain` for people: a line for each thing that is known, and the command to run.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;

use chrono::{DateTime, TimeZone};
use dirfd::path::shell_word;
use dirfd::{ChangeKind, FileType, TreePath};

use crate::diff::classify::Verdict;
use crate::diff::diff_flat::style_of_verdict;
use crate::diff::summary::VERDICTS;
use crate::evidence::classes::Class;
use crate::explain::explanation::{Explanation, Here, NextStep};
use crate::history::history_text::{describe_end, describe_state, name_of};
use crate::history::path_versions::RootOfHistory;
use crate::owners::{Certainty, Ownership};
use crate::ui::colours::{QUIET, STRONG, Style};
use crate::ui::figures;

/// Writes all of them; `now` also says which time zone to show times in.
pub(crate) fn write_explanations<Tz>(
    explanations: &[Explanation],
    of: &[RootOfHistory],
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()>
where
    Tz: TimeZone<Offset: Display>,
{
    let mut out = BufWriter::new(out);
    for (at, explanation) in explanations.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", style.paint(STRONG, &explanation.path))?;
        for (label, text) in lines_of(explanation, style) {
            writeln!(out, "  {}  {text}", style.paint(QUIET, format_args!("{label:<8}")))?;
        }
        write_roots(explanation, of, style, now, &mut out)?;
    }
    out.flush()
}

/// What is said of a path, each with its label.
pub(crate) fn lines_of(explanation: &Explanation, style: &Style) -> Vec<(&'static str, String)> {
    let mut lines = vec![("is", describe_here(explanation.here))];
    if let Some((verdict, rule)) = &explanation.verdict {
        let word = style.paint(style_of_verdict(*verdict), verdict.word());
        let why = rule.as_deref().unwrap_or("nobody has decided about it");
        lines.push(("verdict", format!("{word}: {why}")));
    }
    lines.extend(describe_below(explanation).map(|below| ("below", below)));
    lines.push(("owner", describe_owner(explanation.owner.as_ref())));
    lines.extend(explanation.class.map(|(class, asked)| ("class", describe_class(class, asked))));
    if let Some(known) = &explanation.known {
        let place = match known.named == explanation.path {
            true => String::new(),
            false => format!("in {}, ", known.named),
        };
        let source = known.source.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
        lines.push(("known as", format!("{place}{}{source}", known.what)));
    }
    lines.push(("advice", describe_next_step(&explanation.next_step())));
    lines
}

fn describe_owner(ownership: Option<&Ownership>) -> String {
    let Some(Ownership { owner, certainty, how }) = ownership else {
        return "nothing tells".to_string();
    };
    let what = match certainty {
        Certainty::Directory => "a directory around it",
        Certainty::Exact | Certainty::Likely => "it",
    };
    format!("{owner} ({}: {what} {})", certainty.word(), how.text())
}

/// What each root had there.
fn write_roots<Tz: TimeZone<Offset: Display>>(
    explanation: &Explanation,
    of: &[RootOfHistory],
    style: &Style,
    now: &DateTime<Tz>,
    out: &mut impl Write,
) -> io::Result<()> {
    for (root, state) in of.iter().zip(&explanation.history.states) {
        let (name, time) = (name_of(root), describe_end(root, now));
        let state = describe_state(state);
        writeln!(out, "  {}  {state}", style.paint(QUIET, format_args!("{name:<15}  {time:<16}")))?;
    }
    Ok(())
}

fn describe_here(here: Here) -> String {
    match here {
        Here::Nowhere => "neither in live nor in blank".to_string(),
        Here::Same => "the same in live and in blank".to_string(),
        Here::Changed(kind, facts) => {
            let file_type = facts.file_type.word();
            // Of all else, the size is a matter of the file system's.
            let size = match facts.file_type {
                FileType::File => format!(", {}", figures::format_size(facts.size)),
                _ => String::new(),
            };
            match kind {
                ChangeKind::Added => format!("new since blank: a {file_type}{size}"),
                ChangeKind::Removed => format!("gone since blank: a {file_type}{size}"),
                ChangeKind::Modified => format!("another {file_type} than in blank{size}"),
                ChangeKind::Metadata => {
                    format!(
                        "the same {file_type} as in blank with another owner, mode or attribute"
                    )
                }
                ChangeKind::Replaced => format!("a {file_type} where blank has something else"),
            }
        }
    }
}

/// `34 strays (3 MiB), 2 kept`.
fn describe_below(explanation: &Explanation) -> Option<String> {
    let parts = VERDICTS.iter().zip(&explanation.below).filter(|(_, tally)| tally.count > 0);
    let parts = parts.map(|(verdict, tally)| {
        let (count, size) = (figures::format_count(tally.count), figures::format_size(tally.bytes));
        let size = if *verdict == Verdict::Stray { format!(" ({size})") } else { String::new() };
        format!("{count} {}{size}", verdict.word())
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn describe_class(class: Class, asked: u16) -> String {
    let roots = figures::count_noun(asked.into(), "old root", "old roots");
    let tells = match class {
        Class::New => "had it".to_string(),
        Class::Some(boots) => return format!("some: {boots} of the last {roots} had it"),
        Class::Changing => {
            return format!("changing: all of the last {roots} had it, not the same");
        }
        Class::Same => return format!("same: all of the last {roots} had the same"),
    };
    format!("new: none of the last {roots} {tells}")
}

fn describe_next_step(next: &NextStep) -> String {
    let word = |path: &TreePath| {
        let path = [b"/", path.as_bytes()].concat();
        shell_word(std::ffi::OsStr::from_bytes(&path)).to_string()
    };
    match next {
        NextStep::Nothing(why) => format!("nothing to do: {why}"),
        NextStep::Keep(path, why) => format!("{why}; run `blankroot keep {}`", word(path)),
        NextStep::Forget(path, why) => format!("{why}; run `blankroot forget {}`", word(path)),
        NextStep::Decide(path, why) => {
            let path = word(path);
            format!("{why}; run `blankroot keep {path}` or `blankroot forget {path}`")
        }
    }
}
