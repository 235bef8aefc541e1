//! What a boot is told beside standard output: the journal with fields, or the kernel's log where the
//! journal is not there yet.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use dirfd::fault::change;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use tracing::subscriber::with_default;
use tracing_subscriber::prelude::*;

use crate::boot::stamp::{RollbackOutcome, Stamp};
use crate::host::HostRoot;

/// How much a message matters; numbers of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// Nothing was set up, or nothing was rolled back.
    Error = 3,
    /// Something is other than one may think.
    Warning = 4,
    /// All is well.
    Notice = 5,
}

/// What is told of a rollback, with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RollbackLogEntry {
    /// How much it matters.
    pub(crate) level: LogLevel,
    /// One line or several, each of which is a record of its own in the kernel's log.
    pub(crate) message: String,
    /// `rolled-back`, `skipped`, `refused`, `failed` or `missing`.
    pub(crate) outcome: &'static str,
    /// What the rollback wrote down, if it did.
    pub(crate) stamp: Option<Stamp>,
}

impl RollbackLogEntry {
    /// What a stamp tells.
    pub(crate) fn from_stamp(stamp: &Stamp) -> Self {
        let (level, outcome, message) = match &stamp.outcome {
            RollbackOutcome::RolledBack => {
                (LogLevel::Notice, "rolled-back", describe_rollback(stamp))
            }
            RollbackOutcome::Skipped => (
                LogLevel::Notice,
                "skipped",
                "the root was not rolled back, as was asked".to_string(),
            ),
            RollbackOutcome::Refused { reasons } => {
                (LogLevel::Error, "refused", reasons.join("\n"))
            }
            RollbackOutcome::Failed { reasons } => (LogLevel::Error, "failed", reasons.join("\n")),
        };
        Self { level, message, outcome, stamp: Some(stamp.clone()) }
    }

    /// No rollback ran, or what ran does not count.
    pub(crate) fn missing(message: String) -> Self {
        Self { level: LogLevel::Error, message, outcome: "missing", stamp: None }
    }

    /// Tells the journal of the machine whose root is `root`; where it has none yet, the kernel's log,
    /// from which the journal takes it later. Best effort: nobody is left to tell of a failure.
    pub(crate) fn write(&self, root: &Path) {
        if write_to_journal(root, || send_event(self)) {
            return;
        }
        if let Ok(host) = HostRoot::open(root) {
            let _ = write_kernel_log(&host, "blankroot", self.level, &self.message);
        }
    }
}

fn describe_rollback(stamp: &Stamp) -> String {
    match &stamp.old_root {
        Some(name) => {
            let took = stamp.milliseconds();
            format!("the root was rolled back in {took}; {name} was set aside")
        }
        None => "the root was a fresh copy of blank already".to_string(),
    }
}

/// The kind of an entry about the rollback of a boot: `journalctl MESSAGE_ID=…`.
const ROLLBACK_MESSAGE_ID: &str = "6f0f2b3c5a0e4d5c9d3f1b7e8a2c4d60";

/// Runs `send`, whose events go to the journal, with fields by which programs find them (systemd.journal-fields(7));
/// false where there is no journal, or another machine's.
pub(crate) fn write_to_journal(root: &Path, send: impl FnOnce()) -> bool {
    if root != Path::new("/") {
        return false;
    }
    let Ok(journal) = tracing_journald::layer() else { return false };
    let journal = journal.with_field_prefix(None).with_syslog_identifier("blankroot".to_string());
    with_default(tracing_subscriber::registry().with(journal), send);
    true
}

fn send_event(entry: &RollbackLogEntry) {
    let stamp = entry.stamp.as_ref();
    let old_root = stamp.and_then(|stamp| stamp.old_root.as_deref());
    let duration = stamp.map(|stamp| stamp.duration_us);
    let boot = stamp.map(|stamp| stamp.boot_id.as_str());
    let live = stamp.and_then(|stamp| stamp.live_now.as_ref()).map(backends::TreeId::as_str);
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                tracing::Level::$level,
                message_id = ROLLBACK_MESSAGE_ID,
                blankroot_outcome = entry.outcome,
                blankroot_old_root = old_root,
                blankroot_duration_usec = duration,
                blankroot_boot_id = boot,
                blankroot_live = live,
                "{}",
                entry.message
            )
        };
    }
    match entry.level {
        LogLevel::Error => event!(ERROR),
        LogLevel::Warning => event!(WARN),
        LogLevel::Notice => event!(INFO),
    }
}

/// `LOG_DAEMON` of syslog(3), shifted as in a priority.
const DAEMON: u8 = 3 << 3;
/// The kernel takes less than 1024 bytes with the prefix (`PRINTKRB_RECORD_MAX`).
const LONGEST: usize = 900;

/// Says `message` of the program `name` to the kernel's log of `host`, each of its lines as one record. This is
/// where a generator speaks: the journal reads it when it starts (systemd.generator(7)).
pub(crate) fn write_kernel_log(
    host: &HostRoot,
    name: &str,
    level: LogLevel,
    message: &str,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT;
    let mut log = File::from(fs::openat2(host, "dev/kmsg", flags, Mode::empty(), resolve)?);
    for record in split_records(name, level, message) {
        change("log: write", || log.write_all(record.as_bytes()))?;
    }
    Ok(())
}

fn split_records(name: &str, level: LogLevel, message: &str) -> Vec<String> {
    let priority = DAEMON | level as u8;
    let (id, mut records) = (std::process::id(), Vec::new());
    for line in message.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            let (start, end) = rest.split_at(rest.floor_char_boundary(LONGEST));
            records.push(format!("<{priority}>{name}[{id}]: {start}\n"));
            rest = end;
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record_that_the_kernel_takes() {
        let long = "ö".repeat(1000);
        let records =
            split_records("blankroot", LogLevel::Error, &format!("cannot a: b\n\n  hint: {long}"));
        assert!(records[0].starts_with("<27>blankroot["), "{records:?}");
        assert!(records[0].ends_with("]: cannot a: b\n"), "{records:?}");
        assert_eq!(records.len(), 4);
        assert!(records.iter().all(|record| record.len() < 1000 && record.lines().count() == 1));
    }
}
