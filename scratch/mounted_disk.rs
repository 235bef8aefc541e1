//! The Btrfs stage: everything is mounted in a namespace of its own, on a directory that was there
//! already, so that not even an empty mount point is left.

use std::path::Path;

use backends::btrfs::btrfsutil_calls::create_subvolume;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::{Error, Result, TreeName};

use crate::demo_directories::{DISK, HOST, STORAGE, make_dirs};
use crate::file_systems::Throwaway;

/// Where the machine's root is mounted.
pub const MACHINE: &str = "machine";

/// Bytes of the disk; sparse, so that it takes what is written.
const SIZE: u64 = 1 << 30;

/// What is mounted. Fields are in the order in which they must go.
#[derive(Debug)]
pub struct Mounted {
    live: Option<MountPoint>,
    top: MountPoint,
    throwaway: Throwaway,
    place: MountPoint,
    namespace: PrivateNamespace,
}

impl Mounted {
    /// Mounts an empty tmpfs over `base`, where this thread alone sees it, and the top of a new file
    /// system in it.
    pub fn new(base: &Path, live: &TreeName) -> Result<Self> {
        // The image first, since the directory is out of reach afterwards.
        let throwaway = Throwaway::btrfs_in(base, SIZE, 1)?;
        let namespace = PrivateNamespace::enter()?;
        let place = namespace.mount(Path::new("tmpfs"), "tmpfs", base, b"mode=0755")?;
        let disk = base.join(DISK);
        for dir in [&disk, &base.join(HOST), &base.join(MACHINE)] {
            make_dirs(dir)?;
        }
        let top = throwaway.mount(&namespace, None, &disk)?;
        create_subvolume(&disk.join(live.as_path()))?;
        create_subvolume(&disk.join(STORAGE))?;
        make_dirs(&disk.join(live.as_path()).join(STORAGE))?;
        Ok(Self { live: None, top, throwaway, place, namespace })
    }

    pub(crate) fn device(&self) -> &Path {
        self.throwaway.device()
    }

    pub(crate) fn boot(&mut self, base: &Path, live: &TreeName) -> Result<()> {
        let root = base.join(MACHINE);
        let storage = TreeName::new(STORAGE).map_err(|why| Error::new("name the storage", why))?;
        self.live = Some(self.throwaway.mount(&self.namespace, Some(live), &root)?);
        let at = root.join(STORAGE);
        self.throwaway.mount(&self.namespace, Some(&storage), &at)?.leave();
        Ok(())
    }

    /// Unmounts live with all that the machine has mounted in it, storage and kept paths.
    pub fn halt(&mut self) -> Result<bool> {
        let Some(live) = self.live.take() else { return Ok(false) };
        let below = self.namespace.mounts_below(live.dir())?;
        below.into_iter().try_for_each(MountPoint::unmount)?;
        live.unmount()?;
        Ok(true)
    }

    pub(crate) fn close(self) -> Result<()> {
        let Self { top, throwaway, place, .. } = self;
        top.unmount()?;
        drop(throwaway);
        place.unmount()
    }
}
