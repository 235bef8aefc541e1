//! `diff --by owner`: the strays in groups, each owner once, and what one entry would keep of a group.

use std::io::{self, BufWriter, Write};

use dirfd::path::Escaped;

use crate::diff::DiffReport;
use crate::diff::owner_groups::{Group, GroupOf, StrayPath, Topmost, group_strays};
use crate::diff::ownerships::Ownerships;
use crate::ui::colours::{QUIET, STRONG, Style};
use crate::ui::figures;

/// What there is to tell where there is no group.
pub(crate) const NO_STRAYS: &str = "No strays: nothing will be gone that nobody decided about.";
/// Paths that are named of a group.
const NAMED: usize = 3;

/// Writes each group with its size and its first paths.
pub(crate) fn write_diff_by_owner(
    report: &DiffReport<'_>,
    owners: &Ownerships<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let groups = group_strays(report, owners, |_, _| true);
    if groups.is_empty() {
        writeln!(out, "{NO_STRAYS}")?;
    }
    for (of, group) in &groups {
        let count = figures::count_noun(group.paths.len() as u64, "path", "paths");
        let mut facts = vec![count, figures::format_size(group.bytes)];
        facts.extend(group.classes.describe());
        facts.extend(words_of_certainties(of, group));
        let facts = style.paint(QUIET, facts.join(", "));
        writeln!(out, "{}  {facts}", style.paint(STRONG, of.title(group)))?;
        if of.is_of_packages() {
            continue;
        }
        let tops = if of.is_told_by_title() { Vec::new() } else { group.topmost() };
        for Topmost { path, below, .. } in tops.iter().take(NAMED) {
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

/// How sure it is, unless that is a matter of course.
fn words_of_certainties(of: &GroupOf, group: &Group) -> Option<String> {
    let words: Vec<_> = group.certainties.iter().map(|certainty| certainty.word()).collect();
    (of.owner().is_some() && !words.is_empty()).then(|| words.join(" or "))
}

/// The directory that holds all of them, if there are several and it is one that an entry may keep: deep enough
/// not to be everybody's.
fn common_directory(paths: &[StrayPath]) -> Option<Vec<u8>> {
    let first = &paths.first()?.path;
    if paths.len() < 4 {
        return None;
    }
    let shared = paths.iter().fold(first.len(), |shared, path| {
        first.iter().zip(&path.path).take_while(|(a, b)| a == b).count().min(shared)
    });
    let is_itself = paths.iter().any(|path| path.path.len() == shared);
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

    fn paths(paths: &[&str]) -> Vec<StrayPath> {
        paths
            .iter()
            .map(|path| StrayPath { path: path.as_bytes().to_vec(), bytes: 0, uid: 0 })
            .collect()
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
}
