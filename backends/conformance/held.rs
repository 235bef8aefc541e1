//! The promises about the hold.

use std::fs;

use chrono::DateTime;

use super::promises::capture;
use super::{Testbed, live, rollback, survey};
use crate::hold::{Held, Hold, NAME};

pub(crate) fn a_hold_is_found_until_it_is_released(testbed: &dyn Testbed) {
    capture(testbed);
    assert_eq!(survey(testbed).hold, None);
    let mut hold = Hold::new("3f2a1c9e-7a01-4b6e-9d0a-000000000000", DateTime::UNIX_EPOCH);
    testbed.backend().lock().unwrap().hold(&hold).unwrap();
    assert_eq!(survey(testbed).hold, Some(Held::By(hold.clone())));
    hold.used_by = Some("another boot".into());
    testbed.backend().lock().unwrap().hold(&hold).unwrap();
    assert_eq!(survey(testbed).hold, Some(Held::By(hold)));
    testbed.backend().lock().unwrap().release().unwrap();
    assert_eq!(survey(testbed).hold, None);
    assert!(testbed.backend().lock().unwrap().release().is_err());
}

pub(crate) fn a_hold_is_no_old_root_and_outlives_rollbacks(testbed: &dyn Testbed) {
    capture(testbed);
    let hold = Hold::new("a boot", DateTime::UNIX_EPOCH);
    testbed.backend().lock().unwrap().hold(&hold).unwrap();
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
