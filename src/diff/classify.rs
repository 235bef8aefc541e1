//! Gives each change its verdict: change + lists → verdict. Pure.
//!
//! A path is kept when it is on the keep list or below a kept directory, when it is a storage's
//! mount point, or when it is a new directory that only leads to one of these. It is forgotten when
//! a pattern names it or one of its parents, and it is not kept. Everything else is stray, until evidence says
//! that it is regenerated.

use std::collections::HashMap;

use dirfd::copy::private_directory;
use dirfd::{Change, ChangeKind, Changes, FileType, TreePath};

use crate::config::Config;
use crate::config::entry::EntryKind;
use crate::persist::list;

/// What will become of a changed path at the next boot, and whether somebody decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It will be gone, and nobody decided so.
    Stray,
    /// It is on the keep list: its data lives in storage.
    Kept,
    /// It was declared disposable.
    Forgotten,
    /// It comes back by itself: the last boots all made it, the same as it is now.
    Regenerated,
}

impl Verdict {
    /// The word for it in all output.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stray => "stray",
            Self::Kept => "kept",
            Self::Forgotten => "forgotten",
            Self::Regenerated => "regenerated",
        }
    }
}

/// The verdicts of a whole diff: one for each change, in the same order.
#[derive(Debug, Default)]
pub struct Verdicts {
    judged: Vec<(Verdict, Option<u32>)>,
    rules: Vec<String>,
}

impl Verdicts {
    /// Adds the verdict for the next change; `rule` is an index from [`add_rule`](Self::add_rule).
    pub(crate) fn push(&mut self, verdict: Verdict, rule: Option<u32>) {
        self.judged.push((verdict, rule));
    }

    /// Adds the text of a rule, as it stands in the configuration, and returns its index.
    pub(crate) fn add_rule(&mut self, text: String) -> u32 {
        self.rules.push(text);
        (self.rules.len() - 1) as u32
    }

    /// Gives the changes at these places that verdict; `rule` says why.
    pub(crate) fn mark_regenerated(&mut self, places: &[usize], rule: String) {
        if places.is_empty() {
            return;
        }
        let rule = self.add_rule(rule);
        for &at in places {
            if let Some(judged) = self.judged.get_mut(at) {
                *judged = (Verdict::Regenerated, Some(rule));
            }
        }
    }

    /// The verdict of the change at this place.
    pub(crate) fn get(&self, at: usize) -> Option<Verdict> {
        self.judged.get(at).map(|(verdict, _)| *verdict)
    }

    /// The rule that decided so.
    pub(crate) fn rule(&self, at: usize) -> Option<&str> {
        let (_, rule) = self.judged.get(at)?;
        self.rules.get((*rule)? as usize).map(String::as_str)
    }

    /// Each verdict with the rule that decided it, in the order of the changes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Verdict, Option<&str>)> {
        self.judged.iter().map(|&(verdict, rule)| {
            (verdict, rule.and_then(|at| self.rules.get(at as usize)).map(String::as_str))
        })
    }
}

/// The verdict and the rule of every change, in their order.
pub fn classify(changes: &Changes, config: &Config) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let kept = KeptPaths::new(config, &mut verdicts);
    let first_pattern = verdicts.rules.len() as u32;
    for pattern in config.forget.patterns() {
        let text = dirfd::path::Escaped(pattern.text.as_bytes());
        verdicts.add_rule(format!("forget {text} {}", config.source(pattern.place)));
    }
    let own = "left by an interrupted copy; the next command that copies removes it";
    let own = verdicts.add_rule(own.to_string());
    let (path, levels) = (Vec::new(), Vec::new());
    let mut descent = Classifier { config, kept: &kept, first_pattern, own, path, levels };
    verdicts.judged.reserve(changes.len());
    for change in changes.iter() {
        let (verdict, rule) = descent.judge(&change);
        verdicts.push(verdict, rule);
    }
    verdicts
}

/// What is known of a path once its parents are known.
#[derive(Clone, Copy)]
struct PathVerdicts<'k> {
    /// The rule of the kept path that this is or lies in.
    kept: Option<u32>,
    /// The rule of the pattern that names this or a parent.
    forgotten: Option<u32>,
    /// The place in the tree of kept paths, if any is here or below.
    node: Option<&'k KeptNode>,
}

