//! The promises of every backend, and what only plain directories have to keep.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::DateTime;
use dirfd::TreeName;
use dirfd::stat::Place;
use rustix::fs::{IFlags, Mode, OFlags};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use support::own_mounts::own_mounts;

use super::Directory;
use crate::conformance::{Testbed, conformance_tests, guards};
use crate::{Backend, Layout, Origin, Record, Slot};

struct Plain {
    dir: tempfile::TempDir,
}

impl Plain {
    fn make() -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("with space\n").tempdir().unwrap();
        fs::create_dir_all(dir.path().join("@/li ve")).unwrap();
        Some(Self { dir })
    }
}

impl Testbed for Plain {
    fn backend(&self) -> Box<dyn Backend> {
        Box::new(Directory::open(self.dir.path(), self.layout()).unwrap())
    }

    fn layout(&self) -> Layout {
        let name = |name: &[u8]| TreeName::new(name).unwrap();
        Layout { live: name(b"@/li ve"), blank: name(b"@/blank\xff"), old: name(b"old roots") }
    }

    fn top(&self) -> &Path {
        self.dir.path()
    }
}

conformance_tests!(Plain::make);

#[test]
fn live_among_the_old_roots_is_neither_swapped_nor_deleted() {
    let testbed = Plain::make().unwrap();
    guards::live_among_the_old_roots_is_neither_swapped_nor_deleted(&testbed, &|layout| {
        Box::new(Directory::open(testbed.top(), layout).unwrap())
    });
}

#[test]
fn what_is_no_directory_is_no_tree() {
    let testbed = Plain::make().unwrap();
    let (live, blank) = (testbed.layout().live, testbed.layout().blank);
    fs::remove_dir(testbed.path(&live)).unwrap();
    std::os::unix::fs::symlink("..", testbed.path(&live)).unwrap();
    fs::write(testbed.path(&blank), "").unwrap();
    let survey = testbed.backend().survey().unwrap();
    for slot in [survey.live, survey.blank] {
        assert!(matches!(&slot, Slot::NotATree(why) if !why.is_empty()), "{slot:?}");
    }
}

#[test]
fn a_failed_capture_leaves_nothing_behind() {
    let testbed = Plain::make().unwrap();
    fs::remove_dir(testbed.path(&testbed.layout().live)).unwrap();
    assert!(testbed.backend().lock().unwrap().capture(Origin::Live).is_err());
    assert_eq!(fs::read_dir(testbed.top().join("@")).unwrap().count(), 0);
}

#[test]
fn a_file_system_without_an_exchange_is_named_as_the_reason() {
    support::without_exchange::on_fuse2fs(|top| {
        fs::create_dir(top.join("live")).unwrap();
        let name = |name: &str| TreeName::new(name).unwrap();
        let layout = Layout { live: name("live"), blank: name("blank"), old: name("old") };
        let backend = Directory::open(top, layout).unwrap();
        let failed = backend.lock().unwrap().capture(Origin::Live).unwrap_err().to_string();
        assert!(failed.contains("its file system cannot exchange two names"), "{failed}");
        assert!(failed.contains("\n  hint: have live, blank and old roots on one"), "{failed}");
        assert!(!top.join("blank").exists() && top.join("live").exists());
    });
}

