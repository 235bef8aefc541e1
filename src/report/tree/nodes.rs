//! The changed paths as a tree of names, with what lies below each counted.

use backends::{ChangeKind, Facts, FileType};

use crate::classify::Verdict;
use crate::report::Row;
use crate::report::summary::content_bytes;

/// The number of a node; 0 is the root.
pub type NodeId = usize;

const ROOT: NodeId = 0;

/// A path that changed, or a directory on the way to one.
#[derive(Debug)]
pub struct Node {
    /// The last component; empty for the root.
    pub name: Vec<u8>,
    /// What changed about it; `None` for a directory that is only on the way.
    pub change: Option<Changed>,
    /// By name, once the tree is finished.
    pub children: Vec<NodeId>,
    /// Everything below it, itself not included.
    pub below: Below,
    parent: NodeId,
}

/// A change without its path.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    /// How it differs.
    pub kind: ChangeKind,
    /// What it is.
    pub facts: Facts,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Rows of the same sort may be told in one line.
pub type Sort = (ChangeKind, Verdict);

impl Changed {
    /// Its sort.
    pub fn sort(&self) -> Sort {
        (self.kind, self.verdict)
    }
}

/// Changes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// Changed directories.
    pub dirs: u64,
    /// Changes of all other types.
    pub files: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Whether they are all alike.
    pub alike: Alike,
}

/// Whether several changes are of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alike {
    /// There are none.
    #[default]
    Nothing,
    /// All are of this sort.
    All(Sort),
    /// They differ.
    Mixed,
}

impl Below {
    /// The count of one change.
    pub fn one(change: &Changed) -> Self {
        let is_dir = change.facts.file_type == FileType::Dir;
        Self {
            dirs: u64::from(is_dir),
            files: u64::from(!is_dir),
            bytes: content_bytes(&change.facts),
            // A nested subvolume is a tree of its own: it is never folded away.
            alike: match change.facts.file_type {
                FileType::Subvolume => Alike::Mixed,
                _ => Alike::All(change.sort()),
            },
        }
    }

    /// How many changes.
    pub fn rows(&self) -> u64 {
        self.dirs + self.files
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.dirs += other.dirs;
        self.files += other.files;
        self.bytes += other.bytes;
        self.alike = match (self.alike, other.alike) {
            (Alike::Nothing, alike) | (alike, Alike::Nothing) => alike,
            (a, b) if a == b => a,
            _ => Alike::Mixed,
        };
    }
}

/// The nodes, parents before their children.
#[derive(Debug)]
pub struct Nodes(Vec<Node>);

impl Nodes {
    /// The node with this number.
    pub fn get(&self, id: NodeId) -> &Node {
        &self.0[id]
    }

    /// The root.
    pub fn root(&self) -> &Node {
        &self.0[ROOT]
    }
}

/// Takes rows in order and makes the tree of them.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    /// The directories from the root to the last row's.
    open: Vec<NodeId>,
    /// The last row's directory, with its slash: most rows share it with the row before.
    dir: Vec<u8>,
}

impl Builder {
    /// A tree without rows.
    pub fn new() -> Self {
        Self { nodes: vec![node(Vec::new(), ROOT)], open: vec![ROOT], dir: Vec::new() }
    }

    /// Adds the next row, in the order of whole paths.
    pub fn add(&mut self, row: &Row<'_>) {
        let change = Changed { kind: row.kind, facts: *row.facts, verdict: row.verdict };
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
        self.nodes.push(node(name.to_vec(), parent));
        self.nodes[parent].children.push(id);
        id
    }

    /// The finished tree: sorted and counted.
    pub fn finish(mut self) -> Nodes {
        for id in (1..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            let mut all = node.below;
            if let Some(change) = &node.change {
                all.add(Below::one(change));
            }
            let parent = node.parent;
            self.nodes[parent].below.add(all);
        }
        for id in 0..self.nodes.len() {
            let mut children = std::mem::take(&mut self.nodes[id].children);
            children.sort_by(|&a, &b| self.nodes[a].name.cmp(&self.nodes[b].name));
            self.nodes[id].children = children;
        }
        Nodes(self.nodes)
    }
}

fn node(name: Vec<u8>, parent: NodeId) -> Node {
    Node { name, change: None, children: Vec::new(), below: Below::default(), parent }
}
