//! A directory's size tells whether it lost an entry; nothing that keeps the size may fool it.

use std::fs::{self, File};
use std::path::Path;

use btrfsutil::subvolume::{DeleteFlags, Subvolume};
use dirfd::ChangeKind::{self, Added, Modified, Removed};
use rustix::fs::{CWD, RenameFlags, rename, renameat_with};

use crate::btrfs::tests::btrfs_fixture::Bed;

const NAMES: [&str; 6] = ["aaa", "bbb", "ccc", "ddd", "eee", "fff"];

/// A root with a directory `d` of six files that have names of one length, and live fresh from it.
fn bed() -> Option<Bed> {
    Bed::rolled_back(|live| {
        fs::create_dir(live.join("d")).unwrap();
        fs::create_dir(live.join("e")).unwrap();
        for name in NAMES {
            fs::write(live.join("d").join(name), name).unwrap();
        }
        fs::hard_link(live.join("d/aaa"), live.join("e/one more")).unwrap();
    })
}

fn assert_rows(bed: &Bed, expected: &[(&str, ChangeKind)]) {
    let rows = bed.exact_changes();
    let rows: Vec<_> = rows.iter().map(|row| (row.path.to_string(), row.kind)).collect();
    let expected: Vec<_> = expected.iter().map(|(path, kind)| (path.to_string(), *kind)).collect();
    assert_eq!(rows, expected);
}

