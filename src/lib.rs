//! Blankroot restores a root file system to a blank snapshot at every boot, tells what appeared
//! since, and keeps what its owner opted in to keep.
//!
//! This crate is policy: configuration, verdicts, plans and what people see. The crate `backends` is
//! mechanism. ARCHITECTURE.md has the map.

pub mod audit;
pub mod boot;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod evidence;
pub(crate) mod explain;
pub(crate) mod history;
pub mod host;
pub(crate) mod log;
pub mod owners;
pub mod persist;
pub(crate) mod report;
pub mod restore;
pub(crate) mod review;
pub(crate) mod steps;
pub mod systemd;
pub mod ui;
