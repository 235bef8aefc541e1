//! What systemd runs, as units for the generator: for the keep list a mount for each path that is
//! bound and the services around them; in an initrd the rollback, and kept paths that are early. Pure: what is written where is decided here, and written elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use dirfd::TreePath;

use crate::boot::fstab::{self, FstabMount, FstabMounts};
use crate::config::Config;
use crate::config::entry::PlacementMethod;
use crate::persist::list::{self, KeepEntry};
use crate::persist::own_directory::storage_of_own_directory;
use crate::systemd::mount_units;
use crate::systemd::unit_file::{self, UnitText, Value};
use crate::systemd::unit_set::{ADOPT, APPLY, DIGEST, Left, Link, PREPARE, Unit, Units};

/// What starts all of it. Each unit is wanted, not required: see docs/decisions/0010.
const WANTED_BY: &str = "local-fs.target.wants";

impl Units {
    /// Everything for one configuration; nothing where nothing is kept. `command` is what runs
    /// Blankroot, `origin` the configuration's file on the machine, `fstab` what that mounts by itself.
    ///
    /// The error says what is wrong with one of these two names.
    pub fn of(
        config: &Config,
        command: &str,
        origin: &TreePath,
        fstab: &[fstab::FstabEntry],
    ) -> Result<Self, &'static str> {
        let list = list::keep_list(config);
        if list.is_empty() {
            return Ok(Self::default());
        }
        let (command, origin) = (Value::new(command)?, Value::path(origin)?);
        let storages: BTreeSet<&TreePath> = list.iter().map(|entry| &entry.storage).collect();
        let places = fstab::storage_paths(&list);
        let live = config.root.layout().map(|layout| &layout.live);
        let mounts = FstabMounts { entries: fstab, storages: &places, live };
        let by_fstab: BTreeMap<&TreePath, FstabMount> =
            list.iter().filter_map(|entry| Some((&entry.path, mounts.at(&entry.path)?))).collect();
        let first = fstab_mounts_first(&list, &by_fstab);
        let mut files = service_units(&storages, &first, &command, &origin);
        if live.is_none() {
            // The storage of digests may be one in which nothing is kept.
            let storages =
                storages.iter().copied().chain(storage_of_own_directory(config)).collect();
            files.push(digest_unit(&mounts_of(&storages), &command, &origin));
        }
        let mut units = Self { files, ..Self::default() };
        let homes = all_homes(config, &list);
        for entry in &list {
            match by_fstab.get(&entry.path) {
                Some(mount) => {
                    units.by_fstab.push(Left { path: entry.path.clone(), why: mount.to_string() })
                }
                None => units.add(entry, &homes, &origin),
            }
        }
        units.links = wants_links(&units.files);
        units.files.extend(list.iter().filter_map(|entry| machine_id_drop_in(entry, &origin)));
        Ok(units)
    }

    /// Where the list cannot be read before its own storage is mounted: the services alone, which
    /// read it then and do everything. `file` is where it will be. What kind of root it is nobody knows
    /// yet: if it does not start empty, there is no digest to write at shutdown, and nothing is done then.
    pub(crate) fn without_list(file: &TreePath, command: &str) -> Result<Self, &'static str> {
        let (command, origin) = (Value::new(command)?, Value::path(file)?);
        let storages = BTreeSet::from([file]);
        let mut files = service_units(&storages, &BTreeSet::new(), &command, &origin);
        files.push(digest_unit(&mounts_of(&storages), &command, &origin));
        Ok(Self { links: wants_links(&files), files, ..Self::default() })
    }

    fn add(&mut self, entry: &KeepEntry, homes: &[TreePath], origin: &Value) {
        let how = entry.stated_placement();
        // A link is not systemd's to make.
        if how == Some(PlacementMethod::Symlink) {
            return;
        }
        match mount_units::mount_unit(entry, how, homes, origin) {
            Ok(unit) => self.files.push(unit),
            Err(why) => self.left.push(Left { path: entry.path.clone(), why }),
        }
    }
}

/// The mounts of fstab's that have to be there before anybody looks at what lies in them. One that lies in
/// a kept path comes after that itself.
fn fstab_mounts_first(
    list: &[KeepEntry],
    by_fstab: &BTreeMap<&TreePath, FstabMount>,
) -> BTreeSet<TreePath> {
    let points = by_fstab.values().map(|mount| &mount.point);
    let in_kept = |point: &&TreePath| {
        let kept = list.iter().filter(|entry| !by_fstab.contains_key(&entry.path));
        kept.into_iter().any(|entry| point.is_within(&entry.path))
    };
    points.filter(|point| !in_kept(point)).cloned().collect()
}

fn wants_links(files: &[Unit]) -> Vec<Link> {
    files.iter().map(|unit| Link { dir: WANTED_BY, unit: unit.name.clone() }).collect()
}

/// The homes of all users that the configuration names, and whatever else lies in `/home`: an entry
/// may name its path in a home as a whole.
fn all_homes(config: &Config, list: &[KeepEntry]) -> Vec<TreePath> {
    let named = config.storages.iter().flat_map(|storage| &storage.users);
    let mut homes: Vec<TreePath> = named.map(|user| user.home.clone()).collect();
    for path in list.iter().flat_map(|entry| [&entry.path, &entry.data]) {
        let Some(below) = path.as_bytes().strip_prefix(b"home/") else { continue };
        let user = below.split(|&byte| byte == b'/').next().unwrap_or_default();
        homes.extend(TreePath::parse(&[b"home/", user].concat()));
    }
    homes.sort();
    homes.dedup();
    homes
}

