//! What the entries of all storages declare, as a tree of names that a walk follows.

use std::collections::BTreeMap;

use backends::TreePath;

use crate::config::Config;

/// What an entry says of a path in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is kept.
    Kept,
    /// It would be, but the entry or its storage is not enabled.
    NotEnabled {
        /// The line of the entry.
        line: u32,
    },
}

/// One path, and what is declared below it.
#[derive(Debug, Default)]
pub struct Node {
    children: BTreeMap<Vec<u8>, Node>,
    /// What an entry says of it.
    pub claim: Option<Claim>,
    /// A storage of its own.
    is_storage: bool,
    /// Something below is kept, or a storage of its own.
    leads_to_kept: bool,
}

/// All declarations, from the machine's root on: data of one storage may lie in another.
pub fn of(config: &Config) -> Node {
    let mut root = Node::default();
    for storage in &config.storages {
        root.make(&storage.path, true).is_storage = true;
        for entry in storage.all_entries() {
            let at = entry.storage.as_ref().map_or(&storage.path, |(path, _)| path);
            let source = [at.as_bytes(), b"/", entry.data.as_bytes()].concat();
            // Both halves are clean paths, so that the whole is one.
            let source = TreePath::parse(&source).unwrap_or_default();
            let kept = storage.enable && entry.enable;
            let node = root.make(&source, kept);
            match kept {
                true => node.claim = Some(Claim::Kept),
                // Another entry may keep the same data.
                false => {
                    node.claim.get_or_insert(Claim::NotEnabled { line: entry.place.line });
                }
            }
        }
    }
    root
}

impl Node {
    /// What is declared of this path.
    pub fn at(&self, path: &TreePath) -> Option<&Self> {
        path.as_bytes().split(|&b| b == b'/').try_fold(self, |node, name| node.child(name))
    }

    /// What is declared of this name in it.
    pub fn child(&self, name: &[u8]) -> Option<&Self> {
        self.children.get(name)
    }

    /// Whether all that is there has its place: kept data, or a storage that is looked into by
    /// itself.
    pub fn is_taken(&self) -> bool {
        self.is_storage || self.claim == Some(Claim::Kept)
    }

    /// Whether declared data may lie below that is not to be counted together with this.
    pub fn leads_on(&self) -> bool {
        self.leads_to_kept || (self.claim.is_none() && !self.children.is_empty())
    }

    fn make(&mut self, path: &TreePath, kept: bool) -> &mut Self {
        let mut node = self;
        for name in path.as_bytes().split(|&b| b == b'/') {
            node.leads_to_kept |= kept;
            node = node.children.entry(name.to_vec()).or_default();
        }
        node
    }
}

impl Drop for Node {
    /// A path has up to two thousand names, and dropping must not recurse that deep.
    fn drop(&mut self) {
        let mut rest: Vec<Self> = std::mem::take(&mut self.children).into_values().collect();
        while let Some(mut node) = rest.pop() {
            rest.extend(std::mem::take(&mut node.children).into_values());
        }
    }
}
