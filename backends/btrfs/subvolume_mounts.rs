//! Where subvolumes are mounted.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use dirfd::Result;
use dirfd::mount_tables::Patience;

use crate::btrfs::top_level::{Top, open_proc};
use crate::sys::btrfs_ioctls;
use crate::{LiveMount, live_mounts};

/// The mounts through which one of these subvolumes can be reached, in every namespace that can be
/// read, and whether there may be more.
pub fn of_subvolumes(
    top: &Top,
    ids: &BTreeSet<u64>,
    patience: &Patience,
) -> Result<(Vec<LiveMount>, bool)> {
    let fsid = top.info().fsid;
    let is_ours = |dir: std::os::fd::BorrowedFd<'_>| Ok(btrfs_ioctls::fs_info(dir)?.fsid == fsid);
    let proc = open_proc()?;
    let look = |until| live_mounts::find(proc.as_fd(), ids, until, is_ours);
    let found = patience.look(look)?;
    Ok((found.mounts, found.more))
}
