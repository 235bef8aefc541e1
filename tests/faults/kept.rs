//! A live subvolume and a storage, on its file system or on another one, with a keep list to put in
//! force; and what must be true of both sides whatever happened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use backends::mountinfo;
use backends::private_mounts::{MountPoint, PrivateNamespace};
use backends::{ChangeKind, FileType, Result, TreePath};
use blankroot::apply::persist::Outcome;
use blankroot::config::Config;
use blankroot::host::{HostRoot, Machine};
use blankroot::persistence::{self, Persistence};
use blankroot::plan::apply::{Adopt, ApplyPlan, Asked};
use blankroot::{keep, plan};
use support::kernel::{create_subvolume, snapshot};
use support::oracle;
use tempfile::TempDir;

use crate::scenario::Scenario;

/// One mounted file system: its top level and its device.
#[derive(Clone, Copy)]
pub struct Disk<'d> {
    pub top: &'d Path,
    pub device: &'d Path,
}

/// What a run did.
pub struct Ran {
    pub plan: ApplyPlan,
    pub outcome: Outcome,
    pub announced: Result<()>,
}

/// A machine with its two sides.
pub struct Kept<'n> {
    scenario: Scenario,
    namespace: &'n PrivateNamespace,
    // In the order in which they must go.
    mounts: Vec<MountPoint>,
    root: TempDir,
    host: TempDir,
    case: String,
    config: Config,
    live: PathBuf,
    store: PathBuf,
    live_before: oracle::Tree,
    store_before: oracle::Tree,
    seen_before: BTreeMap<&'static str, Option<oracle::Tree>>,
}

/// What a run that nothing disturbs leads to.
pub struct End {
    seen: BTreeMap<&'static str, Option<oracle::Tree>>,
    held: BTreeMap<&'static str, Option<oracle::Tree>>,
}

impl<'n> Kept<'n> {
    /// Makes both sides, durably, and mounts them as a machine has them. The storage is on `other`.
    pub fn build(
        namespace: &'n PrivateNamespace,
        disk: Disk<'_>,
        other: Disk<'_>,
        scenario: Scenario,
    ) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let case = format!("kept {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let live = disk.top.join(&case).join("root");
        let store = other.top.join(&case).join("store");
        for tree in [&live, &store] {
            fs::create_dir_all(tree.parent().unwrap()).unwrap();
            create_subvolume(tree).unwrap();
        }
        for dir in ["etc", "persist", "srv", "var/lib", "home/alice"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        std::os::unix::fs::chown(live.join("home/alice"), Some(1000), Some(1000)).unwrap();
        fs::write(
            live.join("etc/passwd"),
            "root:x:0:0::/root:/\nalice:x:1000:1000::/home/alice:/\n",
        )
        .unwrap();
        fs::write(live.join("etc/group"), "root:x:0:\nalice:x:1000:\n").unwrap();
        scenario.fill_blank(&live);
        snapshot(&live, &live.with_file_name("blank"), true).unwrap();
        scenario.fill(&live, &store);
        support::sandbox::sync(disk.top);
        support::sandbox::sync(other.top);
        let mut kept = Self {
            scenario,
            namespace,
            mounts: Vec::new(),
            root: tempfile::tempdir().unwrap(),
            host: tempfile::tempdir().unwrap(),
            config: config(disk.device, &case, scenario.lists()),
            live_before: oracle::walk(&live),
            store_before: oracle::walk(&store),
            case,
            live,
            store,
            seen_before: BTreeMap::new(),
        };
        kept.boot(disk, other);
        if let Some(lists) = scenario.lists_before() {
            let now = std::mem::replace(&mut kept.config, config(disk.device, &kept.case, lists));
            let ran = kept.run();
            assert!(ran.outcome.is_complete() && ran.plan.refusals.is_empty(), "{scenario:?}");
            kept.config = now;
            kept.live_before = oracle::walk(&kept.live);
            support::sandbox::sync(disk.top);
            support::sandbox::sync(other.top);
        }
        for path in scenario.entries() {
            kept.seen_before.insert(path, kept.seen(path));
        }
        kept
    }

    /// Mounts both sides, which are found under these devices.
    pub fn boot(&mut self, disk: Disk<'_>, other: Disk<'_>) {
        self.host = tempfile::tempdir().unwrap();
        self.config = config(disk.device, &self.case, self.scenario.lists());
        let mount = |device: &Path, tree: &str, at: &Path| {
            let options = format!("commit=300,subvol={}/{tree}", self.case);
            self.namespace.mount(device, "btrfs", at, options.as_bytes()).unwrap()
        };
        let root = mount(disk.device, "root", self.root.path());
        let store = mount(other.device, "store", &self.root.path().join("persist"));
        self.mounts = vec![store, root];
    }

    /// Unmounts everything of it, as a machine that goes down.
    pub fn shut_down(&mut self) {
        let table = fs::read("/proc/thread-self/mountinfo").unwrap();
        for mount in mountinfo::parse(&table).unwrap().iter().rev() {
            let point = Path::new(std::ffi::OsStr::from_bytes(&mount.mount_point));
            let own = self.mounts.iter().any(|own| own.dir() == point);
            if point.starts_with(self.root.path()) && !own {
                nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH).unwrap();
            }
        }
        for mount in self.mounts.drain(..) {
            mount.unmount().unwrap();
        }
        for (path, seen) in &mut self.seen_before {
            // What was mounted is not seen until it is mounted again.
            let bare = below(&self.live_before, path);
            let shows = |tree: &oracle::Tree| {
                is_data(tree) || tree[&Vec::new()].facts.file_type == FileType::Symlink
            };
            *seen = seen.take().filter(|_| bare.as_ref().is_some_and(shows));
        }
    }

