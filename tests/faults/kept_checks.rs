//! What must be true of both sides of a machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dirfd::{ChangeKind, FileType, TreePath};
use support::oracle;

use super::{Kept, Ran};

/// What a run that nothing disturbs leads to.
pub struct End {
    seen: BTreeMap<&'static str, Option<oracle::Tree>>,
    held: BTreeMap<&'static str, Option<oracle::Tree>>,
}

impl Kept<'_> {
    /// Writes a file in each kept directory, and makes that file durable, as a program does.
    pub fn write_durably(&self) {
        for path in self.scenario.entries() {
            let dir = self.root.path().join(path);
            if dir.is_dir() {
                let mut file = fs::File::create(dir.join("written")).unwrap();
                std::io::Write::write_all(&mut file, b"precious").unwrap();
                file.sync_all().unwrap();
            }
        }
    }

    /// What was written so is there, and the directories are whose they were declared to be.
    pub fn check_written(&self, end: &End) {
        for path in self.scenario.entries() {
            let Some(expected) = end.held[path].as_ref() else { continue };
            let facts = &expected[&Vec::new()].facts;
            if facts.file_type == FileType::Dir {
                let held = self.held(path).unwrap_or_else(|| panic!("{path} is lost"));
                assert_eq!(held[b"written".as_slice()].content, b"precious", "{path}");
                let now = &held[&Vec::new()].facts;
                let of = |facts: &dirfd::Facts| (facts.uid, facts.gid, facts.mode);
                assert_eq!(of(now), of(facts), "{path}: owner and mode");
            }
        }
    }

    /// What must hold at every moment; `dead` if the process or the machine went meanwhile.
    pub fn check_safe(&self, dead: bool, what: &str) {
        for path in self.scenario.entries() {
            let lived = below(&self.live_before, path).filter(is_data);
            let stored = below(&self.store_before, path).filter(is_data);
            let held = self.held(path);
            let asides = self.beside(path, "before");
            let known = |tree: &oracle::Tree| {
                [&lived, &stored].into_iter().flatten().any(|one| same(one, tree))
            };
            if let Some(stored) = &stored {
                let name = held.as_ref();
                assert!(name.is_some(), "{what}: storage has nothing named {path} any more");
                let there = name.into_iter().chain(&asides).any(|tree| same(tree, stored));
                assert!(there, "{what}: what storage had of {path} is lost");
            }
            for tree in held.iter().filter(|tree| is_data(tree)).chain(&asides) {
                assert!(known(tree), "{what}: storage has something half of {path}: {tree:?}");
            }
            if let Some(lived) = &lived {
                let raw = tree_at(&self.live.join(path));
                let mut there = raw.iter().chain(&held);
                assert!(there.any(|tree| same(tree, lived)), "{what}: {path} of live is lost");
            }
            let before = self.seen_before[path].as_ref().filter(|tree| is_data(tree));
            if let Some(before) = before.filter(|_| !(dead && self.scenario.may_go_out_of_sight()))
            {
                let seen = self.seen(path);
                let seen = seen.is_some_and(|seen| same(&seen, before));
                assert!(seen, "{what}: {path} is hidden");
            }
        }
        for (side, before) in [(&self.live, &self.live_before), (&self.store, &self.store_before)] {
            for row in oracle::changes(before, &oracle::walk(side)) {
                let ours =
                    self.scenario.entries().any(|path| row.path.starts_with(path.as_bytes()));
                let added = matches!(row.kind, ChangeKind::Added);
                assert!(added || ours, "{what}: something else has changed: {row:?}");
            }
        }
    }

    /// One step failed with an errno: it is named with the reason, and all else is in force.
    pub fn check_failure(&self, ran: &Ran, errno: i32, what: &str) {
        let why = std::io::Error::from_raw_os_error(errno).to_string();
        let why = why.split(" (os").next().unwrap();
        let mut failed = ran.outcome.failed.iter();
        let (at, text) = match (failed.next(), &ran.announced) {
            (Some((at, error)), _) => (Some(*at), error.to_string()),
            (None, Err(error)) => (None, error.to_string()),
            (None, Ok(())) => panic!("{what}: nobody noticed"),
        };
        assert!(failed.next().is_none(), "{what}: more failed than one: {:?}", ran.outcome.failed);
        assert!(text.starts_with("cannot ") && text.contains(why), "{what}: {text}");
        let at = at.map(|at| ran.plan.steps[at].path());
        if let Some(path) = at {
            let live = path.to_string().replacen("/persist", "", 1);
            assert!(text.contains(&live), "{what}: {text} does not name {path}");
        }
        for path in self.scenario.entries() {
            let parse = |path: &str| TreePath::parse(path.as_bytes()).unwrap();
            let sides = [parse(path), parse(&format!("persist/{path}"))];
            let hit = |at: &TreePath| sides.iter().any(|p| p.is_within(at) || at.is_within(p));
            let in_force = self.in_force(path);
            assert!(at.is_some_and(hit) || in_force, "{what}: {path} is not in force");
        }
    }

    /// Whether a path leads to its data.
    fn in_force(&self, path: &str) -> bool {
        let id = |path: &Path| fs::metadata(path).ok().map(|stat| (stat.dev(), stat.ino()));
        id(&self.root.path().join(path)) == id(&self.store.join(path))
    }

    /// Whether storage has all of what live had.
    pub fn has_adopted(&self) -> bool {
        self.scenario.entries().all(|path| {
            let lived = below(&self.live_before, path).filter(is_data);
            lived.is_none_or(|lived| self.held(path).is_some_and(|held| same(&lived, &held)))
        })
    }

    /// What there is now.
    pub fn end(&self) -> End {
        let paths = || self.scenario.entries();
        End {
            seen: paths().map(|path| (path, self.seen(path))).collect(),
            held: paths().map(|path| (path, self.held(path))).collect(),
        }
    }

    /// What must hold after a run that nothing disturbed.
    pub fn check_converged(&self, ran: &Ran, end: &End, what: &str) {
        assert!(ran.outcome.is_complete(), "{what}: {:?}", ran.outcome);
        assert!(ran.plan.refusals.is_empty(), "{what}: {:?}", ran.plan.refusals);
        ran.announced.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
        self.check_safe(true, what);
        let left = self.left();
        assert!(left.steps.is_empty() && left.refusals.is_empty(), "{what}: left {left:?}");
        for path in self.scenario.entries() {
            assert!(self.in_force(path), "{what}: {path} is not in force");
            let sides = [(self.seen(path), &end.seen[path]), (self.held(path), &end.held[path])];
            for (now, expected) in sides {
                let none = oracle::Tree::new();
                let rows = oracle::changes(
                    expected.as_ref().unwrap_or(&none),
                    now.as_ref().unwrap_or(&none),
                );
                assert!(
                    rows.is_empty(),
                    "{what}: {path} is not as after an undisturbed run: {rows:?}"
                );
            }
        }
        let table = fs::read_to_string(self.host.path().join("run/mount/utab"));
        for option in self.scenario.announces() {
            let told = table.as_ref().is_ok_and(|table| table.contains(option));
            assert!(told, "{what}: nobody is told of {option}");
        }
    }
}

