//! Records for people.

use std::fmt::Display;
use std::io::{self, Write};

use chrono::{DateTime, TimeZone};
use dirfd::path::Escaped;

use crate::audit::audit_record::{
    AuditSummary, CountByClass, LostSummary, Record, RecordedEvent, RecordedGroup, RecordedGroups,
};
use crate::diff::summary::Tally;
use crate::ui::colours::{QUIET, STRONG, Style};
use crate::ui::figures;

/// Paths that are named of a group.
pub(crate) const NAMED: usize = 3;

/// Writes what an audit found, and what to do.
pub(crate) fn write_audit(
    summary: &AuditSummary,
    groups: &RecordedGroups,
    style: &Style,
    mut out: impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", style.paint(STRONG, headline(summary)))?;
    writeln!(out, "{}", style.paint(QUIET, describe_told(summary)))?;
    write_groups(groups, "", style, &mut out)?;
    if summary.fails.count > 0 {
        let hint = "hint: `blankroot keep PATH` keeps it, `blankroot forget PATH` declares it disposable, and \
                    `blankroot explain PATH` tells more of it";
        writeln!(out, "{}", style.paint(QUIET, hint))?;
    }
    Ok(())
}

/// `Found: 2 strays (1.1 KiB) fail the audit. …`
pub(crate) fn headline(summary: &AuditSummary) -> String {
    let Tally { count, bytes } = summary.fails;
    if count == 0 {
        return "Clean: no stray fails the audit.".to_string();
    }
    let verb = if count == 1 { "fails" } else { "fail" };
    let strays = figures::count_noun(count, "stray", "strays");
    let size = figures::format_size(bytes);
    let them = if count == 1 { "it" } else { "them" };
    format!("Found: {strays} ({size}) {verb} the audit. The next boot undoes {them}.")
}

/// `7 other strays (70 B) are only told. 5 old roots were asked. Of all strays 2 are new, 7 changing.`
pub(crate) fn describe_told(summary: &AuditSummary) -> String {
    let (fails, Tally { count, bytes }) = (summary.fails.count, summary.told);
    let told = match (count, fails) {
        (0, 0) => "Nothing is stray. ".to_string(),
        (0, _) => String::new(),
        _ => {
            let (one, many) = match fails {
                0 => ("stray", "strays"),
                _ => ("other stray", "other strays"),
            };
            let verb = if count == 1 { "is" } else { "are" };
            let (strays, size) =
                (figures::count_noun(count, one, many), figures::format_size(bytes));
            format!("{strays} ({size}) {verb} only told. ")
        }
    };
    let asked = match (summary.old_roots, &summary.since) {
        (0, _) => "No old root was asked, so that each stray counts as new.".to_string(),
        (1, None) => "1 old root was asked.".to_string(),
        (boots, None) => format!("{boots} old roots were asked."),
        (boots, Some(since)) => {
            let since = Escaped(since.as_bytes());
            match u64::from(boots) - 1 {
                0 => format!("The old root {since} was asked."),
                older => {
                    let older = figures::count_noun(older, "older one", "older ones");
                    format!("The old root {since} and {older} were asked.")
                }
            }
        }
    };
    let classes = describe_classes(summary.classes);
    let classes = classes.map_or_else(String::new, |words| format!(" All strays: {words}."));
    told + &asked + &classes
}

