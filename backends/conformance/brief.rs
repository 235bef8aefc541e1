//! The promise that a rollback makes by itself: what it asks for is enough, and no more with time.

use std::fs;

use super::{Testbed, blank, live, next_record, rollback, survey};
use crate::Origin;
use crate::survey::{Survey, Unfinished};

pub(crate) fn what_a_rollback_needs_is_told_without_the_older_old_roots(testbed: &dyn Testbed) {
    testbed.backend().lock().unwrap().capture(Origin::Live).unwrap();
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
    testbed.backend().lock().unwrap().prepare(&blank(testbed), &copy).unwrap();
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
    testbed.backend().lock().unwrap().survey_for_rollback().unwrap()
}

/// And without the room, which others take and give back.
fn without_old_roots(survey: Survey) -> Survey {
    Survey { old_roots: Vec::new(), space: None, ..survey }
}
