//! What happens to the root at a boot: rollback, set-up, hold, expiry and what `status` tells of them.

pub mod command_line;
pub mod execute_steps;
pub(crate) mod expire;
pub mod expire_plan;
pub mod facts;
pub mod fstab;
pub(crate) mod health;
pub(crate) mod hold_next;
pub mod hold_plan;
pub(crate) mod init;
pub mod init_plan;
pub mod kernel_image;
pub(crate) mod kernels;
pub(crate) mod mounts_at_boot;
pub(crate) mod nested_trees;
pub mod next_root;
pub(crate) mod refusal;
pub mod resume;
pub(crate) mod rollback;
pub mod rollback_plan;
pub mod stamp;
pub(crate) mod status;
pub(crate) mod status_json;
pub(crate) mod status_report;
pub(crate) mod status_text;
pub mod swap_files;
