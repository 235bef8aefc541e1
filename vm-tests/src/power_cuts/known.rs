//! What a disk held before a scenario, and what must still be there whatever happened.

use std::fs;

use backends::{OldRoot, Survey, Tree, TreeId, Unfinished};
use dirfd::TreeName;
use support::oracle;

use super::ground::{INIT, INSIDE, NESTED};
use super::host::Host;

/// Where live has its configuration.
pub const CONFIG: &str = "etc/blankroot.toml";

/// A tree and all that is in it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its identity.
    pub id: TreeId,
    /// Its content without that of subvolumes in it.
    pub tree: oracle::Tree,
    /// Whether it holds the subvolume that a life makes.
    pub nested: bool,
}

/// Everything that must not be lost.
#[derive(Clone, Debug)]
pub struct Known {
    /// The identity of the file system.
    pub file_system: String,
    /// Blank, where there is one.
    pub blank: Option<Held>,
    /// The live tree that was lived in.
    pub live: Held,
    /// Former live trees, oldest first.
    pub old_roots: Vec<Held>,
    /// The storage.
    pub storage: oracle::Tree,
    /// Live's configuration after the scenario.
    pub config_after: Vec<u8>,
}

impl Known {
    /// What the disk holds now.
    pub fn of(host: &Host<'_>) -> Self {
        let survey = host.survey();
        let held = |tree: &Tree| Held {
            id: tree.id.clone(),
            tree: host.walk(&name(&tree.name)),
            nested: inside(host, &tree.name).is_some(),
        };
        Self {
            file_system: survey.file_system.clone(),
            blank: survey.blank.tree().map(held),
            live: held(survey.live.tree().expect("live is there")),
            old_roots: survey.old_roots.iter().map(|old| held(&old.tree)).collect(),
            storage: host.walk("persist"),
            config_after: Vec::new(),
        }
    }

    /// Blank is the same tree, read-only, with the same content.
    pub fn check_blank(&self, host: &Host<'_>, survey: &Survey) {
        let known = self.blank.as_ref().expect("there was a blank");
        let blank = survey.blank.tree().expect("blank is missing");
        assert_eq!(blank.id, known.id, "blank is another tree");
        assert!(blank.read_only, "blank is writable");
        known.check(host, blank, "blank", &[]);
    }

    /// Live is a root that can be booted; returns it.
    pub fn live<'s>(&self, host: &Host<'_>, survey: &'s Survey) -> &'s Tree {
        let live = survey.live.tree().expect("live is missing");
        assert!(!live.read_only, "live is read-only");
        assert!(host.top().join("root").join(INIT).is_file(), "live cannot be booted");
        live
    }

    /// These old roots are complete, and their records name them.
    pub fn check_old_roots(&self, host: &Host<'_>, survey: &Survey, wanted: &[&Held]) {
        for known in wanted {
            let old = old_root(survey, &known.id).expect("an old root is lost");
            assert_eq!(old.record.live, known.id, "the record names another tree");
            known.check(host, &old.tree, "an old root", &[]);
        }
    }

    /// Nothing is left that no interruption explains.
    pub fn check_unfinished(survey: &Survey, explained: fn(&Unfinished) -> bool) {
        for unfinished in &survey.unfinished {
            assert!(explained(unfinished), "left: {unfinished:?}");
        }
    }
}

impl Held {
    /// The tree has this content, but for the paths `but` and what is below them.
    pub fn check(&self, host: &Host<'_>, tree: &Tree, what: &str, but: &[&str]) {
        same(&self.tree, &host.walk(&name(&tree.name)), what, but);
        if self.nested {
            let found = inside(host, &tree.name).expect("the subvolume inside is lost");
            assert_eq!(found, INSIDE, "{what}: the subvolume inside");
        }
    }
}

/// Both trees have the same content, but for the paths that start with one of `but`.
pub fn same(wanted: &oracle::Tree, found: &oracle::Tree, what: &str, but: &[&str]) {
    let mut rows = oracle::changes(wanted, found);
    rows.retain(|row| !but.iter().any(|start| row.path.starts_with(start.as_bytes())));
    if let Some(text) = oracle::difference(&[], &rows) {
        panic!("{what} has another content:\n{text}");
    }
}

/// What is at and below a path of a tree, as a tree of its own.
pub fn below(tree: &oracle::Tree, path: &str) -> oracle::Tree {
    let rest = |found: &Vec<u8>| {
        let rest = found.strip_prefix(path.as_bytes())?;
        match rest.split_first() {
            None => Some(Vec::new()),
            Some((b'/', rest)) => Some(rest.to_vec()),
            Some(_) => None,
        }
    };
    tree.iter().filter_map(|(path, entry)| Some((rest(path)?, entry.clone()))).collect()
}

/// The old root of this identity.
pub fn old_root<'s>(survey: &'s Survey, id: &TreeId) -> Option<&'s OldRoot> {
    survey.old_roots.iter().find(|old| old.tree.id == *id)
}

fn inside(host: &Host<'_>, tree: &TreeName) -> Option<Vec<u8>> {
    fs::read(host.top().join(tree.as_path()).join(NESTED).join("inside")).ok()
}

fn name(name: &TreeName) -> String {
    name.as_path().to_str().expect("names of trees are UTF-8 here").to_string()
}
