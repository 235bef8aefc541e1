//! The strays of a review: a group for each owner, and in it each stray below the one that it lies in. Pure.

use std::cmp::Ordering;

use dirfd::{ChangeKind, FileType};

use crate::diff::DiffReport;
use crate::diff::owner_groups::group_strays;
use crate::diff::ownerships::Ownerships;
use crate::evidence::classes::{Class, ClassCounts};
use crate::evidence::topmost_added::is_below;

/// One stray.
#[derive(Clone, Debug)]
pub(crate) struct Stray {
    /// As in [`DiffRow::path`](crate::diff::DiffRow::path).
    pub(crate) path: Vec<u8>,
    pub(crate) kind: ChangeKind,
    pub(crate) file_type: FileType,
    /// What old roots tell of it; `None` where nobody asked them.
    pub(crate) class: Option<Class>,
    /// Of it and all below.
    pub(crate) bytes: u64,
    /// Place of its group.
    pub(crate) group: usize,
    /// Place of the stray that it lies in.
    pub(crate) parent: Option<usize>,
    /// How many strays it lies in.
    pub(crate) depth: usize,
    /// How many lie in it: they follow it.
    pub(crate) below: usize,
    /// Whether something below it has another class.
    pub(crate) has_other_classes: bool,
}

/// The strays of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StrayGroup {
    pub(crate) title: String,
    /// Whether the title tells all that there is to know of its strays.
    pub(crate) is_told_by_title: bool,
    /// Of all regular files.
    pub(crate) bytes: u64,
    /// `new`, or `3 new, 2 changing`; `None` where nobody asked old roots.
    pub(crate) classes: Option<String>,
    /// Place of its first stray.
    pub(crate) first: usize,
    /// Place behind its last one.
    pub(crate) end: usize,
}

/// A group before its strays have their places.
#[derive(Debug, Default)]
pub(crate) struct LooseGroup {
    pub(crate) title: String,
    pub(crate) is_told_by_title: bool,
    /// In any order.
    pub(crate) members: Vec<LooseStray>,
}

/// A stray before it has its place.
#[derive(Clone, Debug)]
pub(crate) struct LooseStray {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: ChangeKind,
    pub(crate) file_type: FileType,
    pub(crate) class: Option<Class>,
    /// Of its own.
    pub(crate) bytes: u64,
}

/// All groups and strays.
///
/// Invariant: the strays of a group stand together, each before those that lie in it.
#[derive(Debug, Default)]
pub(crate) struct StrayTree {
    pub(crate) groups: Vec<StrayGroup>,
    pub(crate) strays: Vec<Stray>,
    /// All strays whatever group they are of, each before those that lie in it.
    by_path: Vec<usize>,
    nestings: Vec<Nesting>,
}

/// Where a stray lies among those of all groups.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    /// Its place in the order by path, and how many behind it lie in it.
    place: usize,
    within: usize,
    /// The nearest that it lies in.
    outer: Option<usize>,
}

impl StrayTree {
    /// The strays of a report.
    pub(crate) fn of_report(report: &DiffReport<'_>, owners: &Ownerships<'_>) -> Self {
        let mut facts = Vec::new();
        let groups = group_strays(report, owners, |row, _| {
            let (kind, file_type, class) = (row.kind, row.facts.file_type, row.class);
            facts.push(LooseStray { path: row.path.to_vec(), kind, file_type, class, bytes: 0 });
            true
        });
        // A report is sorted by path.
        let find = |path: &[u8]| {
            let found = facts.binary_search_by(|other| other.path.as_slice().cmp(path));
            found.ok().and_then(|at| facts.get(at))
        };
        let loose = groups.iter().map(|(of, group)| LooseGroup {
            title: of.title(group),
            is_told_by_title: of.is_told_by_title(),
            members: group
                .paths
                .iter()
                .filter_map(|stray| {
                    Some(LooseStray { bytes: stray.bytes, ..find(&stray.path)?.clone() })
                })
                .collect(),
        });
        Self::new(loose)
    }

