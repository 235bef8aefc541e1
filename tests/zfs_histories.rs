//! `diff` is exact on ZFS too: after any history it answers what a whole walk of both trees answers. On a
//! real pool: `BLANKROOT_TEST_POOL` names one that may be filled.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use backends::zfs::Zfs;
use backends::{Backend, FastChanges, Layout};
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::process::Program;
use dirfd::{Changes, TreeName};
use support::ground::Ground;
use support::histories::{self, BLANK, LIVE, Outcome};
use support::{oracle, sandbox};
use tempfile::TempDir;

const ZFS: Program = Program::new("zfs", "zfsutils-linux");
/// How many copies stem from one snapshot of the base tree. The next one is younger than its files by more
/// than times of change have to be to tell anything.
const PER_SNAPSHOT: usize = 20;

/// The dataset of the base tree: the first that is made.
const BASE: &str = "t1";

/// A tree that is mounted, and what it is called below the dataset of all.
struct Mounted {
    name: String,
    mount: Option<MountPoint>,
}

/// Datasets and snapshots as trees.
struct Datasets {
    trees: BTreeMap<String, Mounted>,
    namespace: PrivateNamespace,
    dir: TempDir,
    top: String,
    /// Datasets that go when all trees but the base tree are deleted: some are needed for others.
    doomed: Vec<String>,
    made: usize,
    /// The number of the newest snapshot of the base tree.
    of_base: Option<usize>,
}

impl Datasets {
    fn new(pool: &str, style: &str) -> Self {
        let top = format!("{pool}/histories {style}");
        let xattr = format!("xattr={style}");
        let options = ["-o", "mountpoint=legacy", "-o", "acltype=posix", "-o", &xattr];
        zfs(&[&["create"], &options[..], &[&top]].concat());
        Self {
            trees: BTreeMap::new(),
            namespace: PrivateNamespace::enter().unwrap(),
            dir: tempfile::tempdir().unwrap(),
            top,
            doomed: Vec::new(),
            made: 0,
            of_base: None,
        }
    }

    fn next(&mut self) -> String {
        self.made += 1;
        format!("t{}", self.made)
    }

    fn mount(&mut self, tree: &str, name: String) {
        let dir = self.dir.path().join(tree);
        fs::create_dir_all(&dir).unwrap();
        let source = format!("{}/{name}", self.top);
        let mount = self.namespace.mount(Path::new(&source), "zfs", &dir, b"").unwrap();
        self.trees.insert(tree.to_string(), Mounted { name, mount: Some(mount) });
    }

    /// A snapshot of a tree as it is now, by its name below the dataset of all.
    fn snapshot_of(&mut self, tree: &str) -> String {
        let name = self.trees[tree].name.clone();
        if name.contains('@') {
            return name;
        }
        // Nothing changes the base tree, so one snapshot is as good as another.
        let is_base = name == BASE;
        let number = if is_base { self.made / PER_SNAPSHOT } else { self.made };
        let snapshot = format!("{name}@{number}");
        if !is_base || self.of_base != Some(number) {
            zfs(&["snapshot", &format!("{}/{snapshot}", self.top)]);
        }
        if is_base {
            self.of_base = Some(number);
        }
        snapshot
    }
}

impl Ground for Datasets {
    fn top(&self) -> &Path {
        self.dir.path()
    }

    fn remount(&mut self) {
        let names: Vec<(String, String)> =
            self.trees.iter().map(|(tree, at)| (tree.clone(), at.name.clone())).collect();
        for (tree, name) in names {
            self.trees.remove(&tree).and_then(|at| at.mount).unwrap().unmount().unwrap();
            self.mount(&tree, name);
        }
    }

    fn create(&mut self, tree: &str) {
        let name = self.next();
        zfs(&["create", &format!("{}/{name}", self.top)]);
        self.mount(tree, name);
    }

    fn copy(&mut self, from: &str, to: &str, read_only: bool) {
        let snapshot = self.snapshot_of(from);
        if read_only {
            return self.mount(to, snapshot);
        }
        let name = self.next();
        let whole = format!("{}/{name}", self.top);
        zfs(&["clone", &format!("{}/{snapshot}", self.top), &whole]);
        self.doomed.push(whole);
        self.mount(to, name);
    }

    fn delete(&mut self, tree: &str) {
        if let Some(mount) = self.trees.remove(tree).and_then(|at| at.mount) {
            mount.unmount().unwrap();
        }
        if self.trees.len() > 1 {
            return;
        }
        for doomed in std::mem::take(&mut self.doomed) {
            let is_there = || ZFS.run(["list", &doomed]).is_ok();
            let destroyed = (0..20).any(|_| {
                let done = ZFS.run(["destroy", "-R", &doomed]).is_ok() || !is_there();
                if !done {
                    thread::sleep(Duration::from_millis(50));
                }
                done
            });
            assert!(destroyed, "{doomed} stays");
        }
    }
}

/// Runs `zfs` as an owner would.
#[track_caller]
fn zfs(args: &[&str]) {
    ZFS.run(args).unwrap();
}

/// What changed from blank to live, as `diff` asks for it; why not, if the fast way did not run.
fn changes(end: &Outcome<'_, Datasets>) -> Result<Changes, String> {
    let name = |tree: &str| TreeName::new(end.sandbox.trees[tree].name.as_str());
    let layout = Layout { live: name(LIVE)?, blank: name(BLANK)?, old: TreeName::new("old")? };
    let backend = Zfs::open(&end.sandbox.top, layout).map_err(|e| e.to_string())?;
    let (live, blank) = backend.live_and_blank().map_err(|e| e.to_string())?;
    let (Some(live), Some(blank)) = (live.tree(), blank.tree()) else {
        return Err(format!("live or blank was not found: {live:?}, {blank:?}"));
    };
    match backend.changes(blank, live).map_err(|e| e.to_string())? {
        FastChanges::Exact(changes) => Ok(changes),
        FastChanges::Unavailable(why) => Err(format!("the fast way did not run: {why}")),
    }
}

/// Extended attributes in the inode itself, or as files of their own.
fn diff_is_exact_where_attributes_are_kept_as(style: &str) {
    let Some(pool) = std::env::var_os("BLANKROOT_TEST_POOL") else {
        return sandbox::skip("no pool for tests (BLANKROOT_TEST_POOL)");
    };
    let mut datasets = Datasets::new(&pool.into_string().unwrap(), style);
    let (seed, count) = (histories::seed(), histories::count(300).div_ceil(2));
    histories::run(&mut datasets, seed, count, |outcome| {
        let changes = changes(outcome)?;
        oracle::difference(outcome.expected, &oracle::rows(&changes)).map_or(Ok(()), Err)
    });
    let snapshots = ZFS.run(["list", "-H", "-o", "name", "-t", "snapshot"]).unwrap();
    let snapshots = String::from_utf8(snapshots).unwrap();
    assert!(!snapshots.contains("blankroot-diff"), "left behind: {snapshots}");
}

#[test]
fn diff_is_exact_with_attributes_in_inodes() {
    diff_is_exact_where_attributes_are_kept_as("sa");
}

#[test]
fn diff_is_exact_with_attributes_in_directories() {
    diff_is_exact_where_attributes_are_kept_as("dir");
}
