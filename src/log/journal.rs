//! The journal, with fields by which programs find an entry (systemd.journal-fields(7)).

use std::path::Path;

use tracing::subscriber::with_default;
use tracing_subscriber::prelude::*;

use super::{Entry, Level};

/// The kind of an entry about the rollback of a boot: `journalctl MESSAGE_ID=…`.
pub const ROLLBACK: &str = "6f0f2b3c5a0e4d5c9d3f1b7e8a2c4d60";

/// Writes an entry; false where there is no journal, or another machine's.
pub fn write(root: &Path, entry: &Entry) -> bool {
    if root != Path::new("/") {
        return false;
    }
    let Ok(journal) = tracing_journald::layer() else { return false };
    let journal = journal.with_field_prefix(None).with_syslog_identifier("blankroot".to_string());
    with_default(tracing_subscriber::registry().with(journal), || send(entry));
    true
}

fn send(entry: &Entry) {
    let stamp = entry.stamp.as_ref();
    let old_root = stamp.and_then(|stamp| stamp.old_root.as_deref());
    let duration = stamp.map(|stamp| stamp.duration_us);
    let boot = stamp.map(|stamp| stamp.boot_id.as_str());
    let live = stamp.and_then(|stamp| stamp.live_now.as_ref()).map(backends::TreeId::as_str);
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                tracing::Level::$level,
                message_id = ROLLBACK,
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
        Level::Error => event!(ERROR),
        Level::Warning => event!(WARN),
        Level::Notice => event!(INFO),
    }
}
