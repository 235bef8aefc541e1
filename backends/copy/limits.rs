//! What the mount that a copy is made from does not allow, so that the copy does not allow it either:
//! whoever mounts a file system of his own decides which owners and modes its files have.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Mode, OFlags, StatVfsMountFlags};

use crate::changes::FileType;
use crate::error::{Error, Result};
use crate::mounted;
use crate::mountinfo::Mount;
use crate::path::TreePath;
use crate::stat::{Place, Stat, mount_of};

/// What is not allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// No set-user-ID bits, no set-group-ID bits and no capabilities.
    pub no_privileges: bool,
    /// No device nodes.
    pub no_devices: bool,
    /// The mount that this is about; `None` before Linux 5.8.
    mount: Option<u64>,
}

impl Limits {
    /// Of the mounts of what has this name and of its directory: something may be mounted over it.
    ///
    /// An error where a user runs the file system. `shown` is the path, for messages.
    pub fn of(from: Place<'_>, shown: &TreePath) -> Result<Self> {
        let failed = |why: io::Error| Error::io(format!("copy {shown}"), why);
        // It may keep us from opening anything in it.
        let around = expect_roots_own(from.dir, shown)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = fs::openat(from.dir, from.name, flags, Mode::empty());
        let opened = opened.map_err(|why| failed(why.into()))?;
        let mut limits = Self { mount: mount_of(opened.as_fd()), ..Self::default() };
        let own = expect_roots_own(opened.as_fd(), shown)?;
        for (side, mount) in [(from.dir, around), (opened.as_fd(), own)] {
            let [no_privileges, no_devices] = match mount {
                Some(mount) => [mount.has(b"nosuid"), mount.has(b"nodev")],
                // Whose root directory is no mount point does not see what shows it.
                None => {
                    let found = fs::fstatvfs(side).map_err(|why| failed(why.into()))?.f_flag;
                    [StatVfsMountFlags::NOSUID, StatVfsMountFlags::NODEV]
                        .map(|no| found.contains(no))
                }
            };
            limits.no_privileges |= no_privileges;
            limits.no_devices |= no_devices;
        }
        Ok(limits)
    }

    /// Whether this is what the limits are about, and nothing that was mounted over it since.
    pub(super) fn are_of(&self, stat: &Stat) -> bool {
        self.mount.is_none() || self.mount == stat.mount
    }

    /// An error for what must not be copied at all.
    pub(super) fn check(&self, file_type: FileType) -> io::Result<()> {
        if self.no_devices && matches!(file_type, FileType::Block | FileType::Char) {
            return Err(io::Error::other("it is a device on a mount with `nodev`"));
        }
        Ok(())
    }
}

/// An error where the process that runs a FUSE file system is not root's.
pub fn refuse_users_own(dir: BorrowedFd<'_>, shown: &TreePath) -> Result<()> {
    expect_roots_own(dir, shown).map(drop)
}

fn expect_roots_own(dir: BorrowedFd<'_>, shown: &TreePath) -> Result<Option<Mount>> {
    let mount = mounted::of(dir)?;
    match mount.as_ref().and_then(Mount::users_own) {
        Some(why) => {
            Err(Error::new(format!("copy {shown}"), why).mend("unmount that file system first"))
        }
        None => Ok(mount),
    }
}
