//! Decides what of the tree is shown and what is folded into one line; words and colours come later.

use std::collections::BTreeMap;

use backends::{ChangeKind, FileType};

use super::nodes::{Alike, Below, Changed, Node, NodeId, Nodes, Sort};
use crate::classify::Verdict;

/// More rows of one sort in one directory than this are not all shown.
const LIMIT: usize = 20;
/// So many of them are shown then: enough to see what they are.
const SHOWN: usize = 10;

/// One line of the view.
#[derive(Debug)]
pub struct Line {
    /// The guides before the name.
    pub guide: String,
    /// What it says.
    pub body: Body,
}

impl Line {
    /// How many changes it stands for.
    pub fn covers(&self) -> u64 {
        self.body.counts().rows()
    }
}

/// What a line says.
#[derive(Debug)]
pub enum Body {
    /// Unchanged directories on the way to changes, outermost first.
    Branch(Vec<NodeId>),
    /// One change.
    Single(NodeId, Changed),
    /// A changed directory with everything in it.
    Whole(NodeId, Changed, Below),
    /// Everything in an unchanged directory (the last of the chain).
    Within(Vec<NodeId>, Sort, Below),
    /// The rest of the rows of one sort in one directory: how many, and all that they stand for.
    More(Sort, u64, Below),
}

impl Body {
    fn sort(&self) -> Option<Sort> {
        match self {
            Self::Branch(_) => None,
            Self::Single(_, change) | Self::Whole(_, change, _) => Some(change.sort()),
            Self::Within(_, sort, _) | Self::More(sort, ..) => Some(*sort),
        }
    }

    fn counts(&self) -> Below {
        match self {
            Self::Branch(_) => Below::default(),
            Self::Single(_, change) => Below::one(change),
            Self::Whole(_, change, below) => {
                let mut all = Below::one(change);
                all.add(*below);
                all
            }
            Self::Within(_, _, below) | Self::More(_, _, below) => *below,
        }
    }
}

/// A line together with the directory that is shown deeper below it.
struct Entry {
    body: Body,
    deeper: Option<NodeId>,
}

/// The lines of the view from top to bottom.
pub fn fold(nodes: &Nodes) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(change) = nodes.root().change {
        lines.push(Line { guide: String::new(), body: Body::Single(0, change) });
    }
    // No recursion: directories nest deeper than a stack does.
    let mut open = vec![Level::new(nodes, nodes.root(), String::new(), true)];
    while let Some(level) = open.last_mut() {
        match level.next() {
            None => drop(open.pop()),
            Some((line, deeper)) => {
                lines.push(line);
                if let Some((id, guide)) = deeper {
                    open.push(Level::new(nodes, nodes.get(id), guide, false));
                }
            }
        }
    }
    lines
}

/// The entries of one directory that are still to come.
struct Level {
    entries: std::vec::IntoIter<Entry>,
    guide: String,
    top: bool,
}

impl Level {
    fn new(nodes: &Nodes, node: &Node, guide: String, top: bool) -> Self {
        let entries = node.children.iter().map(|&id| entry(nodes, id)).collect();
        Self { entries: shorten(entries).into_iter(), guide, top }
    }

    /// The next line, and the directory to go into after it with the guides that its lines have.
    fn next(&mut self) -> Option<(Line, Option<(NodeId, String)>)> {
        let Entry { body, deeper } = self.entries.next()?;
        let (own, below) = match (self.top, self.entries.len()) {
            (true, _) => ("", ""),
            (false, 0) => ("└─ ", "   "),
            (false, _) => ("├─ ", "│  "),
        };
        let deeper = deeper.map(|id| (id, format!("{}{below}", self.guide)));
        Some((Line { guide: format!("{}{own}", self.guide), body }, deeper))
    }
}

fn entry(nodes: &Nodes, id: NodeId) -> Entry {
    let node = nodes.get(id);
    match node.change {
        Some(change) if node.children.is_empty() => whole(Body::Single(id, change)),
        Some(change) if folds_whole(&change, node.below.alike) => {
            whole(Body::Whole(id, change, node.below))
        }
        Some(change) => Entry { body: Body::Single(id, change), deeper: Some(id) },
        None => branch(nodes, id),
    }
}

fn whole(body: Body) -> Entry {
    Entry { body, deeper: None }
}

/// Joins directories that hold nothing but one unchanged directory.
fn branch(nodes: &Nodes, id: NodeId) -> Entry {
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
            whole(Body::Within(chain, sort, node.below))
        }
        _ => Entry { body: Body::Branch(chain), deeper: Some(last) },
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
fn shorten(entries: Vec<Entry>) -> Vec<Entry> {
    let sort_of = |entry: &Entry| entry.body.sort().filter(|_| entry.deeper.is_none());
    let mut counts: BTreeMap<Sort, usize> = BTreeMap::new();
    for sort in entries.iter().filter_map(sort_of) {
        *counts.entry(sort).or_default() += 1;
    }
    counts.retain(|_, count| *count > LIMIT);
    if counts.is_empty() {
        return entries;
    }
    let mut seen: BTreeMap<Sort, usize> = BTreeMap::new();
    let mut rest: BTreeMap<Sort, (u64, Below)> = BTreeMap::new();
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
    let more = |(sort, (hidden, below))| whole(Body::More(sort, hidden, below));
    shown.extend(rest.into_iter().map(more));
    shown
}
