//! A live subvolume and a storage, on its file system or on another one, with a keep list to put in
//! force; and what must be true of both sides whatever happened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use blankroot::cli::arguments::Cli;
use blankroot::config::Config;
use blankroot::host::{HostRoot, Machine};
use blankroot::persist::execute::ApplyOutcome;
use blankroot::persist::list;
use blankroot::persist::persistence::{self, Persistence};
use blankroot::persist::plan::{Adopt, ApplyOptions, ApplyPlan};
use clap::Parser;
use dirfd::mountinfo;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::{FileType, Result};
use support::kernel::{create_subvolume, snapshot};
use support::oracle;
use tempfile::TempDir;

use crate::scenario::Scenario;
use blankroot::persist::plan;
pub use checks::End;
use checks::{below, is_data, tree_at};

#[path = "kept_checks.rs"]
mod checks;

/// One mounted file system: its top level and its device.
#[derive(Clone, Copy)]
pub struct Disk<'d> {
    pub top: &'d Path,
    pub device: &'d Path,
}

/// What a run did.
pub struct Ran {
    pub plan: ApplyPlan,
    pub outcome: ApplyOutcome,
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
    text: String,
    config: Config,
    live: PathBuf,
    store: PathBuf,
    live_before: oracle::Tree,
    store_before: oracle::Tree,
    seen_before: BTreeMap<&'static str, Option<oracle::Tree>>,
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
            config: config(&text(disk.device, &case, scenario.lists())),
            text: text(disk.device, &case, scenario.lists()),
            live_before: oracle::walk(&live),
            store_before: oracle::walk(&store),
            case,
            live,
            store,
            seen_before: BTreeMap::new(),
        };
        kept.boot(disk, other);
        if let Some(lists) = scenario.lists_before() {
            let before = config(&text(disk.device, &kept.case, lists));
            let now = std::mem::replace(&mut kept.config, before);
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
        self.text = text(disk.device, &self.case, self.scenario.lists());
        self.config = config(&self.text);
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
        for mount in mountinfo::parse_mountinfo(&table).unwrap().iter().rev() {
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
        self.run_as(self.asked())
    }

    /// The same without leave to move anything of live.
    pub fn run_without_adoption(&self) -> Ran {
        self.run_as(ApplyOptions { adopt: Adopt::Nothing, mounts: true, early: false })
    }

    fn run_as(&self, asked: ApplyOptions) -> Ran {
        let machine = Machine::open(self.root.path()).unwrap();
        let host = HostRoot::open(self.host.path()).unwrap();
        let mut persistence = self.persistence(&machine);
        let plan = persistence.plan(asked).unwrap();
        let outcome = persistence.execute(&plan, &mut |_, _| {});
        let announced = persistence::announce_mounts(&plan, &outcome, &machine, &host);
        Ran { plan, outcome, announced }
    }

    /// The command itself.
    pub fn command(&self) -> ExitCode {
        let config = self.host.path().join("blankroot.toml");
        fs::write(&config, &self.text).unwrap();
        let mut words = vec!["blankroot".into(), "--config".into(), config.into_os_string()];
        words.extend(["apply", "--root"].map(Into::into));
        words.extend([self.root.path().into(), "--host".into(), self.host.path().into()]);
        words.extend(self.scenario.adopts().then(|| "--adopt".into()));
        blankroot::cli::run(&Cli::parse_from(words))
    }

    /// What is left to do.
    fn left(&self) -> plan::ApplyPlan {
        let machine = Machine::open(self.root.path()).unwrap();
        self.persistence(&machine).plan(self.asked()).unwrap()
    }

    fn persistence<'m>(&'m self, machine: &'m Machine) -> Persistence<'m> {
        let open = || self.config.open_backend(self.root.path()).map(Some);
        Persistence::new(machine, &list::keep_list(&self.config), open).unwrap()
    }

    fn asked(&self) -> ApplyOptions {
        let adopt = if self.scenario.adopts() { Adopt::Everything } else { Adopt::Nothing };
        ApplyOptions { adopt, mounts: true, early: false }
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
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.mounts.is_empty() {
            self.shut_down();
        }
    }
}

fn text(device: &Path, case: &str, lists: &str) -> String {
    format!(
        "[root]\nbackend = \"btrfs\"\ndevice = \"{}\"\nlive = \"{case}/root\"\nblank = \
         \"{case}/blank\"\nold = \"{case}/old\"\n[[storage]]\npath = \"/persist\"\n{lists}",
        device.display()
    )
}

fn config(text: &str) -> Config {
    Config::parse(Path::new("blankroot.toml"), text.as_bytes()).unwrap()
}
