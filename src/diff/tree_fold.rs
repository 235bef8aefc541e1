//! The changed paths as a tree of names, with what lies below each counted, and what of the tree is shown and
//! what is folded into one line. Words and colours come later.

use std::collections::BTreeMap;

use dirfd::{ChangeKind, Facts, FileType};

use crate::diff::DiffRow;
use crate::diff::classify::Verdict;
use crate::diff::summary::content_bytes;
use crate::evidence::classes::{Class, ClassCounts};

/// The number of a node; 0 is the root.
pub(crate) type NodeId = usize;

const ROOT: NodeId = 0;

/// A path that changed, or a directory on the way to one.
#[derive(Debug)]
pub(crate) struct ChangeNode {
    /// The last component; empty for the root.
    pub(crate) name: Vec<u8>,
    /// What changed about it; `None` for a directory that is only on the way.
    pub(crate) change: Option<Changed>,
    /// By name, once the tree is finished.
    pub(crate) children: Vec<NodeId>,
    /// Everything below it, itself not included.
    pub(crate) below: ChangeCounts,
    parent: NodeId,
}

/// A change without its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    /// How it differs.
    pub(crate) kind: ChangeKind,
    /// What it is.
    pub(crate) facts: Facts,
    /// What becomes of it.
    pub(crate) verdict: Verdict,
    /// What old roots tell of it.
    pub(crate) class: Option<Class>,
}

/// Rows of the same sort may be told in one line.
pub(crate) type ChangeSort = (ChangeKind, Verdict);

impl Changed {
    /// Its sort.
    pub(crate) fn sort(&self) -> ChangeSort {
        (self.kind, self.verdict)
    }
}

/// Changes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangeCounts {
    /// Changed directories.
    pub(crate) dirs: u64,
    /// Changes of all other types.
    pub(crate) files: u64,
    /// Bytes of the regular files.
    pub(crate) bytes: u64,
    /// How many of them are of which class.
    pub(crate) classes: ClassCounts,
    /// Whether they are all alike.
    pub(crate) alike: Alike,
}

/// Whether several changes are of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Alike {
    /// There are none.
    #[default]
    Nothing,
    /// All are of this sort.
    All(ChangeSort),
    /// They differ.
    Mixed,
}

impl ChangeCounts {
    /// The count of one change.
    pub(crate) fn one(change: &Changed) -> Self {
        let is_dir = change.facts.file_type == FileType::Dir;
        Self {
            dirs: u64::from(is_dir),
            files: u64::from(!is_dir),
            bytes: content_bytes(&change.facts),
            classes: ClassCounts::one(change.class),
            // A nested subvolume is a tree of its own: it is never folded away.
            alike: match change.facts.file_type {
                FileType::Subvolume => Alike::Mixed,
                _ => Alike::All(change.sort()),
            },
        }
    }

    /// How many changes.
    pub(crate) fn rows(&self) -> u64 {
        self.dirs + self.files
    }

    /// Adds others.
    pub(crate) fn add(&mut self, other: Self) {
        self.dirs += other.dirs;
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.classes.add(other.classes);
        self.alike = match (self.alike, other.alike) {
            (Alike::Nothing, alike) | (alike, Alike::Nothing) => alike,
            (a, b) if a == b => a,
            _ => Alike::Mixed,
        };
    }
}

/// The nodes, parents before their children.
#[derive(Debug)]
pub(crate) struct ChangeTree(Vec<ChangeNode>);

impl ChangeTree {
    /// The node with this number.
    pub(crate) fn get(&self, id: NodeId) -> &ChangeNode {
        &self.0[id]
    }

    /// The root.
    pub(crate) fn root(&self) -> &ChangeNode {
        &self.0[ROOT]
    }
}

/// Takes rows in order and makes the tree of them.
#[derive(Debug)]
pub(crate) struct ChangeTreeBuilder {
    nodes: Vec<ChangeNode>,
    /// The directories from the root to the last row's.
    open: Vec<NodeId>,
    /// The last row's directory, with its slash: most rows share it with the row before.
    dir: Vec<u8>,
}