    /// What the command does, without its output.
    pub fn run(&self) -> Ran {
        let machine = Machine::open(self.root.path()).unwrap();
        let host = HostRoot::open(self.host.path()).unwrap();
        let mut persistence = self.persistence(&machine);
        let plan = persistence.plan(self.asked()).unwrap();
        let outcome = persistence.execute(&plan, &mut |_, _| {});
        let announced = persistence::announce(&plan, &outcome, &machine, &host);
        Ran { plan, outcome, announced }
    }

    /// What is left to do.
    fn left(&self) -> plan::apply::ApplyPlan {
        let machine = Machine::open(self.root.path()).unwrap();
        self.persistence(&machine).plan(self.asked()).unwrap()
    }

    fn persistence<'m>(&'m self, machine: &'m Machine) -> Persistence<'m> {
        let open = || self.config.open_backend(self.root.path()).map(Some);
        Persistence::new(machine, &keep::list(&self.config), open).unwrap()
    }

    fn asked(&self) -> Asked {
        let adopt = if self.scenario.adopts() { Adopt::Everything } else { Adopt::Nothing };
        Asked { adopt, mounts: true }
    }

    /// What a program sees at a path.
    fn seen(&self, path: &str) -> Option<oracle::Tree> {
        tree_at(&fs::canonicalize(self.root.path().join(path)).ok()?)
    }

    fn held(&self, path: &str) -> Option<oracle::Tree> {
        tree_at(&self.store.join(path))
    }

    /// What storage has beside a path under a name of this kind.
    fn beside(&self, path: &str, mark: &str) -> Vec<oracle::Tree> {
        let path = self.store.join(path);
        let start = format!(".{}.{mark}-", path.file_name().unwrap().to_str().unwrap());
        let Ok(dir) = fs::read_dir(path.parent().unwrap()) else { return Vec::new() };
        let names = dir.map(|entry| entry.unwrap().path());
        names
            .filter(|path| path.file_name().unwrap().as_bytes().starts_with(start.as_bytes()))
            .map(|path| tree_at(&path).unwrap())
            .collect()
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

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.mounts.is_empty() {
            self.shut_down();
        }
    }
}

fn config(device: &Path, case: &str, lists: &str) -> Config {
    let text = format!(
        "[root]\nbackend = \"btrfs\"\ndevice = \"{}\"\nlive = \"{case}/root\"\nblank = \
         \"{case}/blank\"\nold = \"{case}/old\"\n[[storage]]\npath = \"/persist\"\n{lists}",
        device.display()
    );
    Config::parse(Path::new("blankroot.toml"), text.as_bytes()).unwrap()
}

/// What has a name; a link is a tree of one.
fn tree_at(path: &Path) -> Option<oracle::Tree> {
    let stat = fs::symlink_metadata(path).ok()?;
    if stat.is_dir() {
        return Some(oracle::walk(path));
    }
    Some(oracle::Tree::from([(Vec::new(), oracle::entry_at(path))]))
}

fn below(tree: &oracle::Tree, path: &str) -> Option<oracle::Tree> {
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
fn is_data(tree: &oracle::Tree) -> bool {
    let top = &tree[&Vec::new()];
    let link = top.facts.file_type == FileType::Symlink;
    !link && (tree.len() > 1 || !top.content.is_empty())
}

/// Whether two trees have the same content; the owner and mode at the top may have been declared.
fn same(one: &oracle::Tree, other: &oracle::Tree) -> bool {
    let rows = oracle::changes(one, other);
    rows.iter().all(|row| row.path.is_empty() && row.kind == ChangeKind::Metadata)
}
