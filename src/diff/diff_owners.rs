//! `diff --by owner`: the strays in groups, each owner once, and what one entry would keep of a group.
//!
//! What packages brought that are not the same in blank is one group, whose paths are not named: they come again with
//! the packages. What such a package has written since does not, so it stands in the group of its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, BufWriter, Write};

use dirfd::ChangeKind;
use dirfd::path::Escaped;

use crate::diff::classify::Verdict;
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::content_bytes;
use crate::diff::{DiffReport, DiffRow};
use crate::evidence::classes::ClassCounts;
use crate::evidence::topmost_added::{is_below, is_past};
use crate::owners::installed_since::PackageChange;
use crate::owners::{Certainty, How, Owner, Ownership};
use crate::ui::colours::{QUIET, STRONG, Style};
use crate::ui::figures;

/// What a group is of, in the order of the output: what somebody has done, and then what the system did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GroupOf {
    /// All packages to which the same happened since blank.
    Packages(u8, &'static str),
    /// One owner.
    Owner(Owner),
    /// When timers elapsed last, of all timers: they lie in one directory, and one decision is about all.
    TimerStamps,
    /// Nothing tells whose these are.
    Nobody,
}

/// Strays of one owner.
#[derive(Debug, Default)]
struct Group {
    paths: Vec<Vec<u8>>,
    bytes: u64,
    classes: ClassCounts,
    certainties: BTreeSet<Certainty>,
    /// Of packages or timers that are told as one.
    names: BTreeSet<String>,
}

/// Paths that are named of a group.
const NAMED: usize = 3;
/// Packages or timers that are named of those that are told as one.
const NAMED_OWNERS: usize = 8;

/// Writes each group with its size and its first paths.
pub(crate) fn write_diff_by_owner(
    report: &DiffReport<'_>,
    owners: &Ownerships<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let groups = group_strays(report, owners);
    if groups.is_empty() {
        writeln!(out, "No strays: nothing will be gone that nobody decided about.")?;
    }
    for (of, group) in &groups {
        let count = figures::count_noun(group.paths.len() as u64, "path", "paths");
        let mut facts = vec![count, figures::format_size(group.bytes)];
        facts.extend(group.classes.describe());
        facts.extend(words_of_certainties(of, &group.certainties));
        let facts = style.paint(QUIET, facts.join(", "));
        writeln!(out, "{}  {facts}", style.paint(STRONG, title(of, group)))?;
        if matches!(of, GroupOf::Packages(..)) {
            continue;
        }
        let tops = match of {
            // Their names are in the title.
            GroupOf::TimerStamps => Vec::new(),
            _ => topmost(&group.paths),
        };
        for (path, below) in tops.iter().take(NAMED) {
            let more = match below {
                0 => String::new(),
                below => format!(" and {} below", figures::format_count(*below)),
            };
            writeln!(out, "  /{}{more}", Escaped(path))?;
        }
        if tops.len() > NAMED {
            let more = figures::format_count((tops.len() - NAMED) as u64);
            writeln!(out, "  {}", style.paint(QUIET, format_args!("… and {more} more")))?;
        }
        if let Some(dir) = common_directory(&group.paths) {
            let count = figures::format_count(group.paths.len() as u64);
            let hint = format_args!("one entry for /{} keeps all {count}", Escaped(&dir));
            writeln!(out, "  {}", style.paint(QUIET, hint))?;
        }
    }
    out.flush()
}

fn group_strays(report: &DiffReport<'_>, owners: &Ownerships) -> BTreeMap<GroupOf, Group> {
    let mut groups: BTreeMap<GroupOf, Group> = BTreeMap::new();
    let Ok(()) = report.for_each::<Infallible>(|row| {
        if row.verdict != Verdict::Stray {
            return Ok(());
        }
        let ownership = owners.owner_of(row);
        let of = match &ownership {
            Some(ownership) => group_of(row, ownership, owners.package_change(ownership)),
            None => GroupOf::Nobody,
        };
        let is_of_several = matches!(of, GroupOf::Packages(..) | GroupOf::TimerStamps);
        let group = groups.entry(of).or_default();
        group.paths.push(row.path.to_vec());
        group.bytes += if row.kind == ChangeKind::Removed { 0 } else { content_bytes(row.facts) };
        group.classes.add(ClassCounts::one(row.class));
        if let Some(ownership) = ownership {
            group.certainties.insert(ownership.certainty);
            if is_of_several {
                group.names.insert(ownership.owner.name().to_string());
            }
        }
        Ok(())
    });
    groups
}