impl ChangeTreeBuilder {
    /// A tree without rows.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![new_node(Vec::new(), ROOT)], open: vec![ROOT], dir: Vec::new() }
    }

    /// Adds the next row, in the order of whole paths.
    pub(crate) fn add(&mut self, row: &DiffRow<'_>) {
        let (kind, facts, verdict, class) = (row.kind, *row.facts, row.verdict, row.class);
        let change = Changed { kind, facts, verdict, class };
        if row.path.is_empty() {
            self.nodes[ROOT].change = Some(change);
            return;
        }
        let name_at = row.path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let (dir, name) = row.path.split_at(name_at);
        if dir != self.dir {
            self.open_dir(dir);
        }
        let parent = self.open.last().copied().unwrap_or(ROOT);
        let id = self.push(parent, name);
        self.nodes[id].change = Some(change);
    }

    fn open_dir(&mut self, dir: &[u8]) {
        self.dir.clear();
        self.dir.extend_from_slice(dir);
        let names = dir.split(|&b| b == b'/').filter(|name| !name.is_empty());
        let mut depth = 1;
        for name in names {
            if self.open.get(depth).is_none_or(|&id| self.nodes[id].name != name) {
                self.open.truncate(depth);
                let id = self.child(self.open[depth - 1], name);
                self.open.push(id);
            }
            depth += 1;
        }
        self.open.truncate(depth);
    }

    /// The child that has this name already, because it has a row of its own, or a new one.
    fn child(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        // Between the row `a` and what is in `a/` come only names that start with `a`.
        let children = self.nodes[parent].children.iter().rev();
        let mut near = children.take_while(|&&id| self.nodes[id].name.starts_with(name));
        match near.find(|&&id| self.nodes[id].name == name) {
            Some(&id) => id,
            None => self.push(parent, name),
        }
    }

    fn push(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(new_node(name.to_vec(), parent));
        self.nodes[parent].children.push(id);
        id
    }

    /// The finished tree: sorted and counted.
    pub(crate) fn finish(mut self) -> ChangeTree {
        for id in (1..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            let mut all = node.below;
            if let Some(change) = &node.change {
                all.add(ChangeCounts::one(change));
            }
            let parent = node.parent;
            self.nodes[parent].below.add(all);
        }
        for id in 0..self.nodes.len() {
            let mut children = std::mem::take(&mut self.nodes[id].children);
            children.sort_by(|&a, &b| self.nodes[a].name.cmp(&self.nodes[b].name));
            self.nodes[id].children = children;
        }
        ChangeTree(self.nodes)
    }
}

fn new_node(name: Vec<u8>, parent: NodeId) -> ChangeNode {
    ChangeNode { name, change: None, children: Vec::new(), below: ChangeCounts::default(), parent }
}

/// More rows of one sort in one directory than this are not all shown.
const LIMIT: usize = 20;
/// So many of them are shown then: enough to see what they are.
const SHOWN: usize = 10;

/// One line of the view.
#[derive(Debug)]
pub(crate) struct FoldedLine {
    /// The guides before the name.
    pub(crate) guide: String,
    /// What it says.
    pub(crate) body: LineBody,
}

impl FoldedLine {
    /// How many changes it stands for.
    pub(crate) fn covers(&self) -> u64 {
        self.body.counts().rows()
    }
}

/// What a line says.
#[derive(Debug)]
pub(crate) enum LineBody {
    /// Unchanged directories on the way to changes, outermost first.
    Branch(Vec<NodeId>),
    /// One change.
    Single(NodeId, Changed),
    /// A changed directory with everything in it.
    Whole(NodeId, Changed, ChangeCounts),
    /// Everything in an unchanged directory (the last of the chain).
    Within(Vec<NodeId>, ChangeSort, ChangeCounts),
    /// The rest of the rows of one sort in one directory: how many, and all that they stand for.
    More(ChangeSort, u64, ChangeCounts),
}

impl LineBody {
    fn sort(&self) -> Option<ChangeSort> {
        match self {
            Self::Branch(_) => None,
            Self::Single(_, change) | Self::Whole(_, change, _) => Some(change.sort()),
            Self::Within(_, sort, _) | Self::More(sort, ..) => Some(*sort),
        }
    }

    fn counts(&self) -> ChangeCounts {
        match self {
            Self::Branch(_) => ChangeCounts::default(),
            Self::Single(_, change) => ChangeCounts::one(change),
            Self::Whole(_, change, below) => {
                let mut all = ChangeCounts::one(change);
                all.add(*below);
                all
            }
            Self::Within(_, _, below) | Self::More(_, _, below) => *below,
        }
    }
}

/// A line together with the directory that is shown deeper below it.
struct FoldedEntry {
    body: LineBody,
    deeper: Option<NodeId>,
}

/// The lines of the view from top to bottom.
pub(crate) fn fold_tree(nodes: &ChangeTree) -> Vec<FoldedLine> {
    let mut lines = Vec::new();
    if let Some(change) = nodes.root().change {
        lines.push(FoldedLine { guide: String::new(), body: LineBody::Single(0, change) });
    }
    // No recursion: directories nest deeper than a stack does.
    let mut open = vec![OpenLevel::new(nodes, nodes.root(), String::new(), true)];
    while let Some(level) = open.last_mut() {
        match level.next() {
            None => drop(open.pop()),
            Some((line, deeper)) => {
                lines.push(line);
                if let Some((id, guide)) = deeper {
                    open.push(OpenLevel::new(nodes, nodes.get(id), guide, false));
                }
            }
        }
    }
    lines
}

