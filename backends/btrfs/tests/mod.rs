//! The promises of every backend, and what only Btrfs has to keep, on throwaway file systems.

pub mod btrfs_fixture;
pub mod directory_sizes;
pub mod discarding;
pub mod empty_stubs;
pub mod full_data;
pub mod full_directories;
pub mod hard_contents;
pub mod inode_numbers;
pub mod lineage;
pub mod opening;
pub mod properties_elsewhere;
pub mod settling;
pub mod small_contents;
pub mod trees;

use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::conformance_tests;

conformance_tests!(Bed::make);
