//! The promises about what is refused: whoever asks for the wrong thing changes nothing.

use std::fs::{self, File};
use std::os::fd::AsFd;

use dirfd::TreeName;

use crate::conformance::listing::listing;
use crate::conformance::promises::{blank_path, capture, live_path};
use crate::conformance::{Testbed, blank, live, name_of, next_record, rollback, survey, with_lock};
use crate::lock::patiently;
use crate::{Backend, Layout, OldRoot, Record, Tree, TreeId, Unfinished, record};

fn prepare(testbed: &dyn Testbed, blank: &Tree, record: &Record) -> dirfd::Result<Tree> {
    with_lock(testbed, |locked| locked.prepare(blank, record))
}

/// A copy for the live of now.
fn prepared(testbed: &dyn Testbed) -> (Tree, Record) {
    let record = next_record(testbed);
    (prepare(testbed, &blank(testbed), &record).unwrap(), record)
}

/// The swap is refused with a hint, and both names hold what they held.
#[track_caller]
fn expect_no_swap(testbed: &dyn Testbed, live_tree: &Tree, aside: &TreeName) {
    let before = (live(testbed).id, survey(testbed).unfinished, survey(testbed).old_roots);
    let backend = testbed.backend();
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    let refused = locked.swap(live_tree, aside).unwrap_err();
    assert!(refused.hint_text().is_some(), "{refused}");
    drop(locked);
    let after = (live(testbed).id, survey(testbed).unfinished, survey(testbed).old_roots);
    assert_eq!(after, before);
}

/// The preparation is refused, and there is neither a copy nor a record.
#[track_caller]
fn expect_no_copy(testbed: &dyn Testbed, blank: &Tree, record: &Record) {
    assert!(prepare(testbed, blank, record).is_err());
    assert_eq!(survey(testbed).unfinished, []);
}

#[track_caller]
fn expect_no_discard(testbed: &dyn Testbed, old_root: &OldRoot) {
    let backend = testbed.backend();
    let refused = patiently(|| backend.lock(), || ()).unwrap().discard(old_root).unwrap_err();
    assert!(refused.hint_text().is_some(), "{refused}");
}

pub(crate) fn swap_refuses_a_read_only_tree(testbed: &dyn Testbed) {
    capture(testbed);
    let (copy, _) = prepared(testbed);
    if testbed.set_read_only(&copy.name, true) {
        expect_no_swap(testbed, &live(testbed), &copy.name);
    }
}

pub(crate) fn swap_refuses_a_tree_that_is_no_copy_of_blank(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    let (copy, _) = prepared(testbed);
    // Somebody has mixed up two names among the old roots.
    testbed.exchange(&old_root.tree.name, &copy.name);
    expect_no_swap(testbed, &live(testbed), &copy.name);
}

pub(crate) fn swap_refuses_a_copy_whose_deletion_was_begun(testbed: &dyn Testbed) {
    capture(testbed);
    let (copy, record) = prepared(testbed);
    let old = File::open(testbed.path(&testbed.layout().old)).unwrap();
    record::mark(old.as_fd(), &record, &copy.id).unwrap();
    expect_no_swap(testbed, &live(testbed), &copy.name);
}

pub(crate) fn swap_refuses_a_record_of_another_live(testbed: &dyn Testbed) {
    capture(testbed);
    let (copy, record) = prepared(testbed);
    let path = testbed.path(&testbed.layout().old).join(record::file_name(&record.name));
    let changed = Record { live: TreeId::new("another"), ..record };
    fs::write(path, serde_json::to_vec(&changed).unwrap()).unwrap();
    expect_no_swap(testbed, &live(testbed), &copy.name);
}

pub(crate) fn a_swap_is_not_undone_by_another(testbed: &dyn Testbed) {
    capture(testbed);
    let was_live = live(testbed);
    let old_root = rollback(testbed);
    for live_tree in [&was_live, &live(testbed)] {
        expect_no_swap(testbed, live_tree, &old_root.tree.name);
    }
}

pub(crate) fn prepare_refuses_a_blank_that_can_be_written_to(testbed: &dyn Testbed) {
    capture(testbed);
    let blank = blank(testbed);
    if testbed.set_read_only(&blank.name, false) {
        expect_no_copy(testbed, &blank, &next_record(testbed));
    }
}

