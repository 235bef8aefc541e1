//! This machine in the place of the one whose power went: finds its disk, mounts it where nobody else
//! sees it, and runs the command on it.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use backends::btrfs::Btrfs;
use backends::{Backend, Layout, Survey};
use dirfd::TreeName;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::sys::loop_device::LoopDevice;
use support::oracle;
use tempfile::TempDir;

use super::drive::{Drive, memory};
use super::host_dir;
use crate::programs;

/// What the disk is called in configurations, in the guest and here.
pub const DISK: &str = "/mnt/disk";

/// A mount namespace of its own, in which the disk can have its name.
#[derive(Debug)]
pub struct Yard {
    namespace: PrivateNamespace,
}

/// Does `work` in a thread of its own, since a namespace is a thread's.
pub fn apart<R: Send>(work: impl FnOnce(&Yard) -> R + Send) -> R {
    let inside = || {
        let namespace = PrivateNamespace::enter().unwrap();
        namespace.mount(Path::new("tmpfs"), "tmpfs", Path::new("/mnt"), b"").unwrap().leave();
        work(&Yard { namespace })
    };
    let done = thread::scope(|scope| scope.spawn(inside).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The machine, with its disk mounted.
#[derive(Debug)]
pub struct Host<'y> {
    // In the order in which they must go.
    mount: Option<MountPoint>,
    device: LoopDevice,
    yard: &'y Yard,
    command: &'y Path,
    /// The top level, live, and the machine's proc, sys, dev, run and etc.
    top: TempDir,
    live: TempDir,
    own: TempDir,
    boots: Cell<u32>,
}

/// What a run of the command left.
#[derive(Debug)]
pub struct Ran {
    code: Option<i32>,
    said: String,
}

impl<'y> Host<'y> {
    /// Starts with this disk; `command` is what is run.
    pub fn start(yard: &'y Yard, drive: &Drive, command: &'y Path) -> Self {
        let device = drive.attach();
        if fs::symlink_metadata(DISK).is_ok() {
            fs::remove_file(DISK).unwrap();
        }
        symlink(device.path(), DISK).unwrap();
        let [top, live, own] = [(); 3].map(|()| TempDir::new_in(memory()).unwrap());
        host_dir::furnish(own.path());
        symlink("/dev", own.path().join("dev")).unwrap();
        // What nobody made durable is not on the disk by the luck of a timer.
        let options = b"commit=300,subvolid=5";
        let mount = yard.namespace.mount(device.path(), "btrfs", top.path(), options).unwrap();
        let boots = Cell::new(0);
        let host = Self { mount: Some(mount), device, yard, command, top, live, own, boots };
        host.boot();
        host
    }

    /// Another boot: `/run` is empty.
    pub fn boot(&self) {
        self.boots.set(self.boots.get() + 1);
        host_dir::boot(self.own.path(), self.boots.get());
    }

    /// The top level of the file system.
    pub fn top(&self) -> &Path {
        self.top.path()
    }

    /// Where live is mounted when it is.
    pub fn live(&self) -> &Path {
        self.live.path()
    }

    /// What is below the top level under this name.
    pub fn walk(&self, name: &str) -> oracle::Tree {
        oracle::walk(&self.top().join(name))
    }

    /// What the backend finds.
    pub fn survey(&self) -> Survey {
        Btrfs::open(self.device.path(), layout()).unwrap().survey().unwrap()
    }

    /// Gives the machine its own configuration, as an initrd has one.
    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    /// Where that is.
    pub fn config(&self) -> PathBuf {
        host_dir::config(self.own.path())
    }

    /// What the last rollback wrote of itself.
    pub fn stamp(&self) -> PathBuf {
        host_dir::stamp(self.own.path())
    }

    /// Mounts live, and the storage in it.
    pub fn mount_live(&self) -> Vec<MountPoint> {
        let mount = |tree: &str, dir: &Path| {
            let options = format!("commit=300,subvol={tree}");
            let device = self.device.path();
            self.yard.namespace.mount(device, "btrfs", dir, options.as_bytes()).unwrap()
        };
        [("root", self.live().to_path_buf()), ("persist", self.live().join("persist"))]
            .map(|(tree, dir)| mount(tree, &dir))
            .into()
    }

    /// Unmounts live and all that is in it.
    pub fn unmount_live(&self, mounts: Vec<MountPoint>) {
        let own: Vec<PathBuf> = mounts.iter().map(|mount| mount.dir().to_path_buf()).collect();
        for below in self.yard.namespace.mounts_below(self.live()).unwrap() {
            match own.iter().any(|dir| dir == below.dir()) {
                true => below.leave(),
                false => below.unmount().unwrap(),
            }
        }
        for mount in mounts.into_iter().rev() {
            mount.unmount().unwrap();
        }
    }

    /// Runs the command on what is not mounted.
    pub fn run(&self, args: &[&str]) -> Ran {
        let own = self.own.path().to_str().unwrap();
        let output = programs::output(self.command, args.iter().chain(&["--host", own]));
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        Ran { code: output.status.code(), said: said.concat() }
    }

    /// Runs the command on live, which is mounted.
    pub fn run_on_live(&self, args: &[&str]) -> Ran {
        let live = self.live().to_str().unwrap();
        self.run(&[args, &["--root", live]].concat())
    }

    /// Unmounts the disk, so that all is written to it.
    pub fn stop(mut self) {
        if let Some(mount) = self.mount.take() {
            mount.unmount().unwrap();
        }
    }
}

/// The names of the trees.
pub fn layout() -> Layout {
    let [live, blank, old] =
        ["root", "root-blank", "old-roots"].map(|name| TreeName::new(name).unwrap());
    Layout { live, blank, old }
}

impl Ran {
    /// Panics with all that was said unless it ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the command said: {}", self.said);
        self
    }
}