fn exchange(dir: &Path, a: &str, b: &str) {
    renameat_with(CWD, dir.join(a), CWD, dir.join(b), RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn every_name_is_replaced_by_another_of_its_length() {
    for sync_between in [false, true] {
        let Some(bed) = bed() else { return };
        let dir = bed.live().join("d");
        for name in NAMES {
            rename(dir.join(name), dir.join(name.to_uppercase())).unwrap();
            if sync_between {
                bed.sync();
            }
        }
        let upper = NAMES.map(|name| format!("/d/{}", name.to_uppercase()));
        let lower = NAMES.map(|name| format!("/d/{name}"));
        let rows: Vec<_> = upper.iter().map(|path| (path.as_str(), Added)).collect();
        let gone = lower.iter().map(|path| (path.as_str(), Removed));
        assert_rows(&bed, &rows.into_iter().chain(gone).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_is_deleted_and_another_is_made_with_a_name_of_the_same_length() {
    for sync_between in [false, true] {
        let Some(bed) = bed() else { return };
        let dir = bed.live().join("d");
        fs::remove_file(dir.join("bbb")).unwrap();
        if sync_between {
            bed.sync();
        }
        fs::write(dir.join("xyz"), "new").unwrap();
        fs::remove_file(dir.join("ccc")).unwrap();
        fs::write(dir.join("z"), "one").unwrap();
        fs::write(dir.join("zz"), "two").unwrap();
        let rows = [("/d/bbb", Removed), ("/d/ccc", Removed)];
        let news = [("/d/xyz", Added), ("/d/z", Added), ("/d/zz", Added)];
        assert_rows(&bed, &[&rows[..], &news].concat());
    }
}

#[test]
fn a_name_is_given_back_to_a_file_made_anew() {
    let Some(bed) = bed() else { return };
    let dir = bed.live().join("d");
    fs::remove_file(dir.join("bbb")).unwrap();
    bed.sync();
    fs::write(dir.join("bbb"), "bbb").unwrap();
    fs::write(dir.join("new"), "x").unwrap();
    fs::write(dir.join("ccc.tmp"), "ddd").unwrap();
    rename(dir.join("ccc.tmp"), dir.join("ccc")).unwrap();
    assert_rows(&bed, &[("/d/ccc", Modified), ("/d/new", Added)]);
}

#[test]
fn two_names_are_exchanged() {
    let Some(bed) = bed() else { return };
    let dir = bed.live().join("d");
    exchange(&dir, "bbb", "ccc");
    bed.sync();
    assert_rows(&bed, &[("/d/bbb", Modified), ("/d/ccc", Modified)]);
    fs::write(dir.join("new"), "x").unwrap();
    exchange(&bed.live(), "d", "e");
    bed.sync();
    exchange(&bed.live(), "d", "e");
    assert_rows(&bed, &[("/d/bbb", Modified), ("/d/ccc", Modified), ("/d/new", Added)]);
    exchange(&dir, "bbb", "ccc");
    assert_rows(&bed, &[("/d/new", Added)]);
}

#[test]
fn a_rename_replaces_another_file() {
    let Some(bed) = bed() else { return };
    let dir = bed.live().join("d");
    rename(dir.join("bbb"), dir.join("ccc")).unwrap();
    // As long as what was lost.
    fs::write(dir.join("new"), "x").unwrap();
    assert_rows(&bed, &[("/d/bbb", Removed), ("/d/ccc", Modified), ("/d/new", Added)]);
}

#[test]
fn hard_links_come_and_go() {
    let Some(bed) = bed() else { return };
    let dir = bed.live().join("d");
    fs::remove_file(dir.join("aaa")).unwrap();
    fs::hard_link(dir.join("bbb"), dir.join("lnk")).unwrap();
    bed.sync();
    rename(dir.join("ccc"), bed.live().join("e/ccc")).unwrap();
    fs::hard_link(bed.live().join("e/one more"), dir.join("old")).unwrap();
    let expected = [
        ("/d/aaa", Removed),
        ("/d/ccc", Removed),
        ("/d/lnk", Added),
        ("/d/old", Added),
        ("/e/ccc", Added),
    ];
    assert_rows(&bed, &expected);
}

#[test]
fn nested_subvolumes_and_their_stubs_come_and_go() {
    let Some(bed) = Bed::rolled_back(|live| {
        fs::create_dir(live.join("d")).unwrap();
        for name in ["d/one", "d/two"] {
            Subvolume::create(live.join(name).as_path(), None).unwrap();
        }
        fs::write(live.join("d/xxx"), "x").unwrap();
    }) else {
        return;
    };
    let dir = bed.live().join("d");
    // What a snapshot leaves in a subvolume's place.
    fs::remove_dir(dir.join("one")).unwrap();
    Subvolume::create(dir.join("new").as_path(), None).unwrap();
    assert_rows(&bed, &[("/d/new", Added), ("/d/one", Removed)]);
    bed.sync();
    Subvolume::get(dir.join("new").as_path()).unwrap().delete(DeleteFlags::empty()).unwrap();
    fs::remove_dir(dir.join("two")).unwrap();
    Subvolume::create(dir.join("two").as_path(), None).unwrap();
    rename(dir.join("xxx"), dir.join("one")).unwrap();
    assert_rows(&bed, &[("/d/one", ChangeKind::Replaced), ("/d/xxx", Removed)]);
}

#[test]
fn a_log_that_is_replayed_after_a_power_cut_keeps_sizes_and_entries_in_step() {
    let Some(mut bed) = bed() else { return };
    bed.sync();
    let dir = bed.live().join("d");
    fs::remove_file(dir.join("bbb")).unwrap();
    rename(dir.join("ccc"), dir.join("CCC")).unwrap();
    fs::write(dir.join("new"), "new").unwrap();
    fs::remove_file(dir.join("aaa")).unwrap();
    fs::hard_link(dir.join("ddd"), dir.join("lnk")).unwrap();
    File::open(dir.join("new")).unwrap().sync_all().unwrap();
    File::open(dir.join("lnk")).unwrap().sync_all().unwrap();
    File::open(&dir).unwrap().sync_all().unwrap();
    fs::write(dir.join("lost"), "never made durable").unwrap();
    bed.cut_the_power();
    let expected = [
        ("/d/CCC", Added),
        ("/d/aaa", Removed),
        ("/d/bbb", Removed),
        ("/d/ccc", Removed),
        ("/d/lnk", Added),
        ("/d/new", Added),
    ];
    assert_rows(&bed, &expected);
    // And once more on top of it.
    rename(bed.live().join("d/ddd"), bed.live().join("d/DDD")).unwrap();
    File::open(bed.live().join("d")).unwrap().sync_all().unwrap();
    bed.cut_the_power();
    let rows = bed.exact_changes();
    assert!(rows.iter().any(|row| row.path.to_string() == "/d/ddd" && row.kind == Removed));
}
