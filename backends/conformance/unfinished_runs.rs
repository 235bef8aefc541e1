//! The promises about what interrupted runs left: what is deleted, and what never is.

use std::fs::{self, File};
use std::os::fd::AsFd;

use dirfd::atomic_file;

use crate::conformance::listing::listing;
use crate::conformance::promises::{blank_path, capture, live_path};
use crate::conformance::{Testbed, blank, live, name_of, next_record, rollback, survey, with_lock};
use crate::{Record, TreeId, Unfinished, kinship, record};

fn old_dir(testbed: &dyn Testbed) -> File {
    File::open(testbed.path(&testbed.layout().old)).unwrap()
}

fn write_record(testbed: &dyn Testbed, record: &Record) {
    record::write(old_dir(testbed).as_fd(), record, File::sync_all).unwrap();
}

/// A copy that was never swapped in.
fn prepare(testbed: &dyn Testbed) -> Unfinished {
    let record = next_record(testbed);
    let tree = with_lock(testbed, |locked| locked.prepare(&blank(testbed), &record)).unwrap();
    let found = survey(testbed).unfinished;
    let is_it = |left: &&Unfinished| left.name() == Some(&tree.name);
    found.iter().find(is_it).unwrap().clone()
}

#[track_caller]
fn refused(testbed: &dyn Testbed, left: &Unfinished) {
    let refused = with_lock(testbed, |locked| locked.discard_unfinished(left)).unwrap_err();
    assert!(refused.hint_text().is_some(), "{refused}");
}

pub(crate) fn what_interrupted_runs_left_is_deleted_alone(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    let copy = prepare(testbed);
    let record = next_record(testbed);
    write_record(testbed, &record);
    let kept = || {
        let trees = [live_path(testbed), blank_path(testbed), testbed.path(&old_root.tree.name)];
        trees.map(|tree| listing(&tree))
    };
    let before = kept();
    let record = Unfinished::RecordOnly(record);
    assert_eq!(survey(testbed).unfinished, [copy.clone(), record.clone()]);
    with_lock(testbed, |locked| locked.discard_unfinished(&copy)).unwrap();
    assert_eq!(survey(testbed).unfinished, std::slice::from_ref(&record));
    with_lock(testbed, |locked| locked.discard_unfinished(&record)).unwrap();
    let found = survey(testbed);
    assert_eq!((found.old_roots, found.unfinished), (vec![old_root.clone()], Vec::new()));
    let left = fs::read_dir(testbed.path(&testbed.layout().old)).unwrap();
    // Whose blank it is stays written down.
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name() != kinship::NAME);
    assert_eq!(left.count(), 2);
    assert_eq!(kept(), before);
    refused(testbed, &copy);
    refused(testbed, &record);
}

pub(crate) fn a_copy_that_became_live_is_no_leftover(testbed: &dyn Testbed) {
    capture(testbed);
    let copy = prepare(testbed);
    let aside = copy.name().unwrap().clone();
    with_lock(testbed, |locked| locked.swap(&live(testbed), &aside)).unwrap();
    refused(testbed, &copy);
    let Unfinished::FreshCopy { tree, .. } = &copy else { panic!("{copy:?}") };
    assert_eq!(live(testbed).id, tree.id);
    assert_eq!((survey(testbed).old_roots.len(), survey(testbed).unfinished.len()), (1, 0));
}

pub(crate) fn a_copy_that_was_lived_in_is_never_deleted(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    fs::write(live_path(testbed).join("precious"), "x").unwrap();
    // Somebody wants the old root back, and has heard of exchanging.
    let aside = testbed.path(&old_root.tree.name);
    testbed.exchange(&testbed.layout().live, &old_root.tree.name);
    for left in survey(testbed).unfinished {
        refused(testbed, &left);
    }
    assert_eq!((survey(testbed).old_roots.len(), survey(testbed).unfinished.len()), (0, 1));
    assert!(aside.join("precious").exists());
}

pub(crate) fn what_no_record_names_is_never_deleted(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    let layout = testbed.layout();
    let temporary = layout.old.child(atomic_file::temporary_name("x".as_ref(), 0)).unwrap();
    let foreign = layout.old.child("000007-not ours").unwrap();
    for name in [&temporary, &foreign] {
        fs::create_dir(testbed.path(name)).unwrap();
    }
    let unreadable = layout.old.child("000008-x.json").unwrap();
    fs::write(testbed.path(&unreadable), "{").unwrap();
    let found = survey(testbed).unfinished;
    assert_eq!(found.len(), 3);
    for left in found.iter().chain([&Unfinished::DefaultLeftBehind(old_root)]) {
        refused(testbed, left);
    }
    assert_eq!((survey(testbed).unfinished, survey(testbed).old_roots.len()), (found, 1));
}

pub(crate) fn a_tree_whose_deletion_was_begun_is_no_old_root_and_its_rest_is_deleted(
    testbed: &dyn Testbed,
) {
    capture(testbed);
    let (old_root, stays) = (rollback(testbed), rollback(testbed));
    let path = testbed.path(&old_root.tree.name);
    let old = old_dir(testbed);
    record::mark(old.as_fd(), &old_root.record, &old_root.tree.id).unwrap();
    fs::remove_file(path.join("plain")).unwrap();
    let found = survey(testbed);
    assert_eq!(found.old_roots, std::slice::from_ref(&stays));
    let [left @ Unfinished::HalfDeleted { tree, record }] = &found.unfinished[..] else {
        panic!("{:?}", found.unfinished);
    };
    assert_eq!((&tree.id, &record.name), (&old_root.tree.id, &old_root.record.name));
    assert!(with_lock(testbed, |locked| locked.discard(&old_root)).is_err());
    assert!(path.exists());
    assert!(next_record(testbed).name > stays.record.name);
    with_lock(testbed, |locked| locked.discard_unfinished(left)).unwrap();
    assert!(!path.exists());
    assert_eq!((survey(testbed).old_roots, survey(testbed).unfinished), (vec![stays], Vec::new()));
}

pub(crate) fn another_tree_than_the_one_that_was_being_deleted_is_never_deleted(
    testbed: &dyn Testbed,
) {
    capture(testbed);
    let old_root = rollback(testbed);
    let old = old_dir(testbed);
    record::mark(old.as_fd(), &old_root.record, &TreeId::new("another")).unwrap();
    let foreign = Unfinished::Foreign(name_of(testbed, &old_root.record));
    assert_eq!(survey(testbed).unfinished, std::slice::from_ref(&foreign));
    refused(testbed, &foreign);
    let record = Record { discarding: Some(TreeId::new("another")), ..old_root.record.clone() };
    let tree = old_root.tree.clone();
    refused(testbed, &Unfinished::HalfDeleted { tree, record });
    assert!(testbed.path(&old_root.tree.name).join("plain").exists());
}