/// Ten thousand directories, one in the other, and a file in the last.
fn make_deep(root: &Path) {
    let mut dir = OwnedFd::from(File::open(root).unwrap());
    for _ in 0..10_000 {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        dir = rustix::fs::openat(&dir, "d", flags, Mode::empty()).unwrap();
    }
    rustix::fs::openat(&dir, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
}

#[test]
fn no_tree_is_too_deep_to_copy_compare_and_delete() {
    let testbed = Plain::make().unwrap();
    let layout = testbed.layout();
    make_deep(&testbed.path(&layout.live));
    let backend = testbed.backend();
    let mut locked = backend.lock().unwrap();
    let blank = locked.capture(Origin::Live).unwrap();
    let live = locked.survey().unwrap().live.tree().cloned().unwrap();

    let (from, to) = (backend.view(&blank).unwrap(), backend.view(&live).unwrap());
    assert!(
        dirfd::compare_trees::compare_by_walk(from.as_fd(), to.as_fd(), &|_| {})
            .unwrap()
            .is_empty()
    );
    let added = dirfd::compare_trees::walk_added(to.as_fd(), &|_| {}).unwrap();
    assert_eq!(added.len(), 10_001);

    for tree in [&layout.live, &layout.blank] {
        let (parent, name) = (File::open(testbed.path(tree).parent().unwrap()), tree.file_name());
        let (parent, name) = (parent.unwrap(), CString::new(name.as_bytes()).unwrap());
        let stat = Place { dir: parent.as_fd(), name: &name }.stat().unwrap();
        dirfd::remove::remove_tree(parent.as_fd(), &name, &stat).unwrap();
    }
}

#[test]
fn an_old_root_with_an_immutable_directory_can_be_deleted() {
    let testbed = Plain::make().unwrap();
    let layout = testbed.layout();
    let live_path = testbed.path(&layout.live);
    fs::create_dir_all(live_path.join("var/empty")).unwrap();
    fs::write(live_path.join("var/append"), "x").unwrap();
    let backend = testbed.backend();
    let mut locked = backend.lock().unwrap();
    let blank = locked.capture(Origin::Empty).unwrap();
    let live = locked.survey().unwrap().live.tree().cloned().unwrap();
    for (name, flag) in [("var/empty", IFlags::IMMUTABLE), ("var/append", IFlags::APPEND)] {
        let file = File::open(live_path.join(name)).unwrap();
        if let Err(error) = rustix::fs::ioctl_setflags(&file, flag) {
            eprintln!("skipped: this file system has no immutable files: {error}");
            return;
        }
    }
    let time = DateTime::from_timestamp(0, 0).unwrap();
    let record = Record::next(&[], "3f2a1c9e", time, live.id.clone(), blank.id.clone());
    locked.prepare(&blank, &record).unwrap();
    locked.swap(&live, &layout.old.child(&record.name).unwrap()).unwrap();
    let old_root = locked.survey().unwrap().old_roots.remove(0);
    locked.discard(&old_root).unwrap();
    assert!(!testbed.path(&old_root.tree.name).exists());
}

#[test]
fn mounts_that_show_live_or_a_part_of_it_are_found() {
    if !own_mounts() {
        return;
    }
    let testbed = Plain::make().unwrap();
    let live = testbed.path(&testbed.layout().live);
    fs::create_dir(live.join("part")).unwrap();
    let places = tempfile::tempdir().unwrap();
    assert_eq!(testbed.backend().survey().unwrap().live_mounts, []);
    for (name, shown) in [("one \n", live.clone()), ("two", live.join("part"))] {
        fs::create_dir(places.path().join(name)).unwrap();
        mount_bind(shown, places.path().join(name)).unwrap();
    }
    let found = testbed.backend().survey().unwrap().live_mounts;
    for name in ["one \n", "two"] {
        unmount(places.path().join(name), UnmountFlags::DETACH).unwrap();
    }
    let points: Vec<&[u8]> = found.iter().map(|found| found.mount_point.as_slice()).collect();
    let expected = ["one \n", "two"].map(|name| places.path().join(name));
    assert_eq!(points, expected.each_ref().map(|path| path.as_os_str().as_bytes()));
}

#[test]
fn an_old_root_that_is_mounted_in_another_namespace_is_not_deleted() {
    if !own_mounts() {
        return;
    }
    let testbed = Plain::make().unwrap();
    testbed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    let old_root = crate::conformance::rollback(&testbed);
    let place = tempfile::tempdir().unwrap();
    let (from, to) = (testbed.path(&old_root.tree.name), place.path().to_path_buf());
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        assert!(own_mounts());
        mount_bind(&from, &to).unwrap();
        ready.send(()).unwrap();
        let _ = wait.recv();
    });
    started.recv().unwrap();
    let refused = testbed.backend().lock().unwrap().discard(&old_root).unwrap_err().to_string();
    assert!(refused.contains("in the mount namespace of process"), "{refused}");
    drop(done);
    other.join().unwrap();
    testbed.backend().lock().unwrap().discard(&old_root).unwrap();
}

