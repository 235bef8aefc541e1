//! A root and two storages on file systems of their own, in a mount namespace of this thread alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use blankroot::config::Config;
use blankroot::host::Machine;
use blankroot::persist::execute::ApplyOutcome;
use blankroot::persist::list;
use blankroot::persist::persistence::Persistence;
use blankroot::persist::plan::{ApplyOptions, ApplyPlan};
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use scratch::file_systems::Throwaway;
use support::sandbox::{skip, unmount_below};
use tempfile::TempDir;

/// Everything that `apply` looks at.
pub struct Ground {
    // In the order in which they must go.
    _storages: Vec<MountPoint>,
    _root: MountPoint,
    _namespace: PrivateNamespace,
    dir: TempDir,
}

pub const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
                          colord:x:33:44::/:/bin/false\n";
pub const GROUP: &str = "root:x:0:\nalice:x:1000:\ncolord:x:44:\n";
pub const STORAGES: [&str; 2] = ["persist", "other"];

impl Ground {
    /// An empty root but for its accounts.
    pub fn new() -> Self {
        let namespace = PrivateNamespace::enter().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tmpfs = |at: &Path| {
            namespace.mount(Path::new("tmpfs"), "tmpfs", at, b"mode=0755,size=64m").unwrap()
        };
        let root = tmpfs(dir.path());
        let mut storages = Vec::new();
        for storage in STORAGES {
            fs::create_dir(dir.path().join(storage)).unwrap();
            storages.push(tmpfs(&dir.path().join(storage)));
        }
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), PASSWD).unwrap();
        fs::write(dir.path().join("etc/group"), GROUP).unwrap();
        Self { _storages: storages, _root: root, _namespace: namespace, dir }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Plans and does.
    pub fn apply_once(&self, config: &Config, asked: ApplyOptions) -> (ApplyPlan, ApplyOutcome) {
        let machine = Machine::open(self.root()).unwrap();
        let open = || config.open_backend(self.root()).map(Some);
        let mut persistence = Persistence::new(&machine, &list::keep_list(config), open).unwrap();
        let plan = persistence.plan(asked).unwrap();
        let outcome = persistence.execute(&plan, &mut |_, _| {});
        (plan, outcome)
    }

    /// Unmounts whatever was mounted since it was made.
    pub fn unmount_all(&self) {
        let own: Vec<PathBuf> = STORAGES.iter().map(|storage| self.path(storage)).collect();
        unmount_below(self.root(), &own);
    }

    /// Plans and does; the plan, what became of it, and the plan that is left then.
    pub fn apply(
        &self,
        config: &Config,
        asked: ApplyOptions,
    ) -> (ApplyPlan, ApplyOutcome, ApplyPlan) {
        let machine = Machine::open(self.root()).unwrap();
        let open = || config.open_backend(self.root()).map(Some);
        let mut persistence = Persistence::new(&machine, &list::keep_list(config), open).unwrap();
        let plan = persistence.plan(asked).unwrap();
        let outcome = persistence.execute(&plan, &mut |_, _| {});
        let left = persistence.plan(asked).unwrap();
        (plan, outcome, left)
    }
}

/// The configuration whose lists are `text`.
pub fn config(text: &str) -> Option<Config> {
    let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
    Config::parse(Path::new("blankroot.toml"), text.as_bytes()).ok()
}

/// Runs `story` in a thread of its own, as root; or skips it.
pub fn as_root(story: impl FnOnce() + Send) {
    if let Some(why) = Throwaway::unavailable() {
        return skip(&why);
    }
    let outcome = thread::scope(|scope| scope.spawn(story).join());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
