//! Where subvolumes are mounted, and which block devices may be parts of a file system.

use std::collections::BTreeSet;
use std::fs::{File, canonicalize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dirfd::mount_tables::{self, Patience};
use dirfd::mountinfo::{self, Mount};
use dirfd::{Error, Result};

use crate::btrfs::top_level::Top;
use crate::sys::{btrfs_control, btrfs_ioctls};
use crate::{LiveMount, live_mounts};

/// The kernel's own interfaces, which have no other place.
const PROC: &str = "/proc";
const BLOCK_DEVICES: &str = "/sys/class/block";
const DEVICES: &str = "/dev";

/// The mounts through which one of these subvolumes can be reached, in every namespace that can be
/// read, and whether there may be more.
pub fn of_subvolumes(
    top: &Top,
    ids: &BTreeSet<u64>,
    patience: &Patience,
) -> Result<(Vec<LiveMount>, bool)> {
    let fsid = top.info().fsid;
    let is_ours = |dir: std::os::fd::BorrowedFd<'_>| Ok(btrfs_ioctls::fs_info(dir)?.fsid == fsid);
    let proc = proc()?;
    let look = |until| live_mounts::find(proc.as_fd(), ids, until, is_ours);
    let found = patience.look(look)?;
    Ok((found.mounts, found.more))
}

/// The top level of the file system on `device` where it is mounted already: all that a process
/// without privilege can get.
pub fn mounted_top(device: &Path) -> Result<OwnedFd> {
    let action = || format!("open the Btrfs file system on {}", device.display());
    let proc = proc()?;
    let wanted = canonicalize(device).map_err(|e| Error::io(action(), e))?;
    let is_top = |mount: &&Mount| {
        mount.fs_type == b"btrfs"
            && mount.root == b"/"
            && mount.option(b"subvolid").is_some_and(|id| *id == *b"5")
            && canonicalize(Path::new(std::ffi::OsStr::from_bytes(&mount.source)))
                .is_ok_and(|source| source == wanted)
    };
    let mounts = mountinfo::all()?;
    let found = mounts.iter().filter(is_top);
    found
        .filter_map(|mount| mount_tables::open_mount_point(proc.as_fd(), None, mount).ok())
        .next()
        .ok_or_else(|| {
            Error::new(action(), "that needs root, unless its top level is mounted already")
                .mend("run it as root, or mount its top level (subvolid=5) read-only somewhere")
        })
}

/// Tells the kernel of every block device, as `btrfs device scan` does. A device that is no part of
/// a Btrfs file system is not an error.
pub fn scan_all_devices() {
    // Best effort: mounting says what is missing in the end.
    for entry in std::fs::read_dir(BLOCK_DEVICES).into_iter().flatten().flatten() {
        let _ = btrfs_control::scan(&Path::new(DEVICES).join(entry.file_name()));
    }
}

fn proc() -> Result<File> {
    File::open(PROC).map_err(|e| {
        Error::io(format!("open {PROC}"), e).mend("mount it: mount -t proc proc /proc")
    })
}
