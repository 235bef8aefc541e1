//! `FS_IOC_FIEMAP` (`linux/fiemap.h`), for what it does before it answers.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

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

mod raw {
    nix::ioctl_readwrite!(fiemap, b'f', 11, super::Head);
}

/// Writes a file's data to where it will be, and waits until the file system has noted where that
/// is; what it notes is not durable yet.
pub fn write_data(file: impl AsFd) -> io::Result<()> {
    let mut head =
        Head { start: 0, length: u64::MAX, flags: SYNC, mapped: 0, room: 0, reserved: 0 };
    // SAFETY: the kernel writes the 32 bytes of `head` and, since `room` is 0, nothing behind them.
    unsafe { raw::fiemap(file.as_fd().as_raw_fd(), &raw mut head) }?;
    Ok(())
}
