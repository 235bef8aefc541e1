//! A rollback that is stopped at any of its steps, on a dataset that has all that one can have.

use std::fs;

use super::bed::{LIVE, ZPOOL, zfs, zpool};
use super::own::{attempt, captured, survey, value};
use crate::TreeName;
use crate::conformance::Testbed;
use crate::fault::Fault;
use crate::zfs::commands;
use crate::zfs::name::ZfsName;

/// Stops a rollback before and after each of its changes, or has one fail, where all that a dataset can have
/// is set; whoever takes the lock next has all in order.
#[test]
fn wherever_a_rollback_stops_properties_and_bootfs_are_right_in_the_end() {
    let Some(bed) = captured() else { return };
    let (live, pool) = (bed.full(LIVE), bed.dataset().pool().to_string());
    bed.unmount_all();
    zfs(&["set", "filesystem_limit=1000", "snapshot_limit=1000", bed.dataset().as_str()]);
    zfs(&["set", "refreservation=1M", "reservation=1M", "mountpoint=/nowhere", live.as_str()]);
    zfs(&["set", "org.zfsbootmenu:active=on", "canmount=on", live.as_str()]);
    zfs(&["unmount", live.as_str()]);
    zpool(&["set", &format!("bootfs={live}"), &pool]);
    let settings = |name: &ZfsName| {
        let mut own = commands::own_properties(name).unwrap();
        own.retain(|(name, _)| name != "blankroot:replaces" && name != "blankroot:fresh");
        own.sort();
        own
    };
    let before = settings(&live);
    let (result, points, _) = attempt(&bed, None);
    result.unwrap();
    for (position, point) in points.iter().enumerate() {
        let faults = [
            Fault::CutBeforeNth(position),
            Fault::CutAfterNth(position),
            Fault::FailNth(position, 5),
        ];
        for fault in faults {
            let what = format!("{fault:?} of {point}");
            fs::write(bed.path(&bed.layout().live).join("precious"), &what).unwrap();
            bed.unmount_all();
            let (_, _, was_live) = attempt(&bed, Some(fault));
            bed.unmount_all();
            drop(bed.backend().lock().unwrap_or_else(|error| panic!("{what}: {error}")));
            let found = survey(&bed);
            assert_eq!((&found.obstacles, &found.immovable), (&Vec::new(), &Vec::new()), "{what}");
            let now = found.live.tree().unwrap_or_else(|| panic!("{what}: no live"));
            assert!(found.blank.tree().is_some(), "{what}: no blank");
            assert_eq!(settings(&live), before, "{what}");
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
                let offered = offered.map(|of| value(&bed, of, &places[0].to_string()));
                assert_eq!(offered, ["legacy", "off", "noauto"], "{what}");
            }
        }
    }
    zpool(&["set", "bootfs=", &pool]);
}
