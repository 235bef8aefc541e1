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

/// What kept a process, or one of its handles, from being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The kernel shows nothing of the process.
    Process,
    /// So many of its handles lead where not even their device can be asked for.
    Handles(usize),
}

/// A process of which it is not known whether it uses anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its number.
    pub pid: i32,
    /// Its command's name.
    pub command: Vec<u8>,
    /// The systemd unit that it belongs to.
    pub unit: Option<Unit>,
    /// What could not be looked at.
    pub unseen: Unseen,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who uses it, by number.
    pub users: Vec<User>,
    /// Who may use it, by number.
    pub unknown: Vec<Unknown>,
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
    /// An error if somebody uses it, or may use it. `action` completes "cannot …". With
    /// `even_if_unseen`, who may use it is a note instead, since that must not pass for "nobody".
    pub fn refuse(&self, action: &str, even_if_unseen: bool) -> Result<Option<String>> {
        if let Some(first) = self.users.first() {
            let list: Vec<String> = self.users.iter().map(ToString::to_string).collect();
            let error = Error::new(action, format!("it is in use: {}", list.join("; ")));
            return Err(error.mend(first.mend()));
        }
        let Some(first) = self.unknown.first() else { return Ok(None) };
        let list: Vec<String> = self.unknown.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match self.unknown.len() - list.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let which = format!("{}{more}", list.join("; "));
        if even_if_unseen && self.privileged {
            return Ok(Some(format!("whether this is in use could not be told: {which}")));
        }
        let error = Error::new(action, format!("whether it is in use could not be told: {which}"));
        Err(error.mend(match self.privileged {
            true => format!(
                "{}; or give `--even-if-unseen` if you know that it has nothing of this open: what \
                 it would write would be lost",
                how_to_end(first.pid, first.unit.as_ref())
            ),
            false => "run it as root".to_string(),
        }))
    }
}

/// Processes that a message names at the most.
const NAMED: usize = 8;

fn how_to_end(pid: i32, unit: Option<&Unit>) -> String {
    match unit.and_then(Unit::how_to_stop) {
        Some(stop) => format!("stop it first: {stop}"),
        None => format!("end process {pid} first"),
    }
}

impl User {
    /// What the reader can do so that it ends.
    pub fn mend(&self) -> String {
        let stops = self.unit.as_ref().is_some_and(|unit| unit.how_to_stop().is_some());
        match self.hold {
            Hold::WorksIn if !stops => {
                format!("leave that directory, or end process {}", self.pid)
            }
            _ => how_to_end(self.pid, self.unit.as_ref()),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Escaped(&self.path);
        name(f, self.pid, &self.command, self.unit.as_ref())?;
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

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, self.pid, &self.command, self.unit.as_ref())?;
        match self.unseen {
            Unseen::Process => write!(f, " could not be looked at"),
            Unseen::Handles(1) => write!(f, " has a file open that could not be looked at"),
            Unseen::Handles(many) => {
                write!(f, " has {many} files open that could not be looked at")
            }
        }
    }
}

fn name(f: &mut fmt::Formatter<'_>, pid: i32, command: &[u8], unit: Option<&Unit>) -> fmt::Result {
    write!(f, "process {pid} ({}", Escaped(command))?;
    match unit {
        Some(unit) => write!(f, ", {unit})"),
        None => write!(f, ", of no systemd unit)"),
    }
}

#[cfg(test)]
mod tests;
