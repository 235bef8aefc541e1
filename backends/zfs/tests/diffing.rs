//! The fast way, where ZFS's own `zfs diff` goes wrong, and where a walk of names could.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dirfd::TreeName;
use dirfd::compare_trees::compare_by_walk;
use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};

use crate::conformance::{Testbed, rollback};
use crate::zfs::commands;
use crate::zfs::tests::pool_fixture::{Bed, LIVE, zfs, zfs_says};
use crate::{Backend, FastChanges, Origin, Tree};

/// A live with what `fill` makes, and a blank of it.
fn captured(fill: impl FnOnce(&Path)) -> Option<Bed> {
    let bed = Bed::with_blank_of_live()?;
    fill(&live(&bed));
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    Some(bed)
}

fn live(bed: &Bed) -> PathBuf {
    bed.path(&bed.layout().live)
}

fn tree(bed: &Bed, name: &str) -> Tree {
    let rows = commands::look(&[&bed.full(name)], &bed.full(name)).unwrap();
    let row = rows.first().unwrap();
    Tree {
        id: crate::TreeId::new(row.guid.to_string()),
        name: TreeName::new(name).unwrap(),
        read_only: row.read_only,
        created: chrono::DateTime::from_timestamp(row.creation, 0),
        copy_of: None,
        pristine: None,
    }
}

fn fast(backend: &dyn Backend, from: &Tree, to: &Tree) -> Result<Vec<String>, String> {
    match backend.changes(from, to).unwrap() {
        FastChanges::Unavailable(why) => Err(why),
        FastChanges::Exact(changes) => Ok(text(&changes)),
    }
}

fn text(changes: &dirfd::Changes) -> Vec<String> {
    changes.iter().map(|change| format!("{} {}", change.kind.word(), change.path)).collect()
}

/// Each change as `kind path`; a walk of both trees found the same, and no snapshot is left.
#[track_caller]
fn changes(bed: &Bed) -> Vec<String> {
    let backend = bed.backend();
    let (live, blank) = backend.live_and_blank().unwrap();
    let (live, blank) = (live.tree().unwrap(), blank.tree().unwrap());
    let found = fast(backend.as_ref(), blank, live).unwrap();
    let (older, newer) = (backend.view(blank).unwrap(), backend.view(live).unwrap());
    let walked = compare_by_walk(older.as_fd(), newer.as_fd(), &|_| {}).unwrap();
    assert_eq!(found, text(&walked));
    drop((older, newer));
    assert_eq!(snapshots(bed), [format!("{LIVE}@bl ank_-.:x")]);
    found
}

