//! File systems that are made for a test or for the demo and gone afterwards.

mod demo_directories;
pub mod demo_disk;
pub mod file_systems;
#[cfg(feature = "btrfs")]
mod mounted_disk;
pub mod temporary_directory;
