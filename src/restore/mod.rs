//! `restore`: brings a path back from an old root.

pub(crate) mod choose_version;
pub(crate) mod complete_restore;
pub mod find_versions;
pub(crate) mod name_old_root;
pub(crate) mod restore_command;
pub mod restore_execute;
pub mod restore_plan;
pub mod restore_request;
