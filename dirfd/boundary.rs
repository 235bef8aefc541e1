//! Tells where a tree ends: at nested subvolumes, and at what is mounted over its directories.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs;

use crate::FileType;
use crate::stat::{Place, Stat};

/// The directory `.zfs`, which shows where `snapdir` is `visible`: `ZFSCTL_INO_ROOT`,
/// include/os/linux/zfs/sys/zfs_ctldir.h. No file has so high a number.
const CONTROL_DIR: u64 = 0xffff_ffff_ffff;
/// The root directory of every subvolume: `BTRFS_FIRST_FREE_OBJECTID`, linux/btrfs_tree.h.
const SUBVOLUME_ROOT: u64 = 256;
/// What a snapshot shows in place of a nested subvolume: `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`.
const STUB: u64 = 2;

/// What belongs to one tree and what does not.
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    root: Stat,
    /// Inode numbers mean something on Btrfs alone: 2 is an ordinary directory on a tmpfs.
    on_btrfs: bool,
    on_zfs: bool,
    /// What the file system tells of a file is true at once.
    is_local: bool,
}

impl Boundary {
    /// The boundary of the tree whose root directory is open as `root`.
    pub fn of(root: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = file_system_type(root)?;
        let root = Place { dir: root, name: c"." };
        let root = if is_local_file_system(kind) { root.stat()? } else { root.stat_now()? };
        let (on_btrfs, on_zfs) = (kind == BTRFS, kind == ZFS);
        Ok(Self { root, on_btrfs, on_zfs, is_local: is_local_file_system(kind) })
    }

    /// The tree's root directory.
    pub fn root(&self) -> &Stat {
        &self.root
    }

    /// Whether a name leads to what the file system shows of itself, which is in no tree.
    pub fn is_no_file(&self, inode: u64) -> bool {
        self.on_zfs && inode == CONTROL_DIR
    }

    /// Whether the file was reached through a mount that covers what the tree has there.
    pub fn is_beyond_mount(&self, stat: &Stat) -> bool {
        match (self.root.mount, stat.mount) {
            (Some(own), Some(other)) => own != other,
            _ => !self.is_subvolume(stat) && self.root.device != stat.device,
        }
    }

    /// Looks at a file of this tree; a nested subvolume and its stub get the type of their own.
    pub fn stat(&self, place: Place<'_>) -> io::Result<Stat> {
        let mut stat = place.stat()?;
        // What is mounted over it may be a user's own, which need not answer.
        if !self.is_local && !self.is_beyond_mount(&stat) {
            stat = place.stat_now()?;
        }
        if self.is_subvolume(&stat) {
            stat.facts.file_type = FileType::Subvolume;
            stat.facts.size = 0;
            if stat.inode == STUB {
                // The kernel makes it up at each look.
                (stat.facts.mtime, stat.facts.mtime_nanos) = (0, 0);
            }
        }
        Ok(stat)
    }

    fn is_subvolume(&self, stat: &Stat) -> bool {
        let other_device = stat.device != self.root.device;
        self.on_btrfs
            && stat.facts.file_type == FileType::Dir
            && (stat.inode == STUB || (stat.inode == SUBVOLUME_ROOT && other_device))
    }
}

// The kinds of file systems, by the magic number that statfs(2) tells.

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
pub fn is_local_file_system(kind: u64) -> bool {
    matches!(kind, BTRFS | EXT4 | TMPFS | XFS | ZFS)
}

/// That of the file system that an open file is on; the path is enough.
pub fn file_system_type(file: impl AsFd) -> io::Result<u64> {
    // The kernel's field is signed on some machines and narrower on others.
    Ok(fs::fstatfs(file)?.f_type as u64 & 0xffff_ffff)
}