    /// Puts strays in their places.
    pub(crate) fn new(groups: impl IntoIterator<Item = LooseGroup>) -> Self {
        let mut tree = Self::default();
        for mut group in groups {
            group.members.sort_unstable_by(|a, b| compare_by_component(&a.path, &b.path));
            let first = tree.strays.len();
            let mut classes = ClassCounts::default();
            let mut bytes = 0_u64;
            for stray in group.members {
                classes.add(ClassCounts::one(stray.class));
                bytes = bytes.saturating_add(stray.bytes);
                tree.push(stray);
            }
            tree.groups.push(StrayGroup {
                title: group.title,
                is_told_by_title: group.is_told_by_title,
                bytes,
                classes: classes.describe(),
                first,
                end: tree.strays.len(),
            });
        }
        tree.nest_all();
        tree
    }

    /// Finds out what lies in what over all groups: whoever decides about a directory decides about all of that.
    fn nest_all(&mut self) {
        let strays = &self.strays;
        self.by_path = (0..strays.len()).collect();
        self.by_path
            .sort_unstable_by(|&a, &b| compare_by_component(&strays[a].path, &strays[b].path));
        self.nestings = vec![Nesting::default(); strays.len()];
        let mut around: Vec<usize> = Vec::new();
        for (place, &at) in self.by_path.iter().enumerate() {
            let holds = |outer: usize| {
                let outer = &strays[outer].path;
                !outer.is_empty() && is_below(&strays[at].path, outer)
            };
            while around.last().is_some_and(|&outer| !holds(outer)) {
                around.pop();
            }
            around.iter().for_each(|&outer| self.nestings[outer].within += 1);
            self.nestings[at] = Nesting { place, within: 0, outer: around.last().copied() };
            around.push(at);
        }
    }

    /// Those that lie in a stray, of whatever group.
    pub(crate) fn within(&self, at: usize) -> &[usize] {
        let Nesting { place, within, .. } = self.nestings[at];
        &self.by_path[place + 1..place + 1 + within]
    }

    /// A stray, and those of all groups that it lies in, the nearest first.
    pub(crate) fn with_outer(&self, at: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(at, |&at| self.nestings[at].outer)
    }

    fn push(&mut self, stray: LooseStray) {
        let LooseStray { path, kind, file_type, class, bytes } = stray;
        let (at, group) = (self.strays.len(), self.groups.len());
        // It lies in the last one, in one that this lies in, or in none.
        let last = at.checked_sub(1).filter(|&last| self.strays[last].group == group);
        let parent = self.with_ancestors(last).find(|&other| {
            let other = &self.strays[other].path;
            // The root of the tree holds everything, and what changed of it is its own attributes.
            !other.is_empty() && is_below(&path, other)
        });
        let above: Vec<usize> = self.with_ancestors(parent).collect();
        for &other in &above {
            let other = &mut self.strays[other];
            other.below += 1;
            other.bytes = other.bytes.saturating_add(bytes);
            other.has_other_classes |= other.class.map(Class::word) != class.map(Class::word);
        }
        let depth = above.len();
        self.strays.push(Stray {
            path,
            kind,
            file_type,
            class,
            bytes,
            group,
            parent,
            depth,
            below: 0,
            has_other_classes: false,
        });
    }

    /// A stray, and those that it lies in, the nearest first.
    pub(crate) fn with_ancestors(&self, at: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(at, |&at| self.strays[at].parent)
    }

    /// Those that lie directly in a stray.
    pub(crate) fn children(&self, at: usize) -> impl Iterator<Item = usize> {
        self.siblings(at + 1, at + 1 + self.strays[at].below)
    }

    /// Those of a group that lie in no other one.
    pub(crate) fn topmost(&self, group: usize) -> impl Iterator<Item = usize> {
        self.siblings(self.groups[group].first, self.groups[group].end)
    }

    fn siblings(&self, first: usize, end: usize) -> impl Iterator<Item = usize> {
        let next = move |at: usize| Some(at).filter(|&at| at < end);
        std::iter::successors(next(first), move |&at| next(at + 1 + self.strays[at].below))
    }

    /// Bytes of all regular files.
    pub(crate) fn bytes(&self) -> u64 {
        self.groups.iter().fold(0, |all, group| all.saturating_add(group.bytes))
    }
}

