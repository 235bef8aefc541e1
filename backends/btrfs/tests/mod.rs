//! The promises of every backend, and what only Btrfs has to keep, on throwaway file systems.

mod bed;
mod diffing;
mod directory_sizes;
mod discarding;
mod full_data;
mod full_directories;
mod inode_numbers;
mod lineage;
mod opening;
mod properties;
mod settling;
mod stubs;
mod trees;

use bed::Bed;

use crate::conformance::conformance_tests;

conformance_tests!(Bed::make);
