//! Blankroot restores a root file system to a blank snapshot at every boot, tells what appeared
//! since, and keeps what its owner opted in to keep.
//!
//! This crate is policy: configuration, verdicts, plans and what people see. The crate `backends` is
//! mechanism. ARCHITECTURE.md has the map.

pub mod accounts;
pub mod apply;
pub mod classify;
pub mod cli;
pub mod commands;
pub mod config;
mod demo;
pub mod diff;
pub mod doctor;
pub mod early;
pub mod exit;
pub mod facts;
pub mod health;
pub mod host;
pub mod keep;
pub mod kernels;
pub mod known;
pub mod leftovers;
pub mod log;
pub mod mount_options;
pub mod moving;
pub mod observe;
pub mod persistence;
pub mod plan;
pub mod report;
pub mod swap_files;
pub mod units;