fn group_of(row: &DiffRow<'_>, ownership: &Ownership, change: Option<PackageChange>) -> GroupOf {
    match change {
        Some(change) if came_with_package(row.path, row.kind, ownership, change) => {
            GroupOf::Packages(order_of(change), change.word())
        }
        _ if ownership.how == How::TimerStamp => GroupOf::TimerStamps,
        _ => GroupOf::Owner(ownership.owner.clone()),
    }
}

/// Whether a path of a package to which this happened is a part of that, and not what somebody, or a program of it,
/// has written.
fn came_with_package(
    path: &[u8],
    kind: ChangeKind,
    ownership: &Ownership,
    change: PackageChange,
) -> bool {
    if kind == ChangeKind::Removed {
        return true;
    }
    // An update leaves configuration alone that was edited, and either is a file that is not as in blank.
    if change == PackageChange::Updated && path.starts_with(b"etc/") {
        return false;
    }
    // What is compiled beside a program (`__pycache__`) is in no list.
    let is_program = path.starts_with(b"usr/") && !path.starts_with(b"usr/local/");
    let is_noted = ownership.certainty == Certainty::Exact && ownership.how.comes_with_package();
    is_program || is_noted
}

fn order_of(change: PackageChange) -> u8 {
    match change {
        PackageChange::Installed => 0,
        PackageChange::Updated => 1,
        PackageChange::Removed => 2,
    }
}

/// `5 packages installed: curl, jq, …`, `package nginx`, `stamps of 2 timers: …`, `of nobody that is known`.
fn title(of: &GroupOf, group: &Group) -> String {
    match of {
        GroupOf::Packages(_, word) => {
            let count = figures::count_noun(group.names.len() as u64, "package", "packages");
            format!("{count} {word}: {}", list_names(&group.names))
        }
        GroupOf::TimerStamps => {
            let count = figures::count_noun(group.names.len() as u64, "timer", "timers");
            format!("stamps of {count}: {}", list_names(&group.names))
        }
        GroupOf::Owner(owner) => owner.to_string(),
        GroupOf::Nobody => "of nobody that is known".to_string(),
    }
}

fn list_names(names: &BTreeSet<String>) -> String {
    let named = names.iter().take(NAMED_OWNERS).map(|name| Escaped(name.as_bytes()).to_string());
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED_OWNERS { ", …" } else { "" };
    format!("{named}{more}")
}

/// How sure it is, unless that is a matter of course.
fn words_of_certainties(of: &GroupOf, certainties: &BTreeSet<Certainty>) -> Option<String> {
    let is_owner = matches!(of, GroupOf::Owner(_));
    let words: Vec<_> = certainties.iter().map(|certainty| certainty.word()).collect();
    (is_owner && !words.is_empty()).then(|| words.join(" or "))
}

/// The paths that lie in no other one of them, each with how many do lie in it.
fn topmost(sorted: &[Vec<u8>]) -> Vec<(&[u8], u64)> {
    let mut tops: Vec<(&[u8], u64)> = Vec::new();
    // The places of those that what comes may still lie in.
    let mut open: Vec<usize> = Vec::new();
    for path in sorted {
        open.retain(|&top| !is_past(path, tops[top].0));
        match open.iter().find(|&&top| is_below(path, tops[top].0)) {
            Some(&top) => tops[top].1 += 1,
            None => {
                open.push(tops.len());
                tops.push((path, 0));
            }
        }
    }
    tops
}