impl Stray {
    /// The part of its path that a parent's row does not show, as it is read below that.
    pub(crate) fn name_below(&self, parent: Option<&Stray>) -> &[u8] {
        let shown = parent.map_or(0, |parent| parent.path.len() + 1);
        self.path.get(shown..).unwrap_or(&self.path)
    }
}

/// The order in which a directory comes right before what is in it.
fn compare_by_component(a: &[u8], b: &[u8]) -> Ordering {
    // No path has a byte of zero.
    let slash_first = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(slash_first).cmp(b.iter().map(slash_first))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Added files and directories of one size; a path that ends in a slash is a directory.
    pub(crate) fn loose_group(title: &str, paths: &[&[u8]]) -> LooseGroup {
        let member = |path: &&[u8]| {
            let (path, file_type, bytes) = match path.strip_suffix(b"/") {
                Some(dir) => (dir, FileType::Dir, 0),
                None => (*path, FileType::File, 10),
            };
            let (path, kind, class) = (path.to_vec(), ChangeKind::Added, Some(Class::New));
            LooseStray { path, kind, file_type, class, bytes }
        };
        let members = paths.iter().map(member).collect();
        LooseGroup { title: title.to_string(), is_told_by_title: false, members }
    }

    #[test]
    fn each_stray_lies_below_the_nearest_that_holds_it() {
        let paths: [&[u8]; 8] = [b"a/", b"a-b", b"a/c/", b"a/c/d", b"a/e", b"b", b"", b"a/c-d"];
        let tree = StrayTree::new([
            loose_group("package a", &paths),
            loose_group("of nobody that is known", &[b"a/x"]),
        ]);
        let shown = tree.strays.iter().map(|stray| {
            let path = String::from_utf8_lossy(&stray.path).into_owned();
            (path, stray.depth, stray.below, stray.bytes)
        });
        let expected = [
            ("", 0, 0, 10),
            ("a", 0, 4, 30),
            ("a/c", 1, 1, 10),
            ("a/c/d", 2, 0, 10),
            ("a/c-d", 1, 0, 10),
            ("a/e", 1, 0, 10),
            ("a-b", 0, 0, 10),
            ("b", 0, 0, 10),
            ("a/x", 0, 0, 10),
        ];
        let expected =
            expected.map(|(path, depth, below, bytes)| (path.to_string(), depth, below, bytes));
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(tree.topmost(0).collect::<Vec<_>>(), [0, 1, 6, 7]);
        assert_eq!(tree.children(1).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!(tree.strays[3].name_below(Some(&tree.strays[2])), b"d");
        assert_eq!((tree.groups[0].bytes, tree.bytes()), (60, 70));
    }

    #[test]
    fn what_lies_in_a_directory_is_known_over_all_groups() {
        let one = loose_group("package jq", &[b"opt/tool/data/", b"opt/tool/data/a"]);
        let other = loose_group("package zed", &[b"opt/tool/data/plug", b"opt/tool.conf"]);
        let tree = StrayTree::new([loose_group("nobody", &[b"opt/tool/"]), one, other]);
        let paths = |places: &[usize]| {
            let paths = places.iter().map(|&at| String::from_utf8_lossy(&tree.strays[at].path));
            paths.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(paths(tree.within(0)), "opt/tool/data opt/tool/data/a opt/tool/data/plug");
        let plug = tree.strays.iter().position(|stray| stray.path.ends_with(b"plug"));
        let outer: Vec<_> = tree.with_outer(plug).collect();
        assert_eq!(paths(&outer), "opt/tool/data/plug opt/tool/data opt/tool");
        assert_eq!(paths(tree.within(1)), "opt/tool/data/a opt/tool/data/plug");
    }

    #[test]
    fn a_directory_tells_that_what_is_in_it_has_another_class() {
        let mut group = loose_group("user alice", &[b"a/", b"a/b/", b"a/b/c", b"d/", b"d/e"]);
        group.members[2].class = Some(Class::Changing);
        let tree = StrayTree::new([group]);
        let told: Vec<bool> = tree.strays.iter().map(|stray| stray.has_other_classes).collect();
        assert_eq!(told, [true, true, false, false, false]);
        assert_eq!(tree.groups[0].classes.as_deref(), Some("4 new, 1 changing"));
    }
}
