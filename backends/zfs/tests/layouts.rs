//! What pools of real machines have: keys, limits, boot loaders, rescue systems. No layout ends without a
//! root, and what cannot be done is told beforehand.

use std::fs;

use dirfd::TreeName;

use crate::conformance::{Testbed, next_record, rollback};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::tests::own::{captured, name_of, survey, value, value_of};
use crate::zfs::tests::pool_fixture::{Bed, LIVE, ZFS, ZPOOL, zfs, zfs_says, zpool};
use crate::zfs::{Zfs, commands};
use crate::{
    Backend, FastChanges, Held, Hold, Layout, OldRoot, Origin, Survey, Unfinished, kinship,
};

/// A bed whose blank has one file, and whose live one more.
pub(crate) fn lived_in(bed: Option<Bed>) -> Option<Bed> {
    let bed = bed?;
    fs::write(bed.path(&bed.layout().live).join("of blank"), "x").unwrap();
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
    Some(bed)
}

fn reasons_not_to_exchange(found: &Survey) -> Vec<&str> {
    found.immovable.iter().map(|found| found.reason.as_str()).collect()
}

#[test]
fn a_live_with_a_key_of_its_own_is_told_beforehand_and_never_lost() {
    let Some(bed) = lived_in(Bed::with_encrypted_live()) else { return };
    let live = bed.full(LIVE);
    let before = survey(&bed);
    let told = reasons_not_to_exchange(&before);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("ZFS would not give it that name"), "{told:?}");
    assert_eq!(before.obstacles, []);
    // Whoever does it all the same has a root in the end.
    let record = next_record(&bed);
    let (tree, blank) = (before.live.tree().unwrap(), before.blank.tree().unwrap());
    bed.unmount_all();
    let backend = bed.backend();
    let mut locked = backend.lock().unwrap();
    locked.prepare(blank, &record).unwrap();
    let aside = bed.layout().old.child(&record.name).unwrap();
    let refused = locked.swap(tree, &aside).unwrap_err().to_string();
    assert!(refused.contains("Permission denied"), "{refused}");
    drop(locked);
    assert_eq!(survey(&bed).live.tree().map(|tree| &tree.id), Some(&tree.id));
    // As a former version left it.
    let parked = crate::zfs::dataset_name::parked_name(
        &Zfs::open(bed.dataset().as_str(), bed.layout()).unwrap().names,
        &record.name,
    )
    .unwrap();
    bed.unmount_all();
    zfs(&["rename", "-u", live.as_str(), parked.as_str()]);
    let refused = bed.backend().lock().err().map(|error| error.to_string());
    assert!(refused.is_none_or(|why| why.contains("Permission denied")));
    let found = survey(&bed);
    assert_eq!(found.live.tree().map(|tree| &tree.id), Some(&tree.id), "{found:?}");
    assert!(bed.path(&bed.layout().live).join("precious").exists());
    // In place, no name is needed.
    bed.unmount_all();
    let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
    for left in &found.unfinished {
        bed.backend().lock().unwrap().discard_unfinished(left).unwrap();
    }
    bed.backend().lock().unwrap().revert(live, blank).unwrap();
    assert!(!bed.path(&bed.layout().live).join("precious").exists());
}

#[test]
fn limits_on_the_way_stop_nothing() {
    let Some(bed) = captured() else { return };
    for dataset in [bed.dataset().clone(), bed.full(LIVE)] {
        zfs(&["set", "filesystem_limit=100", "snapshot_limit=100", dataset.as_str()]);
    }
    for _ in 0..2 {
        fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
        rollback(&bed);
    }
    assert_eq!(value(&bed, "filesystem_limit", LIVE), "100");
    assert_eq!(survey(&bed).old_roots.len(), 2);
}