pub(crate) fn prepare_refuses_a_record_that_names_other_trees(testbed: &dyn Testbed) {
    capture(testbed);
    let (blank, record) = (blank(testbed), next_record(testbed));
    let another = || TreeId::new("another");
    expect_no_copy(testbed, &blank, &Record { live: another(), ..record.clone() });
    expect_no_copy(testbed, &blank, &Record { live: blank.id.clone(), ..record.clone() });
    expect_no_copy(testbed, &blank, &Record { blank: another(), ..record });
}

/// Each change that makes the copy fails once; those of the record's file are of no interest.
#[cfg(feature = "faults")]
pub(crate) fn prepare_leaves_no_record_without_its_copy(testbed: &dyn Testbed) {
    use dirfd::fault::{Fault, run_with};
    use std::collections::BTreeSet;

    capture(testbed);
    let attempt = |fault| {
        let (record, blank, backend) = (next_record(testbed), blank(testbed), testbed.backend());
        let mut locked = patiently(|| backend.lock(), || ()).unwrap();
        run_with(fault, None, || locked.prepare(&blank, &record).is_ok())
    };
    let (done, points) = attempt(None);
    assert!(done, "{points:?}");
    let of_copy: BTreeSet<&str> =
        points.into_iter().filter(|point| !point.starts_with("file: ")).collect();
    let mut failed = 0;
    for point in of_copy {
        failed += usize::from(!attempt(Some(Fault::Fail(point, 5))).0);
        let left = survey(testbed).unfinished;
        let is_alone = |left: &Unfinished| matches!(left, Unfinished::RecordOnly(_));
        assert!(!left.iter().any(is_alone), "{point}: {left:?}");
    }
    assert!(failed > 0);
}

pub(crate) fn discard_refuses_live_and_blank(testbed: &dyn Testbed) {
    capture(testbed);
    rollback(testbed);
    let before = (listing(&live_path(testbed)), listing(&blank_path(testbed)));
    let old = File::open(testbed.path(&testbed.layout().old)).unwrap();
    for kept in [live(testbed), blank(testbed)] {
        let record = Record { live: kept.id.clone(), ..next_record(testbed) };
        let old_root = OldRoot::new(kept, record);
        expect_no_discard(testbed, &old_root);
        // Nor if a record says so.
        record::write(old.as_fd(), &old_root.record, File::sync_all).unwrap();
        expect_no_discard(testbed, &old_root);
    }
    assert_eq!((listing(&live_path(testbed)), listing(&blank_path(testbed))), before);
}

pub(crate) fn discard_refuses_a_record_that_is_another_by_now(testbed: &dyn Testbed) {
    capture(testbed);
    let made = rollback(testbed);
    let path = testbed.path(&testbed.layout().old).join(record::file_name(&made.record.name));
    let changed = Record { boot_id: "another boot".into(), ..made.record.clone() };
    fs::write(&path, serde_json::to_vec(&changed).unwrap()).unwrap();
    expect_no_discard(testbed, &made);
    fs::remove_file(&path).unwrap();
    expect_no_discard(testbed, &made);
    let foreign = Unfinished::Foreign(name_of(testbed, &made.record));
    assert_eq!(survey(testbed).unfinished, [foreign]);
    assert!(testbed.path(&made.tree.name).join("plain").exists());
}

/// For a layout that has an old root of another as its live, which `open` opens.
pub(crate) fn live_among_the_old_roots_is_neither_swapped_nor_deleted(
    testbed: &dyn Testbed,
    open: &dyn Fn(Layout) -> Box<dyn Backend>,
) {
    capture(testbed);
    let old_root = rollback(testbed);
    let backend = open(Layout { live: old_root.tree.name.clone(), ..testbed.layout() });
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    let live = locked.survey().unwrap().live.tree().cloned().unwrap();
    assert_eq!(live.id, old_root.tree.id);
    assert!(locked.swap(&live, &old_root.tree.name).is_err());
    assert!(locked.discard(&old_root).is_err());
    assert!(testbed.path(&live.name).join("plain").exists());
}
