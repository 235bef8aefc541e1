//! A root that was lived in, and what must be true of it whatever happened.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use backends::btrfs::Btrfs;
use backends::lock::patiently;
use backends::{Backend, Layout, LockedBackend, Survey, Tree, TreeId, Unfinished};
use blankroot::boot::execute_steps;
use blankroot::boot::facts::BootFacts;
use blankroot::boot::rollback_plan;
use blankroot::boot::stamp::RollbackOutcome;
use blankroot::boot::stamp::Stamp;
use blankroot::cli::arguments::Cli;
use blankroot::config::rollback_options::Strategy;
use blankroot::host::HostRoot;
use chrono::Utc;
use clap::Parser;
use dirfd::TreeName;
use support::kernel::{create_subvolume, snapshot};
use support::{names, oracle};
use tempfile::TempDir;

/// What is special about the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// Live is the default subvolume.
    Default,
    /// Live holds a subvolume of its own.
    Nested,
    /// Blank has the stub of a subvolume.
    Stub,
    /// It was rolled back before.
    Second,
    /// There is no directory of old roots.
    NoOldDir,
}

impl Variant {
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Default, Self::Nested, Self::Stub, Self::Second, Self::NoOldDir];
}

/// One layout in a directory of its own on a mounted file system, with the host that boots it.
pub struct Stage {
    pub dir: PathBuf,
    pub device: PathBuf,
    pub layout: Layout,
    pub host: TempDir,
    variant: Variant,
    blank: (TreeId, oracle::Tree),
    lived: (TreeId, oracle::Tree),
    old_roots: Vec<(TreeId, oracle::Tree)>,
}