/// A value for each property that can be set on a dataset with files, in OpenZFS 2.1 to 2.4; what takes a
/// dataset out of reach (`readonly`, `zoned`, `mlslabel`, the contexts of SELinux) and what is shared over a
/// network is left out.
const SETTABLE: &[&str] = &[
    "aclinherit=discard",
    "aclmode=discard",
    "acltype=posix",
    "atime=off",
    "canmount=noauto",
    "checksum=sha256",
    "compression=zstd-3",
    "copies=2",
    "dedup=off",
    "defaultgroupobjquota=1000000",
    "defaultgroupquota=1G",
    "defaultprojectobjquota=1000000",
    "defaultprojectquota=1G",
    "defaultuserobjquota=1000000",
    "defaultuserquota=1G",
    "devices=off",
    "direct=disabled",
    "dnodesize=auto",
    "exec=off",
    "filesystem_limit=100",
    "logbias=throughput",
    "longname=on",
    "mountpoint=/nowhere",
    "nbmand=on",
    "overlay=off",
    "prefetch=metadata",
    "primarycache=metadata",
    "quota=1G",
    "recordsize=64K",
    "redundant_metadata=most",
    "refquota=1G",
    "refreservation=1M",
    "relatime=on",
    "reservation=1M",
    "secondarycache=none",
    "setuid=off",
    "snapdev=visible",
    "snapdir=visible",
    "snapshot_limit=100",
    "special_small_blocks=4K",
    "sync=disabled",
    "volmode=none",
    "vscan=on",
    "xattr=sa",
    "org.zfsbootmenu:active=on",
    "org.zfsbootmenu:commandline=quiet loglevel=4",
];

#[test]
fn every_property_that_can_be_set_goes_through_the_exchange() {
    let Some(bed) = captured() else { return };
    let live = bed.full(LIVE);
    bed.unmount_all();
    let (mut set, mut unknown) = (0, Vec::new());
    for property in SETTABLE {
        match ZFS.run(["set", property, live.as_str()]) {
            Ok(_) => set += 1,
            Err(why) => unknown.push(format!("{property}: {why}")),
        }
    }
    println!("{set} properties were set; this release has not {unknown:#?}");
    assert!(unknown.iter().all(|why| why.contains("invalid property")), "{unknown:#?}");
    let own = || {
        let mut own = commands::own_properties(&live).unwrap();
        own.retain(|(name, _)| name != "blankroot:replaces" && name != "blankroot:fresh");
        own.sort();
        own
    };
    let before = own();
    for _ in 0..2 {
        bed.unmount_all();
        let old_root = rollback(&bed);
        // Counts are shown like settings.
        assert_eq!(own(), before);
        let name = name_of(&old_root);
        let offered =
            ["mountpoint", "org.zfsbootmenu:active", "canmount"].map(|of| value(&bed, of, &name));
        assert_eq!(offered, ["legacy", "off", "noauto"]);
    }
}

/// ZFSBootMenu offers what has `mountpoint=legacy`, too, where the property is inherited.
#[test]
fn what_is_set_above_makes_no_boot_environment_of_an_old_root() {
    let Some(bed) = Bed::with_blank_of_live() else { return };
    zfs(&["set", "org.zfsbootmenu:active=on", bed.dataset().as_str()]);
    let Some(bed) = lived_in(Some(bed)) else { return };
    let old_root = rollback(&bed);
    let is_offered = |name: &str| value(&bed, "org.zfsbootmenu:active", name);
    assert_eq!([is_offered(LIVE), is_offered(&name_of(&old_root))], ["on", "off"]);
}

#[test]
fn what_is_delegated_on_live_is_delegated_on_the_next_one() {
    let Some(bed) = captured() else { return };
    let live = bed.full(LIVE);
    // Of what is above nothing is taken along: there it stays.
    zfs(&["allow", "everyone", "send", bed.dataset().as_str()]);
    zfs(&["allow", "-s", "@some", "snapshot,hold", live.as_str()]);
    zfs(&["allow", "-u", "0", "@some,mount", live.as_str()]);
    zfs(&["allow", "-l", "-g", "0", "compression", live.as_str()]);
    zfs(&["allow", "-c", "destroy", live.as_str()]);
    let allowed = || zfs_says(&["allow", live.as_str()]);
    let before = allowed();
    for _ in 0..2 {
        fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
        rollback(&bed);
        assert_eq!(allowed(), before);
    }
}

