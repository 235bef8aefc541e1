//! A throwaway Btrfs mounted where one thread alone sees it; or a counted skip where none can be had.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::{env, thread};

use dirfd::mountinfo;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use nix::mount::{MntFlags, umount2};
use scratch::file_systems::Throwaway;
use tempfile::TempDir;

/// Bytes of each disk; sparse, so that a test pays for what it writes.
const SIZE: u64 = 2 << 30;
/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A mounted throwaway file system.
pub struct Sandbox {
    // In the order in which they must go.
    mount: Option<MountPoint>,
    throwaway: Throwaway,
    namespace: PrivateNamespace,
    dir: TempDir,
}

impl Sandbox {
    /// Where the top level is mounted.
    pub fn top(&self) -> &Path {
        self.dir.path()
    }

    /// The file system itself.
    pub fn throwaway(&self) -> &Throwaway {
        &self.throwaway
    }

    /// The namespace of this thread, to mount more in.
    pub fn namespace(&self) -> &PrivateNamespace {
        &self.namespace
    }

    /// Unmounts and mounts again: everything is on the disk, and the kernel has forgotten it.
    pub fn remount(&mut self) {
        if let Some(mount) = self.mount.take() {
            mount.unmount().unwrap();
        }
        let mount = self.throwaway.mount(&self.namespace, None, self.dir.path()).unwrap();
        self.mount = Some(mount);
    }

    /// Ends the current transaction.
    pub fn sync(&self) {
        sync(self.top());
    }

    fn new(devices: usize) -> Self {
        let namespace = PrivateNamespace::enter().unwrap();
        let throwaway = Throwaway::btrfs_in(&image_dir(), SIZE, devices).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut sandbox = Self { mount: None, throwaway, namespace, dir };
        sandbox.remount();
        sandbox
    }
}

/// Ends the current transaction of the file system that holds `path`.
pub fn sync(path: &Path) {
    rustix::fs::syncfs(File::open(path).unwrap()).unwrap();
}

/// Unmounts, as a shutdown does, what this thread sees mounted below `dir`, last first; but not what
/// is mounted at `dir` itself, or at one of `but`.
pub fn unmount_below(dir: &Path, but: &[PathBuf]) {
    let table = std::fs::read("/proc/thread-self/mountinfo").unwrap();
    for mount in mountinfo::parse_mountinfo(&table).unwrap().iter().rev() {
        let point = PathBuf::from(OsStr::from_bytes(&mount.mount_point));
        if point.starts_with(dir) && point != dir && !but.contains(&point) {
            umount2(&point, MntFlags::UMOUNT_NOFOLLOW).unwrap();
        }
    }
}

/// Runs `story` on a fresh throwaway Btrfs of one device.
///
/// Where there can be none it prints `SKIPPED: <why>`, or fails if `BLANKROOT_REQUIRE_REAL` is 1.
pub fn on_btrfs(story: impl FnOnce(&mut Sandbox) + Send) {
    on_btrfs_of(1, story);
}

/// The same on several devices.
pub fn on_btrfs_of(devices: usize, story: impl FnOnce(&mut Sandbox) + Send) {
    if let Some(why) = Throwaway::unavailable() {
        return skip(&why);
    }
    // A namespace is a thread's, and this thread may run other tests later.
    let outcome =
        thread::scope(|scope| scope.spawn(move || story(&mut Sandbox::new(devices))).join());
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Says that a test cannot run here; fails where it has to.
pub fn skip(why: &str) {
    let required = env::var_os("BLANKROOT_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "BLANKROOT_REQUIRE_REAL=1, but this test cannot run: {why}");
    println!("SKIPPED: {why}");
}

/// In memory where that is possible: a transaction then takes a tenth of the time.
fn image_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    match rustix::fs::statfs(memory) {
        Ok(stat) if stat.f_type == TMPFS_MAGIC && stat.f_bavail > SIZE / 4096 => memory.into(),
        _ => env::temp_dir(),
    }
}
