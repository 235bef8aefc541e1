//! A rollback that is stopped at any of its steps, on a dataset that has all that one can have.

use std::fs;

use dirfd::TreeName;
use dirfd::fault::Fault;

use crate::Unfinished;
use crate::conformance::Testbed;
use crate::zfs::commands;
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::tests::layouts::lived_in;
use crate::zfs::tests::own::{attempt, survey, value};
use crate::zfs::tests::pool_fixture::{Bed, LIVE, ZPOOL, zfs, zfs_says, zpool};

/// Who comes to the pool after a rollback that was stopped.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// `rollback --finish` of an initrd.
    Finish,
    /// Another rollback.
    Rollback,
    /// Another system, which imports the pool, and finishes then.
    Import,
    /// `expire`, which takes away what was left.
    Expiry,
}

const NEXT: [Next; 4] = [Next::Finish, Next::Rollback, Next::Import, Next::Expiry];

impl Next {
    fn run(self, bed: &Bed, what: &str) {
        bed.unmount_all();
        if matches!(self, Self::Import) {
            let pool = bed.dataset().pool();
            let listed = ZPOOL.run(["list", "-HPv", "-o", "name", pool]).unwrap();
            let listed = String::from_utf8(listed).unwrap();
            let device = listed.lines().nth(1).and_then(|line| line.split_whitespace().next());
            zpool(&["export", pool]);
            zpool(&["import", "-N", "-d", device.unwrap(), pool]);
            zfs(&["load-key", "-a"]);
        }
        let backend = bed.backend();
        let mut locked = backend.lock().unwrap_or_else(|error| panic!("{what}: {error}"));
        match self {
            Self::Finish | Self::Import => {}
            Self::Rollback => {
                drop(locked);
                attempt(bed, None).0.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            Self::Expiry => {
                // Of a file under a temporary name no record tells; it stays.
                let is_ours = |left: &&Unfinished| left.record().is_some();
                let found = locked.survey().unwrap();
                for left in found.own_unfinished().filter(is_ours) {
                    let discarded = locked.discard_unfinished(left);
                    discarded.unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                let stays = locked.survey().unwrap();
                assert_eq!(stays.own_unfinished().find(is_ours), None, "{what}");
            }
        }
    }
}

/// Stops a rollback before and after each of its changes, or has one fail, where all that a dataset can have
/// is set; whoever comes next has all in order.
fn all_is_right_wherever_it_stops(bed: &Bed, followed_by: impl Fn(usize) -> Next) {
    let (live, pool) = (bed.full(LIVE), bed.dataset().pool().to_string());
    bed.unmount_all();
    zfs(&["set", "filesystem_limit=1000", "snapshot_limit=1000", bed.dataset().as_str()]);
    zfs(&["set", "refreservation=1M", "reservation=1M", "mountpoint=/nowhere", live.as_str()]);
    zfs(&["set", "org.zfsbootmenu:active=on", "canmount=on", live.as_str()]);
    zfs(&["unmount", live.as_str()]);
    zfs(&["allow", "everyone", "snapshot,mount", live.as_str()]);
    let allowed = || zfs_says(&["allow", live.as_str()]);
    let allowed_before = allowed();
    zpool(&["set", &format!("bootfs={live}"), &pool]);
    let settings = |name: &ZfsName| {
        let mut own = commands::own_properties(name).unwrap();
        own.retain(|(name, _)| name != "blankroot:replaces" && name != "blankroot:fresh");
        own.sort();
        own
    };
    let before = settings(&live);
    let (result, points, _) = attempt(bed, None);
    result.unwrap();
    for (position, point) in points.iter().enumerate() {
        let faults = [
            Fault::CutBeforeNth(position),
            Fault::CutAfterNth(position),
            Fault::FailNth(position, 5),
        ];
        let next = followed_by(position);
        let fault = faults[(position + next as usize) % faults.len()];
        let what = format!("{next:?} after {fault:?} of {point}");
        fs::write(bed.path(&bed.layout().live).join("precious"), &what).unwrap();
        bed.unmount_all();
        let (_, _, was_live) = attempt(bed, Some(fault));
        next.run(bed, &what);
        let found = survey(bed);
        assert_eq!((&found.obstacles, &found.immovable), (&Vec::new(), &Vec::new()), "{what}");
        let now = found.live.tree().unwrap_or_else(|| panic!("{what}: no live"));
        assert!(found.blank.tree().is_some(), "{what}: no blank");
        assert_eq!(settings(&live), before, "{what}");
        assert_eq!(allowed(), allowed_before, "{what}");
        let printed = ZPOOL.run(["get", "-Hp", "-o", "value", "bootfs", &pool]).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap().trim_end(), live.as_str(), "{what}");
        let places: Vec<TreeName> = [now]
            .into_iter()
            .chain(found.old_roots.iter().map(|old| &old.tree))
            .filter(|tree| tree.id == was_live)
            .map(|tree| tree.name.clone())
            .collect();
        assert_eq!(places.len(), 1, "{what}");
        assert_eq!(fs::read_to_string(bed.path(&places[0]).join("precious")).unwrap(), what);
        if now.id != was_live {
            let offered = ["mountpoint", "org.zfsbootmenu:active", "canmount"];
            let offered = offered.map(|of| value(bed, of, &places[0].to_string()));
            assert_eq!(offered, ["legacy", "off", "noauto"], "{what}");
        }
    }
    zpool(&["set", "bootfs=", &pool]);
}

/// The same for one who comes next each time, whichever way it stopped.
fn all_is_right_if_followed_by(next: Next) {
    let Some(bed) = lived_in(Bed::with_blank_of_live()) else { return };
    all_is_right_wherever_it_stops(&bed, |_| next);
}

#[test]
fn followed_by_finish() {
    all_is_right_if_followed_by(Next::Finish);
}

#[test]
fn followed_by_another_rollback() {
    all_is_right_if_followed_by(Next::Rollback);
}

#[test]
fn followed_by_export_and_import() {
    all_is_right_if_followed_by(Next::Import);
}

#[test]
fn followed_by_expiry() {
    all_is_right_if_followed_by(Next::Expiry);
}

#[test]
fn below_an_encrypted_parent() {
    let Some(bed) = lived_in(Bed::encrypted()) else { return };
    all_is_right_wherever_it_stops(&bed, |position| NEXT[position % NEXT.len()]);
}