/// ZFS keeps them with the files.
#[test]
fn quotas_of_users_are_those_of_blank() {
    let Some(bed) = Bed::with_blank_of_live() else { return };
    let live = bed.full(LIVE);
    let quotas = || {
        let all = "userquota@7,groupquota@8,projectquota@9,userobjquota@1000";
        zfs_says(&["get", "-Hp", "-o", "value", all, live.as_str()])
    };
    zfs(&["set", "userquota@7=1M", "groupquota@8=2M", "projectquota@9=3M", live.as_str()]);
    let Some(bed) = lived_in(Some(bed)) else { return };
    let before = quotas();
    zfs(&["set", "userquota@7=none", "groupquota@8=5M", "userobjquota@1000=7", live.as_str()]);
    assert_ne!(quotas(), before);
    rollback(&bed);
    assert_eq!(quotas(), before);
}

/// Blank has the header of an intent log, which ZFS clears in each copy with a block of its own.
#[test]
fn a_copy_in_which_nothing_was_written_is_fresh_however_many_came_before() {
    let Some(bed) = Bed::with_blank_of_live() else { return };
    let path = bed.path(&bed.layout().live);
    let file = fs::File::create(path.join("of blank")).unwrap();
    file.sync_all().unwrap();
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    for round in 0..3 {
        fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
        bed.unmount_all();
        rollback(&bed);
        let written = value_of(
            &format!("written@{}", bed.full(&bed.layout().blank.to_string())),
            &bed.full(LIVE),
        );
        assert_ne!(written, "0", "there was no intent log in blank: nothing is tried");
        assert_eq!(survey(&bed).live.tree().unwrap().pristine, Some(true), "{round}");
    }
}

/// Whenever the power goes, what was not made whole can go.
#[cfg(feature = "faults")]
#[test]
fn a_copy_that_lacks_something_can_be_deleted() {
    use crate::zfs::tests::own::attempt;
    use dirfd::fault::Fault;

    let Some(bed) = captured() else { return };
    zfs(&["allow", "everyone", "snapshot", bed.full(LIVE).as_str()]);
    // As live has it whose blank cost something.
    zfs(&["set", "blankroot:fresh=12345", bed.full(LIVE).as_str()]);
    let (result, points, _) = attempt(&bed, None);
    result.unwrap();
    let clone = points.iter().position(|point| *point == "zfs: clone").unwrap();
    for position in [clone, clone + 1] {
        fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
        bed.unmount_all();
        attempt(&bed, Some(Fault::CutAfterNth(position))).0.unwrap_err();
        let found = survey(&bed);
        let [left @ Unfinished::FreshCopy { tree, .. }] = found.unfinished.as_slice() else {
            panic!("{:?}", found.unfinished);
        };
        assert_eq!(tree.pristine, None);
        bed.backend().lock().unwrap().discard_unfinished(left).unwrap();
        assert_eq!(survey(&bed).unfinished, []);
    }
}

#[test]
fn the_pool_boots_live_after_each_rollback_and_after_an_expiry() {
    let Some(bed) = captured() else { return };
    let (live, pool) = (bed.full(LIVE), bed.dataset().pool().to_string());
    let bootfs = || {
        let printed = ZPOOL.run(["get", "-Hp", "-o", "value", "bootfs", &pool]).unwrap();
        String::from_utf8(printed).unwrap().trim_end().to_string()
    };
    zpool(&["set", &format!("bootfs={live}"), &pool]);
    let old_root = rollback(&bed);
    assert_eq!(bootfs(), live.as_str());
    bed.backend().lock().unwrap().discard(&old_root).unwrap();
    assert_eq!(bootfs(), live.as_str());
    // As a former version left it.
    let old_root = rollback(&bed);
    zpool(&["set", &format!("bootfs={}", bed.full(&name_of(&old_root))), &pool]);
    rollback(&bed);
    assert_eq!(bootfs(), live.as_str());
    // What somebody else boots from is nobody's business.
    zpool(&["set", &format!("bootfs={}", bed.dataset()), &pool]);
    rollback(&bed);
    assert_eq!(bootfs(), bed.dataset().as_str());
    zpool(&["set", "bootfs=", &pool]);
}

