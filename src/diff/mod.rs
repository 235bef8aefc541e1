//! What differs between blank and live, by the backend's fast way or a walk of both, and what becomes of it.
//!
//! `classify` gives each change its verdict, and a report is written by one module a format, from data
//! to text and nothing else. `leftovers` finds what lies in storages undeclared.

pub mod classify;
pub(crate) mod command;
#[cfg(test)]
pub(crate) mod diff_fixture;
pub(crate) mod diff_flat;
pub(crate) mod diff_json;
pub(crate) mod diff_owners;
pub(crate) mod diff_stat;
pub(crate) mod diff_tree;
pub(crate) mod judge;
pub(crate) mod leftovers;
pub(crate) mod leftovers_json;
pub(crate) mod leftovers_report;
pub(crate) mod owner_groups;
pub(crate) mod ownerships;
pub(crate) mod summary;
pub(crate) mod tree_fold;

use std::os::fd::AsFd;

use backends::{Backend, FastChanges, Tree};
use dirfd::compare_trees::{compare_by_walk, walk_added};
use dirfd::{ChangeKind, Changes, Facts, TreePath};

use crate::diff::classify::{Verdict, Verdicts};
use crate::evidence::classes::{Class, Classes};

/// How the changes were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiffMethod {
    /// The file system told what was written since.
    Fast,
    /// Both trees were walked; the text completes "walked both trees, because …".
    Walk(String),
    /// There is no blank to compare with: everything in live counts as new.
    Alone,
}

/// The exact changes and how they were found.
#[derive(Debug)]
pub(crate) struct TreeDiff {
    /// Sorted by path bytes.
    pub(crate) changes: Changes,
    /// How they were found.
    pub(crate) method: DiffMethod,
}

/// What differs in `live` against `blank`. A walk tells `progress` how many names it has looked at.
pub(crate) fn diff_trees(
    backend: &dyn Backend,
    blank: &Tree,
    live: &Tree,
    progress: &dyn Fn(u64),
) -> dirfd::Result<TreeDiff> {
    let why = match backend.changes(blank, live)? {
        FastChanges::Exact(changes) => return Ok(TreeDiff { changes, method: DiffMethod::Fast }),
        FastChanges::Unavailable(why) => why,
    };
    let (older, newer) = (backend.view(blank)?, backend.view(live)?);
    let changes = compare_by_walk(older.as_fd(), newer.as_fd(), progress)?;
    Ok(TreeDiff { changes, method: DiffMethod::Walk(why) })
}

/// Everything in `live`, for a file system that has no blank.
pub(crate) fn list_everything(
    backend: &dyn Backend,
    live: &Tree,
    progress: &dyn Fn(u64),
) -> dirfd::Result<TreeDiff> {
    let view = backend.view(live)?;
    let changes = walk_added(view.as_fd(), progress)?;
    Ok(TreeDiff { changes, method: DiffMethod::Alone })
}

/// A diff with its verdicts, narrowed to what was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiffReport<'a> {
    /// The older tree; `None` where there is none to compare with, so that everything is new.
    pub(crate) blank: Option<&'a Tree>,
    /// The newer tree.
    pub(crate) live: &'a Tree,
    /// What differs.
    pub(crate) diff: &'a TreeDiff,
    /// One verdict for each change.
    pub(crate) verdicts: &'a Verdicts,
    /// What old roots tell of each change; `None` where nobody asked them.
    pub(crate) classes: Option<&'a Classes>,
    /// Shows and counts only changes at or below one of these; empty: all.
    pub(crate) only: &'a [TreePath],
    /// Shows people what comes back by itself, too.
    pub(crate) all: bool,
}

/// One change that is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiffRow<'a> {
    /// As in [`TreePath::as_bytes`]: without a leading slash, empty for the root.
    pub(crate) path: &'a [u8],
    /// How it differs.
    pub(crate) kind: ChangeKind,
    /// What the file is; what it was, if removed.
    pub(crate) facts: &'a Facts,
    /// What becomes of it.
    pub(crate) verdict: Verdict,
    /// The rule that decided so.
    pub(crate) rule: Option<&'a str>,
    /// What old roots tell of it; `None` where there are none.
    pub(crate) class: Option<Class>,
    /// Its place among all changes.
    pub(crate) at: usize,
}

impl DiffReport<'_> {
    /// Shows each change that passes the narrowing to `see`, in order.
    pub(crate) fn for_each<E>(
        &self,
        mut see: impl FnMut(&DiffRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut verdicts = self.verdicts.iter();
        let mut at = 0;
        self.diff.changes.for_each(|path, kind, facts| {
            let class = self.classes.and_then(|classes| classes.class(at));
            // A change without a verdict is one that nobody decided about.
            let (verdict, rule) = verdicts.next().unwrap_or((Verdict::Stray, None));
            if self.shows(path) {
                see(&DiffRow { path, kind, facts, verdict, rule, class, at })?;
            }
            at += 1;
            Ok(())
        })
    }

    /// Of a stray: whether no old root had it as it is ([`Classes::is_news`]).
    pub(crate) fn is_news(&self, row: &DiffRow<'_>) -> bool {
        self.classes.is_none_or(|classes| classes.is_news(row.at, row.kind, row.facts))
    }

    /// How many old roots were asked.
    pub(crate) fn boots(&self) -> u16 {
        self.classes.map_or(0, Classes::boots)
    }

    /// Whether the narrowing lets `path` through.
    fn shows(&self, path: &[u8]) -> bool {
        self.only.is_empty() || self.only.iter().any(|dir| is_within(path, dir.as_bytes()))
    }
}

pub(crate) fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backends::directory::Directory;
    use backends::{Layout, Origin};
    use dirfd::TreeName;
    use std::fs;

    #[test]
    fn a_backend_without_a_fast_way_is_walked_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let name = |name: &str| TreeName::new(name).unwrap();
        let layout = Layout { live: name("live"), blank: name("blank"), old: name("old") };
        fs::create_dir(dir.path().join("live")).unwrap();
        let backend = Directory::open(dir.path(), layout).unwrap();
        let blank = backend.lock().unwrap().capture(Origin::Live).unwrap();
        fs::write(dir.path().join("live/new"), "").unwrap();
        let live = backend.survey().unwrap().live.tree().cloned().unwrap();
        let found = diff_trees(&backend, &blank, &live, &|_| {}).unwrap();
        assert_eq!(found.changes.len(), 1);
        assert!(matches!(found.method, DiffMethod::Walk(why) if why.contains("directory")));
        let found = list_everything(&backend, &live, &|_| {}).unwrap();
        assert_eq!((found.changes.len(), found.method), (1, DiffMethod::Alone));
    }
}
