//! What a boot is told beside standard output: the journal with fields, or the kernel's log where the
//! journal is not there yet.

pub mod journal;
pub mod kernel;

use std::path::Path;

use crate::facts::Stamp;
use crate::facts::stamp::Outcome;
use crate::host::HostRoot;

/// How much a message matters; numbers of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing was set up, or nothing was rolled back.
    Error = 3,
    /// Something is other than one may think.
    Warning = 4,
    /// All is well.
    Notice = 5,
}

/// What is told of a rollback, with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// `rolled-back`, `skipped`, `refused`, `failed` or `missing`.
    pub outcome: &'static str,
    /// What the rollback wrote down, if it did.
    pub stamp: Option<Stamp>,
}

impl Entry {
    /// What a stamp tells.
    pub fn of(stamp: &Stamp) -> Self {
        let (level, outcome, message) = match &stamp.outcome {
            Outcome::RolledBack => (Level::Notice, "rolled-back", done(stamp)),
            Outcome::Skipped => {
                (Level::Notice, "skipped", "the root was not rolled back, as was asked".to_string())
            }
            Outcome::Refused { reasons } => (Level::Error, "refused", reasons.join("\n")),
            Outcome::Failed { reasons } => (Level::Error, "failed", reasons.join("\n")),
        };
        Self { level, message, outcome, stamp: Some(stamp.clone()) }
    }

    /// No rollback ran, or what ran does not count.
    pub fn missing(message: String) -> Self {
        Self { level: Level::Error, message, outcome: "missing", stamp: None }
    }

    /// Tells the journal of the machine whose root is `root`; where it has none yet, the kernel's log,
    /// from which the journal takes it later. Best effort: nobody is left to tell of a failure.
    pub fn tell(&self, root: &Path) {
        if journal::write(root, self) {
            return;
        }
        if let Ok(host) = HostRoot::open(root) {
            let _ = kernel::write(&host, "blankroot", self.level, &self.message);
        }
    }
}

fn done(stamp: &Stamp) -> String {
    let (ms, tenth) = (stamp.duration_us / 1000, stamp.duration_us % 1000 / 100);
    match &stamp.old_root {
        Some(name) => format!("the root was rolled back in {ms}.{tenth} ms; {name} was set aside"),
        None => "the root was a fresh copy of blank already".to_string(),
    }
}
