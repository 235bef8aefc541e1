//! Who has something in a tree open: every process and thread, in whatever mount namespace, with its
//! command and its systemd unit.
//!
//! Files are told by device and inode, as `stat(2)` of the process's own handles shows them, so it
//! does not matter under which name or through which mount they were opened. (What `/proc/PID/maps`
//! prints is no help: on Btrfs its device is not the one that `stat` tells of a subvolume.)

pub mod sockets;
pub mod unit;

mod look;

use std::fmt;
use std::os::fd::BorrowedFd;

use crate::census::Census;
use crate::error::{Error, Result};
use crate::path::Escaped;

use unit::Unit;

/// What a process does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// It has the file open.
    Open,
    /// It has the file mapped into its memory.
    Mapped,
    /// It has a socket that is bound to the name.
    Bound,
    /// It runs the file.
    Runs,
    /// It works in the directory.
    WorksIn,
    /// The directory is its root.
    RootedIn,
}

/// One process and the first thing that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub pid: i32,
    /// Its command's name.
    pub command: Vec<u8>,
    /// The systemd unit that it belongs to.
    pub unit: Option<Unit>,
    /// What it does.
    pub hold: Hold,
    /// With this file, as the kernel names it.
    pub path: Vec<u8>,
    /// Further handles that it holds.
    pub more: usize,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who uses it, by number.
    pub users: Vec<User>,
    /// Processes that could not be looked at.
    pub unlooked: Vec<i32>,
    /// Whether root asked, who can look at every process of its own user namespace.
    pub privileged: bool,
}

/// Finds who uses what is in the `census`. `path` is where that is, as the kernel names it for this
/// thread: it tells of files that are deleted, and of sockets. This process itself is left out.
///
/// `proc` is the open `/proc`. Processes that end meanwhile are ignored.
pub fn find(proc: BorrowedFd<'_>, census: &Census, path: &[u8]) -> Result<Found> {
    look::all(proc, census, path)
}

impl Found {
    /// An error if somebody uses it, or if this process has not the privilege to tell. `action`
    /// completes "cannot …". Some processes are out of reach even for root, as those from outside a
    /// container are: then the answer is a note that says so, since it must not pass for "nobody".
    pub fn refuse(&self, action: &str) -> Result<Option<String>> {
        if let Some(first) = self.users.first() {
            let list: Vec<String> = self.users.iter().map(ToString::to_string).collect();
            let error = Error::new(action, format!("it is in use: {}", list.join("; ")));
            return Err(error.mend(first.mend()));
        }
        let Some(first) = self.unlooked.first() else { return Ok(None) };
        let which = match self.unlooked.len() {
            1 => format!("process {first} could not be looked at"),
            more => format!("{more} processes could not be looked at, process {first} for one"),
        };
        if self.privileged {
            return Ok(Some(format!("{which}: whether it uses this is not known")));
        }
        let why = format!("whether it is in use could not be told: {which}");
        Err(Error::new(action, why).mend("run it as root"))
    }
}

impl User {
    /// What the reader can do so that it ends.
    pub fn mend(&self) -> String {
        let stop = self.unit.as_ref().and_then(Unit::how_to_stop);
        match (stop, self.hold) {
            (Some(stop), _) => format!("stop it first: {stop}"),
            (None, Hold::WorksIn) => format!("leave that directory, or end process {}", self.pid),
            (None, _) => format!("end process {} first", self.pid),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Escaped(&self.path);
        write!(f, "process {} ({}", self.pid, Escaped(&self.command))?;
        match &self.unit {
            Some(unit) => write!(f, ", {unit})")?,
            None => write!(f, ", of no systemd unit)")?,
        }
        match self.hold {
            Hold::Open => write!(f, " has {path} open"),
            Hold::Mapped => write!(f, " has {path} mapped"),
            Hold::Bound => write!(f, " has a socket at {path}"),
            Hold::Runs => write!(f, " runs {path}"),
            Hold::WorksIn => write!(f, " works in {path}"),
            Hold::RootedIn => write!(f, " has its root at {path}"),
        }?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

#[cfg(test)]
mod tests;
