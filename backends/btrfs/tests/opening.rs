//! How a file system is reached: by any of its devices, outside every mount table, for reading.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use dirfd::compare_trees::compare_by_walk;
use rustix::fs::{Mode, OFlags, openat, rename};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use support::every_kind_of_file::fill;

use crate::btrfs::Btrfs;
use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::listing::listing;
use crate::conformance::{Testbed, rollback};
use crate::sys::btrfs_control;
use crate::{Backend, FastChanges, Origin};

#[test]
fn a_view_cannot_write() {
    let Some(bed) = Bed::captured() else { return };
    let backend = bed.backend();
    let view = backend.view(&bed.live_tree()).unwrap();
    for (name, flags) in [("plain", OFlags::WRONLY), ("new", OFlags::WRONLY | OFlags::CREATE)] {
        let opened = openat(view.as_fd(), name, flags, Mode::RWXU);
        assert_eq!(opened.map(drop), Err(Errno::ROFS));
    }
    assert_eq!(rustix::fs::mkdirat(view.as_fd(), "new", Mode::RWXU), Err(Errno::ROFS));
}

#[test]
fn a_file_system_that_is_mounted_nowhere_is_rolled_back() {
    let Some(mut bed) = Bed::captured() else { return };
    let backend = bed.backend();
    bed.unmount();
    drop(backend);
    let was_live = bed.live_tree();
    let record = crate::Record::next(
        &[],
        "3f2a1c9e",
        chrono::DateTime::from_timestamp(0, 0).unwrap(),
        was_live.id.clone(),
        bed.blank_tree().id,
    );
    let backend = bed.backend();
    let mut locked = backend.lock().unwrap();
    locked.prepare(&bed.blank_tree(), &record).unwrap();
    locked.swap(&was_live, &bed.layout().old.child(&record.name).unwrap()).unwrap();
    assert_eq!(bed.survey().old_roots[0].tree.id, was_live.id);
}

#[test]
fn a_file_system_on_two_devices_is_opened_by_either_of_them() {
    let Some(mut bed) = Bed::of_devices(2) else { return };
    fill(&bed.live());
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    rollback(&bed);
    let live = listing(&bed.live());
    assert_eq!(live, listing(&bed.blank()));
    bed.unmount();
    for device in bed.throwaway().devices() {
        // As at boot, before anything has told the kernel which devices belong together.
        for device in bed.throwaway().devices() {
            let _ = btrfs_control::forget(device);
        }
        let backend = Btrfs::open(device, bed.layout()).unwrap();
        let found = backend.survey().unwrap();
        let view = backend.view(found.live.tree().unwrap()).unwrap();
        assert!(rustix::fs::statat(view.as_fd(), "plain", rustix::fs::AtFlags::empty()).is_ok());
        assert!(found.space.unwrap().available > found.space.unwrap().needed);
    }
}

#[test]
fn without_privilege_a_mounted_top_level_is_walked_with_the_same_answer() {
    let Some(bed) = Bed::rolled_back(|live| {
        for dir in ["a", "b"] {
            fs::create_dir(live.join(dir)).unwrap();
            fs::write(live.join(dir).join("file"), dir).unwrap();
        }
    }) else {
        return;
    };
    fs::write(bed.live().join("a/file"), "b").unwrap();
    rename(bed.live().join("b/file"), bed.live().join("b/other")).unwrap();
    fs::set_permissions(bed.top(), fs::Permissions::from_mode(0o755)).unwrap();
    let expected = bed.exact_changes();
    assert_eq!(expected.len(), 3);
    // A block device that everybody may look at, as a user's disk group may.
    let (device, layout) = (bed.throwaway().device().to_path_buf(), bed.layout());
    let unprivileged = std::thread::spawn(move || {
        let (nobody, nogroup) = (Uid::from_raw(65534), Gid::from_raw(65534));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(nogroup, nogroup, nogroup).unwrap();
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let backend = Btrfs::open(&device, layout).unwrap();
        let found = backend.survey().unwrap();
        let (blank, live) = (found.blank.tree().unwrap(), found.live.tree().unwrap());
        let FastChanges::Unavailable(why) = backend.changes(blank, live).unwrap() else {
            panic!("trees were searched without privilege");
        };
        assert_eq!(why, "only root may search the file system's trees");
        // Who may not see the old roots cannot say that there are none.
        assert!(found.obstacles.iter().any(|o| o.reason.contains("old roots")), "{found:?}");
        assert_eq!(backend.own_bytes(live).unwrap(), None);
        assert!(backend.lock().is_err());
        let (blank, live) = (backend.view(blank).unwrap(), backend.view(live).unwrap());
        compare_by_walk(blank.as_fd(), live.as_fd(), &|_| {}).unwrap().iter().collect::<Vec<_>>()
    });
    assert_eq!(unprivileged.join().unwrap(), expected);
}
