//! The one room for unsafe code: system calls that no library offers safely. Each block says why it
//! is sound; everything that leaves this room is plain data or an owned descriptor.

#[cfg(feature = "btrfs")]
pub mod btrfs;
#[cfg(feature = "btrfs")]
pub mod tree_search;
