//! Data has no room left and metadata has: a snapshot can be made, and one byte in a file cannot.

use std::fs::{self, File};
use std::io::Write;

use chrono::DateTime;
use rustix::fs::FallocateFlags;

use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::{Testbed, rollback};
use crate::{Held, Hold, Unfinished};

/// Takes all room for data, down to the last block.
fn fill(bed: &Bed) {
    let hog = File::create(bed.top().join("hog")).unwrap();
    let (mut at, mut piece) = (0, 64 << 20);
    while piece >= 4096 {
        match rustix::fs::fallocate(&hog, FallocateFlags::empty(), at, piece) {
            Ok(()) => at += piece,
            Err(_) => piece /= 2,
        }
    }
    bed.sync();
    let mut byte = File::create(bed.top().join("byte")).unwrap();
    byte.write_all(b"x").unwrap_err();
}

#[test]
fn a_rollback_finds_room_for_its_record() {
    let Some(mut bed) = Bed::captured() else { return };
    fill(&bed);
    let was_live = bed.live_tree();
    let old_root = rollback(&bed);
    assert_eq!(old_root.tree.id, was_live.id);
    bed.cut_the_power();
    let survey = bed.survey();
    assert_eq!(survey.old_roots, std::slice::from_ref(&old_root));
    assert_eq!(survey.unfinished, [], "nothing is half done");
    assert!(survey.space.unwrap().available >= survey.space.unwrap().needed);
    bed.backend().lock().unwrap().discard(&old_root).unwrap();
    assert_eq!(bed.survey().old_roots, []);
}

#[test]
fn a_hold_is_set_used_up_and_released() {
    let Some(bed) = Bed::captured() else { return };
    fill(&bed);
    let backend = bed.backend();
    let hold = Hold::new("a", DateTime::UNIX_EPOCH);
    let used = Hold { used_by: Some("b".into()), ..hold.clone() };
    for hold in [hold, used] {
        backend.lock().unwrap().hold(&hold).unwrap();
        assert_eq!(bed.survey().hold, Some(Held::By(hold)));
    }
    backend.lock().unwrap().release().unwrap();
    assert_eq!(bed.survey().hold, None);
}

#[test]
fn a_record_without_content_is_unreadable_still() {
    let Some(bed) = Bed::captured() else { return };
    fs::write(bed.top().join("old roots/000001-3f2a1c9e.json"), "").unwrap();
    let unfinished = bed.survey().unfinished;
    assert!(matches!(&unfinished[..], [Unfinished::UnreadableRecord { .. }]), "{unfinished:?}");
}