/// The directory that holds all of them, if there are several and it is one that an entry may keep: deep enough
/// not to be everybody's.
fn common_directory(paths: &[Vec<u8>]) -> Option<Vec<u8>> {
    let first = paths.first()?;
    if paths.len() < 4 {
        return None;
    }
    let shared = paths.iter().fold(first.len(), |shared, path| {
        first.iter().zip(path).take_while(|(a, b)| a == b).count().min(shared)
    });
    let is_itself = paths.iter().any(|path| path.len() == shared);
    let end = match is_itself {
        true => shared,
        false => first[..shared].iter().rposition(|&b| b == b'/')?,
    };
    let dir = &first[..end];
    let depth = dir.split(|&b| b == b'/').count();
    let least = if dir.starts_with(b"var/") || dir.starts_with(b"home/") { 3 } else { 2 };
    (depth >= least).then(|| dir.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<Vec<u8>> {
        paths.iter().map(|path| path.as_bytes().to_vec()).collect()
    }

    #[test]
    fn one_entry_is_told_where_one_directory_holds_all_and_is_not_everybodys() {
        for (held, expected) in [
            (
                &["var/lib/db/a", "var/lib/db/b", "var/lib/db/c/d", "var/lib/db/e"][..],
                Some("var/lib/db"),
            ),
            (&["var/lib/db", "var/lib/db/b", "var/lib/db/c", "var/lib/db/e"], Some("var/lib/db")),
            (&["var/lib/da", "var/lib/db", "var/lib/dc", "var/lib/de"], None),
            (&["var/lib/db/a", "var/lib/db/b"], None),
            (&["etc/x/a", "etc/x/b", "etc/x/c", "etc/x/d"], Some("etc/x")),
            (&["etc/a", "etc/b", "etc/c", "etc/d"], None),
        ] {
            let found = common_directory(&paths(held));
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{held:?}");
        }
    }

    #[test]
    fn what_a_changed_package_brought_is_told_apart_from_what_was_written_since() {
        use PackageChange::{Installed, Removed, Updated};
        let listed = (Certainty::Exact, How::Listed);
        let below = (Certainty::Directory, How::Listed);
        let added = ChangeKind::Added;
        for (path, kind, told, change, came) in [
            ("usr/bin/jq", added, listed, Installed, true),
            ("usr/lib/jq/__pycache__/x.pyc", added, below, Installed, true),
            ("etc/jq.conf", added, listed, Installed, true),
            ("etc/rc2.d/S01jq", added, (Certainty::Exact, How::EnabledLink), Installed, true),
            ("var/lib/jq", added, listed, Installed, true),
            ("var/lib/jq/data", added, below, Installed, false),
            ("var/lib/jq/data", added, (Certainty::Likely, How::Named), Installed, false),
            ("etc/jq/own.conf", added, below, Installed, false),
            ("usr/local/lib/jq/x", added, below, Installed, false),
            ("usr/bin/jq", ChangeKind::Modified, listed, Updated, true),
            ("etc/jq.conf", ChangeKind::Modified, listed, Updated, false),
            ("var/lib/jq/data", ChangeKind::Modified, below, Updated, false),
            ("var/lib/jq/data", ChangeKind::Removed, below, Removed, true),
            ("etc/jq.conf", ChangeKind::Modified, below, Removed, false),
        ] {
            let (certainty, how) = told;
            let ownership = Ownership { owner: Owner::Package("jq".into()), certainty, how };
            let found = came_with_package(path.as_bytes(), kind, &ownership, change);
            assert_eq!(found, came, "{path} {kind:?} {told:?} {change:?}");
        }
    }

    #[test]
    fn what_lies_in_another_one_is_counted_there() {
        let paths = paths(&["a", "a-b", "a-b/x", "a/c", "a/d/e", "b/f"]);
        let tops = topmost(&paths);
        let expected: [(&[u8], u64); 3] = [(b"a", 2), (b"a-b", 1), (b"b/f", 0)];
        assert_eq!(tops, expected);
    }
}
