//! Power cuts: a scenario runs in a guest while every write and flush of its disk is recorded, and each
//! state in which the power could have left that disk is looked at by this machine.
//!
//! [`scenario::Scenario`] says what is done and what must be true; [`record`] lets the guest do it;
//! [`cuts`] chooses where the power goes; [`replay`] makes the disk of each cut, checks it, lets the
//! command run again and checks that all is well then; [`together`] does so for several at once.

pub mod cuts;
pub mod drive;
pub mod ground;
pub mod host;
pub mod host_dir;
pub mod known;
pub mod record;
pub mod replay;
pub mod scenario;
pub mod scenarios;
pub mod together;
pub mod zfs;