#[test]
fn what_is_mounted_read_only_is_compared() {
    let Some(bed) = captured() else { return };
    rollback(&bed);
    let path = bed.path(&bed.layout().live);
    fs::write(path.join("new"), "x").unwrap();
    bed.mount_live_read_only();
    let (found, backend) = (survey(&bed), bed.backend());
    let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
    let FastChanges::Exact(changes) = backend.changes(blank, live).unwrap() else {
        panic!("it was not compared in the fast way");
    };
    assert_eq!(changes.iter().count(), 1);
    backend.view(live).unwrap();
}

#[test]
fn what_is_read_only_above_is_no_obstacle_and_old_roots_that_are_so_are_told() {
    let Some(bed) = Bed::with_blank_of_live() else { return };
    zfs(&["set", "readonly=off", bed.full(LIVE).as_str()]);
    zfs(&["set", "readonly=on", bed.dataset().as_str()]);
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    for _ in 0..2 {
        fs::write(bed.path(&bed.layout().live).join("precious"), "x").unwrap();
        rollback(&bed);
    }
    let old = bed.full("old roots");
    bed.unmount_all();
    zfs(&["set", "readonly=on", old.as_str()]);
    let told: Vec<String> =
        survey(&bed).obstacles.into_iter().filter_map(|found| found.hint).collect();
    assert_eq!(told, [format!("run `zfs set readonly=off '{old}'`")]);
}

/// Another system in the parent of the bed's own, with its old roots in the same dataset.
fn second_system(bed: &Bed) -> Zfs {
    let live = bed.full("other");
    zfs(&["create", "-o", "mountpoint=legacy", live.as_str()]);
    zfs(&["snapshot", &format!("{live}@blank")]);
    let name = |name: &str| TreeName::new(name).unwrap();
    let layout = Layout { live: name("other"), blank: name("other@blank"), ..bed.layout() };
    Zfs::open(bed.dataset().as_str(), layout).unwrap()
}

/// The names of the two that a rollback of the second system exchanges, prepared.
fn prepared(of: &Zfs, name: &str) -> crate::Record {
    let mut locked = of.lock().unwrap();
    let found = locked.survey().unwrap();
    let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
    let time = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let record = crate::Record::next(&[], "3f2a1c9e", time, live.id.clone(), blank.id.clone());
    let record = crate::Record { name: name.into(), ..record.of(&of.layout.live) };
    locked.prepare(blank, &record).unwrap();
    record
}

fn rolled_back(of: &Zfs, name: &str) {
    let record = prepared(of, name);
    let live = of.survey().unwrap().live.tree().unwrap().clone();
    let aside = of.layout.old.child(&record.name).unwrap();
    of.lock().unwrap().swap(&live, &aside).unwrap();
}

fn others(found: &Survey) -> Vec<String> {
    let others = kinship::of_other_systems(found);
    let is_other = |root: &&OldRoot| others.contains(&root.tree.id);
    found.old_roots.iter().filter(is_other).map(|root| root.record.name.clone()).collect()
}

