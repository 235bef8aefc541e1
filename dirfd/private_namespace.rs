//! A private mount namespace for the current thread: what is mounted in it, nobody else sees, and
//! it is gone with the thread.

use std::ffi::OsStr;
use std::io;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::fault::change;
use crate::path::Escaped;
use crate::{Error, Result, mountinfo};

/// Shows that the current thread has left the machine's mount namespace.
///
/// It cannot be sent to another thread, which might not have.
#[derive(Debug)]
pub struct PrivateNamespace {
    this_thread_alone: PhantomData<*const ()>,
}

impl PrivateNamespace {
    /// Leaves the machine's mount namespace for a copy of it that passes nothing back.
    ///
    /// From now on `/proc/self/mountinfo` is that of the main thread; this thread's is
    /// `/proc/thread-self/mountinfo`.
    pub fn enter() -> Result<Self> {
        let action = "enter a private mount namespace";
        change("private mounts: unshare", || Ok(unshare(CloneFlags::CLONE_NEWNS)?))
            .map_err(|e| Error::io(action, e).hint("run it as root"))?;
        // A mount is shared with the namespace it was copied from until it is told otherwise.
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        change("private mounts: make private", || {
            Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
        })
        .map_err(|e| Error::io(action, e))?;
        Ok(Self { this_thread_alone: PhantomData })
    }

    /// Mounts `source` at `dir`, where this thread alone sees it. `options` are those of
    /// `mount(2)`'s last argument. Looking at files does not write their times.
    pub fn mount(
        &self,
        source: &Path,
        fs_type: &str,
        dir: &Path,
        options: &[u8],
    ) -> Result<MountPoint> {
        change("private mounts: mount", || {
            Ok(mount(Some(source), dir, Some(fs_type), MsFlags::MS_NOATIME, Some(options))?)
        })
        .map_err(|e| {
            Error::io(format!("mount {} at {}", source.display(), Escaped::of_path(dir)), e)
        })?;
        Ok(self.mounted_at(dir.to_path_buf()))
    }

    /// What is mounted below `dir`, by whomever, but not at it: the last first, so that they can be
    /// unmounted in this order.
    pub fn mounts_below(&self, dir: &Path) -> Result<Vec<MountPoint>> {
        let mounts = mountinfo::read_mounts()?;
        let places =
            mounts.iter().rev().map(|mount| Path::new(OsStr::from_bytes(&mount.mount_point)));
        let below = places.filter(|place| place.starts_with(dir) && *place != dir);
        Ok(below.map(|place| self.mounted_at(place.to_path_buf())).collect())
    }

    fn mounted_at(&self, dir: PathBuf) -> MountPoint {
        MountPoint { dir, mounted: true, this_thread_alone: PhantomData }
    }
}

/// Something mounted in a private namespace; unmounted when dropped.
#[derive(Debug)]
pub struct MountPoint {
    dir: PathBuf,
    mounted: bool,
    this_thread_alone: PhantomData<*const ()>,
}

impl MountPoint {
    /// The directory it is mounted at.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves it mounted until the namespace is gone, or [`mounts_below`] finds it.
    ///
    /// [`mounts_below`]: PrivateNamespace::mounts_below
    pub fn leave(mut self) {
        self.mounted = false;
    }

    /// Unmounts it now; an error if it stays in use. Whoever surveys the machine's mount tables may
    /// have it open for a moment, and nothing tells when that has passed.
    pub fn unmount(mut self) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(2);
        loop {
            match self.detach(MntFlags::empty()) {
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < patience =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => {
                    return done.map_err(|e| {
                        Error::io(format!("unmount {}", Escaped::of_path(&self.dir)), e)
                    });
                }
            }
        }
    }

    fn detach(&mut self, flags: MntFlags) -> io::Result<()> {
        // Should the place be a link by now, nothing is unmounted where it leads.
        let flags = flags | MntFlags::UMOUNT_NOFOLLOW;
        change("private mounts: unmount", || Ok(umount2(&self.dir, flags)?))?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if self.mounted {
            // Best effort: what is in use, or cannot be unmounted, goes with the namespace.
            let _ = self.detach(MntFlags::MNT_DETACH);
        }
    }
}
