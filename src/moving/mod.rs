//! Moves data between live and storage: what `keep` and `unkeep` look at, refuse and plan. What is
//! planned here is done in [`crate::apply::moving`].

pub mod choose;
pub mod keep;
pub mod keepable;
pub mod look;
pub mod request;
pub mod unkeep;

pub use keep::{KeepPlan, KeepStep, Moved};
pub use unkeep::{UnkeepPlan, UnkeepStep};
