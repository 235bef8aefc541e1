//! Kept paths: the keep list, how it is put in force, and how paths come to it and leave it.

pub(crate) mod accounts;
pub(crate) mod apply;
pub(crate) mod config_file;
pub mod create;
pub(crate) mod early;
pub mod early_plan;
pub mod execute;
pub(crate) mod forget;
pub(crate) mod hidden_content;
pub(crate) mod inode_model;
pub(crate) mod keep;
pub mod keep_execute;
pub mod keep_plan;
pub mod keep_request;
pub(crate) mod keepable;
pub(crate) mod known_state;
pub mod list;
pub(crate) mod mount_options;
pub(crate) mod mounting;
pub(crate) mod observed;
pub(crate) mod own_directory;
pub(crate) mod owners;
pub(crate) mod path_lookup;
pub mod persistence;
pub(crate) mod placement;
pub mod plan;
pub(crate) mod plan_source;
pub(crate) mod plan_target;
pub(crate) mod probe;
pub(crate) mod real_path;
pub mod resolve;
pub(crate) mod step;
pub(crate) mod unkeep;
pub mod unkeep_execute;
pub mod unkeep_plan;
pub(crate) mod unsafe_transition;
pub(crate) mod unsuitable;
pub(crate) mod utab;

/// Why something cannot be done, to follow "cannot …: ", and what to do about it.
pub(crate) type WhyAndHint = (String, String);
