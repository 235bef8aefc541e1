//! What the mount that a copy is made from does not allow, so that the copy does not allow it either:
//! whoever mounts a file system of his own decides which owners and modes its files have.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, StatVfsMountFlags, StatxFlags};

use crate::changes::FileType;
use crate::error::{Error, Result};
use crate::mounted;
use crate::path::TreePath;
use crate::stat::{Place, Stat};

/// `FUSE_SUPER_MAGIC`, linux/magic.h.
const FUSE: u64 = 0x6573_5546;

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
        refuse_users_own(from.dir, shown)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = fs::openat(from.dir, from.name, flags, Mode::empty());
        let opened = opened.map_err(|why| failed(why.into()))?;
        refuse_users_own(opened.as_fd(), shown)?;
        let mut limits = Self { mount: mount_of(opened.as_fd()), ..Self::default() };
        for side in [from.dir, opened.as_fd()] {
            let found = fs::fstatvfs(side).map_err(|why| failed(why.into()))?.f_flag;
            limits.no_privileges |= found.contains(StatVfsMountFlags::NOSUID);
            limits.no_devices |= found.contains(StatVfsMountFlags::NODEV);
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

/// An error where the process that runs a FUSE file system is not root's: it can tell whatever it wants
/// of its files, and something else each time, or never answer.
pub fn refuse_users_own(dir: BorrowedFd<'_>, shown: &TreePath) -> Result<()> {
    let failed = |why: io::Error| Error::io(format!("copy {shown}"), why);
    // The kernel's field is signed on some machines and narrower on others.
    let magic = fs::fstatfs(dir).map_err(|why| failed(why.into()))?.f_type as u64 & 0xffff_ffff;
    if magic != FUSE {
        return Ok(());
    }
    let id = mount_of(dir);
    let table = mounted::all()?;
    let mount = table.iter().find(|mount| id == Some(mount.id));
    let user = mount.and_then(|mount| mount.option(b"user_id"));
    let by = match user.as_deref() {
        Some(b"0") => return Ok(()),
        Some(user) => format!("the user {}", String::from_utf8_lossy(user)),
        None => "nobody knows which user".to_string(),
    };
    let why = format!("it is on a FUSE file system that {by} runs");
    Err(Error::new(format!("copy {shown}"), why).mend("unmount that file system first"))
}

/// The mount that shows an open file. Nothing else is asked for: that may be refused.
fn mount_of(file: BorrowedFd<'_>) -> Option<u64> {
    let found = fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()).ok()?;
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    told.then_some(found.stx_mnt_id)
}