/// Rolls back, with the power going at each moment in turn; then starts again.
#[cfg(feature = "faults")]
#[test]
fn a_power_cut_at_any_moment_loses_nothing() {
    use dirfd::fault::{Fault, run_with};

    let roll_back = |testbed: &Plain| -> dirfd::Result<()> {
        let backend = testbed.backend();
        let mut locked = backend.lock()?;
        let found = locked.survey()?;
        let (live, blank) = (found.live.tree().unwrap(), found.blank.tree().unwrap());
        let old = File::open(testbed.path(&testbed.layout().old)).unwrap();
        let taken = crate::Records::read(old.as_fd())?.taken();
        let time = DateTime::from_timestamp(0, 0).unwrap();
        let record = Record::next(&taken, "3f2a1c9e", time, live.id.clone(), blank.id.clone());
        locked.prepare(blank, &record)?;
        locked.swap(live, &testbed.layout().old.child(&record.name).unwrap())
    };
    let start = || {
        let testbed = Plain::make().unwrap();
        support::every_kind_of_file::fill(&testbed.path(&testbed.layout().live));
        testbed.backend().lock().unwrap().capture(Origin::Live).unwrap();
        fs::write(testbed.path(&testbed.layout().live).join("precious"), "x").unwrap();
        testbed
    };
    let has_precious = |dir: &Path| dir.join("precious").exists();
    let (result, mut points) = run_with(None, None, || roll_back(&start()));
    result.unwrap();
    points.sort_unstable();
    points.dedup();
    assert!(points.contains(&"directory: exchange"), "{points:?}");
    for point in points {
        for fault in [Fault::CutBefore(point), Fault::CutAfter(point), Fault::Fail(point, 28)] {
            let testbed = start();
            let live = testbed.path(&testbed.layout().live);
            let (result, _) = run_with(Some(fault), None, || roll_back(&testbed));
            let old_roots = || testbed.backend().survey().unwrap().old_roots;
            let set_aside = old_roots().len();
            assert_eq!(has_precious(&live), set_aside == 0, "{fault:?}: {result:?}");
            roll_back(&testbed).unwrap();
            assert!(!has_precious(&live), "{fault:?}");
            assert_eq!(old_roots().len(), set_aside + 1, "{fault:?}");
            let kept = has_precious(&testbed.path(&old_roots()[0].tree.name));
            assert!(kept, "{fault:?}");
        }
    }
}

/// Deletes an old root and a fresh copy, with the power going at each moment in turn, or a call
/// failing; then starts again.
#[cfg(feature = "faults")]
#[test]
fn whatever_cuts_a_deletion_short_the_next_one_completes_it() {
    use crate::Unfinished;
    use dirfd::fault::{Fault, run_with};

    let start = || {
        let testbed = Plain::make().unwrap();
        let live = testbed.path(&testbed.layout().live);
        fs::create_dir_all(live.join("a b/c")).unwrap();
        fs::write(live.join("a b/c/\n"), "x").unwrap();
        testbed.backend().lock().unwrap().capture(Origin::Live).unwrap();
        for _ in 0..2 {
            fs::write(live.join("precious"), "x").unwrap();
            crate::conformance::rollback(&testbed);
        }
        let record = crate::conformance::next_record(&testbed);
        let backend = testbed.backend();
        let blank = backend.survey().unwrap().blank.tree().cloned().unwrap();
        backend.lock().unwrap().prepare(&blank, &record).unwrap();
        testbed
    };
    let delete = |testbed: &Plain| -> dirfd::Result<()> {
        let backend = testbed.backend();
        // A program that another test starts has, until it is loaded, all that was open here, and
        // so a lock that was let go by now.
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut locked = loop {
            match backend.lock() {
                Err(_) if std::time::Instant::now() < patience => std::thread::yield_now(),
                taken => break taken?,
            }
        };
        let found = locked.survey()?;
        if found.old_roots.len() == 2 {
            locked.discard(&found.old_roots[0])?;
        }
        let ours = |left: &&Unfinished| !matches!(left, Unfinished::Leftover(_));
        found.unfinished.iter().filter(ours).try_for_each(|left| locked.discard_unfinished(left))
    };
    let testbed = start();
    let (result, points) = run_with(None, None, || delete(&testbed));
    result.unwrap();
    let mark =
        ["file: create", "file: write", "file: sync", "file: rename", "file: sync directory"];
    let last = ["directory: sync deletion", "record: unlink"];
    // Each name is tried as a file's first.
    let copy = ["remove: file", "remove: file", "remove: file", "remove: directory"];
    let copy = [&mark[..], &copy, &["remove: directory", "remove: root"], &last].concat();
    assert_eq!(points[..5], mark);
    assert_eq!(points[points.len() - copy.len()..], copy, "{points:?}");
    for (position, point) in points.iter().enumerate() {
        let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
        for fault in cuts.into_iter().chain([5, 28].map(|errno| Fault::FailNth(position, errno))) {
            let testbed = start();
            let stays = testbed.backend().survey().unwrap().old_roots[1].clone();
            let (_, _) = run_with(Some(fault), None, || delete(&testbed));
            let what = format!("{fault:?} of {point}");
            let whole = |name: &TreeName| {
                let path = testbed.path(name);
                path.join("precious").exists() && path.join("a b/c/\n").exists()
            };
            let found = testbed.backend().survey().unwrap();
            let full = matches!(fault, Fault::FailNth(_, 28));
            assert!(full || found.old_roots.iter().all(|old| whole(&old.tree.name)), "{what}");
            delete(&testbed).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = testbed.backend().survey().unwrap();
            assert_eq!(found.old_roots, [stays], "{what}");
            assert!(whole(&found.old_roots[0].tree.name), "{what}");
            let left = |left: &Unfinished| matches!(left, Unfinished::Leftover(_));
            assert!(found.unfinished.iter().all(left), "{what}: {:?}", found.unfinished);
        }
    }
}
