//! Datasets on a pool for tests, mounted where this thread alone sees them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dirfd::TreeName;
use dirfd::process::Program;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use support::own_mounts::own_mounts;
use tempfile::TempDir;

use crate::conformance::Testbed;
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::{Zfs, commands};
use crate::{Backend, Layout};

pub const ZFS: Program = Program::new("zfs", "zfsutils-linux");
pub const ZPOOL: Program = Program::new("zpool", "zfsutils-linux");
pub const LIVE: &str = "r 1/li ve_-.:x";
/// Set on live itself; a fresh copy is to have them, too.
const OF_LIVE: [&str; 5] =
    ["mountpoint=legacy", "acltype=posix", "xattr=sa", "compression=zstd-3", "a:note=x\ty\nz"];

pub struct Bed {
    dir: TempDir,
    dataset: ZfsName,
    blank: &'static str,
    /// What is mounted where, by guid.
    mounts: RefCell<BTreeMap<PathBuf, u64>>,
    /// What stays mounted although somebody is about to look at the trees.
    pinned: RefCell<Vec<PathBuf>>,
}

impl Bed {
    /// Blank is `root@blank`.
    pub fn with_blank_of_live() -> Option<Self> {
        let test = std::thread::current().name().unwrap_or_default().to_string();
        if test.ends_with("capture_of_nothing_makes_an_empty_tree") {
            eprintln!("skipped: a snapshot of live cannot be empty while live is not");
            return None;
        }
        Self::make("r 1/li ve_-.:x@bl ank_-.:x", &[], &[])
    }

    /// The same below a dataset that is encrypted.
    pub fn encrypted() -> Option<Self> {
        Self::make("r 1/li ve_-.:x@bl ank_-.:x", &encryption().each_ref().map(String::as_str), &[])
    }

    /// The same with a live that is encrypted with a key of its own.
    pub fn with_encrypted_live() -> Option<Self> {
        Self::make("r 1/li ve_-.:x@bl ank_-.:x", &[], &encryption().each_ref().map(String::as_str))
    }

    /// Blank is `empty@blank`.
    pub fn with_blank_apart() -> Option<Self> {
        Self::make("bl ank_-.:x@bl ank", &[], &[])
    }

    fn make(blank: &'static str, options: &[&str], of_live: &[&str]) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let Some(pool) = std::env::var_os("BLANKROOT_TEST_POOL") else {
            eprintln!("skipped: no pool for tests (BLANKROOT_TEST_POOL)");
            return None;
        };
        if !own_mounts() {
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pool = pool.into_string().unwrap();
        let dataset = format!("{pool}/bed {number} of {}", std::process::id());
        let bed = Self {
            dir: tempfile::tempdir().unwrap(),
            dataset: ZfsName::new(dataset).unwrap(),
            blank,
            mounts: RefCell::default(),
            pinned: RefCell::default(),
        };
        let plain = ["create", "-o", "mountpoint=none"];
        zfs(&[&plain, options, &[bed.dataset.as_str()]].concat());
        zfs(&["create", &format!("{}/r 1", bed.dataset)]);
        let live = bed.full(LIVE);
        let options = OF_LIVE.iter().flat_map(|option| ["-o", option]);
        let options = options.chain(of_live.iter().copied());
        let args: Vec<&str> =
            ["create"].into_iter().chain(options).chain([live.as_str()]).collect();
        zfs(&args);
        fs::create_dir(bed.dir.path().join("pending")).unwrap();
        Some(bed)
    }

    /// The whole name of what a layout calls `name`.
    pub fn full(&self, name: &str) -> ZfsName {
        ZfsName::new(format!("{}/{name}", self.dataset)).unwrap()
    }

    /// The dataset below which all is.
    pub fn dataset(&self) -> &ZfsName {
        &self.dataset
    }

    /// Unmounts whatever this bed has mounted.
    pub fn unmount_all(&self) {
        let mounted: Vec<PathBuf> = self.mounts.borrow().keys().rev().cloned().collect();
        mounted.iter().for_each(|place| self.unmount(place));
    }

    fn guid(&self, name: &ZfsName) -> Option<u64> {
        commands::guid(name).unwrap()
    }

    /// Sees to it that what has this name now is mounted at `place`.
    fn mounted(&self, name: &ZfsName, place: &Path) -> PathBuf {
        let Some(guid) = self.guid(name) else { return place.to_path_buf() };
        let before = self.mounts.borrow().get(place).copied();
        if before != Some(guid) {
            self.unmount(place);
            fs::create_dir_all(place).unwrap();
            self.mount(name, guid, place, MsFlags::MS_NOATIME);
        }
        place.to_path_buf()
    }

    fn mount(&self, name: &ZfsName, guid: u64, place: &Path, flags: MsFlags) {
        mount(Some(name.as_str()), place, Some("zfs"), flags, None::<&str>).unwrap();
        self.mounts.borrow_mut().insert(place.to_path_buf(), guid);
    }

