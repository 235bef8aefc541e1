//! All kept paths as one tree of names, so that a lookup costs one step for each component.

use std::collections::HashMap;

use backends::TreePath;

use super::Verdicts;
use crate::config::{Config, EntryKind};
use crate::keep;

/// The kept paths and the storages, with the rules that they stand for.
pub(super) struct KeptPaths {
    pub(super) root: Node,
}

/// One path that is kept, or leads to one that is.
pub(super) struct Node {
    children: HashMap<Vec<u8>, Node>,
    /// The rule by which this path is kept with everything below.
    pub(super) subtree: Option<u32>,
    /// The rule by which this path alone is kept.
    pub(super) exact: Option<u32>,
    /// The rule of the first kept path at or below this one.
    pub(super) leads_to: u32,
}

impl Node {
    fn new(leads_to: u32) -> Self {
        Self { children: HashMap::new(), subtree: None, exact: None, leads_to }
    }

    pub(super) fn child(&self, name: &[u8]) -> Option<&Self> {
        self.children.get(name)
    }
}

impl KeptPaths {
    /// Collects the paths and adds their rules to `verdicts`.
    pub(super) fn new(config: &Config, verdicts: &mut Verdicts) -> Self {
        let mut paths = Self { root: Node::new(0) };
        for entry in keep::list(config) {
            let rule =
                verdicts.add_rule(format!("keep {} {}", entry.path, config.source(entry.place)));
            let node = paths.node(&entry.path, rule);
            match entry.kind {
                EntryKind::Dir => node.subtree = Some(rule),
                EntryKind::File => node.exact = Some(rule),
            }
        }
        for storage in config.storages.iter().filter(|storage| storage.enable) {
            let rule = verdicts.add_rule(format!(
                "storage {} {}",
                storage.path,
                config.source(storage.place)
            ));
            paths.node(&storage.path, rule).exact = Some(rule);
        }
        paths
    }

    fn node(&mut self, path: &TreePath, rule: u32) -> &mut Node {
        path.as_bytes().split(|&b| b == b'/').fold(&mut self.root, |node, name| {
            node.children.entry(name.to_vec()).or_insert_with(|| Node::new(rule))
        })
    }
}
