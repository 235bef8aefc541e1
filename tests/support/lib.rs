//! What the tests on real file systems share: a sandbox to run in, an oracle that knows what `diff`
//! must answer, and random histories to ask it about.
//!
//! A crate of its own, so that every test links the same compiled code.

pub mod apply;
pub mod base;
pub mod every_kind_of_file;
#[cfg(feature = "btrfs")]
pub mod fast;
pub mod ground;
pub mod histories;
pub mod kernel;
pub mod names;
#[cfg(feature = "btrfs")]
pub mod needed_calls;
pub mod op;
pub mod oracle;
pub mod own_mounts;
pub mod sandbox;
pub mod without_exchange;