    /// Mounts live anew, so that nobody can write to it.
    pub fn mount_live_read_only(&self) {
        let (live, place) = (self.full(LIVE), self.dir.path().join("live"));
        self.unmount(&place);
        self.mount(&live, self.guid(&live).unwrap(), &place, MsFlags::MS_RDONLY);
    }

    /// Unmounts what is at `place`, if this bed has mounted it.
    pub fn unmount(&self, place: &Path) {
        if self.mounts.borrow_mut().remove(place).is_some() {
            umount2(place, MntFlags::MNT_DETACH).unwrap();
        }
    }

    /// Unmounts what others may want to delete, and makes snapshots of what was written as one.
    fn settle(&self) {
        let top = self.dir.path();
        let (live, stay) = (top.join("live"), [top.join("live"), top.join("old")]);
        // An old root by now.
        let mounted = self.mounts.borrow().get(&live).copied();
        if mounted.is_some() && mounted != self.guid(&self.full(LIVE)) {
            self.unmount(&live);
        }
        let mounted: Vec<PathBuf> = self.mounts.borrow().keys().rev().cloned().collect();
        let pinned = self.pinned.borrow().clone();
        for place in mounted.iter().filter(|place| !stay.contains(place)) {
            if !pinned.contains(place) {
                self.unmount(place);
            }
        }
        for entry in fs::read_dir(top.join("pending")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap().replace('\n', "/");
            self.make_snapshot(&self.full(&name), &entry.path());
        }
    }

    fn make_snapshot(&self, snapshot: &ZfsName, from: &Path) {
        let dataset = snapshot.dataset();
        if !commands::is_there(&dataset).unwrap() {
            commands::create(&dataset).unwrap();
        }
        let place = self.mounted(&dataset, &self.dir.path().join("making"));
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), place.join(file.file_name())).unwrap();
            fs::remove_file(file.path()).unwrap();
        }
        self.unmount(&place);
        fs::remove_dir(from).unwrap();
        commands::snapshot(snapshot).unwrap();
    }
}

impl Testbed for Bed {
    fn backend(&self) -> Box<dyn Backend> {
        self.settle();
        Box::new(Zfs::open(self.dataset.as_str(), self.layout()).unwrap())
    }

    fn layout(&self) -> Layout {
        let name = |name: &str| TreeName::new(name).unwrap();
        Layout { live: name(LIVE), blank: name(self.blank), old: name("old roots") }
    }

    fn top(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &TreeName) -> PathBuf {
        let (top, layout) = (self.dir.path(), self.layout());
        let Ok(full) = ZfsName::of(&self.dataset, name) else { return top.join(name.as_path()) };
        if full.snapshot().is_some() {
            let last = name.to_string().replace('/', "\n");
            return match self.guid(&full) {
                Some(_) => self.mounted(&full, &top.join("snapshot").join(last)),
                None => top.join("pending").join(last),
            };
        }
        if *name == layout.live {
            return self.mounted(&full, &top.join("live"));
        }
        let old = self.mounted(&self.full("old roots"), &top.join("old"));
        if *name == layout.old {
            return old;
        }
        self.mounted(&full, &old.join(name.file_name()))
    }

    fn exchange(&self, one: &TreeName, other: &TreeName) {
        let place = self.path(other);
        let [one, other] = [one, other].map(|name| ZfsName::of(&self.dataset, name).unwrap());
        let between = self.full("between");
        for (from, to) in [(&one, &between), (&other, &one), (&between, &other)] {
            commands::rename("test", from, to).unwrap();
        }
        self.pinned.borrow_mut().push(self.mounted(&other, &place));
    }

    /// A snapshot is read-only for good.
    fn set_read_only(&self, name: &TreeName, read_only: bool) -> bool {
        let full = ZfsName::of(&self.dataset, name).unwrap();
        let value = if read_only { "readonly=on" } else { "readonly=off" };
        full.snapshot().is_none() && ZFS.run(["set", value, full.as_str()]).is_ok()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for place in self.mounts.borrow().keys().rev() {
            let _ = umount2(place, MntFlags::MNT_DETACH);
        }
        for _ in 0..20 {
            if ZFS.run(["destroy", "-R", self.dataset.as_str()]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("the datasets below {} stay", self.dataset);
    }
}

/// Options that encrypt what is created with a key in a file.
fn encryption() -> [String; 6] {
    let key = std::env::temp_dir().join("blankroot test key");
    let location = format!("keylocation=file://{}", key.display());
    fs::write(key, [7; 32]).unwrap();
    ["-o", "encryption=on", "-o", "keyformat=raw", "-o", &location].map(str::to_string)
}

/// Runs `zfs` as an owner would.
#[track_caller]
pub fn zfs<S: AsRef<OsStr>>(args: &[S]) {
    ZFS.run(args).unwrap();
}

/// Runs `zpool` likewise.
#[track_caller]
pub fn zpool<S: AsRef<OsStr>>(args: &[S]) {
    ZPOOL.run(args).unwrap();
}

/// What `zfs` prints.
#[track_caller]
pub fn zfs_says<S: AsRef<OsStr>>(args: &[S]) -> String {
    String::from_utf8(ZFS.run(args).unwrap()).unwrap()
}
