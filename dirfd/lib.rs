//! Trees below a file descriptor: whoever changes names meanwhile cannot lead a call elsewhere.
//!
//! This crate knows no file system and nothing of Blankroot: it reads, compares, copies and removes what
//! is below an open directory, and tells what is mounted and who has files open.

pub mod atomic_file;
pub mod boundary;
pub mod cause;
pub mod changes;
pub mod compare;
pub mod compare_trees;
pub mod copy;
pub mod directory_walker;
pub mod disk_usage;
pub mod error;
pub mod fault;
pub mod fingerprint;
pub mod inode_flags;
pub mod kcmp;
pub mod lookup_in_order;
pub mod manifest;
pub mod mount_tables;
pub mod mountinfo;
pub mod open_file;
pub mod open_files;
pub mod path;
pub mod path_set;
pub mod private_namespace;
pub mod process;
pub mod process_unit;
pub mod remove;
pub mod stat;
pub mod sys;
pub mod xattrs;

pub use changes::{Change, ChangeKind, Changes, Facts};
pub use error::{Error, Result};
pub use path::{TreeName, TreePath};
pub use stat::FileType;