/// The entries of one directory that are still to come.
struct OpenLevel {
    entries: std::vec::IntoIter<FoldedEntry>,
    guide: String,
    top: bool,
}

impl OpenLevel {
    fn new(nodes: &ChangeTree, node: &ChangeNode, guide: String, top: bool) -> Self {
        let entries = node.children.iter().map(|&id| fold_node(nodes, id)).collect();
        Self { entries: shorten_rows(entries).into_iter(), guide, top }
    }

    /// The next line, and the directory to go into after it with the guides that its lines have.
    fn next(&mut self) -> Option<(FoldedLine, Option<(NodeId, String)>)> {
        let FoldedEntry { body, deeper } = self.entries.next()?;
        let (own, below) = match (self.top, self.entries.len()) {
            (true, _) => ("", ""),
            (false, 0) => ("└─ ", "   "),
            (false, _) => ("├─ ", "│  "),
        };
        let deeper = deeper.map(|id| (id, format!("{}{below}", self.guide)));
        Some((FoldedLine { guide: format!("{}{own}", self.guide), body }, deeper))
    }
}

fn fold_node(nodes: &ChangeTree, id: NodeId) -> FoldedEntry {
    let node = nodes.get(id);
    match node.change {
        Some(change) if node.children.is_empty() => closed_entry(LineBody::Single(id, change)),
        Some(change) if folds_whole(&change, node.below.alike) => {
            closed_entry(LineBody::Whole(id, change, node.below))
        }
        Some(change) => FoldedEntry { body: LineBody::Single(id, change), deeper: Some(id) },
        None => fold_branch(nodes, id),
    }
}

fn closed_entry(body: LineBody) -> FoldedEntry {
    FoldedEntry { body, deeper: None }
}

/// Joins directories that hold nothing but one unchanged directory.
fn fold_branch(nodes: &ChangeTree, id: NodeId) -> FoldedEntry {
    let mut chain = vec![id];
    let mut node = nodes.get(id);
    let mut last = id;
    while let [only] = node.children[..]
        && nodes.get(only).change.is_none()
    {
        chain.push(only);
        last = only;
        node = nodes.get(only);
    }
    match node.below.alike {
        // What nobody has to decide about may take little room, but a stray is shown by its name.
        Alike::All(sort @ (_, verdict))
            if verdict != Verdict::Stray
                && node.children.len() > 1
                && node.below.rows() > LIMIT as u64 =>
        {
            closed_entry(LineBody::Within(chain, sort, node.below))
        }
        _ => FoldedEntry { body: LineBody::Branch(chain), deeper: Some(last) },
    }
}

/// Whether a directory and everything in it are told in one line: it is new, gone or another type,
/// and all that is in it came or went with it, with the same verdict.
fn folds_whole(change: &Changed, below: Alike) -> bool {
    let Alike::All((kind, verdict)) = below else { return false };
    let with_it = match change.kind {
        ChangeKind::Added | ChangeKind::Removed => kind == change.kind,
        ChangeKind::Replaced if change.facts.file_type == FileType::Dir => {
            kind == ChangeKind::Added
        }
        ChangeKind::Replaced => kind == ChangeKind::Removed,
        ChangeKind::Modified | ChangeKind::Metadata => false,
    };
    with_it && verdict == change.verdict
}

/// Puts one line in place of the rest where one directory has too many rows of one sort.
fn shorten_rows(entries: Vec<FoldedEntry>) -> Vec<FoldedEntry> {
    let sort_of = |entry: &FoldedEntry| entry.body.sort().filter(|_| entry.deeper.is_none());
    let mut counts: BTreeMap<ChangeSort, usize> = BTreeMap::new();
    for sort in entries.iter().filter_map(sort_of) {
        *counts.entry(sort).or_default() += 1;
    }
    counts.retain(|_, count| *count > LIMIT);
    if counts.is_empty() {
        return entries;
    }
    // The first rows of each such sort are shown, and the rest is counted in one line at the end.
    let mut seen: BTreeMap<ChangeSort, usize> = BTreeMap::new();
    let mut rest: BTreeMap<ChangeSort, (u64, ChangeCounts)> = BTreeMap::new();
    let mut shown = Vec::new();
    for entry in entries {
        if let Some(sort) = sort_of(&entry).filter(|sort| counts.contains_key(sort)) {
            let seen = seen.entry(sort).or_default();
            *seen += 1;
            if *seen > SHOWN {
                let (hidden, below) = rest.entry(sort).or_default();
                *hidden += 1;
                below.add(entry.body.counts());
                continue;
            }
        }
        shown.push(entry);
    }
    let more = |(sort, (hidden, below))| closed_entry(LineBody::More(sort, hidden, below));
    shown.extend(rest.into_iter().map(more));
    shown
}
