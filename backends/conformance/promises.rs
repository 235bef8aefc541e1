//! The promises, one function each.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use chrono::DateTime;
use dirfd::compare_trees::compare_by_walk;
use dirfd::{ChangeKind, atomic_file};
use rustix::mount::{MountFlags, mount};
use support::every_kind_of_file::fill;
use support::own_mounts::own_mounts;

use crate::conformance::listing::listing;
use crate::conformance::{Testbed, blank, live, name_of, next_record, rollback, survey, with_lock};
use crate::hold::NAME;
use crate::{FastChanges, Held, Hold, Origin, Slot, Survey, TreeId, Unfinished, record};

/// Fills live and takes blank from it.
pub(crate) fn capture(testbed: &dyn Testbed) {
    fill(&testbed.path(&testbed.layout().live));
    with_lock(testbed, |locked| locked.capture(Origin::Live)).unwrap();
}

pub(crate) fn live_path(testbed: &dyn Testbed) -> std::path::PathBuf {
    testbed.path(&testbed.layout().live)
}

pub(crate) fn blank_path(testbed: &dyn Testbed) -> std::path::PathBuf {
    testbed.path(&testbed.layout().blank)
}

pub(crate) fn capture_makes_a_blank_that_equals_live(testbed: &dyn Testbed) {
    fill(&live_path(testbed));
    let made = with_lock(testbed, |locked| locked.capture(Origin::Live)).unwrap();
    assert_eq!(made.name, testbed.layout().blank);
    assert!(made.read_only);
    assert_ne!(made.id, live(testbed).id);
    assert_eq!(blank(testbed).id, made.id);
    assert_eq!(listing(&blank_path(testbed)), listing(&live_path(testbed)));
    assert!(survey(testbed).has_old_dir);
}

pub(crate) fn capture_leaves_live_untouched(testbed: &dyn Testbed) {
    fill(&live_path(testbed));
    let (id, before) = (live(testbed).id, listing(&live_path(testbed)));
    with_lock(testbed, |locked| locked.capture(Origin::Live)).unwrap();
    assert_eq!((live(testbed).id, listing(&live_path(testbed))), (id, before));
}

pub(crate) fn capture_of_nothing_makes_an_empty_tree(testbed: &dyn Testbed) {
    fill(&live_path(testbed));
    let made = with_lock(testbed, |locked| locked.capture(Origin::Empty)).unwrap();
    assert!(made.read_only);
    let mode = fs::metadata(blank_path(testbed)).unwrap().permissions().mode();
    assert_eq!((listing(&blank_path(testbed)).len(), mode & 0o7777), (1, 0o755));
}

pub(crate) fn a_second_capture_fails_and_changes_nothing(testbed: &dyn Testbed) {
    capture(testbed);
    fs::write(live_path(testbed).join("new"), "").unwrap();
    let before = (survey(testbed), listing(&blank_path(testbed)));
    for origin in [Origin::Live, Origin::Empty] {
        assert!(with_lock(testbed, |locked| locked.capture(origin)).is_err());
    }
    let after = (survey(testbed), listing(&blank_path(testbed)));
    assert_eq!((after.0.blank, after.0.old_roots), (before.0.blank, before.0.old_roots));
    assert_eq!(after.1, before.1);
}

pub(crate) fn old_roots_are_private(testbed: &dyn Testbed) {
    capture(testbed);
    let old = fs::metadata(testbed.path(&testbed.layout().old)).unwrap();
    assert_eq!(old.permissions().mode() & 0o7777, 0o700);
}

pub(crate) fn prepare_copies_blank_and_leaves_live_untouched(testbed: &dyn Testbed) {
    capture(testbed);
    fs::write(live_path(testbed).join("new"), "").unwrap();
    let (id, before) = (live(testbed).id, listing(&live_path(testbed)));
    let record = next_record(testbed);
    let blank = blank(testbed);
    let copy = with_lock(testbed, |locked| locked.prepare(&blank, &record)).unwrap();
    assert_eq!(copy.name, name_of(testbed, &record));
    assert!(!copy.read_only);
    assert_eq!(listing(&testbed.path(&copy.name)), listing(&blank_path(testbed)));
    assert_eq!((live(testbed).id, listing(&live_path(testbed))), (id, before));
}

