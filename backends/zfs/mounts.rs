//! Where datasets are mounted, by the names that the kernel gives them at this moment.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};

use super::name::ZfsName;
use crate::error::{Error, Result};
use crate::mount_tables::Patience;
use crate::mountinfo::Mount;
use crate::survey::LiveMount;
use crate::{mount_tables, mounted};

/// The mounts that show the dataset, in every mount namespace that can be read. The kernel tells the
/// name that it has by now, not the one under which it was mounted. Whether there may be more is told,
/// too.
pub fn of(dataset: &ZfsName, patience: &Patience) -> Result<(Vec<LiveMount>, bool)> {
    let proc = File::open("/proc").map_err(|e| Error::io("open /proc", e))?;
    let tables = patience.look(|until| mount_tables::all(proc.as_fd(), until))?;
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| shows(mount, dataset)) {
            let mount_point = mount.mount_point.clone();
            found.push(LiveMount { mount_point, seen_by: table.seen_by.into(), certain: true });
        }
    }
    Ok((found, tables.more))
}

/// The dataset, or the snapshot, that holds the open directory; `None` if none does.
pub fn dataset_of(dir: BorrowedFd<'_>) -> Result<Option<ZfsName>> {
    let action = "find out which dataset a directory is in";
    let stat = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .map_err(|e| Error::io(action, io::Error::from(e)))?;
    let mounts = mounted::all()?;
    let mount = mounts.iter().find(|mount| mount.id == stat.stx_mnt_id && is_zfs(mount));
    let name = mount.and_then(|mount| String::from_utf8(mount.source.clone()).ok());
    Ok(name.and_then(|name| ZfsName::new(name).ok()))
}

fn shows(mount: &Mount, dataset: &ZfsName) -> bool {
    is_zfs(mount) && mount.source == dataset.as_str().as_bytes()
}

fn is_zfs(mount: &Mount) -> bool {
    mount.fs_type == b"zfs"
}
