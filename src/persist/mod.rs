//! Kept paths: the keep list, how it is put in force, and how paths come to it and leave it.

pub mod accounts;
pub mod apply;
pub mod config_file;
pub mod create;
pub mod early;
pub mod early_plan;
pub mod execute;
pub mod forget;
pub mod hidden_content;
pub mod inode_model;
pub mod keep;
pub mod keep_execute;
pub mod keep_plan;
pub mod keep_request;
pub mod keepable;
pub mod known_state;
pub mod list;
pub mod mount_options;
pub mod mounting;
pub mod observed;
pub mod owners;
pub mod path_lookup;
pub mod persistence;
pub mod plan;
pub mod plan_source;
pub mod plan_target;
pub mod probe;
pub mod resolve;
pub mod step;
pub mod unkeep;
pub mod unkeep_execute;
pub mod unkeep_plan;
pub mod unsafe_transition;
pub mod unsuitable;
pub mod utab;

/// Why something cannot be done, to follow "cannot …: ", and what to do about it.
pub type WhyAndHint = (String, String);
