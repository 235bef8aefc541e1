//! A throwaway Btrfs to measure on, mounted where this process and its children alone see it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dirfd::TreeName;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use nix::mount::{MsFlags, mount};
use scratch::file_systems::Throwaway;
use support::kernel::snapshot;
use tempfile::TempDir;

use crate::Result;

/// Bytes of the disk; sparse, so that only what is written takes space.
const SIZE: u64 = 64 << 30;

/// The file system, its top level mounted.
pub struct Field<'n> {
    // In the order in which they must go.
    mount: Option<MountPoint>,
    throwaway: Throwaway,
    dir: TempDir,
    /// Configurations and stages; not on the file system itself.
    outside: TempDir,
    namespace: &'n PrivateNamespace,
}

impl<'n> Field<'n> {
    /// An empty one, its image in the temporary directory.
    pub fn new(namespace: &'n PrivateNamespace) -> Result<Self> {
        let throwaway = Throwaway::btrfs(SIZE, 1)?;
        let (dir, outside) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let mut field = Self { mount: None, throwaway, dir, outside, namespace };
        field.remount()?;
        Ok(field)
    }

    /// The block device that it is on.
    pub fn device(&self) -> &Path {
        self.throwaway.device()
    }

    /// Where the tree `name` is.
    pub fn tree(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory for what belongs to the measurement but not on the file system.
    pub fn outside(&self) -> &Path {
        self.outside.path()
    }

    /// Makes `to` a snapshot of `from`.
    pub fn snapshot(&self, from: &str, to: &str, read_only: bool) -> Result<()> {
        Ok(snapshot(&self.tree(from), &self.tree(to), read_only)?)
    }

    /// Mounts the tree `name` at `dir`, too.
    pub fn mount_tree(&self, name: &str, dir: &Path) -> Result<MountPoint> {
        let mount = self.throwaway.mount(self.namespace, Some(&TreeName::new(name)?), dir)?;
        without_atime(dir)?;
        Ok(mount)
    }

    /// Writes everything to the disk, so that nothing is dirty.
    pub fn sync(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.dir.path())?)?)
    }

    /// Writes everything to the disk, unmounts and mounts again, so that nothing of it is in the
    /// kernel's memory; unless another process, which looked at this one's mounts, still holds one.
    pub fn remount(&mut self) -> Result<()> {
        if let Some(mount) = self.mount.take() {
            rustix::fs::syncfs(File::open(self.dir.path())?)?;
            drop(mount);
        }
        self.mount = Some(self.throwaway.mount(self.namespace, None, self.dir.path())?);
        without_atime(self.dir.path())
    }

    /// Writes a configuration with these trees and returns its path.
    pub fn config(&self, live: &str, blank: &str) -> Result<PathBuf> {
        let path = self.outside.path().join(format!("{live}-{blank}.toml"));
        let device = self.throwaway.device().display();
        let text = format!(
            "[root]\nbackend = \"btrfs\"\ndevice = \"{device}\"\nlive = \"{live}\"\n\
             blank = \"{blank}\"\nold = \"old-roots\"\n"
        );
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Else the first walk of a peer would write to every directory that it reads, and what is measured
/// next would no longer be the changes that were made.
fn without_atime(dir: &Path) -> Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOATIME;
    Ok(mount(None::<&str>, dir, None::<&str>, flags, None::<&str>)?)
}