#[test]
fn two_systems_in_one_parent_are_told_apart() {
    let Some(bed) = captured() else { return };
    let own = rollback(&bed);
    let other = second_system(&bed);
    rolled_back(&other, "000002-3f2a1c9e");
    assert_eq!(others(&survey(&bed)), ["000002-3f2a1c9e"]);
    assert_eq!(others(&other.survey().unwrap()), [own.record.name]);
    // A hold is its own.
    let hold = Hold::new("a boot", chrono::DateTime::UNIX_EPOCH);
    other.lock().unwrap().hold(&hold).unwrap();
    assert_eq!(survey(&bed).hold, None);
    rollback(&bed);
    assert_eq!(other.survey().unwrap().hold, Some(Held::By(hold)));
    // What the other is in the middle of is left to it, and its live is no litter.
    let live = bed.full("other");
    let was_live = commands::guid(&live).unwrap();
    let record = prepared(&other, "000009-3f2a1c9e");
    let parked = crate::zfs::dataset_name::parked_name(&other.names, &record.name).unwrap();
    commands::rename("test", &live, &parked).unwrap();
    let pool = bed.dataset().pool().to_string();
    zpool(&["set", &format!("bootfs={parked}"), &pool]);
    rollback(&bed);
    let found = survey(&bed);
    let is_it = |left: &&Unfinished| matches!(left, Unfinished::HalfSetAside(_));
    assert_eq!(found.unfinished.iter().filter(is_it).count(), 1, "{:?}", found.unfinished);
    assert_eq!(others(&found), ["000002-3f2a1c9e"], "its live has no name of its own for now");
    assert_eq!(commands::guid(&parked).unwrap(), was_live);
    drop(other.lock().unwrap());
    let found = other.survey().unwrap();
    assert!(found.live.tree().is_some() && found.blank.tree().is_some(), "{found:?}");
    assert!(!found.unfinished.iter().any(|left| is_it(&left)), "{:?}", found.unfinished);
    let bootfs = ZPOOL.run(["get", "-Hp", "-o", "value", "bootfs", &pool]).unwrap();
    assert_eq!(String::from_utf8(bootfs).unwrap().trim_end(), live.as_str());
    zpool(&["set", "bootfs=", &pool]);
    // One whose live is gone is nobody's by name.
    zfs(&["destroy", "-R", live.as_str()]);
    assert_eq!(others(&survey(&bed)), [""; 0]);
}

/// A pool in a file, imported as a rescue system does.
#[test]
fn a_rescue_system_leaves_no_trace_in_mount_points() {
    if captured().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [file, place, altroot] =
        ["pool", "", "mnt"].map(|name| dir.path().join(name).to_str().unwrap().to_string());
    fs::File::create(&file).unwrap().set_len(100 << 20).unwrap();
    let pool = "rescued";
    zpool(&["create", "-O", "mountpoint=none", pool, &file]);
    zfs(&["create", "-u", "-o", "mountpoint=/", "-o", "canmount=noauto", &format!("{pool}/root")]);
    zfs(&["snapshot", &format!("{pool}/root@blank")]);
    zpool(&["export", pool]);
    zpool(&["import", "-N", "-R", &altroot, "-d", &place, pool]);
    let name = |name: &str| TreeName::new(name).unwrap();
    let layout = Layout { live: name("root"), blank: name("root@blank"), old: name("old") };
    let of = Zfs::open(pool, layout.clone()).unwrap();
    let mut locked = of.lock().unwrap();
    locked.make_old_dir().unwrap();
    let found = locked.survey().unwrap();
    let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
    let time = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let record = crate::Record::next(&[], "3f2a1c9e", time, live.id.clone(), blank.id.clone());
    locked.prepare(blank, &record).unwrap();
    locked.swap(live, &layout.old.child(&record.name).unwrap()).unwrap();
    drop(locked);
    let place_of = || value_of("mountpoint", &ZfsName::new(format!("{pool}/root")).unwrap());
    assert_eq!(place_of(), altroot);
    zpool(&["export", pool]);
    zpool(&["import", "-N", "-d", &place, pool]);
    assert_eq!(place_of(), "/");
    zpool(&["export", pool]);
}
