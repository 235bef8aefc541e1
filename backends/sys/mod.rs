//! The unsafe code of the file systems: ioctls that no library offers safely. Each block says why it is
//! sound; everything that leaves this folder is plain data or an owned descriptor.
#![expect(unsafe_code, reason = "this is the room for it")]

pub mod btrfs_control;
#[cfg(feature = "btrfs")]
pub mod btrfs_ioctls;
#[cfg(feature = "btrfs")]
pub mod tree_search;
#[cfg(feature = "zfs")]
pub mod zfs_ioctls;
