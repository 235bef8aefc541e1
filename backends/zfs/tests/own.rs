//! What only ZFS has to keep: what else hangs on a dataset, properties, keys, and names in between.

use std::sync::Barrier;
use std::{fs, thread};

use dirfd::TreeName;
use nix::mount::{MsFlags, mount, umount};

use crate::conformance::{Testbed, next_record, rollback};
use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::tests::pool_fixture::{Bed, ZPOOL, zfs, zpool};
use crate::zfs::{Zfs, commands};
use crate::{Backend, Layout, OldRoot, Origin, Slot, Survey};

pub fn captured() -> Option<Bed> {
    let bed = Bed::with_blank_of_live()?;
    fs::write(bed.path(&bed.layout().live).join("of blank"), "x").unwrap();
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
    Some(bed)
}

pub fn survey(bed: &Bed) -> Survey {
    bed.backend().survey().unwrap()
}

pub fn value(bed: &Bed, property: &str, name: &str) -> String {
    value_of(property, &bed.full(name))
}

pub fn value_of(property: &str, name: &ZfsName) -> String {
    String::from_utf8(commands::value(property, name).unwrap()).unwrap()
}

pub fn name_of(old_root: &OldRoot) -> String {
    old_root.tree.name.to_string()
}

#[test]
fn what_hangs_on_live_goes_with_it_and_nothing_is_destroyed() {
    let Some(bed) = captured() else { return };
    let live = bed.full(crate::zfs::tests::pool_fixture::LIVE);
    let at = |name: &str| format!("{live}@{name}");
    for name in ["autosnap_2026-01-01_00:00:02_daily", "held", "cloned"] {
        zfs(&["snapshot", &at(name)]);
    }
    zfs(&["hold", "me", &at("held")]);
    let clone = bed.full("clo ne");
    zfs(&["clone", "-o", "mountpoint=legacy", &at("cloned"), clone.as_str()]);
    zfs(&["bookmark", &at("held"), &format!("{live}#mark")]);
    let mut old_root = rollback(&bed);
    let name = name_of(&old_root);
    let old = bed.full(&name);
    let rows = commands::list_below(&[&old], &old).unwrap();
    let names: Vec<&str> =
        rows.iter().filter_map(|row| row.name.strip_prefix(old.as_str())).collect();
    let expected = ["", "@autosnap_2026-01-01_00:00:02_daily", "@held", "@cloned", "#mark"];
    assert_eq!(names, expected);
    assert_eq!(value(&bed, "origin", "clo ne"), format!("{old}@cloned"));
    assert!(matches!(survey(&bed).blank, Slot::Present(_)));

    let unseen = old_root.clone();
    bed.backend().look_for_snapshots(std::slice::from_mut(&mut old_root)).unwrap();
    let mut hanging = old_root.snapshots.clone();
    hanging.sort();
    assert_eq!(hanging, ["#mark", "@autosnap_2026-01-01_00:00:02_daily", "@cloned", "@held"]);
    let discard = || bed.backend().lock().unwrap().discard(&old_root);
    let refused = discard().unwrap_err().to_string();
    assert!(refused.contains("is held by me") || refused.contains("is a clone of"), "{refused}");
    assert_eq!(survey(&bed).old_roots.len(), 1);
    zfs(&["release", "me", &format!("{old}@held")]);
    let refused = discard().unwrap_err().to_string();
    assert!(refused.contains(&format!("{clone} is a clone of {old}@cloned")), "{refused}");
    zfs(&["destroy", clone.as_str()]);
    let refused = bed.backend().lock().unwrap().discard(&unseen).unwrap_err().to_string();
    assert!(refused.contains("was made since it was looked at"), "{refused}");
    discard().unwrap();
    assert_eq!((survey(&bed).old_roots.len(), survey(&bed).unfinished.len()), (0, 0));
}

#[test]
fn an_old_root_opens_for_all_who_open_it_at_once() {
    const OPENERS: usize = 4;
    let Some(bed) = captured() else { return };
    let old = bed.full(&name_of(&rollback(&bed)));
    bed.unmount_all();
    let together = Barrier::new(OPENERS);
    let opened_in_step = || {
        let open_once = |_| {
            together.wait();
            let opened = open(&old, Access::Read).map(drop);
            // Nobody has it open when the next one begins.
            together.wait();
            opened.err()
        };
        (0..50).filter_map(open_once).map(|error| error.to_string()).collect::<Vec<_>>()
    };
    let refused = thread::scope(|scope| {
        let openers = [(); OPENERS].map(|()| scope.spawn(opened_in_step));
        openers.map(|opener| opener.join().unwrap()).concat()
    });
    assert_eq!(refused, [""; 0]);
}

#[test]
fn an_old_root_opens_for_writing_as_soon_as_nobody_has_it_mounted_read_only() {
    let Some(bed) = captured() else { return };
    let old = bed.full(&name_of(&rollback(&bed)));
    bed.unmount_all();
    let place = tempfile::tempdir().unwrap();
    mount(Some(old.as_str()), place.path(), Some("zfs"), MsFlags::MS_RDONLY, None::<&str>).unwrap();
    thread::scope(|scope| {
        let opens = scope.spawn(|| open(&old, Access::Write).map(drop));
        open(&old, Access::Read).unwrap();
        umount(place.path()).unwrap();
        opens.join().unwrap().unwrap();
    });
}

