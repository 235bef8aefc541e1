//! The kinds of file systems, by the magic number that statfs(2) tells.

use std::io;
use std::os::fd::AsFd;

use rustix::fs;

/// `BTRFS_SUPER_MAGIC`, linux/magic.h.
pub const BTRFS: u64 = 0x9123_683e;
/// `EXT4_SUPER_MAGIC`, likewise.
pub const EXT4: u64 = 0xef53;
/// `TMPFS_MAGIC`, likewise.
pub const TMPFS: u64 = 0x0102_1994;
/// `XFS_SUPER_MAGIC`, likewise.
pub const XFS: u64 = 0x5846_5342;
/// `ZFS_SUPER_MAGIC`, include/sys/fs/zfs.h of OpenZFS.
pub const ZFS: u64 = 0x2fc1_2fc1;

/// Whether a file system of this kind is in this kernel's own hands, so that whatever it tells of a file is
/// true at once. Others may know better elsewhere: a server, or a process (FUSE).
pub fn is_local(kind: u64) -> bool {
    matches!(kind, BTRFS | EXT4 | TMPFS | XFS | ZFS)
}

/// That of the file system that an open file is on; the path is enough.
pub fn of(file: impl AsFd) -> io::Result<u64> {
    // The kernel's field is signed on some machines and narrower on others.
    Ok(fs::fstatfs(file)?.f_type as u64 & 0xffff_ffff)
}