/// Goes through sorted paths and judges each directory once, however much is in it.
struct Classifier<'k> {
    config: &'k Config,
    kept: &'k KeptPaths,
    first_pattern: u32,
    /// The rule of what this program leaves itself.
    own: u32,
    /// The path judged last; each level is the length of one of its prefixes, and what is known.
    path: Vec<u8>,
    levels: Vec<(usize, PathVerdicts<'k>)>,
}

impl<'k> Classifier<'k> {
    fn judge(&mut self, change: &Change) -> (Verdict, Option<u32>) {
        let path = change.path.as_bytes();
        let known = self.known(path);
        if known.kept.is_some() {
            return (Verdict::Kept, known.kept);
        }
        if let Some(node) = known.node {
            let leads = change.kind == ChangeKind::Added
                && change.facts.file_type == FileType::Dir
                && !path.is_empty();
            if node.exact.is_some() || leads {
                return (Verdict::Kept, Some(node.exact.unwrap_or(node.leads_to)));
            }
        }
        match known.forgotten {
            Some(rule) => (Verdict::Forgotten, Some(rule)),
            None => (Verdict::Stray, None),
        }
    }

    fn known(&mut self, path: &[u8]) -> PathVerdicts<'k> {
        let common = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        // A level stays if it is a whole prefix of the new path, up to a slash or the end.
        let border = |len: usize| len == path.len() || path.get(len) == Some(&b'/');
        let stay = self.levels.partition_point(|&(len, _)| len <= common);
        self.levels.truncate(stay);
        while self.levels.last().is_some_and(|&(len, _)| !border(len)) {
            self.levels.pop();
        }
        // What is left of the path is judged from its deepest known parent on.
        self.path.truncate(common);
        self.path.extend_from_slice(&path[common..]);
        let start = PathVerdicts { kept: None, forgotten: None, node: Some(&self.kept.root) };
        let (mut from, mut known) =
            self.levels.last().map_or((0, start), |&(len, known)| (len + 1, known));
        while from < path.len() {
            let end =
                path[from..].iter().position(|&b| b == b'/').map_or(path.len(), |at| from + at);
            known = self.below(known, &path[..end], &path[from..end]);
            self.levels.push((end, known));
            from = end + 1;
        }
        known
    }

    /// What is known of `path`, whose last component is `name`, from what is known of its parent.
    fn below(&self, parent: PathVerdicts<'k>, path: &[u8], name: &[u8]) -> PathVerdicts<'k> {
        let node = parent.node.and_then(|node| node.child(name));
        let kept = node.and_then(|node| node.subtree).or(parent.kept);
        let forgotten = match parent.forgotten {
            None if path == name && private_directory::has_its_name(name) => Some(self.own),
            // What is kept needs no pattern any more.
            None if kept.is_none() => {
                self.config.forget.names(path).map(|index| self.first_pattern + index as u32)
            }
            inherited => inherited,
        };
        PathVerdicts { kept, forgotten, node }
    }
}

/// The kept paths and the storages as one tree of names, so that a lookup costs one step for each component;
/// with the rules that they stand for.
pub(crate) struct KeptPaths {
    pub(crate) root: KeptNode,
}

/// A path that is kept, or leads to one that is.
pub(crate) struct KeptNode {
    children: HashMap<Vec<u8>, KeptNode>,
    /// The rule by which this path is kept with everything below.
    pub(crate) subtree: Option<u32>,
    /// The rule by which this path alone is kept.
    pub(crate) exact: Option<u32>,
    /// The rule of the first kept path at or below this one.
    pub(crate) leads_to: u32,
}

impl KeptNode {
    fn new(leads_to: u32) -> Self {
        Self { children: HashMap::new(), subtree: None, exact: None, leads_to }
    }

    pub(crate) fn child(&self, name: &[u8]) -> Option<&Self> {
        self.children.get(name)
    }
}

impl KeptPaths {
    /// Collects the paths and adds their rules to `verdicts`.
    pub(crate) fn new(config: &Config, verdicts: &mut Verdicts) -> Self {
        let mut paths = Self { root: KeptNode::new(0) };
        for entry in list::keep_list(config) {
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

    fn node(&mut self, path: &TreePath, rule: u32) -> &mut KeptNode {
        path.as_bytes().split(|&b| b == b'/').fold(&mut self.root, |node, name| {
            node.children.entry(name.to_vec()).or_insert_with(|| KeptNode::new(rule))
        })
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