#[test]
fn a_dataset_inside_of_live_is_named_as_an_obstacle() {
    let Some(bed) = captured() else { return };
    let inside = bed.full(&format!("{}/va r", crate::zfs::tests::pool_fixture::LIVE));
    zfs(&["create", "-o", "mountpoint=legacy", inside.as_str()]);
    let obstacles = survey(&bed).obstacles;
    assert!(obstacles.iter().any(|found| found.reason.contains(inside.as_str())), "{obstacles:?}");
}

#[test]
fn a_fresh_copy_has_every_property_that_live_had_and_room_is_set_apart_once() {
    let Some(bed) = captured() else { return };
    let live = bed.full(crate::zfs::tests::pool_fixture::LIVE);
    zfs(&["set", "refreservation=8M", "quota=1G", "mountpoint=/nowhere", live.as_str()]);
    zfs(&["set", "canmount=on", live.as_str()]);
    let own = |name: &str| commands::own_properties(&bed.full(name)).unwrap();
    let before = own(crate::zfs::tests::pool_fixture::LIVE);
    let old_root = rollback(&bed);
    let mut after = own(crate::zfs::tests::pool_fixture::LIVE);
    // Beside what it replaces and what it costs, which is its own.
    after.retain(|(name, _)| name != "blankroot:replaces" && name != "blankroot:fresh");
    after.sort();
    let mut expected = before.clone();
    expected.sort();
    assert_eq!(after, expected);
    let name = name_of(&old_root);
    let old = ["refreservation", "canmount", "quota"].map(|property| value(&bed, property, &name));
    assert_eq!(old, ["0", "noauto", "1073741824"]);
    assert_eq!(value(&bed, "blankroot:refreservation", &name), "8388608");
}

#[test]
fn in_place_nothing_but_blank_is_left_and_nothing_else_is_destroyed() {
    let Some(bed) = captured() else { return };
    let revert = || {
        bed.unmount(&bed.top().join("live"));
        let found = survey(&bed);
        let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
        bed.backend().lock().unwrap().revert(live, blank)
    };
    let (live, path) =
        (bed.full(crate::zfs::tests::pool_fixture::LIVE), bed.path(&bed.layout().live));
    zfs(&["snapshot", &format!("{live}@younger")]);
    zfs(&["bookmark", &format!("{live}@younger"), &format!("{live}#mark")]);
    let refused = revert().unwrap_err().to_string();
    let list = format!("it would destroy {live}@younger, {live}#mark");
    assert!(refused.contains(&list), "{refused}");
    assert!(bed.path(&bed.layout().live).join("precious").exists());
    zfs(&["destroy", &format!("{live}@younger")]);
    zfs(&["destroy", &format!("{live}#mark")]);
    let before = survey(&bed).live;
    revert().unwrap();
    bed.path(&bed.layout().live);
    assert!(path.join("of blank").exists() && !path.join("precious").exists());
    let after = survey(&bed);
    assert_eq!(after.live.tree().map(|tree| &tree.id), before.tree().map(|tree| &tree.id));
    assert_eq!((after.old_roots.len(), after.live.tree().unwrap().pristine), (0, Some(true)));
}

#[test]
fn an_encrypted_root_is_rolled_back_and_a_missing_key_is_named() {
    let Some(bed) = Bed::encrypted() else { return };
    fs::write(bed.path(&bed.layout().live).join("of blank"), "x").unwrap();
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
    let old_root = rollback(&bed);
    assert!(!bed.path(&bed.layout().live).join("precious").exists());
    assert!(bed.path(&old_root.tree.name).join("precious").exists());
    let name = name_of(&old_root);
    for dataset in [crate::zfs::tests::pool_fixture::LIVE, &name] {
        assert_eq!(value(&bed, "encryptionroot", dataset), bed.dataset().as_str());
    }
    bed.unmount_all();
    zfs(&["unload-key", bed.dataset().as_str()]);
    let found = survey(&bed);
    let reasons: Vec<&str> = found.obstacles.iter().map(|found| found.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("the key of")), "{reasons:?}");
    let refused = bed.backend().view(found.live.tree().unwrap()).unwrap_err().to_string();
    assert!(refused.contains("zfs load-key"), "{refused}");
    zfs(&["load-key", bed.dataset().as_str()]);
    assert_eq!(survey(&bed).old_roots.len(), 1);
}

/// A rollback with a fault: what came of it, the points that it passed, and what was live.
#[cfg(feature = "faults")]
pub fn attempt(
    bed: &Bed,
    fault: Option<dirfd::fault::Fault>,
) -> (dirfd::Result<()>, Vec<&'static str>, crate::TreeId) {
    let record = next_record(bed);
    let (found, backend) = (survey(bed), bed.backend());
    let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
    let aside = bed.layout().old.child(&record.name).unwrap();
    let mut locked = backend.lock().unwrap();
    let (result, points) = dirfd::fault::run_with(fault, None, || {
        locked.prepare(blank, &record)?;
        locked.swap(live, &aside)
    });
    (result, points, live.id.clone())
}

