//! The kinds of file systems, by the magic number that statfs(2) tells.

use std::io;
use std::os::fd::AsFd;

use rustix::fs;

/// `BTRFS_SUPER_MAGIC`, linux/magic.h.
pub const BTRFS: u64 = 0x9123_683e;
/// `EXT4_SUPER_MAGIC`, likewise.
pub const EXT4: u64 = 0xef53;
/// `XFS_SUPER_MAGIC`, likewise.
pub const XFS: u64 = 0x5846_5342;
/// `ZFS_SUPER_MAGIC`, include/sys/fs/zfs.h of OpenZFS.
pub const ZFS: u64 = 0x2fc1_2fc1;

/// That of the file system that an open file is on; the path is enough.
pub fn of(file: impl AsFd) -> io::Result<u64> {
    // The kernel's field is signed on some machines and narrower on others.
    Ok(fs::fstatfs(file)?.f_type as u64 & 0xffff_ffff)
}