/// What has a name; a link is a tree of one.
pub(crate) fn tree_at(path: &Path) -> Option<oracle::Tree> {
    let stat = fs::symlink_metadata(path).ok()?;
    if stat.is_dir() {
        return Some(oracle::walk(path));
    }
    Some(oracle::Tree::from([(Vec::new(), oracle::entry_at(path))]))
}

pub(crate) fn below(tree: &oracle::Tree, path: &str) -> Option<oracle::Tree> {
    let prefix = [path.as_bytes(), b"/"].concat();
    let mut found = oracle::Tree::new();
    found.insert(Vec::new(), tree.get(path.as_bytes())?.clone());
    let inside = tree.iter().filter_map(|(name, entry)| {
        Some((name.strip_prefix(prefix.as_slice())?.to_vec(), entry.clone()))
    });
    found.extend(inside);
    Some(found)
}

/// Whether a tree holds what could be missed.
pub(crate) fn is_data(tree: &oracle::Tree) -> bool {
    let top = &tree[&Vec::new()];
    let link = top.facts.file_type == FileType::Symlink;
    !link && (tree.len() > 1 || !top.content.is_empty())
}

/// Whether two trees have the same content; the owner and mode at the top may have been declared.
pub(crate) fn same(one: &oracle::Tree, other: &oracle::Tree) -> bool {
    let rows = oracle::changes(one, other);
    rows.iter().all(|row| row.path.is_empty() && row.kind == ChangeKind::Metadata)
}
