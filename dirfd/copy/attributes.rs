//! Gives a copy the owner, extended attributes, mode and times of its original.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Mode, OFlags, StatVfsMountFlags, Timespec, Timestamps};

use crate::fault::change;
use crate::mountinfo::{self, Mount};
use crate::open_file::Handle;
use crate::stat::{Moment, Place, SET_ID, Stat, mount_of};
use crate::{Error, Facts, FileType, Result, TreePath, boundary, xattrs};

/// What a copy does not get of its original's attributes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NotGiven {
    /// Set-user-ID bits, set-group-ID bits or capabilities, which are not allowed.
    pub(crate) privileges: bool,
    /// Extended attributes that are too many to be listed.
    pub(crate) unlisted: bool,
}

/// The order matters: a new owner drops setuid bits and capabilities, some attributes need the
/// owner's permission to write, an ACL sets permission bits, and all of it changes times.
///
/// Returns what the copy did not get.
pub(crate) fn copy_attributes(
    from: Handle<'_>,
    stat: &Stat,
    to: Handle<'_>,
    limits: &Limits,
) -> io::Result<NotGiven> {
    let mut wanted = stat.facts;
    let (mut attributes, is_all) = xattrs::read_open(from.fd())?;
    let mut privileges = false;
    if limits.no_privileges {
        let all = attributes.len();
        attributes.retain(|(name, _)| name.as_c_str() != xattrs::CAPABILITY);
        let has_mode = wanted.file_type != FileType::Symlink;
        privileges = all > attributes.len() || (has_mode && wanted.mode & SET_ID != 0);
        wanted.mode &= !SET_ID;
    }
    set(&wanted, attributes, to)?;
    let times = Timestamps {
        last_access: as_timespec(stat.accessed),
        last_modification: as_timespec((wanted.mtime, wanted.mtime_nanos)),
    };
    change("copy: set times", || to.set_times(&times))?;
    Ok(NotGiven { privileges, unlisted: !is_all })
}

/// The same without times: owner, extended attributes and mode.
pub(crate) fn give_attributes(from: Handle<'_>, wanted: &Facts, to: Handle<'_>) -> io::Result<()> {
    set(wanted, xattrs::of_open(from.fd())?, to)
}

fn set(wanted: &Facts, mut attributes: xattrs::Values, to: Handle<'_>) -> io::Result<()> {
    let is_of_btrfs = |name: &CString| xattrs::is_of_btrfs(name);
    if attributes.iter().any(|(name, _)| is_of_btrfs(name))
        && boundary::file_system_type(to.fd())? != boundary::BTRFS
    {
        attributes.retain(|(name, _)| !is_of_btrfs(name));
    }
    let made = to.stat()?.facts;
    if (made.uid, made.gid) != (wanted.uid, wanted.gid) {
        change("copy: set owner", || to.set_owner(wanted.uid, wanted.gid))?;
    }
    xattrs::set_on_open(to.fd(), &attributes)?;
    // Links have no mode of their own.
    if wanted.file_type != FileType::Symlink {
        let mode = Mode::from_raw_mode(wanted.mode.into());
        change("copy: set mode", || to.set_mode(mode))?;
    }
    Ok(())
}

fn as_timespec((tv_sec, nanos): Moment) -> Timespec {
    Timespec { tv_sec, tv_nsec: nanos.into() }
}

// What the mount that a copy is made from does not allow, so that the copy does not allow it either:
// whoever mounts a file system of his own decides which owners and modes its files have.

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
    pub(crate) fn are_of(&self, stat: &Stat) -> bool {
        self.mount.is_none() || self.mount == stat.mount
    }

    /// An error for what must not be copied at all.
    pub(crate) fn check(&self, file_type: FileType) -> io::Result<()> {
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
    let mount = mountinfo::mount_of_file(dir)?;
    match mount.as_ref().and_then(Mount::users_own) {
        Some(why) => {
            Err(Error::new(format!("copy {shown}"), why).hint("unmount that file system first"))
        }
        None => Ok(mount),
    }
}
