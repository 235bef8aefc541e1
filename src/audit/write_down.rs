//! Writes a record down: in storage, where it stays, and in the journal.

use std::path::Path;

use backends::{Backend, Tree};
use chrono::{DateTime, Utc};
use dirfd::{Error, Result};

use crate::audit::audit_journal::tell_journal;
use crate::audit::audit_record::{Record, RecordedEvent, RecordedWhere};
use crate::audit::ledger::{self, Durability};
use crate::boot::facts;
use crate::config::Config;
use crate::host::HostRoot;
use crate::persist::own_directory::{refuse_storage_in_live, storage_of_own_directory};

impl RecordedWhere {
    /// This machine in this boot; of a root that is mounted elsewhere neither is known.
    pub(crate) fn of_machine(root: &Path, time: DateTime<Utc>) -> Self {
        if root != Path::new("/") {
            return Self { time, host: None, boot: None };
        }
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // Where /proc is not mounted nobody knows.
        let boot = HostRoot::open(root).and_then(|host| facts::boot_id(&host)).ok();
        Self { time, host: Some(name).filter(|name| !name.is_empty()), boot }
    }
}

/// Puts a record into the ledger of the first storage, and tells the journal of it.
pub(crate) fn write_down(
    backend: &dyn Backend,
    live: &Tree,
    config: &Config,
    root: &Path,
    record: &Record,
) -> Result<()> {
    tell_journal(root, record);
    let most = config.audit.max_record_bytes;
    if most == 0 {
        return Ok(());
    }
    let Some(storage) = storage_of_own_directory(config) else {
        return Err(Error::new("write a record", "no storage is declared")
            .hint("declare one in the configuration, or set `max_record_bytes = 0` in [audit]"));
    };
    let host = HostRoot::open(root)?;
    refuse_storage_in_live(backend, live, &host, storage, "write a record")?;
    let durability = match record.event {
        RecordedEvent::Audit(_) => Durability::Soon,
        // It is told once.
        RecordedEvent::Lost(_) => Durability::AtOnce,
    };
    ledger::append(&host, storage, &line_of(record)?, most.into(), durability)
}

/// One line of JSON.
pub(crate) fn line_of(record: &Record) -> Result<Vec<u8>> {
    record.to_line().map_err(|why| Error::new("write a record", why.to_string()))
}
