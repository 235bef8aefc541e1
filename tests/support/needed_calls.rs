//! The system calls that a rollback with our promises cannot do without, with nothing looked at and
//! nothing checked: what its time is measured against.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dirfd::sys::file_ioctls;
use rustix::fs::{Mode, OFlags, RenameFlags, openat, renameat_with, syncfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::kernel::snapshot;

/// As long as a record is.
const RECORD: [u8; 245] = [b'x'; 245];

/// Names below the top level of a file system.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'t> {
    /// What gives way.
    pub live: &'t str,
    /// What is copied.
    pub blank: &'t str,
    /// What live is called afterwards; its record is beside it. Nothing has either name.
    pub aside: &'t str,
}

/// A way to the top level that no mount hides, a record that is durable before the exchange, a copy of
/// blank, the exchange, and that it is durable. Returns how long that took.
pub fn roll_back(device: &Path, trees: Trees<'_>) -> io::Result<Duration> {
    let record = format!("{}.json", trees.aside);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let started = Instant::now();
    let top = private_mount(device)?;
    let mut file = File::from(openat(&top, &record, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&RECORD)?;
    // The snapshot commits what this makes part of the running transaction.
    file_ioctls::write_data(&file)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", top.as_raw_fd()));
    snapshot(&path.join(trees.blank), &path.join(trees.aside), false)?;
    renameat_with(&top, trees.aside, &top, trees.live, RenameFlags::EXCHANGE)?;
    syncfs(&top)?;
    drop((file, top));
    Ok(started.elapsed())
}

/// The top level of the file system on `device`, in a mount of its own that goes with the descriptor.
pub fn private_mount(device: &Path) -> io::Result<OwnedFd> {
    let context = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    fsconfig_set_string(&context, "subvolid", "5")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