impl Stage {
    /// Makes blank and a live that differs from it, durably.
    pub fn build(top: &Path, device: &Path, variant: Variant) -> Self {
        let (dir, layout) = place(top);
        fs::create_dir(&dir).unwrap();
        let live = dir.join("root");
        create_subvolume(&live).unwrap();
        fill(&live);
        if variant == Variant::Stub {
            let tmp = live.join("var tmp");
            create_subvolume(&tmp).unwrap();
            chown(&tmp, Some(1000), Some(7)).unwrap();
            fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).unwrap();
        }
        snapshot(&live, &dir.join("root-blank"), true).unwrap();
        if variant != Variant::NoOldDir {
            fs::DirBuilder::new().mode(0o700).create(dir.join("old-roots")).unwrap();
        }
        let none = (TreeId::new(""), oracle::Tree::new());
        let mut stage = Self {
            dir,
            device: device.to_path_buf(),
            layout,
            host: host(),
            variant,
            blank: none.clone(),
            lived: none,
            old_roots: Vec::new(),
        };
        if variant == Variant::Stub {
            let blank = stage.survey().blank.tree().cloned().unwrap();
            stage.backend().lock().unwrap().list_stubs(&blank).unwrap();
        }
        if variant == Variant::Second {
            fs::write(live.join("first life"), "precious").unwrap();
            stage.roll_back().unwrap();
            stage.host = host();
        }
        fs::write(live.join("new"), "precious").unwrap();
        fs::write(live.join("etc/conf"), "changed").unwrap();
        fs::remove_file(live.join("gone")).unwrap();
        if variant == Variant::Nested {
            create_subvolume(&live.join("nested")).unwrap();
            fs::write(live.join("nested/inside"), "precious").unwrap();
        }
        if variant == Variant::Default {
            stage.backend().lock().unwrap().make_live_default().unwrap();
        }
        support::sandbox::sync(&stage.dir);
        let survey = stage.survey();
        let read = |tree: &Tree| (tree.id.clone(), stage.walk(&tree.name));
        let blank = read(survey.blank.tree().unwrap());
        let lived = read(survey.live.tree().unwrap());
        let old_roots = survey.old_roots.iter().map(|old| read(&old.tree)).collect();
        Self { blank, lived, old_roots, ..stage }
    }

    /// The disk is found again under another name, by a new boot.
    pub fn boot(&mut self, device: &Path) {
        self.device = device.to_path_buf();
        self.host = host();
    }

    pub fn backend(&self) -> Btrfs {
        Btrfs::open(&self.device, self.layout.clone()).unwrap()
    }

    pub fn survey(&self) -> Survey {
        self.backend().survey().unwrap()
    }

    /// What the command does, without its output.
    pub fn roll_back(&self) -> Result<(), String> {
        let host = HostRoot::open(self.host.path()).unwrap();
        let facts = BootFacts::gather(&host, Utc::now()).unwrap();
        let backend = self.backend();
        let mut locked = lock(&backend).map_err(|e| e.to_string())?;
        let survey = locked.survey_for_rollback().map_err(|e| e.to_string())?;
        let plan = rollback_plan::plan_rollback(Strategy::SetAside, &survey, &facts, &self.layout)
            .map_err(|r| format!("refused: {r:?}"))?;
        let stamp = Stamp::new(facts.boot_id, facts.clock, RollbackOutcome::RolledBack);
        match execute_steps::execute_rollback(
            &plan,
            &mut locked,
            &survey,
            &host,
            stamp,
            Instant::now(),
        ) {
            Ok(_) => Ok(()),
            Err(stopped) => {
                let _ = stopped.stamp.write(&host);
                Err(stopped.to_string())
            }
        }
    }

    /// The command itself.
    pub fn command(&self) -> ExitCode {
        let config = self.host.path().join("blankroot.toml");
        let name = |name: &TreeName| name.as_path().display().to_string();
        let text = format!(
            "[root]\nbackend = \"btrfs\"\ndevice = \"{}\"\nlive = \"{}\"\nblank = \"{}\"\nold = \
             \"{}\"\n",
            self.device.display(),
            name(&self.layout.live),
            name(&self.layout.blank),
            name(&self.layout.old)
        );
        fs::write(&config, text).unwrap();
        let (config, host) = (config.as_os_str(), self.host.path().as_os_str());
        let words = ["blankroot".as_ref(), "--config".as_ref(), config];
        let cli = Cli::parse_from(words.into_iter().chain([
            "rollback".as_ref(),
            "--host".as_ref(),
            host,
        ]));
        blankroot::cli::run(&cli)
    }

    /// Whether another tree than the one that was lived in is live.
    pub fn is_replaced(&self) -> bool {
        self.survey().live.tree().is_some_and(|live| live.id != self.lived.0)
    }

    /// Whether an interrupted run left a copy that the next can take.
    pub fn has_fresh_copy(&self) -> bool {
        self.survey().unfinished.iter().any(|u| matches!(u, Unfinished::FreshCopy { .. }))
    }

    /// What must hold at every moment.
    pub fn check_safe(&self, what: &str) {
        let survey = self.survey();
        let live = survey.live.tree().unwrap_or_else(|| panic!("{what}: live is missing"));
        let blank = survey.blank.tree().unwrap_or_else(|| panic!("{what}: blank is missing"));
        assert_eq!(blank.id, self.blank.0, "{what}: blank is another tree");
        assert!(blank.read_only, "{what}: blank is writable");
        self.same(&self.blank.1, &blank.name, &format!("{what}: blank"));
        if live.id == self.lived.0 {
            self.same(&self.lived.1, &live.name, &format!("{what}: live, as before,"));
            self.check_nested(&live.name, what);
        } else {
            self.same(&self.blank.1, &live.name, &format!("{what}: live, replaced,"));
            self.check_replaced(&live.name, what);
            self.check_old_root(&survey, &self.lived, what);
        }
        for old in &self.old_roots {
            self.check_old_root(&survey, old, what);
        }
        for unfinished in &survey.unfinished {
            let documented = match unfinished {
                Unfinished::RecordOnly(_)
                | Unfinished::FreshCopy { .. }
                | Unfinished::Leftover(_) => true,
                Unfinished::DefaultLeftBehind(_) => self.variant == Variant::Default,
                Unfinished::HalfSetAside(_)
                | Unfinished::Foreign(_)
                | Unfinished::UnreadableRecord { .. }
                | Unfinished::HalfDeleted { .. } => false,
            };
            assert!(documented, "{what}: left {unfinished:?}");
        }
    }

    /// What must hold after a run that nothing disturbed.
    pub fn check_converged(&self, what: &str) {
        self.check_safe(what);
        let survey = self.survey();
        let live = survey.live.tree().unwrap();
        assert_ne!(live.id, self.lived.0, "{what}: live was not replaced");
        let expected = self.old_roots.len() + 1;
        assert_eq!(survey.old_roots.len(), expected, "{what}: {:?}", survey.old_roots);
        let default = self.variant == Variant::Default;
        assert_eq!(survey.live_is_default, default, "{what}: where the default leads");
        let left = |u: &&Unfinished| matches!(u, Unfinished::DefaultLeftBehind(_));
        assert_eq!(survey.unfinished.iter().find(left), None, "{what}");
        let stamp = Stamp::read(&HostRoot::open(self.host.path()).unwrap()).unwrap();
        assert_eq!(stamp.unwrap().outcome, RollbackOutcome::RolledBack, "{what}: the stamp");
    }

    fn check_old_root(&self, survey: &Survey, expected: &(TreeId, oracle::Tree), what: &str) {
        let found = survey.old_roots.iter().find(|old| old.tree.id == expected.0);
        let old = found.unwrap_or_else(|| panic!("{what}: an old root is lost: {survey:#?}"));
        assert_eq!(old.record.live, expected.0, "{what}: the record names another tree");
        self.same(&expected.1, &old.tree.name, &format!("{what}: the old root"));
        if expected.0 == self.lived.0 {
            self.check_nested(&old.tree.name, what);
        }
    }

    fn check_replaced(&self, live: &TreeName, what: &str) {
        if self.variant == Variant::Stub {
            let found = fs::metadata(self.path(live).join("var tmp")).unwrap();
            assert_ne!(found.ino(), 2, "{what}: a stub is left");
            let is = (found.uid(), found.gid(), found.mode() & 0o7777);
            assert_eq!(is, (1000, 7, 0o1777), "{what}: what is in the place of the stub");
        }
    }

    fn check_nested(&self, root: &TreeName, what: &str) {
        if self.variant == Variant::Nested {
            let inside = self.path(root).join("nested/inside");
            assert_eq!(fs::read(inside).unwrap(), b"precious", "{what}: the nested subvolume");
        }
    }

    fn same(&self, expected: &oracle::Tree, name: &TreeName, what: &str) {
        let rows = oracle::changes(expected, &self.walk(name));
        if let Some(text) = oracle::difference(&[], &rows) {
            panic!("{what} `{name}` has another content:\n{text}");
        }
    }

    /// What a tree holds.
    pub fn walk(&self, name: &TreeName) -> oracle::Tree {
        oracle::walk(&self.path(name))
    }

    /// Where a tree is.
    pub fn path(&self, name: &TreeName) -> PathBuf {
        self.dir.parent().unwrap().join(name.as_path())
    }
}