/// All snapshots below the bed's dataset.
fn snapshots(bed: &Bed) -> Vec<String> {
    let top = bed.dataset().as_str();
    let said = zfs_says(&["list", "-H", "-r", "-o", "name", "-t", "snapshot", top]);
    said.lines().map(|name| name[top.len() + 1..].to_string()).collect()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

#[test]
fn each_name_of_a_file_is_a_row_of_its_own_and_zfs_diff_misses_some() {
    let bed = captured(|live| {
        fs::create_dir(live.join("dir")).unwrap();
        for name in ["two", "three"] {
            fs::write(live.join(name), name).unwrap();
            fs::hard_link(live.join(name), live.join("dir").join(name)).unwrap();
        }
    });
    let Some(bed) = bed else { return };
    let root = live(&bed);
    fs::write(root.join("new"), "x").unwrap();
    fs::hard_link(root.join("new"), root.join("dir/new too")).unwrap();
    // The parent that ZFS has noted is that of the last link.
    fs::remove_file(root.join("dir/two")).unwrap();
    fs::remove_file(root.join("three")).unwrap();
    let found = changes(&bed);
    assert_eq!(found, ["added /dir/new too", "removed /dir/two", "added /new", "removed /three"]);
    let blank = bed.full(&bed.layout().blank.to_string());
    let theirs = zfs_says(&["diff", "-FHh", blank.as_str(), bed.full(LIVE).as_str()]);
    println!("zfs diff:\n{theirs}blankroot:\n{}", found.join("\n"));
    let is_named = |what: &str| theirs.lines().any(|line| line.contains(what));
    assert!(!(is_named("/new\t") && is_named("/dir/new too")), "zfs diff has become better");
}

#[test]
fn names_are_bytes() {
    let names: [&[u8]; 5] = [b"a b", b"new\nline", b"\\040", b"\xff\xfe", "ü\t".as_bytes()];
    let path = |live: &Path, name: &[u8]| live.join(std::ffi::OsStr::from_bytes(name));
    let Some(bed) =
        captured(|live| names.iter().for_each(|n| fs::write(path(live, n), "x").unwrap()))
    else {
        return;
    };
    names.iter().for_each(|n| fs::write(path(&live(&bed), n), "other").unwrap());
    let expected = ["/\\\\040", "/a b", "/new\\nline", "/ü\\t", "/\\xff\\xfe"];
    let mut found = changes(&bed);
    found.sort();
    let mut expected = expected.map(|path| format!("modified {path}"));
    expected.sort();
    assert_eq!(found, expected);
}

/// In the inode itself, or as files in a directory of their own.
#[test]
fn a_change_of_an_extended_attribute_shows_however_it_is_kept() {
    for style in ["sa", "dir"] {
        let Some(bed) = Bed::with_blank_of_live() else { return };
        zfs(&["set", &format!("xattr={style}"), bed.full(LIVE).as_str()]);
        bed.unmount_all();
        let root = live(&bed);
        for name in ["value", "longer", "gone", "new", "same", "other"] {
            fs::write(root.join(name), name).unwrap();
            if name != "new" {
                set(&root.join(name), "user.one", b"1");
                set(&root.join(name), "user.two", &[7; 3000]);
            }
        }
        bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
        let root = live(&bed);
        set(&root.join("value"), "user.one", b"2");
        set(&root.join("longer"), "user.two", &[8; 9000]);
        lremovexattr(root.join("gone"), "user.one").unwrap();
        set(&root.join("new"), "user.one", b"1");
        set(&root.join("same"), "user.one", b"1");
        let expected = ["gone", "longer", "new", "value"].map(|n| format!("metadata /{n}"));
        assert_eq!(changes(&bed), expected, "xattr={style}");
    }
}

#[test]
fn an_access_control_list_is_metadata() {
    let bed = captured(|live| {
        fs::write(live.join("file"), "x").unwrap();
        fs::create_dir(live.join("dir")).unwrap();
    });
    let Some(bed) = bed else { return };
    // acl(5) as linux/posix_acl_xattr.h has it: u::rw-, u:7:rw-, g::r--, m::rw-, o::r--.
    let entry = |tag: u16, perm: u16, id: u32| {
        [tag.to_le_bytes().to_vec(), perm.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()]
            .concat()
    };
    let none = u32::MAX;
    let list = [(1, 6, none), (2, 6, 7), (4, 4, none), (0x10, 6, none), (0x20, 4, none)];
    let mut acl = 2u32.to_le_bytes().to_vec();
    list.iter().for_each(|&(tag, perm, id)| acl.extend(entry(tag, perm, id)));
    set(&live(&bed).join("file"), "system.posix_acl_access", &acl);
    set(&live(&bed).join("dir"), "system.posix_acl_default", &acl);
    assert_eq!(changes(&bed), ["metadata /dir", "metadata /file"]);
}

#[test]
fn what_is_in_a_directory_that_moved_has_moved() {
    let bed = captured(|live| {
        for dir in ["here/deep", "there", "one", "other"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        fs::write(live.join("here/deep/file"), "x").unwrap();
        fs::write(live.join("one/file"), "x").unwrap();
        fs::write(live.join("other/file"), "y").unwrap();
    });
    let Some(bed) = bed else { return };
    let root = live(&bed);
    let rename = |from: &str, to: &str| {
        rustix::fs::rename(root.join(from), root.join(to)).unwrap();
    };
    rename("here", "there/moved");
    for (from, to) in [("one", "between"), ("other", "one"), ("between", "other")] {
        rename(from, to);
    }
    let expected = [
        "removed /here",
        "removed /here/deep",
        "removed /here/deep/file",
        "modified /one/file",
        "modified /other/file",
        "added /there/moved",
        "added /there/moved/deep",
        "added /there/moved/deep/file",
    ];
    assert_eq!(changes(&bed), expected);
}

#[test]
fn the_number_of_a_file_that_is_gone_may_be_that_of_another() {
    let files = |live: &Path| (0..200).map(|n| live.join(format!("file {n}"))).collect::<Vec<_>>();
    let Some(bed) = captured(|live| files(live).iter().for_each(|f| fs::write(f, "old").unwrap()))
    else {
        return;
    };
    let numbers = |paths: &[PathBuf]| -> Vec<u64> {
        paths.iter().map(|path| fs::symlink_metadata(path).unwrap().ino()).collect()
    };
    let paths = files(&live(&bed));
    let before = numbers(&paths);
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());
    // Whoever mounts it anew begins to look for free numbers at the first.
    bed.unmount_all();
    let paths = files(&live(&bed));
    paths.iter().for_each(|path| fs::write(path, "new").unwrap());
    let reused = numbers(&paths).iter().filter(|number| before.contains(number)).count();
    println!("{reused} of 200 numbers are those of other files by now");
    let found = changes(&bed);
    assert_eq!(found.len(), 200);
    assert!(found.iter().all(|row| row.starts_with("modified")), "{found:?}");
}

/// A snapshot has no `.zfs`, and live has one for those who ask.
#[test]
fn what_zfs_shows_of_itself_is_in_no_tree() {
    let Some(bed) = captured(|live| fs::write(live.join("file"), "x").unwrap()) else { return };
    zfs(&["set", "snapdir=visible", bed.full(LIVE).as_str()]);
    fs::write(live(&bed).join("new"), "x").unwrap();
    let names: Vec<_> = fs::read_dir(live(&bed)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == ".zfs"), "{names:?}");
    assert_eq!(changes(&bed), ["added /new"]);
}