pub(crate) fn prepare_refuses_a_name_that_something_else_has(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let taken = testbed.path(&name_of(testbed, &record));
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("mine"), "").unwrap();
    let blank = blank(testbed);
    assert!(with_lock(testbed, |locked| locked.prepare(&blank, &record)).is_err());
    // And no record was written that would make it ours.
    let foreign = Unfinished::Foreign(name_of(testbed, &record));
    assert_eq!(survey(testbed).unfinished, [foreign]);
    assert!(taken.join("mine").exists());
}

pub(crate) fn prepare_refuses_a_blank_that_is_another_tree(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let mut other = blank(testbed);
    other.id = TreeId::new("another");
    assert!(with_lock(testbed, |locked| locked.prepare(&other, &record)).is_err());
    assert_eq!(survey(testbed).unfinished, []);
}

pub(crate) fn swap_puts_blank_in_the_place_of_live_and_loses_nothing(testbed: &dyn Testbed) {
    with_lock(testbed, |locked| locked.capture(Origin::Empty)).unwrap();
    fill(&live_path(testbed));
    let before = listing(&live_path(testbed));
    let old_root = rollback(testbed);
    assert_eq!(listing(&live_path(testbed)), listing(&blank_path(testbed)));
    assert_eq!(listing(&testbed.path(&old_root.tree.name)), before);
}

pub(crate) fn identity_survives_the_swap(testbed: &dyn Testbed) {
    capture(testbed);
    let (was_live, was_blank) = (live(testbed).id, blank(testbed).id);
    let old_root = rollback(testbed);
    assert_eq!((&old_root.tree.id, &old_root.record.live), (&was_live, &was_live));
    assert_eq!((&blank(testbed).id, &old_root.record.blank), (&was_blank, &was_blank));
    let is_live = live(testbed).id;
    assert!(is_live != was_live && is_live != was_blank);
    assert_eq!(survey(testbed).unfinished, []);
}

