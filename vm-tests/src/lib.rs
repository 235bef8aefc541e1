//! Machines in QEMU that prove what Blankroot promises about a boot: real kernels, real initrds, real
//! reboots, real power cuts.
//!
//! A [`guest::Guest`] is a disk with a kernel and an initrd, made from nothing and kept in a
//! [`cache`]; a [`machine::Machine`] boots it on a disk of its own and is told what to do through a
//! shell on its second serial line; [`qemu`] starts the emulator and ends it, whatever happens.

pub mod cache;
pub mod console;
pub mod cpio;
pub mod disk_copy;
pub mod guest;
pub mod log_writes;
pub mod machine;
pub mod minimal;
pub mod namespaces;
pub mod power_cuts;
pub mod programs;
pub mod qemu;
pub mod readme;
pub mod server_lives;
pub mod stories;
pub mod system;
pub mod zfs;
pub mod zfs_root;
