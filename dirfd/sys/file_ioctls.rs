//! `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` (linux/fs.h): the project id, and those inode flags that
//! more than one file system has, without the effects that `FS_IOC_SETFLAGS` has on others.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FsXattr {
    /// `FS_XFLAG_*`.
    pub flags: u32,
    extent_size: u32,
    extents: u32,
    /// The project id.
    pub project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

/// `FS_XFLAG_IMMUTABLE`.
pub const IMMUTABLE: u32 = 0x8;
/// `FS_XFLAG_APPEND`.
pub const APPEND: u32 = 0x10;

const _: () = {
    // The ioctl numbers contain this size.
    assert!(size_of::<FsXattr>() == 28);
};

mod raw {

    nix::ioctl_read!(get, b'X', 31, super::FsXattr);
    nix::ioctl_write_ptr!(set, b'X', 32, super::FsXattr);
}

/// Reads them of an open file or directory.
pub fn get_fsxattr(file: BorrowedFd<'_>) -> io::Result<FsXattr> {
    let mut args = FsXattr::default();
    // SAFETY: the kernel writes at most the size that the ioctl number carries, that of `args`.
    unsafe { raw::get(file.as_raw_fd(), &raw mut args) }?;
    Ok(args)
}

/// Sets them; what was read and is not changed stays as it is.
pub fn set_fsxattr(file: BorrowedFd<'_>, args: &FsXattr) -> io::Result<()> {
    // SAFETY: the kernel only reads `args`, whose size the ioctl number carries.
    unsafe { raw::set(file.as_raw_fd(), args) }?;
    Ok(())
}

// `FS_IOC_FIEMAP` (`linux/fiemap.h`), for what it does before it answers.

/// Write the file's data out first (`FIEMAP_FLAG_SYNC`).
const SYNC: u32 = 1;

/// `struct fiemap` without room for extents.
#[repr(C)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Head>() == 32, "the ioctl's number contains its size");

mod fiemap_raw {

    nix::ioctl_readwrite!(fiemap, b'f', 11, super::Head);
}

/// Writes a file's data to where it will be, and waits until the file system has noted where that
/// is; what it notes is not durable yet.
pub fn write_data(file: impl AsFd) -> io::Result<()> {
    let mut head =
        Head { start: 0, length: u64::MAX, flags: SYNC, mapped: 0, room: 0, reserved: 0 };
    // SAFETY: the kernel writes the 32 bytes of `head` and, since `room` is 0, nothing behind them.
    unsafe { fiemap_raw::fiemap(file.as_fd().as_raw_fd(), &raw mut head) }?;
    Ok(())
}
