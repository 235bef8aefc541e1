//! The same for what the initrd puts in its place: a storage is mounted or it is not, blank's identity
//! is never lost, the reason is told, and the next run finishes.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use blankroot::cli::arguments::Cli;
use clap::Parser;
use dirfd::fault::{Fault, run_with};
use dirfd::private_namespace::MountPoint;
use support::kernel::{create_subvolume, snapshot};
use support::sandbox::{Sandbox, on_btrfs, unmount_below};
use tempfile::TempDir;

use crate::ERRNOS;

const ID: &str = "0123456789abcdef0123456789abcdef\n";

/// Every change of a first boot, whose id comes from blank.
const FIRST_BOOT: [&str; 16] = [
    "early: open file system",
    "early: mount",
    // The directory in storage.
    "apply: make directory",
    "apply: set mode",
    "apply: name",
    // The id.
    "copy: make private directory",
    "xattr: mark private directory",
    "copy: make file",
    "copy: clone",
    "copy: set mode",
    "copy: set times",
    "copy: sync",
    "copy: name",
    "copy: sync name",
    "copy: remove private directory",
    "apply: mount",
];

/// A root that is mounted, and nothing else of it.
struct Booting {
    root: TempDir,
    host: TempDir,
    store: PathBuf,
    mount: Option<MountPoint>,
}

impl Booting {
    fn new(sandbox: &Sandbox) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let case = format!("early {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (dir, device) = (sandbox.top().join(&case), sandbox.throwaway().device().display());
        fs::create_dir(&dir).unwrap();
        for tree in ["root", "store"] {
            create_subvolume(&dir.join(tree)).unwrap();
        }
        let live = dir.join("root");
        for name in ["etc", "persist"] {
            fs::create_dir(live.join(name)).unwrap();
        }
        let escaped = case.replace(' ', "\\040");
        let fstab = format!("{device} /persist btrfs subvol={escaped}/store,nofail\n");
        fs::write(live.join("etc/fstab"), fstab).unwrap();
        fs::write(live.join("etc/machine-id"), ID).unwrap();
        snapshot(&live, &dir.join("blank"), true).unwrap();
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let text = format!(
            "[root]\nbackend = \"btrfs\"\ndevice = \"{device}\"\nlive = \"{case}/root\"\n\
             blank = \"{case}/blank\"\nold = \"{case}/old\"\n[[storage]]\npath = \"/persist\"\n\
             files = [\"/etc/machine-id\"]\n"
        );
        fs::create_dir(host.path().join("etc")).unwrap();
        fs::write(host.path().join("etc/blankroot.toml"), text).unwrap();
        std::os::unix::fs::symlink("/dev", host.path().join("dev")).unwrap();
        let options = format!("subvol={case}/root");
        let device = sandbox.throwaway().device();
        let mount = sandbox.namespace().mount(device, "btrfs", root.path(), options.as_bytes());
        Self { root, host, store: dir.join("store"), mount: Some(mount.unwrap()) }
    }

    fn command(&self) -> ExitCode {
        let (root, host) = (self.root.path().as_os_str(), self.host.path().as_os_str());
        let words = ["blankroot".as_ref(), "apply".as_ref(), "--in-initrd".as_ref()];
        let places = ["--root".as_ref(), root, "--host".as_ref(), host];
        blankroot::cli::run(&Cli::parse_from(words.into_iter().chain(places)))
    }

    /// What PID 1 reads, whatever happened.
    fn check_safe(&self, what: &str) {
        let read = fs::read_to_string(self.root.path().join("etc/machine-id"));
        assert_eq!(read.unwrap(), ID, "{what}");
        if let Ok(stored) = fs::read_to_string(self.store.join("etc/machine-id")) {
            assert_eq!(stored, ID, "{what}: half an id in storage");
        }
    }

    fn check_converged(&self, what: &str) {
        self.check_safe(what);
        let id = |path: PathBuf| {
            let stat = rustix::fs::stat(path).unwrap();
            stat.st_ino
        };
        let (seen, stored) =
            (self.root.path().join("etc/machine-id"), self.store.join("etc/machine-id"));
        assert!(stored.exists(), "{what}: nothing in storage");
        assert_eq!(id(seen), id(stored), "{what}: something else is at the place");
    }
}

impl Drop for Booting {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            unmount_below(self.root.path(), &[]);
            self.mount.take().unwrap().unmount().unwrap();
        }
    }
}

#[test]
fn an_early_run_passes_exactly_the_points_that_are_named_here() {
    on_btrfs(|sandbox| {
        let booting = Booting::new(sandbox);
        let (code, passed) = run_with(None, None, || booting.command());
        assert_eq!(passed, FIRST_BOOT);
        assert_eq!(code, ExitCode::SUCCESS);
        booting.check_converged("undisturbed");
        let (code, passed) = run_with(None, None, || booting.command());
        assert_eq!((code, passed.len()), (ExitCode::SUCCESS, 0), "a second time");
    });
}

#[test]
fn any_call_of_an_early_run_may_fail_or_be_the_last_and_the_next_run_finishes() {
    on_btrfs(|sandbox| {
        for (position, point) in FIRST_BOOT.into_iter().enumerate() {
            let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
            let fails = ERRNOS.map(|errno| Fault::FailNth(position, errno));
            for fault in cuts.into_iter().chain(fails) {
                let what = format!("{fault:?} ({point})");
                let booting = Booting::new(sandbox);
                let (code, passed) = run_with(Some(fault), None, || booting.command());
                assert!(passed.len() > position, "{what}: the point was not reached: {passed:?}");
                // A kernel that cannot clone is asked to copy.
                if point != "copy: clone" || !matches!(fault, Fault::FailNth(..)) {
                    assert_eq!(code, ExitCode::from(1), "{what}: nobody noticed");
                }
                booting.check_safe(&what);
                assert_eq!(booting.command(), ExitCode::SUCCESS, "{what}: the next run");
                booting.check_converged(&what);
            }
        }
    });
}