/// Takes the lock. A program that another test starts has, until it is loaded, all that was open
/// here, and so a lock that was let go by now.
pub fn lock(backend: &Btrfs) -> Result<LockedBackend<'_>, dirfd::Error> {
    patiently(|| backend.lock(), || ())
}

/// A live of its own without a blank.
pub struct Fresh {
    pub dir: PathBuf,
    pub device: PathBuf,
    pub layout: Layout,
}

impl Fresh {
    /// Makes live and fills it, durably.
    pub fn build(top: &Path, device: &Path, fill: fn(&Path)) -> Self {
        let (dir, layout) = place(top);
        fs::create_dir(&dir).unwrap();
        create_subvolume(&dir.join("root")).unwrap();
        fill(&dir.join("root"));
        support::sandbox::sync(&dir);
        Self { dir, device: device.to_path_buf(), layout }
    }

    pub fn backend(&self) -> Btrfs {
        Btrfs::open(&self.device, self.layout.clone()).unwrap()
    }

    pub fn walk(&self, name: &TreeName) -> oracle::Tree {
        oracle::walk(&self.path(name))
    }

    pub fn path(&self, name: &TreeName) -> PathBuf {
        self.dir.parent().unwrap().join(name.as_path())
    }
}

/// A directory that no other stage has, and the names in it.
fn place(top: &Path) -> (PathBuf, Layout) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let case = format!("case {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let name = |name: &str| TreeName::new(format!("{case}/{name}")).unwrap();
    let layout = Layout { live: name("root"), blank: name("root-blank"), old: name("old-roots") };
    (top.join(&case), layout)
}

/// What blank holds.
pub fn fill(root: &Path) {
    fs::create_dir(root.join("etc")).unwrap();
    for (file, content) in [("etc/conf", "as shipped"), ("gone", "x"), ("with\nline", "")] {
        fs::write(root.join(file), content).unwrap();
    }
    let odd = root.join(std::ffi::OsStr::from_bytes(b"\xff not UTF-8"));
    fs::write(&odd, names::content(1, 20_000)).unwrap();
    fs::set_permissions(odd, fs::Permissions::from_mode(0o4755)).unwrap();
}

/// A boot: what a rollback reads of the kernel, and an empty `/run`.
fn host() -> TempDir {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let host = tempfile::tempdir().unwrap();
    for dir in ["proc/sys/kernel/random", "sys/class/block"] {
        fs::create_dir_all(host.path().join(dir)).unwrap();
    }
    let boot = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{boot:08x}-7a01-4b6e-9d0a-000000000000\n");
    fs::write(host.path().join("proc/sys/kernel/random/boot_id"), id).unwrap();
    fs::write(host.path().join("proc/cmdline"), "quiet\n").unwrap();
    host
}
