//! Decides what to do, as data: survey + facts → plan, or refusals with their reasons. Pure: what is
//! decided here is printed by `--dry-run` and executed elsewhere.

pub mod apply;
pub mod correction;
pub mod early;
pub mod expire;
pub mod hold;
pub mod init;
pub mod nested;
pub mod next_root;
pub mod refusal;
pub mod rollback;
pub mod step;

pub use expire::{ExpirePlan, ExpireRefusal, Fate};
pub use init::{InitPlan, InitRefusal, InitStep};
pub use refusal::Refusal;
pub use step::{Plan, Step};
