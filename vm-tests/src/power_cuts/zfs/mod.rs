//! Power cuts on ZFS: this machine's kernel has none, so that the cuts are replayed and looked at in
//! guests, too, many in one boot.
//!
//! [`together`] starts the guests. In them, a program of ours lets the command do what a
//! [`scenario`] says, and in another boot makes the pool of each cut of what was recorded ([`image`]),
//! lets the command run again, and checks that nothing of what was [`known`] is lost ([`replay`]).

use std::fmt;
use std::str::FromStr;

use super::cuts::Cut;

pub mod aligned;
pub mod image;
pub mod known;
pub mod machine;
pub mod pool;
pub mod replay;
pub mod scenario;
pub mod together;

/// Bytes of the pool's partition.
pub const SIZE: u64 = 128 << 20;
/// Bytes at the partition's start, and as many at its end, that have labels (`vdev_impl.h`).
pub const LABELS: u64 = 2 * (256 << 10);
/// What the boot writes that uses live.
pub const USED: &str = "used";

/// Which cuts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All at a flush, and others.
    Every,
    /// The same without those before a label is written: what was written until then is in no tree that ZFS
    /// would find, and it goes on with the state before.
    Found,
    /// This one.
    Only(Cut),
}

/// Which cuts are looked at by a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Those of all guests.
    pub which: Which,
    /// How many of those that are not at a flush, and of those with losses.
    pub most: usize,
    /// Chooses them.
    pub seed: u64,
    /// The guest is this one,
    pub part: usize,
    /// of so many.
    pub parts: usize,
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => write!(out, "every"),
            Self::Found => write!(out, "found"),
            Self::Only(cut) => write!(out, "{cut}"),
        }
    }
}

impl FromStr for Which {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "every" => Ok(Self::Every),
            "found" => Ok(Self::Found),
            cut => cut.parse().map(Self::Only),
        }
    }
}