#[test]
fn an_old_root_is_compared_with_blank_and_what_is_no_relation_leaves_nothing_behind() {
    let Some(bed) = captured(|live| fs::write(live.join("file"), "x").unwrap()) else { return };
    fs::write(live(&bed).join("first"), "x").unwrap();
    let old_root = rollback(&bed);
    fs::write(live(&bed).join("second"), "x").unwrap();
    assert_eq!(changes(&bed), ["added /second"]);
    let backend = bed.backend();
    let (current, blank) = backend.live_and_blank().unwrap();
    let (current, blank) = (current.tree().unwrap(), blank.tree().unwrap());
    assert_eq!(fast(backend.as_ref(), blank, &old_root.tree).unwrap(), ["added /first"]);
    let before = snapshots(&bed);

    // The diff is begun, with a snapshot of live, and fails.
    zfs(&["create", "-o", "mountpoint=legacy", bed.full("stranger").as_str()]);
    zfs(&["snapshot", bed.full("stranger@x").as_str()]);
    let why = fast(backend.as_ref(), &tree(&bed, "stranger@x"), current).unwrap_err();
    assert!(why.contains("does not stem from"), "{why}");
    let why = fast(backend.as_ref(), &old_root.tree, current).unwrap_err();
    assert!(why.contains("compares with a snapshot"), "{why}");
    zfs(&["destroy", "-r", bed.full("stranger").as_str()]);
    assert_eq!(snapshots(&bed), before);

    // Somebody else's by that name.
    let other = Tree { id: blank.id.clone(), ..current.clone() };
    let error = backend.changes(blank, &other).unwrap_err().to_string();
    assert!(error.contains("another tree has its name"), "{error}");
    assert_eq!(snapshots(&bed), before);
}

#[test]
fn a_key_that_is_missing_is_named() {
    let Some(bed) = Bed::encrypted() else { return };
    fs::write(live(&bed).join("file"), "x").unwrap();
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    fs::write(live(&bed).join("new"), "x").unwrap();
    assert_eq!(changes(&bed), ["added /new"]);
    let backend = bed.backend();
    let (current, blank) = backend.live_and_blank().unwrap();
    bed.unmount_all();
    zfs(&["unload-key", bed.dataset().as_str()]);
    let changes = backend.changes(blank.tree().unwrap(), current.tree().unwrap());
    let error = changes.unwrap_err().to_string();
    assert!(error.contains("zfs load-key"), "{error}");
    zfs(&["load-key", bed.dataset().as_str()]);
}
