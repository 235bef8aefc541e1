//! What happens to the root at a boot: rollback, set-up, hold, expiry and what `status` tells of them.

pub mod command_line;
pub mod execute_steps;
pub mod expire;
pub mod expire_plan;
pub mod facts;
pub mod fstab;
pub mod health;
pub mod hold_next;
pub mod hold_plan;
pub mod init;
pub mod init_plan;
pub mod kernel_image;
pub mod kernels;
pub mod mounts_at_boot;
pub mod nested_trees;
pub mod next_root;
pub mod refusal;
pub mod resume;
pub mod rollback;
pub mod rollback_plan;
pub mod stamp;
pub mod status;
pub mod status_json;
pub mod status_report;
pub mod status_text;
pub mod swap_files;