pub(crate) fn what_is_written_to_live_never_reaches_blank(testbed: &dyn Testbed) {
    capture(testbed);
    let before = listing(&blank_path(testbed));
    for _ in 0..2 {
        fs::write(live_path(testbed).join("plain"), "other bytes").unwrap();
        fs::set_permissions(live_path(testbed), fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(listing(&blank_path(testbed)), before);
        rollback(testbed);
        assert_eq!(listing(&live_path(testbed)), before);
    }
}

pub(crate) fn rollbacks_in_a_row_keep_every_old_root_in_order(testbed: &dyn Testbed) {
    capture(testbed);
    let mut made = Vec::new();
    for boot in ["one", "two", "three"] {
        fs::write(live_path(testbed).join(boot), boot).unwrap();
        made.push(rollback(testbed));
    }
    assert!(made.is_sorted_by(|a, b| a.record.name < b.record.name));
    let found = survey(testbed).old_roots;
    let ids = |roots: &[crate::OldRoot]| -> Vec<TreeId> {
        roots.iter().map(|root| root.tree.id.clone()).collect()
    };
    assert_eq!(ids(&found), ids(&made));
    for (old_root, boot) in found.iter().zip(["one", "two", "three"]) {
        assert_eq!(
            fs::read(testbed.path(&old_root.tree.name).join(boot)).unwrap(),
            boot.as_bytes()
        );
    }
}

pub(crate) fn a_copy_that_was_not_swapped_in_is_told_from_an_old_root(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let blank = blank(testbed);
    let copy = with_lock(testbed, |locked| locked.prepare(&blank, &record)).unwrap();
    let found = survey(testbed);
    assert_eq!(found.old_roots, []);
    let [Unfinished::FreshCopy { tree, record: kept }] = &found.unfinished[..] else {
        panic!("{:?}", found.unfinished);
    };
    assert_eq!((&tree.id, kept), (&copy.id, &record));
}

pub(crate) fn an_unfinished_rollback_does_not_stop_the_next(testbed: &dyn Testbed) {
    capture(testbed);
    let left = next_record(testbed);
    let blank = blank(testbed);
    with_lock(testbed, |locked| locked.prepare(&blank, &left)).unwrap();
    fs::write(live_path(testbed).join("new"), "").unwrap();
    let old_root = rollback(testbed);
    assert!(old_root.record.name > left.name);
    assert!(testbed.path(&old_root.tree.name).join("new").exists());
    assert_eq!(listing(&live_path(testbed)), listing(&blank_path(testbed)));
    assert_eq!(survey(testbed).unfinished.len(), 1);
}

pub(crate) fn a_copy_that_was_left_behind_can_still_be_swapped_in(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let blank = blank(testbed);
    with_lock(testbed, |locked| locked.prepare(&blank, &record)).unwrap();
    fs::write(live_path(testbed).join("new"), "").unwrap();
    let was_live = live(testbed);
    let aside = name_of(testbed, &record);
    with_lock(testbed, |locked| locked.swap(&was_live, &aside)).unwrap();
    let found = survey(testbed);
    assert_eq!((found.old_roots.len(), found.unfinished.len()), (1, 0));
    assert_eq!(found.old_roots[0].tree.id, was_live.id);
    assert!(!live_path(testbed).join("new").exists());
}

pub(crate) fn a_record_without_its_copy_is_recognised(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let old = File::open(testbed.path(&testbed.layout().old)).unwrap();
    record::write(old.as_fd(), &record, File::sync_all).unwrap();
    assert_eq!(survey(testbed).unfinished, [Unfinished::RecordOnly(record.clone())]);
    assert!(rollback(testbed).record.name > record.name);
}

pub(crate) fn swap_refuses_another_live(testbed: &dyn Testbed) {
    capture(testbed);
    let record = next_record(testbed);
    let blank = blank(testbed);
    let mut other = live(testbed);
    with_lock(testbed, |locked| locked.prepare(&blank, &record)).unwrap();
    let before = live(testbed).id;
    other.id = TreeId::new("another");
    let aside = name_of(testbed, &record);
    assert!(with_lock(testbed, |locked| locked.swap(&other, &aside)).is_err());
    assert_eq!(live(testbed).id, before);
}

pub(crate) fn swap_refuses_what_has_no_record(testbed: &dyn Testbed) {
    capture(testbed);
    let was_live = live(testbed);
    let foreign = testbed.layout().old.child("notes").unwrap();
    fs::create_dir(testbed.path(&foreign)).unwrap();
    let absent = testbed.layout().old.child("000009-3f2a1c9e").unwrap();
    for aside in [&foreign, &absent, &testbed.layout().blank] {
        let swapped = with_lock(testbed, |locked| locked.swap(&was_live, aside));
        assert!(swapped.is_err(), "{aside}");
        assert_eq!(live(testbed).id, was_live.id);
    }
}

pub(crate) fn the_lock_excludes_a_second_one(testbed: &dyn Testbed) {
    let (one, other) = (testbed.backend(), testbed.backend());
    let held = one.lock().unwrap();
    for handle in [&one, &other] {
        let refused = handle.lock().err().unwrap();
        assert!(refused.hint_text().is_some(), "{refused}");
    }
    drop(held);
    assert!(other.lock().is_ok());
}

pub(crate) fn discard_deletes_one_old_root_alone(testbed: &dyn Testbed) {
    capture(testbed);
    let made = [rollback(testbed), rollback(testbed), rollback(testbed)];
    let keep = [&made[0], &made[2]].map(|old| listing(&testbed.path(&old.tree.name)));
    let before = (listing(&live_path(testbed)), listing(&blank_path(testbed)));
    with_lock(testbed, |locked| locked.discard(&made[1])).unwrap();
    let found = survey(testbed);
    let names: Vec<&str> = found.old_roots.iter().map(|old| old.record.name.as_str()).collect();
    assert_eq!(names, [&made[0].record.name, &made[2].record.name]);
    assert_eq!(found.unfinished, []);
    assert!(!testbed.path(&made[1].tree.name).exists());
    assert_eq!([&made[0], &made[2]].map(|old| listing(&testbed.path(&old.tree.name))), keep);
    assert_eq!((listing(&live_path(testbed)), listing(&blank_path(testbed))), before);
}

pub(crate) fn discard_refuses_what_the_record_does_not_name(testbed: &dyn Testbed) {
    capture(testbed);
    let made = [rollback(testbed), rollback(testbed)];
    let mut other_id = made[0].clone();
    other_id.tree.id = made[1].tree.id.clone();
    let mut other_record = made[0].clone();
    other_record.record = made[1].record.clone();
    let mut of_live = made[0].clone();
    of_live.tree = live(testbed);
    of_live.record.live = live(testbed).id;
    for wrong in [other_id, other_record, of_live] {
        let discarded = with_lock(testbed, |locked| locked.discard(&wrong));
        assert!(discarded.is_err(), "{wrong:?}");
    }
    assert_eq!(survey(testbed).old_roots.len(), 2);
    assert_eq!(listing(&live_path(testbed)), listing(&blank_path(testbed)));
}

pub(crate) fn discard_refuses_a_copy_that_was_never_live(testbed: &dyn Testbed) {
    capture(testbed);
    let mut made = rollback(testbed);
    let record = next_record(testbed);
    let blank = blank(testbed);
    made.tree = with_lock(testbed, |locked| locked.prepare(&blank, &record)).unwrap();
    made.record = record;
    assert!(with_lock(testbed, |locked| locked.discard(&made)).is_err());
    assert!(matches!(survey(testbed).unfinished[..], [Unfinished::FreshCopy { .. }]));
}

pub(crate) fn foreign_entries_are_reported_and_never_touched(testbed: &dyn Testbed) {
    capture(testbed);
    let old = testbed.path(&testbed.layout().old);
    fs::create_dir(old.join("000007-not ours")).unwrap();
    fs::write(old.join("000007-not ours/file"), "").unwrap();
    fs::write(old.join("notes"), "mine").unwrap();
    let made = rollback(testbed);
    with_lock(testbed, |locked| locked.discard(&made)).unwrap();
    let foreign = ["000007-not ours", "notes"]
        .map(|name| Unfinished::Foreign(testbed.layout().old.child(name).unwrap()));
    assert_eq!(survey(testbed).unfinished, foreign);
    assert!(old.join("000007-not ours/file").exists() && old.join("notes").exists());
}

pub(crate) fn what_a_power_cut_left_unfinished_is_reported_and_never_touched(
    testbed: &dyn Testbed,
) {
    capture(testbed);
    let layout = testbed.layout();
    let record = next_record(testbed);
    let file = format!("{}.json", record.name);
    let left = [
        layout.old.child(atomic_file::temporary_name(file.as_ref(), 0)).unwrap(),
        layout.old.child(atomic_file::temporary_name(record.name.as_ref(), 0)).unwrap(),
        layout.blank.sibling(atomic_file::temporary_name(layout.blank.file_name(), 0)).unwrap(),
    ];
    for name in &left {
        fs::create_dir(testbed.path(name)).unwrap();
        fs::write(testbed.path(name).join("half"), "").unwrap();
    }
    assert_eq!(survey(testbed).unfinished, left.clone().map(Unfinished::Leftover));
    let made = rollback(testbed);
    with_lock(testbed, |locked| locked.discard(&made)).unwrap();
    assert_eq!(survey(testbed).unfinished, left.clone().map(Unfinished::Leftover));
    assert!(left.iter().all(|name| testbed.path(name).join("half").exists()));
}

pub(crate) fn a_record_that_cannot_be_read_is_reported(testbed: &dyn Testbed) {
    capture(testbed);
    let made = rollback(testbed);
    let record = testbed.path(&testbed.layout().old).join(format!("{}.json", made.record.name));
    fs::write(&record, "{").unwrap();
    let found = survey(testbed);
    assert_eq!(found.old_roots, []);
    let [Unfinished::UnreadableRecord { name, .. }] = &found.unfinished[..] else {
        panic!("{:?}", found.unfinished);
    };
    assert_eq!(testbed.path(name), record);
    assert!(with_lock(testbed, |locked| locked.discard(&made)).is_err());
    assert!(testbed.path(&made.tree.name).exists());
    assert!(rollback(testbed).record.name > made.record.name);
}

pub(crate) fn a_view_shows_what_mounts_hide(testbed: &dyn Testbed) {
    if !own_mounts() {
        return;
    }
    capture(testbed);
    let before = listing(&live_path(testbed));
    for hidden in ["dir", ""] {
        let over = live_path(testbed).join(hidden);
        mount("tmpfs", &over, "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(over.join("on top"), "").unwrap();
        let backend = testbed.backend();
        let trees = (backend.survey().unwrap(), live(testbed));
        let view = backend.view(&trees.1).unwrap();
        let blank = backend.view(trees.0.blank.tree().unwrap()).unwrap();
        let changes = compare_by_walk(blank.as_fd(), view.as_fd(), &|_| {}).unwrap();
        assert!(changes.is_empty(), "{:?}", changes.iter().collect::<Vec<_>>());
    }
    rustix::mount::unmount(live_path(testbed), rustix::mount::UnmountFlags::DETACH).unwrap();
    rustix::mount::unmount(live_path(testbed).join("dir"), rustix::mount::UnmountFlags::DETACH)
        .unwrap();
    assert_eq!(listing(&live_path(testbed)), before);
}

pub(crate) fn a_view_refuses_another_tree(testbed: &dyn Testbed) {
    capture(testbed);
    let was_live = live(testbed);
    rollback(testbed);
    // Its name leads to the fresh copy now.
    assert!(testbed.backend().view(&was_live).is_err());
}

pub(crate) fn changes_are_exact_or_unavailable(testbed: &dyn Testbed) {
    capture(testbed);
    rollback(testbed);
    let live_path = live_path(testbed);
    fs::write(live_path.join("plain"), "modified").unwrap();
    fs::remove_file(live_path.join("link")).unwrap();
    fs::create_dir(live_path.join("link")).unwrap();
    rustix::fs::rename(live_path.join("dir"), live_path.join("dir2")).unwrap();
    fs::set_permissions(live_path.join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
    let backend = testbed.backend();
    let (blank, live) = (blank(testbed), live(testbed));
    let (from, to) = (backend.view(&blank).unwrap(), backend.view(&live).unwrap());
    let walked: Vec<_> =
        compare_by_walk(from.as_fd(), to.as_fd(), &|_| {}).unwrap().iter().collect();
    let kind_of = |path: &str| {
        let found = walked.iter().find(|change| change.path.to_string() == path);
        found.map(|change| change.kind)
    };
    assert_eq!(kind_of("/plain"), Some(ChangeKind::Modified));
    assert_eq!(kind_of("/link"), Some(ChangeKind::Replaced));
    assert_eq!(kind_of("/empty"), Some(ChangeKind::Metadata));
    assert_eq!(kind_of("/dir2/\\xffinner/deeper/file"), Some(ChangeKind::Added));
    assert_eq!(kind_of("/dir/\\xffinner/deeper/file"), Some(ChangeKind::Removed));
    assert_eq!(kind_of("/sparse"), None);
    match backend.changes(&blank, &live).unwrap() {
        FastChanges::Exact(changes) => assert_eq!(changes.iter().collect::<Vec<_>>(), walked),
        FastChanges::Unavailable(why) => assert!(!backend.abilities().fast_changes, "{why}"),
    }
    assert!(matches!(survey(testbed).live, Slot::Present(_)));
}

// The promise that a rollback makes by itself: what it asks for is enough, and no more with time.

pub(crate) fn what_a_rollback_needs_is_told_without_the_older_old_roots(testbed: &dyn Testbed) {
    with_lock(testbed, |locked| locked.capture(Origin::Live)).unwrap();
    let made: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|boot| {
            fs::write(testbed.path(&testbed.layout().live).join(boot), boot).unwrap();
            rollback(testbed)
        })
        .collect();
    assert_eq!(brief(testbed).old_roots.last().unwrap().record, made[2].record);
    assert_eq!(brief(testbed).old_roots.len(), 1);
    assert_eq!(without_old_roots(brief(testbed)), without_old_roots(survey(testbed)));

    // What an interrupted run left, and what somebody else did.
    let (copy, old) = (next_record(testbed), testbed.path(&testbed.layout().old));
    with_lock(testbed, |locked| locked.prepare(&blank(testbed), &copy)).unwrap();
    fs::write(old.join("000007-broken.json"), "{").unwrap();
    fs::create_dir(old.join("000008-not ours")).unwrap();
    let found = brief(testbed);
    let is_copy = |left: &Unfinished| matches!(left, Unfinished::FreshCopy { record, .. } if record.live == live(testbed).id);
    assert!(found.unfinished.iter().any(is_copy), "{:?}", found.unfinished);
    assert_eq!(found.unfinished.len(), 3, "{:?}", found.unfinished);
    assert_eq!(found.old_roots.len(), 1);
    assert_eq!(without_old_roots(found), without_old_roots(survey(testbed)));
}

fn brief(testbed: &dyn Testbed) -> Survey {
    with_lock(testbed, |locked| locked.survey_for_rollback()).unwrap()
}

/// And without the room, which others take and give back.
fn without_old_roots(survey: Survey) -> Survey {
    Survey { old_roots: Vec::new(), space: None, ..survey }
}

// The promises about the hold.

pub(crate) fn a_hold_is_found_until_it_is_released(testbed: &dyn Testbed) {
    capture(testbed);
    assert_eq!(survey(testbed).hold, None);
    let mut hold = Hold::new("3f2a1c9e-7a01-4b6e-9d0a-000000000000", DateTime::UNIX_EPOCH);
    with_lock(testbed, |locked| locked.hold(&hold)).unwrap();
    assert_eq!(survey(testbed).hold, Some(Held::By(hold.clone())));
    hold.used_by = Some("another boot".into());
    with_lock(testbed, |locked| locked.hold(&hold)).unwrap();
    assert_eq!(survey(testbed).hold, Some(Held::By(hold)));
    with_lock(testbed, |locked| locked.release()).unwrap();
    assert_eq!(survey(testbed).hold, None);
    assert!(with_lock(testbed, |locked| locked.release()).is_err());
}

pub(crate) fn a_hold_is_no_old_root_and_outlives_rollbacks(testbed: &dyn Testbed) {
    capture(testbed);
    let hold = Hold::new("a boot", DateTime::UNIX_EPOCH);
    with_lock(testbed, |locked| locked.hold(&hold)).unwrap();
    let was_live = live(testbed).id;
    assert_eq!(rollback(testbed).tree.id, was_live);
    let found = survey(testbed);
    assert_eq!((found.old_roots.len(), found.obstacles.len()), (1, 0), "{found:?}");
    assert_eq!(found.hold, Some(Held::By(hold)));
}

pub(crate) fn a_hold_that_cannot_be_read_is_reported(testbed: &dyn Testbed) {
    capture(testbed);
    fs::write(testbed.path(&testbed.layout().old).join(NAME), "no hold").unwrap();
    assert!(matches!(survey(testbed).hold, Some(Held::Unreadable(_))));
}