// The services around the mount units: one makes what they need, one sets up what is not a mount
// and tells what failed, one saves at shutdown what a program put in the place of a link.

/// What waits for a path by its mount alone, and has to find links there as well.
const READERS: &str = "systemd-journal-flush.service systemd-random-seed.service";

/// All three; `command` is what runs Blankroot, `first` what fstab mounts above kept paths.
pub(crate) fn service_units(
    storages: &BTreeSet<&TreePath>,
    first: &BTreeSet<TreePath>,
    command: &Value,
    origin: &Value,
) -> Vec<Unit> {
    let storages = mounts_of(storages);
    let first = first.iter().filter_map(|point| unit_file::of_mount(point).ok());
    let first = first.collect::<Vec<_>>().join(" ");
    vec![
        prepare_unit(&storages, &first, command, origin),
        apply_unit(&storages, &first, command, origin),
        adopt_unit(&storages, command, origin),
    ]
}

fn prepare_unit(storages: &str, first: &str, command: &Value, origin: &Value) -> Unit {
    let text = start_service("Make Sources and Targets of Kept Paths", storages, origin);
    let text = with_after(text, first)
        // Targets are made on the root, which is read-only until then.
        .set("After", "systemd-remount-fs.service local-fs-pre.target")
        .set("Before", &format!("local-fs.target {READERS}"))
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStart", &command_line_of(command, "apply --no-mounts"))
        // Single entries failed. They are tried again and told by the service below.
        .set("SuccessExitStatus", "1");
    Unit { name: PREPARE.to_string(), text: text.finish() }
}

fn apply_unit(storages: &str, first: &str, command: &Value, origin: &Value) -> Unit {
    let text = start_service("Set Up Kept Paths", storages, origin);
    let text = with_after(text, first)
        .set("Wants", PREPARE)
        .set("After", PREPARE)
        .set("Before", &format!("local-fs.target {READERS}"))
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStart", &command_line_of(command, "apply"));
    Unit { name: APPLY.to_string(), text: text.finish() }
}

/// What the mounts cover would look like data that has to be saved. So it makes none itself, either.
fn adopt_unit(storages: &str, command: &Value, origin: &Value) -> Unit {
    let text = start_service("Save What Replaced Links of Kept Paths", storages, origin);
    let stop = command_line_of(command, "apply --adopt-replaced --no-mounts");
    stop_unit(ADOPT, text, &stop, "10min")
}

fn digest_unit(storages: &str, command: &Value, origin: &Value) -> Unit {
    let text = start_service("Write Down What This Boot Made", storages, origin);
    stop_unit(DIGEST, text, &command_line_of(command, "digest"), "5s")
}

/// What is done when all services have stopped, and before the first mount goes: it starts after all mounts. A
/// unit of its own: a service that failed to start, be it for one entry, is never stopped.
fn stop_unit(name: &str, text: UnitText, stop: &Value, patience: &str) -> Unit {
    let text = text
        .set("After", APPLY)
        .set("Before", "local-fs.target")
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStop", stop)
        .set("TimeoutStopSec", patience);
    Unit { name: name.to_string(), text: text.finish() }
}

/// What is made or looked at before a mount of fstab's is there would be hidden by it.
fn with_after(text: UnitText, first: &str) -> UnitText {
    if first.is_empty() { text } else { text.set("After", first) }
}

fn start_service(description: &str, storages: &str, origin: &Value) -> UnitText {
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

pub(crate) fn command_line_of(command: &Value, arguments: &str) -> Value {
    command.quoted().before(arguments)
}

/// The units that may mount the storages: whether a storage is a mount or lies in one, systemd
/// alone knows. This is `WantsMountsFor=`, which systemd has from 256 on; `RequiresMountsFor=` would
/// leave all storages alone when one cannot be mounted.
pub(crate) fn mounts_of(storages: &BTreeSet<&TreePath>) -> String {
    let mut names = BTreeSet::new();
    for storage in storages {
        let bytes = storage.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([bytes.len()]) {
            let part = TreePath::parse(&bytes[..end]);
            names.extend(part.ok().and_then(|part| unit_file::of_mount(&part).ok()));
        }
    }
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// What PID 1 makes at a first boot.
const MACHINE_ID: &[u8] = b"etc/machine-id";

/// Keeps systemd from committing a machine id that is kept already.
///
/// `systemd-machine-id-commit.service` takes any mount on `/etc/machine-id` for the one that PID 1
/// makes at a first boot, and fails on ours at each boot. It stays in force while storage has no id
/// yet: what it writes then is adopted at shutdown.
pub(crate) fn machine_id_drop_in(entry: &KeepEntry, origin: &Value) -> Option<Unit> {
    let is_linked = entry.stated_placement() == Some(PlacementMethod::Symlink);
    if entry.path.as_bytes() != MACHINE_ID || is_linked {
        return None;
    }
    let source = Value::path(&entry.source()).ok()?;
    let text =
        UnitText::new(origin).section("Unit").unless("ConditionFileNotEmpty", &source).finish();
    let name = "systemd-machine-id-commit.service.d/50-blankroot.conf".to_string();
    Some(Unit { name, text })
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
