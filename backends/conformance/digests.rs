//! The promises about what is written of an old root beside its record.

use std::os::fd::AsFd;

use crate::conformance::promises::capture;
use crate::conformance::{Testbed, live, rollback, survey, with_lock};
use crate::lock::patiently;
use crate::old_root_files::read_digest;
use crate::{Life, OldRoot, TreeId};

fn digest(testbed: &dyn Testbed, old_root: &OldRoot) -> Option<Vec<u8>> {
    let old_dir = testbed.backend().old_dir().unwrap().unwrap();
    read_digest(old_dir.as_fd(), old_root).unwrap()
}

fn write(testbed: &dyn Testbed, old_root: &OldRoot, digest: &[u8]) -> dirfd::Result<()> {
    with_lock(testbed, |locked| locked.write_digest(old_root, digest))
}

fn life_of_live(testbed: &dyn Testbed) -> Option<Life> {
    let old_dir = testbed.backend().old_dir().unwrap().unwrap();
    Life::read(old_dir.as_fd(), &live(testbed).id).unwrap()
}

pub(crate) fn a_digest_lies_beside_its_old_root_and_goes_with_it(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    assert_eq!(digest(testbed, &old_root), None);
    write(testbed, &old_root, b"first").unwrap();
    write(testbed, &old_root, b"second").unwrap();
    assert_eq!(digest(testbed, &old_root).unwrap(), b"second");
    // It is neither an old root nor somebody else's.
    assert_eq!(survey(testbed).old_roots, std::slice::from_ref(&old_root));
    assert_eq!(survey(testbed).unfinished, []);
    let backend = testbed.backend();
    patiently(|| backend.lock(), || ()).unwrap().discard(&old_root).unwrap();
    assert_eq!(digest(testbed, &old_root), None);
}

pub(crate) fn a_digest_of_another_tree_is_refused(testbed: &dyn Testbed) {
    capture(testbed);
    let old_root = rollback(testbed);
    let other = TreeId::new("another");
    let mut another = old_root.clone();
    another.tree.id = other.clone();
    assert!(write(testbed, &another, b"x").is_err());
    let mut another = old_root.clone();
    another.record.live = other;
    assert!(write(testbed, &another, b"x").unwrap_err().hint_text().is_some());
    assert_eq!(digest(testbed, &old_root), None);
}

pub(crate) fn a_life_is_of_live_alone(testbed: &dyn Testbed) {
    capture(testbed);
    let was_live = live(testbed);
    let backend = testbed.backend();
    let mut life = Life::of(was_live.id.clone());
    life.add_boot("a", chrono::DateTime::UNIX_EPOCH);
    patiently(|| backend.lock(), || ()).unwrap().write_life(&was_live, &life).unwrap();
    assert_eq!(life_of_live(testbed), Some(life.clone()));
    let old_root = rollback(testbed);
    assert_eq!(life_of_live(testbed), None);
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    for (tree, life) in [(&was_live, &life), (&live(testbed), &life), (&old_root.tree, &life)] {
        assert!(locked.write_life(tree, life).is_err());
    }
}

/// Each change that writes it fails once, and the power is cut after each once.
#[cfg(feature = "faults")]
pub(crate) fn a_digest_is_whole_or_what_it_was_whatever_fails(testbed: &dyn Testbed) {
    use dirfd::fault::{Fault, run_with};

    capture(testbed);
    let old_root = rollback(testbed);
    write(testbed, &old_root, b"former").unwrap();
    let attempt = |fault| {
        let backend = testbed.backend();
        let mut locked = patiently(|| backend.lock(), || ()).unwrap();
        run_with(fault, None, || locked.write_digest(&old_root, b"the new one"))
    };
    let (done, points) = attempt(None);
    done.unwrap();
    assert!(points.contains(&"file: write") && points.contains(&"file: rename"), "{points:?}");
    for (position, point) in points.iter().enumerate() {
        for errno in [28, 5] {
            write(testbed, &old_root, b"former").unwrap();
            let (failed, _) = attempt(Some(Fault::FailNth(position, errno)));
            let found = digest(testbed, &old_root).unwrap();
            let is_new = found == b"the new one";
            assert!(is_new || (failed.is_err() && found == b"former"), "{}", point);
        }
        write(testbed, &old_root, b"former").unwrap();
        let _ = attempt(Some(Fault::CutAfterNth(position)));
        let found = digest(testbed, &old_root).unwrap();
        assert!([&b"former"[..], b"the new one"].contains(&&*found), "{}", point);
        assert_eq!(survey(testbed).old_roots, std::slice::from_ref(&old_root));
    }
}
