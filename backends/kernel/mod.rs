//! The one room for unsafe code: system calls that no library offers safely. Each block says why it
//! is sound; everything that leaves this room is plain data or an owned descriptor.
#![expect(unsafe_code, reason = "this is the room for it")]

#[cfg(feature = "btrfs")]
pub mod btrfs;
pub mod btrfs_control;
pub mod fiemap;
pub mod fsxattr;
pub mod io_priority;
pub mod kinship;
pub mod loopdev;
pub mod mount_attributes;
pub mod mount_namespaces;
#[cfg(feature = "btrfs")]
pub mod tree_search;
#[cfg(feature = "zfs")]
pub mod zfs;
