//! Opens datasets and snapshots in mounts of their own, which are in no mount table.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::name::ZfsName;
use crate::error::{Error, Result};

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
    mount(name, access).map_err(|error| {
        let failed = Error::io(format!("open {name}"), error);
        match error {
            Errno::PERM => failed.mend("run it as root"),
            Errno::ACCESS => {
                failed.mend(format!("load its key: `zfs load-key -r {}`", name.pool()))
            }
            Errno::NODEV => failed.mend("load the module: `modprobe zfs`"),
            _ => failed,
        }
    })
}

fn mount(name: &ZfsName, access: Access) -> Result<OwnedFd, Errno> {
    match mount_once(name, access, false) {
        // What is mounted read-only elsewhere is to be mounted in no other way.
        Err(Errno::BUSY) if access == Access::Read => mount_once(name, access, true),
        mounted => mounted,
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