/// `2 new, 7 changing`; `None` where no old root was asked.
fn describe_classes(classes: CountByClass) -> Option<String> {
    let there = classes.iter().filter(|(_, count)| *count > 0);
    let words: Vec<_> =
        there.map(|(word, count)| format!("{} {word}", figures::format_count(count))).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Each line begins with `indent`.
fn write_groups(
    groups: &RecordedGroups,
    indent: &str,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    for group in &groups.groups {
        let RecordedGroup { title, paths, bytes, .. } = group;
        let mut facts =
            vec![figures::count_noun(*paths, "path", "paths"), figures::format_size(*bytes)];
        facts.extend(describe_classes(group.classes));
        let facts = facts.join(", ");
        // It may have been read from a file.
        let title: String = title.chars().filter(|c| !c.is_control()).collect();
        writeln!(out, "{indent}{}  {}", style.paint(STRONG, title), style.paint(QUIET, facts))?;
        for top in group.topmost.iter().take(NAMED) {
            let more = match top.paths {
                0 | 1 => String::new(),
                paths => format!(" and {} below", figures::format_count(paths - 1)),
            };
            writeln!(out, "{indent}  {}{more}", Escaped(&top.path.0))?;
        }
        let named = group.topmost.len().min(NAMED) as u64;
        let more = group.topmost.len() as u64 - named + group.topmost_left_out;
        if more > 0 {
            let more = format!("… and {} more", figures::format_count(more));
            writeln!(out, "{indent}  {}", style.paint(QUIET, more))?;
        }
    }
    if groups.groups_left_out > 0 {
        let more = figures::count_noun(groups.groups_left_out, "more group", "more groups");
        writeln!(out, "{indent}{}", style.paint(QUIET, format!("… and {more}")))?;
    }
    Ok(())
}

/// Writes all records, the youngest last, each with its groups.
pub(crate) fn write_records<Tz>(
    records: &[Record],
    style: &Style,
    now: &DateTime<Tz>,
    mut out: impl Write,
) -> io::Result<()>
where
    Tz: TimeZone<Offset: Display>,
{
    if records.is_empty() {
        writeln!(out, "There are no records.")?;
    }
    for record in records {
        let time = figures::format_local_time(record.time, now);
        let told = match &record.event {
            RecordedEvent::Audit(summary) => headline(summary),
            RecordedEvent::Lost(summary) => describe_lost(summary),
        };
        writeln!(out, "{}  {told}", style.paint(STRONG, time))?;
        write_groups(&record.groups, "  ", style, &mut out)?;
    }
    Ok(())
}

/// `000012-3f2a1c9e is gone, with 91 strays (26 MB), 3 of them new.`
pub(crate) fn describe_lost(summary: &LostSummary) -> String {
    let LostSummary { root, strays, new, .. } = summary;
    let root = Escaped(root.as_bytes());
    let count = figures::count_noun(strays.count, "stray", "strays");
    let new = match new {
        None => "with no root before it to compare with".to_string(),
        Some(0) => "nothing of it new".to_string(),
        Some(new) => format!("{} of them new", figures::format_count(*new)),
    };
    format!("Lost: {root} had {count} ({}), {new}.", figures::format_size(strays.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::audit_record::record_fixture::audit_of_nginx;
    use crate::audit::audit_record::{AuditResult, RecordedGroups};
    use crate::diff::diff_fixture::text_of;
    use chrono::Utc;

    fn summary_of(record: &Record) -> AuditSummary {
        match &record.event {
            RecordedEvent::Audit(summary) => summary.clone(),
            RecordedEvent::Lost(_) => panic!("a root that is gone"),
        }
    }

    #[test]
    fn what_fails_is_told_by_owner_with_a_hint() {
        let mut record = audit_of_nginx(7);
        record.groups.groups[0].topmost_left_out = 4;
        let summary = summary_of(&record);
        let text = text_of(|out| write_audit(&summary, &record.groups, &Style::default(), out));
        insta::assert_snapshot!(text, @r#"
        Found: 2 strays (1.1 KiB) fail the audit. The next boot undoes them.
        7 other strays (70 B) are only told. 5 old roots were asked. All strays: 2 new, 7 changing.
        package nginx  2 paths, 1.1 KiB, 2 new
          /etc/nginx/sites-enabled and 1 below
          … and 4 more
        hint: `blankroot keep PATH` keeps it, `blankroot forget PATH` declares it disposable, and `blankroot explain PATH` tells more of it
        "#);
    }

    #[test]
    fn a_clean_audit_says_what_it_was_judged_by() {
        let mut summary = summary_of(&audit_of_nginx(7));
        summary.fails = Tally::default();
        summary.result = AuditResult::Clean;
        summary.classes.new = 0;
        let groups = RecordedGroups::default();
        let told = |summary: &AuditSummary| {
            text_of(|out| write_audit(summary, &groups, &Style::default(), out))
        };
        insta::assert_snapshot!(told(&summary), @r#"
        Clean: no stray fails the audit.
        7 strays (70 B) are only told. 5 old roots were asked. All strays: 7 changing.
        "#);
        summary.since = Some("000012-3f2a1c9e".to_string());
        summary.old_roots = 2;
        insta::assert_snapshot!(told(&summary), @r#"
        Clean: no stray fails the audit.
        7 strays (70 B) are only told. The old root 000012-3f2a1c9e and 1 older one were asked. All strays: 7 changing.
        "#);
        summary.told = Tally::default();
        summary.classes = CountByClass::default();
        (summary.since, summary.old_roots) = (None, 0);
        insta::assert_snapshot!(told(&summary), @r#"
        Clean: no stray fails the audit.
        Nothing is stray. No old root was asked, so that each stray counts as new.
        "#);
    }

    #[test]
    fn records_are_told_with_their_times() {
        let mut lost = audit_of_nginx(0);
        lost.event = RecordedEvent::Lost(LostSummary {
            root: "000012-3f2a1c9e".to_string(),
            ended: None,
            boots: Some(2),
            strays: Tally { count: 91, bytes: 26_000_000 },
            new: Some(3),
        });
        let records = [audit_of_nginx(7), lost];
        let now = records[0].time.with_timezone(&Utc);
        let text = text_of(|out| write_records(&records, &Style::default(), &now, out));
        insta::assert_snapshot!(text, @r#"
        2026-11-29 10:00  Found: 2 strays (1.1 KiB) fail the audit. The next boot undoes them.
          package nginx  2 paths, 1.1 KiB, 2 new
            /etc/nginx/sites-enabled and 1 below
        2026-11-29 10:00  Lost: 000012-3f2a1c9e had 91 strays (24.8 MiB), 3 of them new.
          package nginx  2 paths, 1.1 KiB, 2 new
            /etc/nginx/sites-enabled and 1 below
        "#);
        let text = text_of(|out| write_records(&[], &Style::default(), &now, out));
        assert_eq!(text, "There are no records.\n");
    }
}
