//! Where the two sides of each entry really lie, once the entries around it are in force: merged by
//! path, so that the order of the list never matters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dirfd::TreePath;

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::persist::list::KeepEntry;

/// One entry in its place.
#[derive(Clone, Debug)]
pub struct ResolvedEntry {
    /// What was declared.
    pub(crate) entry: KeepEntry,
    /// The entry that it lies in, if it does.
    pub(crate) within: Option<TreePath>,
    /// Where its data lies.
    pub(crate) source: TreePath,
    /// Where it is seen: the declared path, but for parents that are kept as links.
    pub(crate) seen_at: TreePath,
    /// Where a place for it has to be made: below a parent that is kept, that is in storage.
    pub(crate) made_at: TreePath,
    /// Where something may lie that will be at its place once its parents are in theirs.
    pub(crate) before: BTreeSet<TreePath>,
}

impl ResolvedEntry {
    /// Whether it is the file that the machine is known by.
    pub(crate) fn is_identity(&self) -> bool {
        self.entry.kind == EntryKind::File && self.entry.known.is_some_and(|known| known.identity)
    }

    /// Whether its data lies within its parent's, so that it is seen as soon as the parent is.
    pub(crate) fn is_shown_by_parent(&self) -> bool {
        self.made_at == self.source
    }
}

/// Arranges a keep list: parents come before what lies in them.
pub fn resolve_entries(list: &[KeepEntry]) -> Vec<ResolvedEntry> {
    let mut sorted: Vec<&KeepEntry> = list.iter().collect();
    sorted.sort_by(|a, b| (a.path.depth(), &a.path).cmp(&(b.path.depth(), &b.path)));
    let mut resolved: Vec<ResolvedEntry> = Vec::with_capacity(sorted.len());
    let mut by_path: BTreeMap<TreePath, usize> = BTreeMap::new();
    for entry in sorted {
        let mut one = ResolvedEntry {
            within: None,
            source: entry.source(),
            seen_at: entry.path.clone(),
            made_at: entry.path.clone(),
            before: BTreeSet::from([entry.path.clone()]),
            entry: entry.clone(),
        };
        if let Some(parent) = nearest_parent(&by_path, &entry.path).and_then(|at| resolved.get(at))
        {
            // By then the parent is in its place: what is made below it is made in the parent's storage,
            // and what lies at any of the parent's places lies at one of this entry's.
            let rest = entry.path.below(&parent.entry.path).unwrap_or_default();
            one.within = Some(parent.entry.path.clone());
            one.made_at = parent.source.join_path(&rest);
            one.seen_at = match parent.entry.fixed_placement() {
                Some(PlacementMethod::Symlink) => one.made_at.clone(),
                _ => parent.seen_at.join_path(&rest),
            };
            one.before.extend(parent.before.iter().map(|dir| dir.join_path(&rest)));
            one.before.extend([one.made_at.clone(), one.seen_at.clone()]);
        }
        by_path.insert(entry.path.clone(), resolved.len());
        resolved.push(one);
    }
    resolved
}

/// The entry that is the nearest parent of `path`.
fn nearest_parent(by_path: &BTreeMap<TreePath, usize>, path: &TreePath) -> Option<usize> {
    ancestors(path).find_map(|parent| by_path.get(&parent).copied())
}

/// The directories that a path lies in, the nearest first, without the root.
pub(crate) fn ancestors(path: &TreePath) -> impl Iterator<Item = TreePath> + use<> {
    std::iter::successors(path.parent(), TreePath::parent).filter(|dir| dir.depth() > 0)
}

/// Every path that a plan looks at.
pub(crate) fn paths_to_probe(resolved: &[ResolvedEntry]) -> BTreeSet<TreePath> {
    let mut places = BTreeSet::new();
    for one in resolved {
        for path in one.before.iter().chain([&one.source]) {
            // Whoever has a path has its parents already.
            if places.insert(path.clone()) {
                for parent in ancestors(path) {
                    if !places.insert(parent) {
                        break;
                    }
                }
            }
        }
        places.insert(one.entry.storage.clone());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::list::fixture::entries;

    #[test]
    fn what_lies_in_a_kept_directory_is_made_in_storage() {
        let resolved = resolve_entries(&entries(
            "directories = [\"/var/lib/a/b\", { path = \"/srv\", how = \"symlink\" }, \
             \"/srv/x\", \"/var/lib\"]\n[[storage]]\npath = \"/other\"\nfiles = [\"/var/lib/f\"]",
        ));
        let shown: Vec<String> = resolved
            .iter()
            .map(|one| format!("{} {} {}", one.seen_at, one.made_at, one.source))
            .collect();
        assert_eq!(
            shown,
            [
                "/srv /srv /persist/srv",
                "/persist/srv/x /persist/srv/x /persist/srv/x",
                "/var/lib /var/lib /persist/var/lib",
                "/var/lib/f /persist/var/lib/f /other/var/lib/f",
                "/var/lib/a/b /persist/var/lib/a/b /persist/var/lib/a/b",
            ]
        );
    }
}
