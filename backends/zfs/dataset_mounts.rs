//! Opens datasets and snapshots in mounts of their own, which are in no mount table.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use dirfd::mount_tables::{self, Patience};
use dirfd::mountinfo::{self, Mount};
use dirfd::{Error, Result};
use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::LiveMount;
use crate::zfs::dataset_name::ZfsName;

/// What is done with what is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing can be written through it.
    Read,
    /// Files can be written.
    Write,
}

/// Opens the root directory of a dataset or of a snapshot.
pub fn open(name: &ZfsName, access: Access) -> Result<OwnedFd> {
    mount_detached(name, access).map_err(|error| {
        let failed = Error::io(format!("open {name}"), error);
        match error {
            Errno::PERM => failed.hint("run it as root"),
            Errno::ACCESS => {
                failed.hint(format!("load its key: `zfs load-key -r {}`", name.pool()))
            }
            Errno::NODEV => failed.hint("load the module: `modprobe zfs`"),
            Errno::BUSY => failed.hint(format!(
                "see who has it mounted: `grep -F '{}' /proc/[0-9]*/mountinfo`",
                name.dataset()
            )),
            _ => failed,
        }
    })
}

/// How long a dataset may be busy before that is an error.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

fn mount_detached(name: &ZfsName, access: Access) -> Result<OwnedFd, Errno> {
    while_busy(PATIENCE, || match mount_once(name, access, false) {
        // What is mounted read-only elsewhere is to be mounted in no other way.
        Err(Errno::BUSY) if access == Access::Read => mount_once(name, access, true),
        mounted => mounted,
    })
}

/// Tries again what is busy: a dataset is for a moment while somebody else mounts or unmounts it, and
/// for writing as long as somebody has it mounted read-only.
fn while_busy<T>(patience: Duration, attempt: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    let end = Instant::now() + patience;
    loop {
        match attempt() {
            Err(Errno::BUSY) if Instant::now() < end => thread::sleep(PAUSE),
            done => return done,
        }
    }
}

fn mount_once(name: &ZfsName, access: Access, read_only: bool) -> Result<OwnedFd, Errno> {
    let context = fsopen("zfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_string(context, "source", name.as_str())?;
    if read_only {
        fsconfig_set_flag(context, "ro")?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    // Of the mount alone: a dataset that is mounted elsewhere is the same file system there.
    if access == Access::Read {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(context)?;
    let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // What fsmount gives is a path only; directories are listed through a descriptor for reading.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOATIME;
    fs::openat(&mount, ".", flags, Mode::empty())
}

// Where datasets are mounted, by the names that the kernel gives them at this moment.

/// The mounts that show the dataset, in every mount namespace that can be read. The kernel tells the
/// name that it has by now, not the one under which it was mounted. Whether there may be more is told,
/// too.
pub fn mounts_of_dataset(dataset: &ZfsName, patience: &Patience) -> Result<(Vec<LiveMount>, bool)> {
    let proc = File::open("/proc").map_err(|e| Error::io("open /proc", e))?;
    let tables = patience.look(|until| mount_tables::read_mount_tables(proc.as_fd(), until))?;
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| shows_dataset(mount, dataset)) {
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
    let mounts = mountinfo::read_mounts()?;
    let mount = mounts.iter().find(|mount| mount.id == stat.stx_mnt_id && is_zfs(mount));
    let name = mount.and_then(|mount| String::from_utf8(mount.source.clone()).ok());
    Ok(name.and_then(|name| ZfsName::new(name).ok()))
}

fn shows_dataset(mount: &Mount, dataset: &ZfsName) -> bool {
    is_zfs(mount) && mount.source == dataset.as_str().as_bytes()
}

fn is_zfs(mount: &Mount) -> bool {
    mount.fs_type == b"zfs"
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_busy_for_a_moment_is_tried_again_and_what_stays_busy_is_an_error() {
        let left = Cell::new(3);
        let busy_thrice = || match left.replace(left.get() - 1) {
            0 => Ok("mounted"),
            _ => Err(Errno::BUSY),
        };
        assert_eq!(while_busy(PATIENCE, busy_thrice), Ok("mounted"));
        assert_eq!(while_busy(Duration::ZERO, || Err::<(), _>(Errno::BUSY)), Err(Errno::BUSY));
        let tried = Cell::new(0);
        let denied = || {
            tried.set(tried.get() + 1);
            Err::<(), _>(Errno::ACCESS)
        };
        assert_eq!((while_busy(PATIENCE, denied), tried.get()), (Err(Errno::ACCESS), 1));
    }
}
