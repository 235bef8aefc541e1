//! Patterns as one tree of names, so that a lookup costs one step for each name of a path, however many patterns
//! there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::catalogue::path_pattern::{NamePattern, PathPattern, PatternPart, Specificity};

/// The tree; a node is a place in `nodes`, and the first is where all patterns begin.
#[derive(Clone, Debug)]
pub(crate) struct PatternTree {
    nodes: Vec<PatternNode>,
}

impl Default for PatternTree {
    fn default() -> Self {
        Self { nodes: vec![PatternNode::default()] }
    }
}

/// Where some patterns have come to.
#[derive(Clone, Debug, Default)]
struct PatternNode {
    names: BTreeMap<Vec<u8>, usize>,
    wildcards: Vec<(NamePattern, usize)>,
    /// Where `**` goes on from here.
    any_depth: Option<usize>,
    /// This stands behind a `**`: any name leads here again.
    is_any_depth: bool,
    /// What says most of all patterns that end here.
    end: Option<Rank>,
}

/// What decides between patterns that match one path: the greatest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    specificity: Specificity,
    /// A user's own entry.
    own: bool,
    entry: Reverse<usize>,
}

/// A pattern that matches a path or a parent of it. The greatest says most of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PatternMatch {
    rank: Rank,
    /// The length in bytes of what the pattern matches.
    pub(crate) named_bytes: usize,
}

impl PatternMatch {
    /// The entry that the pattern belongs to.
    pub(crate) fn entry(&self) -> usize {
        self.rank.entry.0
    }
}

impl PatternTree {
    /// Adds a pattern of the entry with this number.
    pub(crate) fn insert(&mut self, pattern: &PathPattern, entry: usize, own: bool) {
        let mut at = 0;
        for part in &pattern.parts {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match part {
                PatternPart::Name(name) => match node.names.get(name) {
                    Some(&child) => child,
                    None => *node.names.entry(name.clone()).or_insert(next),
                },
                PatternPart::Wildcards(name) => {
                    match node.wildcards.iter().find(|(other, _)| other == name) {
                        Some(&(_, child)) => child,
                        None => {
                            node.wildcards.push((name.clone(), next));
                            next
                        }
                    }
                }
                PatternPart::AnyDepth => *node.any_depth.get_or_insert(next),
            };
            if at == next {
                let is_any_depth = *part == PatternPart::AnyDepth;
                self.nodes.push(PatternNode { is_any_depth, ..PatternNode::default() });
            }
        }
        let rank = Rank { specificity: pattern.specificity(), own, entry: Reverse(entry) };
        let end = &mut self.nodes[at].end;
        *end = (*end).max(Some(rank));
    }

    /// Tells of every pattern that matches `path` or a parent of it; the patterns begin at `start` in it.
    pub(crate) fn walk(&self, path: &[u8], start: usize, found: &mut impl FnMut(PatternMatch)) {
        // A home's own names count, so that what is deeper says more in both trees.
        let names_before = path[..start].iter().filter(|&&b| b == b'/').count();
        let mut names = names_before;
        let (mut here, mut next) = (Vec::new(), Vec::new());
        self.enter(0, &mut here);
        let mut from = start;
        while from < path.len() && !here.is_empty() {
            let rest = &path[from..];
            let to = rest.iter().position(|&b| b == b'/').map_or(path.len(), |at| from + at);
            let name = &path[from..to];
            if name.is_empty() {
                return;
            }
            names += 1;
            let mut arrive = |node: &PatternNode| {
                if let Some(mut rank) = node.end {
                    rank.specificity.half_names = match node.is_any_depth {
                        // It names whatever is below a place, and says no more of what is deeper there.
                        true => rank.specificity.half_names + 2 * names_before,
                        false => 2 * names,
                    };
                    found(PatternMatch { rank, named_bytes: to });
                }
            };
            for &at in &here {
                let node = &self.nodes[at];
                if node.is_any_depth {
                    arrive(node);
                    next.push(at);
                }
                let by_wildcards = node.wildcards.iter().filter(|(other, _)| other.matches(name));
                for &child in by_wildcards.map(|(_, child)| child).chain(node.names.get(name)) {
                    arrive(&self.nodes[child]);
                    self.enter(child, &mut next);
                }
            }
            // With several `**` a node is reached on several ways.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut here, &mut next);
            next.clear();
            from = to + 1;
        }
    }

    /// Adds a node, and the one behind its `**`, which may stand for no name at all.
    fn enter(&self, at: usize, nodes: &mut Vec<usize>) {
        nodes.push(at);
        nodes.extend(self.nodes[at].any_depth);
    }
}
