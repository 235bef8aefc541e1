//! Sets what one mount allows, without touching other mounts of its file system (`mount_setattr(2)`,
//! Linux 5.12).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// The `MOUNT_ATTR_…` bits of `linux/mount.h` to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear; done before the others are set.
    pub clear: u64,
}

/// Changes the attributes of the mount whose root is open as `mount`.
pub fn set(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, `attr` has the layout of `struct mount_attr` and lives until
    // the call returns, and its size is handed over with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
