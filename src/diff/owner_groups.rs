//! The strays in groups, each owner once: what `diff --by owner` shows, and what an audit tells of. Pure.
//!
//! What packages brought that are not the same in blank is one group: it comes again with the packages. What such a
//! package has written since does not, so it stands in the group of its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use dirfd::ChangeKind;
use dirfd::path::Escaped;

use crate::diff::classify::Verdict;
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::new_bytes;
use crate::diff::{DiffReport, DiffRow};
use crate::evidence::classes::ClassCounts;
use crate::evidence::topmost_added::{is_below, is_past};
use crate::owners::installed_since::PackageChange;
use crate::owners::{Certainty, How, Owner, Ownership};
use crate::ui::figures;

/// What a group is of, in the order of the output: what somebody has done, and then what the system did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupOf {
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
pub(crate) struct Group {
    /// Sorted.
    pub(crate) paths: Vec<StrayPath>,
    /// Of all regular files.
    pub(crate) bytes: u64,
    /// How many are of which class.
    pub(crate) classes: ClassCounts,
    /// How sure it is of each that it belongs to the owner.
    pub(crate) certainties: BTreeSet<Certainty>,
    /// Of packages or timers that are told as one.
    names: BTreeSet<String>,
}

/// One stray.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StrayPath {
    /// As in [`DiffRow::path`].
    pub(crate) path: Vec<u8>,
    /// Of a regular file that is there.
    pub(crate) bytes: u64,
    /// The number of its user.
    pub(crate) uid: u32,
}

/// Packages or timers that are named of those that are told as one.
const NAMED_OWNERS: usize = 8;

/// The groups of those strays that `counts`, which is told their owners.
pub(crate) fn group_strays(
    report: &DiffReport<'_>,
    owners: &Ownerships<'_>,
    mut counts: impl FnMut(&DiffRow<'_>, Option<&Owner>) -> bool,
) -> BTreeMap<GroupOf, Group> {
    let mut groups: BTreeMap<GroupOf, Group> = BTreeMap::new();
    let Ok(()) = report.for_each::<Infallible>(|row| {
        if row.verdict != Verdict::Stray {
            return Ok(());
        }
        let ownership = owners.owner_of(row);
        if !counts(row, ownership.as_ref().map(|ownership| &ownership.owner)) {
            return Ok(());
        }
        let of = match &ownership {
            Some(ownership) => group_of(row, ownership, owners.package_change(ownership)),
            None => GroupOf::Nobody,
        };
        let is_of_several = matches!(of, GroupOf::Packages(..) | GroupOf::TimerStamps);
        let group = groups.entry(of).or_default();
        let bytes = new_bytes(row.kind, row.facts);
        group.paths.push(StrayPath { path: row.path.to_vec(), bytes, uid: row.facts.uid });
        group.bytes = group.bytes.saturating_add(bytes);
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

impl GroupOf {
    /// Whether its paths come again with the packages that brought them, so that none of them need be named.
    pub(crate) fn is_of_packages(&self) -> bool {
        matches!(self, Self::Packages(..))
    }

    /// Whether the title names all that is in it, so that none of its paths need be.
    pub(crate) fn is_told_by_title(&self) -> bool {
        matches!(self, Self::Packages(..) | Self::TimerStamps)
    }

    /// The owner, if it is one.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        match self {
            Self::Owner(owner) => Some(owner),
            Self::Packages(..) | Self::TimerStamps | Self::Nobody => None,
        }
    }

    /// The word for what its paths have in common.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Packages(_, word) => format!("packages-{word}"),
            Self::Owner(_) => "owner".to_string(),
            Self::TimerStamps => "timers".to_string(),
            Self::Nobody => "nobody".to_string(),
        }
    }

    /// `5 packages installed: curl, jq, …`, `package nginx`, `stamps of 2 timers: …`, `of nobody that is known`.
    pub(crate) fn title(&self, group: &Group) -> String {
        match self {
            Self::Packages(_, word) => {
                let count = figures::count_noun(group.names.len() as u64, "package", "packages");
                format!("{count} {word}: {}", list_names(&group.names))
            }
            Self::TimerStamps => {
                let count = figures::count_noun(group.names.len() as u64, "timer", "timers");
                format!("stamps of {count}: {}", list_names(&group.names))
            }
            Self::Owner(owner) => owner.to_string(),
            Self::Nobody => "of nobody that is known".to_string(),
        }
    }
}

fn list_names(names: &BTreeSet<String>) -> String {
    let named = names.iter().take(NAMED_OWNERS).map(|name| Escaped(name.as_bytes()).to_string());
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED_OWNERS { ", …" } else { "" };
    format!("{named}{more}")
}

/// A stray that lies in no other one of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topmost<'g> {
    pub(crate) path: &'g [u8],
    /// How many lie in it.
    pub(crate) below: u64,
    /// Of it and all below.
    pub(crate) bytes: u64,
    /// The number of its user.
    pub(crate) uid: u32,
}

impl Group {
    /// Those that lie in no other one.
    pub(crate) fn topmost(&self) -> Vec<Topmost<'_>> {
        let mut tops: Vec<Topmost<'_>> = Vec::new();
        // The places of those that what comes may still lie in.
        let mut open: Vec<usize> = Vec::new();
        for StrayPath { path, bytes, uid } in &self.paths {
            open.retain(|&top| !is_past(path, tops[top].path));
            match open.iter().find(|&&top| is_below(path, tops[top].path)) {
                Some(&top) => {
                    tops[top].below += 1;
                    tops[top].bytes = tops[top].bytes.saturating_add(*bytes);
                }
                None => {
                    open.push(tops.len());
                    tops.push(Topmost { path, below: 0, bytes: *bytes, uid: *uid });
                }
            }
        }
        tops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let paths = ["a", "a-b", "a-b/x", "a/c", "a/d/e", "b/f"];
        let paths =
            paths.map(|path| StrayPath { path: path.as_bytes().to_vec(), bytes: 10, uid: 0 });
        let group = Group { paths: paths.to_vec(), ..Group::default() };
        let tops = group.topmost();
        let tops: Vec<_> = tops.iter().map(|top| (top.path, top.below, top.bytes)).collect();
        assert_eq!(tops, [(&b"a"[..], 2, 30), (b"a-b", 1, 20), (b"b/f", 0, 10)]);
    }
}
