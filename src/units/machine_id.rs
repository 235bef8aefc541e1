//! Keeps systemd from committing a machine id that is kept already.
//!
//! `systemd-machine-id-commit.service` takes any mount on `/etc/machine-id` for the one that PID 1
//! makes at a first boot, and fails on ours at each boot. It stays in force while storage has no id
//! yet: what it writes then is adopted at shutdown.

use super::Unit;
use super::text::{UnitText, Value};
use super::way::Way;
use crate::keep::KeepEntry;

const PATH: &[u8] = b"etc/machine-id";

/// The drop-in, where the machine id is kept by a mount.
pub fn drop_in(entry: &KeepEntry, way: Way, origin: &Value) -> Option<Unit> {
    if entry.path.as_bytes() != PATH || way == Way::Link {
        return None;
    }
    let source = Value::path(&entry.source()).ok()?;
    let text =
        UnitText::new(origin).section("Unit").unless("ConditionFileNotEmpty", &source).finish();
    let name = "systemd-machine-id-commit.service.d/50-blankroot.conf".to_string();
    Some(Unit { name, text })
}
