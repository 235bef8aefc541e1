//! The services around the mount units: one makes what they need, one sets up what is not a mount
//! and tells what failed, one saves at shutdown what a program put in the place of a link.

use std::collections::BTreeSet;

use backends::TreePath;

use super::text::{UnitText, Value};
use super::{ADOPT, APPLY, PREPARE, Unit, name};

/// What waits for a path by its mount alone, and has to find links there as well.
const READERS: &str = "systemd-journal-flush.service systemd-random-seed.service";

/// All three; `command` is what runs Blankroot, `first` what fstab mounts above kept paths.
pub fn units(
    storages: &BTreeSet<&TreePath>,
    first: &BTreeSet<TreePath>,
    command: &Value,
    origin: &Value,
) -> Vec<Unit> {
    let storages = mounts_of(storages);
    let first = first.iter().filter_map(|point| name::of_mount(point).ok());
    let first = first.collect::<Vec<_>>().join(" ");
    vec![
        prepare(&storages, &first, command, origin),
        apply(&storages, &first, command, origin),
        adopt(&storages, command, origin),
    ]
}

fn prepare(storages: &str, first: &str, command: &Value, origin: &Value) -> Unit {
    let text = start("Make Sources and Targets of Kept Paths", storages, origin);
    let text = after(text, first)
        // Targets are made on the root, which is read-only until then.
        .set("After", "systemd-remount-fs.service local-fs-pre.target")
        .set("Before", &format!("local-fs.target {READERS}"))
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStart", &run(command, "apply --no-mounts"))
        // Single entries failed. They are tried again and told by the service below.
        .set("SuccessExitStatus", "1");
    Unit { name: PREPARE.to_string(), text: text.finish() }
}

fn apply(storages: &str, first: &str, command: &Value, origin: &Value) -> Unit {
    let text = start("Set Up Kept Paths", storages, origin);
    let text = after(text, first)
        .set("Wants", PREPARE)
        .set("After", PREPARE)
        .set("Before", &format!("local-fs.target {READERS}"))
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStart", &run(command, "apply"));
    Unit { name: APPLY.to_string(), text: text.finish() }
}

/// A unit of its own: a service that failed to start, be it for one entry, is never stopped.
///
/// It starts after all mounts, and so stops before the first of them goes: what they cover would
/// look like data that has to be saved. For the same reason it makes no mounts.
fn adopt(storages: &str, command: &Value, origin: &Value) -> Unit {
    let text = start("Save What Replaced Links of Kept Paths", storages, origin)
        .set("After", APPLY)
        .set("Before", "local-fs.target")
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStop", &run(command, "apply --adopt-replaced --no-mounts"))
        .set("TimeoutStopSec", "10min");
    Unit { name: ADOPT.to_string(), text: text.finish() }
}

/// What is made or looked at before a mount of fstab's is there would be hidden by it.
fn after(text: UnitText, first: &str) -> UnitText {
    if first.is_empty() { text } else { text.set("After", first) }
}

fn start(description: &str, storages: &str, origin: &Value) -> UnitText {
    UnitText::new(origin)
        .section("Unit")
        .set("Description", description)
        .set("Documentation", "man:blankroot-apply(1)")
        .value("SourcePath", origin)
        .set("DefaultDependencies", "no")
        .set("Conflicts", "shutdown.target")
        .set("Before", "shutdown.target")
        .set("Wants", storages)
        .set("After", storages)
}

pub fn run(command: &Value, arguments: &str) -> Value {
    command.quoted().before(arguments)
}

/// The units that may mount the storages: whether a storage is a mount or lies in one, systemd
/// alone knows. This is `WantsMountsFor=`, which systemd has from 256 on; `RequiresMountsFor=` would
/// leave all storages alone when one cannot be mounted.
pub fn mounts_of(storages: &BTreeSet<&TreePath>) -> String {
    let mut names = BTreeSet::new();
    for storage in storages {
        let bytes = storage.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([bytes.len()]) {
            let part = TreePath::parse(&bytes[..end]);
            names.extend(part.ok().and_then(|part| name::of_mount(&part).ok()));
        }
    }
    names.into_iter().collect::<Vec<_>>().join(" ")
}