/// Cuts the power before and after each change of a rollback, and runs the next one.
#[cfg(feature = "faults")]
#[test]
fn whatever_cuts_a_rollback_short_the_next_one_goes_on() {
    use dirfd::fault::Fault;

    let Some(bed) = captured() else { return };
    let once = |fault| attempt(&bed, fault);
    // The first notes what a copy costs, in a step of its own.
    once(None).0.unwrap();
    let (result, points, _) = once(None);
    result.unwrap();
    let swap = [
        "zfs: clone",
        "zfs: set live aside",
        "zfs: name the copy live",
        "zfs: name the old root",
        "zfs: promote",
    ];
    assert_eq!(points[points.len() - 5..], swap);
    let first = points.len() - 6;
    for (position, point) in points.iter().enumerate().skip(first) {
        for fault in [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)] {
            let what = format!("{fault:?} of {point}");
            fs::write(bed.path(&bed.layout().live).join("precious"), &what).unwrap();
            let (_, _, was_live) = once(Some(fault));
            bed.unmount_all();
            // Whoever takes the lock next completes what was begun.
            drop(bed.backend().lock().unwrap_or_else(|error| panic!("{what}: {error}")));
            let found = survey(&bed);
            assert_eq!(found.obstacles, [], "{what}");
            let live = found.live.tree().unwrap_or_else(|| panic!("{what}: no live"));
            assert!(found.blank.tree().is_some(), "{what}: no blank");
            let path = match live.id == was_live {
                true => bed.path(&live.name),
                false => {
                    let is_it = |old: &&OldRoot| old.tree.id == was_live;
                    let old = found.old_roots.iter().find(is_it);
                    bed.path(&old.unwrap_or_else(|| panic!("{what}: lost")).tree.name)
                }
            };
            assert_eq!(fs::read_to_string(path.join("precious")).unwrap(), what);
            let path = bed.path(&bed.layout().live);
            assert!(path.join("of blank").exists(), "{what}");
            assert_eq!(path.join("precious").exists(), live.id == was_live, "{what}");
        }
    }
}

#[test]
fn without_room_a_rollback_changes_nothing() {
    let Some(bed) = captured() else { return };
    rollback(&bed);
    fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
    let before = survey(&bed);
    bed.unmount_all();
    zfs(&["set", &format!("quota={}", value_of("used", bed.dataset())), bed.dataset().as_str()]);
    let space = survey(&bed).space.unwrap();
    assert!(space.available < space.needed, "{space:?}");
    let record = next_record(&bed);
    let blank = before.blank.tree().unwrap();
    let prepared = bed.backend().lock().unwrap().prepare(blank, &record);
    let refused = prepared.unwrap_err().to_string();
    assert!(refused.contains("out of space") || refused.contains("quota"), "{refused}");
    zfs(&["set", "quota=none", bed.dataset().as_str()]);
    let after = survey(&bed);
    assert_eq!((&after.live, &after.blank), (&before.live, &before.blank));
    rollback(&bed);
    assert_eq!(survey(&bed).old_roots.len(), 2);
}

#[test]
fn a_pool_that_was_imported_read_only_is_looked_at_and_not_changed() {
    if captured().is_none() {
        return;
    }
    let pool = ReadOnlyPool::new("ro-tests");
    let name = |name: &str| TreeName::new(name).unwrap();
    let layout = Layout { live: name("root"), blank: name("root@blank"), old: name("old") };
    let of = Zfs::open(pool.name, layout).unwrap();
    let found = of.survey().unwrap();
    assert!(found.live.tree().is_some() && found.blank.tree().is_some(), "{found:?}");
    let reasons: Vec<&str> = found.obstacles.iter().map(|found| found.reason.as_str()).collect();
    assert_eq!(reasons, ["the pool `ro-tests` was imported read-only"]);
    let refused = of.lock().unwrap().make_old_dir().unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
    assert_eq!(of.survey().unwrap().live, found.live);
}

/// A pool in a file, with live and blank, that nobody may write to.
struct ReadOnlyPool {
    name: &'static str,
    _dir: tempfile::TempDir,
}

impl ReadOnlyPool {
    fn new(name: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pool");
        fs::File::create(&file).unwrap().set_len(100 << 20).unwrap();
        let [place, file] = [dir.path(), &file].map(|path| path.to_str().unwrap().to_string());
        zpool(&["create", "-O", "mountpoint=none", name, &file]);
        zfs(&["create", "-o", "mountpoint=legacy", &format!("{name}/root")]);
        zfs(&["snapshot", &format!("{name}/root@blank")]);
        zpool(&["export", name]);
        zpool(&["import", "-N", "-o", "readonly=on", "-d", &place, name]);
        Self { name, _dir: dir }
    }
}

impl Drop for ReadOnlyPool {
    fn drop(&mut self) {
        let _ = ZPOOL.run(["export", "-f", self.name]);
    }
}
