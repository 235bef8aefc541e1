//! A throwaway Btrfs with an empty live subvolume, seen by one thread alone.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::{SnapshotFlags, Subvolume};
use dirfd::compare_trees::compare_by_walk;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::{Change, TreeName};
use rustix::fs::syncfs;
use scratch::file_systems::{PowerCut, Throwaway};
use support::every_kind_of_file::fill;

use crate::btrfs::Btrfs;
use crate::conformance::Testbed;
use crate::{Backend, FastChanges, Layout, Origin, Survey, Tree};

/// Bytes of each disk; sparse, so that a test pays for what it writes.
const SIZE: u64 = 1 << 30;

pub struct Bed {
    // In the order in which they must go.
    mount: Option<MountPoint>,
    throwaway: Option<Throwaway>,
    namespace: PrivateNamespace,
    dir: tempfile::TempDir,
}

impl Bed {
    /// `None`, after it has said why, where there can be no throwaway file system.
    pub fn make() -> Option<Self> {
        Self::of_devices(1)
    }

    /// The same on several devices.
    pub fn of_devices(devices: usize) -> Option<Self> {
        if let Some(why) = Throwaway::unavailable() {
            assert!(std::env::var_os("BLANKROOT_REQUIRE_REAL").is_none(), "{why}");
            println!("SKIPPED: {why}");
            return None;
        }
        let namespace = PrivateNamespace::enter().unwrap();
        let throwaway = Throwaway::btrfs_in(&image_dir(), SIZE, devices).unwrap();
        let dir = tempfile::Builder::new().prefix("with space ").tempdir().unwrap();
        let mut bed = Self { mount: None, throwaway: Some(throwaway), namespace, dir };
        bed.mount_top();
        fs::create_dir(bed.top().join("@")).unwrap();
        bed.create(&bed.layout().live);
        Some(bed)
    }

    /// With the fixture in live, and blank made from it.
    pub fn captured() -> Option<Self> {
        let bed = Self::make()?;
        fill(&bed.live());
        bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
        Some(bed)
    }

    /// With what `prepare` makes in live, blank made from it, and live put back to blank.
    pub fn rolled_back(prepare: impl FnOnce(&Path)) -> Option<Self> {
        let bed = Self::make()?;
        prepare(&bed.live());
        bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
        crate::conformance::rollback(&bed);
        Some(bed)
    }

    pub fn throwaway(&self) -> &Throwaway {
        self.throwaway.as_ref().unwrap()
    }

    pub fn namespace(&self) -> &PrivateNamespace {
        &self.namespace
    }

    pub fn survey(&self) -> Survey {
        self.backend().survey().unwrap()
    }

    /// Where live can be reached.
    pub fn live(&self) -> PathBuf {
        self.path(&self.layout().live)
    }

    /// Where blank can be reached.
    pub fn blank(&self) -> PathBuf {
        self.path(&self.layout().blank)
    }

    pub fn live_tree(&self) -> Tree {
        self.survey().live.tree().cloned().unwrap()
    }

    pub fn blank_tree(&self) -> Tree {
        self.survey().blank.tree().cloned().unwrap()
    }

    /// The tree of any name.
    pub fn tree(&self, name: &TreeName) -> Tree {
        let layout = Layout { live: name.clone(), ..self.layout() };
        let backend = Btrfs::open(self.throwaway().device(), layout).unwrap();
        backend.survey().unwrap().live.tree().cloned().unwrap()
    }

    /// Makes an empty subvolume.
    pub fn create(&self, name: &TreeName) {
        Subvolume::create(self.path(name).as_path(), None).unwrap();
    }

    /// Makes a writable snapshot.
    pub fn snapshot(&self, from: &TreeName, to: &TreeName) {
        let from = Subvolume::get(self.path(from).as_path()).unwrap();
        from.snapshot(self.path(to).as_path(), SnapshotFlags::empty(), None).unwrap();
    }

    /// Ends the current transaction.
    pub fn sync(&self) {
        syncfs(File::open(self.top()).unwrap()).unwrap();
    }

    /// Unmounts everything.
    pub fn unmount(&mut self) {
        if let Some(mount) = self.mount.take() {
            mount.unmount().unwrap();
        }
    }

    /// Unmounts and mounts again: the next inode gets the number after the highest one in use.
    pub fn remount(&mut self) {
        self.unmount();
        self.mount_top();
    }

    /// Goes on with what a power cut leaves.
    pub fn cut_the_power(&mut self) {
        let cut: PowerCut = self.throwaway().image_copy().unwrap();
        self.unmount();
        self.throwaway = None;
        self.throwaway = Some(cut.attach().unwrap());
        self.mount_top();
    }

    /// The changes from blank to live by the fast way, after it was found to answer, in both
    /// directions, what a walk answers.
    pub fn exact_changes(&self) -> Vec<Change> {
        let (blank, live) = (self.blank_tree(), self.live_tree());
        self.exact(&live, &blank);
        self.exact(&blank, &live)
    }

    /// The same for any two trees.
    pub fn exact(&self, from: &Tree, to: &Tree) -> Vec<Change> {
        let walked = self.walked(from, to);
        match self.backend().changes(from, to).unwrap() {
            FastChanges::Exact(changes) => assert_eq!(changes.iter().collect::<Vec<_>>(), walked),
            FastChanges::Unavailable(why) => panic!("the fast way did not run: {why}"),
        }
        walked
    }

    pub fn walked(&self, from: &Tree, to: &Tree) -> Vec<Change> {
        let backend = self.backend();
        let (older, newer) = (backend.view(from).unwrap(), backend.view(to).unwrap());
        compare_by_walk(older.as_fd(), newer.as_fd(), &|_| {}).unwrap().iter().collect()
    }

    fn mount_top(&mut self) {
        let mount = self.throwaway().mount(&self.namespace, None, self.dir.path()).unwrap();
        self.mount = Some(mount);
    }
}

impl Testbed for Bed {
    fn backend(&self) -> Box<dyn Backend> {
        Box::new(Btrfs::open(self.throwaway().device(), self.layout()).unwrap())
    }

    fn layout(&self) -> Layout {
        Layout { live: name(b"@/li ve"), blank: name(b"@/blank\xff"), old: name(b"old roots") }
    }

    fn top(&self) -> &Path {
        self.dir.path()
    }

    fn set_read_only(&self, name: &TreeName, read_only: bool) -> bool {
        Subvolume::get(self.path(name).as_path()).unwrap().set_ro(read_only).unwrap();
        true
    }
}

pub fn name(bytes: &[u8]) -> TreeName {
    TreeName::new(bytes).unwrap()
}

/// In memory where that is possible: a transaction then takes a tenth of the time.
fn image_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    match rustix::fs::statfs(memory) {
        Ok(stat) if stat.f_type == 0x0102_1994 && stat.f_bavail > SIZE / 4096 => memory.into(),
        _ => std::env::temp_dir(),
    }
}
