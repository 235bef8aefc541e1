//! A stage: a throwaway place that holds a file system with a live tree and a storage, and a machine
//! that runs on them. Nothing of it is left when the process ends: the Btrfs one goes with it even
//! when it is killed, the directory when it ends or a signal that can be caught ends it.

use dirfd::path::Escaped;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use dirfd::fault::change;
use dirfd::{Error, Result, TreeName};
use tempfile::TempDir;

use crate::demo_directories::{DISK, HOST, STORAGE, make_dirs};
#[cfg(feature = "btrfs")]
use crate::mounted_disk::{self, Mounted};
use crate::temporary_directory::{DoomedDir, Shared};

/// The place itself. The top of the file system is always there to be looked at; live only between
/// [`boot`](Self::boot) and [`halt`](Self::halt).
#[derive(Debug)]
pub struct Stage {
    base: PathBuf,
    live: TreeName,
    ground: Ground,
}

#[derive(Debug)]
enum Ground {
    #[cfg(feature = "btrfs")]
    Mounted(Box<Mounted>),
    Directory(DoomedDir),
}

/// Lets a signal wait while something is held of it. Not tied to the stage, which may change
/// meanwhile.
#[derive(Debug)]
pub struct Calm(Option<Arc<Shared>>);

impl Calm {
    /// From now on a signal waits until what is returned is dropped.
    pub fn hold(&self) -> Option<MutexGuard<'_, Option<TempDir>>> {
        self.0.as_deref().map(Shared::hold)
    }
}

impl Stage {
    /// A Btrfs on a nameless image, in a mount namespace that this thread alone is in. Its live tree
    /// is the subvolume `live`, its storage the subvolume `persist`.
    ///
    /// A signal may kill the process at any moment: what is here has no name outside it.
    #[cfg(feature = "btrfs")]
    pub fn btrfs(live: TreeName) -> Result<Self> {
        let base = base()?;
        let mounted = Mounted::new(&base, &live)?;
        Ok(Self { base, live, ground: Ground::Mounted(Box::new(mounted)) })
    }

    /// Plain directories in a temporary one, which is removed when a signal ends the process, too.
    pub fn directory(live: TreeName) -> Result<Self> {
        let doomed = DoomedDir::new(&base()?)?;
        let base = doomed.path().to_path_buf();
        let calm = Calm(Some(doomed.shared()));
        let held = calm.hold();
        for dir in [PathBuf::from(HOST), Path::new(DISK).join(live.as_path())] {
            make_dirs(&base.join(dir))?;
        }
        let disk = base.join(DISK);
        make_dirs(&disk.join(STORAGE))?;
        // Stands for the mount of storage, which needs privilege.
        let link = disk.join(live.as_path()).join(STORAGE);
        let up = "../".repeat(live.as_path().components().count());
        change("stage: link storage", || {
            std::os::unix::fs::symlink(format!("{up}{STORAGE}"), &link)
        })
        .map_err(|e| Error::io(format!("make the link {}", Escaped::of_path(&link)), e))?;
        drop(held);
        Ok(Self { base, live, ground: Ground::Directory(doomed) })
    }

    /// The top of the file system.
    pub fn disk(&self) -> PathBuf {
        self.base.join(DISK)
    }

    /// The storage, which is there whether the machine runs or not.
    pub fn storage(&self) -> PathBuf {
        self.disk().join(STORAGE)
    }

    /// The name of the live tree, from the top of the file system on.
    pub fn live(&self) -> &TreeName {
        &self.live
    }

    /// The block device, where there is one.
    pub fn device(&self) -> Option<&Path> {
        match &self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(mounted) => Some(mounted.device()),
            Ground::Directory(_) => None,
        }
    }

    /// What the machine has for its proc, sys, run and dev.
    pub fn host(&self) -> PathBuf {
        self.base.join(HOST)
    }

    /// The root of the running machine.
    pub fn root(&self) -> PathBuf {
        match &self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(_) => self.base.join(mounted_disk::MACHINE),
            Ground::Directory(_) => self.disk().join(self.live.as_path()),
        }
    }

    /// Mounts live where mounting is part of it, and storage in it.
    pub fn boot(&mut self) -> Result<()> {
        match &mut self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(mounted) => mounted.boot(&self.base, &self.live),
            Ground::Directory(_) => Ok(()),
        }
    }

    /// Unmounts live; says whether it was mounted.
    pub fn halt(&mut self) -> Result<bool> {
        match &mut self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(mounted) => mounted.halt(),
            Ground::Directory(_) => Ok(false),
        }
    }

    /// What it stands on, in words that complete "the file system was …".
    pub fn describe(&self) -> String {
        match &self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(mounted) => {
                format!(
                    "a Btrfs on {}, an image without a name",
                    Escaped::of_path(mounted.device())
                )
            }
            Ground::Directory(doomed) => {
                format!("the directory {}", Escaped::of_path(doomed.path()))
            }
        }
    }

    /// What to hold while something is done on the stage, so that a signal does not clear it
    /// halfway.
    pub fn calm(&self) -> Calm {
        match &self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(_) => Calm(None),
            Ground::Directory(doomed) => Calm(Some(doomed.shared())),
        }
    }

    /// Removes everything, and tells if that fails.
    pub fn close(mut self) -> Result<()> {
        self.halt()?;
        match self.ground {
            #[cfg(feature = "btrfs")]
            Ground::Mounted(mounted) => mounted.close(),
            Ground::Directory(doomed) => doomed.close(),
        }
    }
}

/// The directory for temporary files, by its whole name.
fn base() -> Result<PathBuf> {
    let dir = std::env::temp_dir();
    dir.canonicalize().map_err(|e| {
        Error::io(format!("use the temporary directory {}", Escaped::of_path(&dir)), e)
            .hint("set TMPDIR to a directory that is there")
    })
}
