//! What every backend promises, as tests that each one runs on trees of its own.
//!
//! A backend's tests hold one line: `conformance_tests!(make_testbed);`, where `make_testbed` returns
//! an `Option` of a [`Testbed`], and `None` after it has printed why the tests cannot run.

pub mod digests;
pub mod guards;
pub mod listing;
pub mod promises;
pub mod unfinished_runs;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use dirfd::TreeName;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::lock::patiently;
use crate::{Backend, Layout, LockedBackend, OldRoot, Record, Records, Survey, Tree};

/// A file system with an empty live tree, nothing under the names of blank and old roots, and
/// nobody else who uses it. Dropping it leaves nothing behind.
pub(crate) trait Testbed {
    /// A new handle on it.
    fn backend(&self) -> Box<dyn Backend>;
    /// The names of its trees.
    fn layout(&self) -> Layout;
    /// A directory in which the layout's names can be reached, read and written.
    fn top(&self) -> &Path;

    /// Where a tree of this name can be reached.
    fn path(&self, name: &TreeName) -> PathBuf {
        self.top().join(name.as_path())
    }

    /// Exchanges two trees as somebody does by hand who knows this file system.
    fn exchange(&self, one: &TreeName, other: &TreeName) {
        let [one, other] = [one, other].map(|name| self.path(name));
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }

    /// Makes a tree read-only or writable, and says whether this file system has trees that can be either.
    fn set_read_only(&self, _name: &TreeName, _read_only: bool) -> bool {
        false
    }
}

/// Generates one test for each promise.
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance::conformance_tests! { @each $make; unfinished_runs;
            what_interrupted_runs_left_is_deleted_alone,
            a_copy_that_became_live_is_no_leftover,
            a_copy_that_was_lived_in_is_never_deleted,
            what_no_record_names_is_never_deleted,
            a_tree_whose_deletion_was_begun_is_no_old_root_and_its_rest_is_deleted,
            another_tree_than_the_one_that_was_being_deleted_is_never_deleted,
        }
        $crate::conformance::conformance_tests! { @each $make; promises;
            capture_makes_a_blank_that_equals_live,
            capture_leaves_live_untouched,
            capture_of_nothing_makes_an_empty_tree,
            a_second_capture_fails_and_changes_nothing,
            old_roots_are_private,
            prepare_copies_blank_and_leaves_live_untouched,
            prepare_refuses_a_name_that_something_else_has,
            prepare_refuses_a_blank_that_is_another_tree,
            swap_puts_blank_in_the_place_of_live_and_loses_nothing,
            identity_survives_the_swap,
            what_is_written_to_live_never_reaches_blank,
            rollbacks_in_a_row_keep_every_old_root_in_order,
            a_copy_that_was_not_swapped_in_is_told_from_an_old_root,
            an_unfinished_rollback_does_not_stop_the_next,
            a_copy_that_was_left_behind_can_still_be_swapped_in,
            a_record_without_its_copy_is_recognised,
            swap_refuses_another_live,
            swap_refuses_what_has_no_record,
            the_lock_excludes_a_second_one,
            discard_deletes_one_old_root_alone,
            discard_refuses_what_the_record_does_not_name,
            discard_refuses_a_copy_that_was_never_live,
            foreign_entries_are_reported_and_never_touched,
            what_a_power_cut_left_unfinished_is_reported_and_never_touched,
            a_record_that_cannot_be_read_is_reported,
            a_view_shows_what_mounts_hide,
            a_view_refuses_another_tree,
            changes_are_exact_or_unavailable,
        }
        $crate::conformance::conformance_tests! { @each $make; promises;
            a_hold_is_found_until_it_is_released,
            a_hold_is_no_old_root_and_outlives_rollbacks,
            a_hold_that_cannot_be_read_is_reported,
        }
        $crate::conformance::conformance_tests! { @each $make; guards;
            swap_refuses_a_read_only_tree,
            swap_refuses_a_tree_that_is_no_copy_of_blank,
            swap_refuses_a_copy_whose_deletion_was_begun,
            swap_refuses_a_record_of_another_live,
            a_swap_is_not_undone_by_another,
            prepare_refuses_a_blank_that_can_be_written_to,
            prepare_refuses_a_record_that_names_other_trees,
            discard_refuses_live_and_blank,
            discard_refuses_a_record_that_is_another_by_now,
        }
        $crate::conformance::conformance_tests! { @each $make; digests;
            a_digest_lies_beside_its_old_root_and_goes_with_it,
            a_digest_of_another_tree_is_refused,
            a_life_is_of_live_alone,
        }
        #[cfg(feature = "faults")]
        $crate::conformance::conformance_tests! { @each $make; digests;
            a_digest_is_whole_or_what_it_was_whatever_fails,
        }
        #[cfg(feature = "faults")]
        $crate::conformance::conformance_tests! { @each $make; guards;
            prepare_leaves_no_record_without_its_copy,
        }
        $crate::conformance::conformance_tests! { @each $make; promises;
            what_a_rollback_needs_is_told_without_the_older_old_roots,
        }
    };
    (@each $make:expr; $room:ident; $($promise:ident,)*) => {
        $(
            #[test]
            fn $promise() {
                if let Some(testbed) = $make() {
                    $crate::conformance::$room::$promise(&testbed);
                }
            }
        )*
    };
}

/// Does `work` under the lock. A process that another test forks has the lock's file, too, until it runs its
/// program.
fn with_lock<T>(testbed: &dyn Testbed, work: impl FnOnce(&mut LockedBackend<'_>) -> T) -> T {
    let backend = testbed.backend();
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    work(&mut locked)
}

/// The survey as it is now.
fn survey(testbed: &dyn Testbed) -> Survey {
    testbed.backend().survey().unwrap()
}

fn live(testbed: &dyn Testbed) -> Tree {
    survey(testbed).live.tree().cloned().unwrap()
}

fn blank(testbed: &dyn Testbed) -> Tree {
    survey(testbed).blank.tree().cloned().unwrap()
}

/// A record for the next rollback.
pub(crate) fn next_record(testbed: &dyn Testbed) -> Record {
    let old = File::open(testbed.path(&testbed.layout().old)).unwrap();
    let taken: Vec<OsString> = Records::read(old.as_fd()).unwrap().taken();
    let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let boot = "3f2a1c9e-7a01-4b6e-9d0a-000000000000";
    let live_name = testbed.layout().live;
    Record::next(&taken, boot, time, live(testbed).id, blank(testbed).id).of(&live_name)
}

/// Where the old root of a record lies.
fn name_of(testbed: &dyn Testbed, record: &Record) -> TreeName {
    testbed.layout().old.child(&record.name).unwrap()
}

/// A rollback as a plan would do it; returns the old root.
pub(crate) fn rollback(testbed: &dyn Testbed) -> OldRoot {
    let record = next_record(testbed);
    let (live, blank) = (live(testbed), blank(testbed));
    let found = with_lock(testbed, |locked| {
        locked.prepare(&blank, &record).unwrap();
        locked.swap(&live, &name_of(testbed, &record)).unwrap();
        locked.survey().unwrap()
    });
    found.old_roots.into_iter().find(|old| old.record == record).unwrap()
}

pub(crate) use conformance_tests;
