//! In the place of each stub of blank, a fresh copy has an empty subvolume like the one that blank was
//! made without.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use btrfsutil::subvolume::Subvolume;
use dirfd::TreePath;
use dirfd::copy::temporary_copy::Aside;
use dirfd::stat::Place;
use rustix::fs::{IFlags, XattrFlags, ioctl_getflags, ioctl_setflags};

use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::{Testbed, next_record, rollback};
use crate::{Origin, Unfinished};

const NAMES: [&str; 3] = ["dir/a b\n", "var tmp", "dir/empty"];

fn create(path: &Path) {
    Subvolume::create(path, None).unwrap();
}

/// A live with nested subvolumes of all kinds; blank is made of it if `listed`, by us.
fn nested(listed: bool) -> Option<Bed> {
    let bed = Bed::make()?;
    let live = bed.live();
    fs::create_dir(live.join("dir")).unwrap();
    NAMES.iter().for_each(|name| create(&live.join(name)));
    let own = live.join(NAMES[0]);
    fs::write(own.join("inside"), "x").unwrap();
    chown(&own, Some(1000), Some(7)).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o2750)).unwrap();
    rustix::fs::setxattr(&own, "user.mark", b"\xff\0", XattrFlags::empty()).unwrap();
    ioctl_setflags(File::open(&own).unwrap(), IFlags::NOCOW).unwrap();
    fs::set_permissions(live.join(NAMES[1]), fs::Permissions::from_mode(0o1777)).unwrap();
    let layout = bed.layout();
    if listed {
        bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    } else {
        bed.backend().lock().unwrap().make_old_dir().unwrap();
        bed.snapshot(&layout.live, &layout.blank);
        Subvolume::get(bed.blank().as_path()).unwrap().set_ro(true).unwrap();
    }
    bed.sync();
    Some(bed)
}

fn check_replaced(bed: &Bed) {
    for name in NAMES {
        let path = bed.live().join(name);
        assert_eq!(fs::metadata(&path).unwrap().ino(), 256, "{name:?} is no subvolume");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        assert_eq!(fs::metadata(bed.blank().join(name)).unwrap().ino(), 2, "blank is as it was");
    }
    let own = bed.live().join(NAMES[0]);
    let found = fs::metadata(&own).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1000, 7, 0o2750));
    let mut mark = [0; 8];
    let len = rustix::fs::getxattr(&own, "user.mark", &mut mark).unwrap();
    assert_eq!(&mark[..len], b"\xff\0");
    assert!(ioctl_getflags(File::open(&own).unwrap()).unwrap().contains(IFlags::NOCOW));
    let other = fs::metadata(bed.live().join(NAMES[1])).unwrap();
    assert_eq!(other.mode() & 0o7777, 0o1777);
    fs::write(bed.live().join(NAMES[1]).join("new"), "").unwrap();
    fs::remove_file(bed.live().join(NAMES[1]).join("new")).unwrap();
}

#[test]
fn a_fresh_copy_has_an_empty_subvolume_in_the_place_of_each_stub() {
    let Some(bed) = nested(true) else { return };
    let stubs = bed.survey().stubs.unwrap();
    let mut expected: Vec<TreePath> =
        NAMES.iter().map(|name| TreePath::parse(name.as_bytes()).unwrap()).collect();
    expected.sort_by(|a, b| (a.depth(), a).cmp(&(b.depth(), b)));
    assert_eq!((stubs.replaced, stubs.total), (expected, 3));
    let old_root = rollback(&bed);
    assert_eq!(bed.live_tree().pristine, Some(true), "nobody but us has written to it");
    check_replaced(&bed);
    let hold = bed.backend().nested_that_hold(&old_root.tree).unwrap();
    assert_eq!(hold, [TreePath::parse(NAMES[0].as_bytes()).unwrap()]);
    assert_eq!(
        fs::read(bed.path(&old_root.tree.name).join(NAMES[0]).join("inside")).unwrap(),
        b"x"
    );
    // And again, of a live that has them by us.
    rollback(&bed);
    check_replaced(&bed);
}

#[test]
fn what_is_made_in_such_a_subvolume_alone_makes_live_used() {
    let Some(bed) = nested(true) else { return };
    rollback(&bed);
    fs::write(bed.live().join(NAMES[1]).join("new"), "").unwrap();
    bed.sync();
    assert_eq!(bed.live_tree().pristine, Some(false));
}

#[test]
fn a_blank_without_a_list_is_searched_once_and_then_known() {
    let Some(bed) = nested(false) else { return };
    assert_eq!(bed.survey().stubs, None);
    rollback(&bed);
    assert_eq!(fs::metadata(bed.live().join(NAMES[1])).unwrap().ino(), 2, "nobody has looked");
    let blank = bed.blank_tree();
    bed.backend().lock().unwrap().list_stubs(&blank).unwrap();
    assert_eq!(bed.survey().stubs.unwrap().total, 3);
    rollback(&bed);
    // What they stand for lies in an old root by now.
    check_replaced(&bed);
}

#[test]
fn a_copy_whose_stubs_are_replaced_is_ours_wherever_that_was_interrupted() {
    let Some(mut bed) = nested(true) else { return };
    let (live, record) = (bed.live_tree(), next_record(&bed));
    bed.backend().lock().unwrap().prepare(&bed.blank_tree(), &record).unwrap();
    // As an interrupted exchange leaves it: one stub is replaced, the next is gone.
    let aside = bed.layout().old.child(&record.name).unwrap();
    let old = File::open(bed.path(&bed.layout().old)).unwrap();
    let copy = bed.tree(&aside).id;
    let mark = crate::record::CopyMark { copy, complete: None };
    crate::record::mark_copy(old.as_fd(), record.name.as_ref(), &mark).unwrap();
    drop(old);
    fs::remove_dir(bed.path(&aside).join(NAMES[1])).unwrap();
    create(&bed.path(&aside).join(NAMES[1]));
    fs::remove_dir(bed.path(&aside).join(NAMES[0])).unwrap();
    bed.sync();
    bed.cut_the_power();
    let unfinished = bed.survey().unfinished;
    let [Unfinished::FreshCopy { tree, .. }] = &unfinished[..] else { panic!("{unfinished:?}") };
    assert_eq!(tree.pristine, Some(true), "the next run goes on with it");
    bed.backend().lock().unwrap().swap(&live, &aside).unwrap();
    assert_eq!(bed.live_tree().pristine, Some(true));
    check_replaced(&bed);
}

#[test]
fn there_is_a_bound_to_what_is_replaced_and_the_rest_is_counted() {
    let Some(bed) = Bed::make() else { return };
    for number in 0..70 {
        create(&bed.live().join(format!("{number:02}")));
    }
    bed.backend().lock().unwrap().capture(Origin::Live).unwrap();
    let stubs = bed.survey().stubs.unwrap();
    assert_eq!((stubs.replaced.len(), stubs.total), (64, 70));
    rollback(&bed);
    assert_eq!(fs::metadata(bed.live().join("63")).unwrap().ino(), 256);
    assert_eq!(fs::metadata(bed.live().join("64")).unwrap().ino(), 2);
}

#[test]
fn a_copy_of_a_directory_has_an_empty_one_in_the_place_of_each_subvolume_in_it() {
    let Some(bed) = nested(true) else { return };
    let top = File::open(bed.top()).unwrap();
    for (from, name, left_out) in [(bed.blank(), c"of blank", 0), (bed.live(), c"of live", 1)] {
        let tree = File::open(from).unwrap();
        let (from, to) =
            (Place { dir: tree.as_fd(), name: c"dir" }, Place { dir: top.as_fd(), name });
        let shown = TreePath::parse(b"dir").unwrap();
        let copy = Aside::make(from, to, top.as_fd(), (&shown, &shown), &mut |_, _| {}).unwrap();
        assert_eq!(copy.name().unwrap().left_out.len(), left_out);
        let made = bed.top().join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        assert_eq!(fs::read_dir(made.join("empty")).unwrap().count(), 0);
        fs::write(made.join("empty/file"), "").unwrap();
    }
    let tree = File::open(bed.live()).unwrap();
    let (from, to) =
        (Place { dir: tree.as_fd(), name: c"dir" }, Place { dir: top.as_fd(), name: c"x" });
    let shown = TreePath::parse(b"dir").unwrap();
    let copy = Aside::make(from, to, top.as_fd(), (&shown, &shown), &mut |_, _| {}).unwrap();
    let refused = copy.expect_whole().unwrap_err().to_string();
    assert!(refused.contains("a b\\n, which lies in it, is a subvolume of its own"), "{refused}");
    assert!(!bed.top().join("x").exists());
}

#[test]
fn whatever_takes_the_place_of_such_a_subvolume_stops_no_survey() {
    let Some(bed) = nested(true) else { return };
    rollback(&bed);
    fs::remove_dir(bed.live().join(NAMES[0])).unwrap();
    fs::write(bed.live().join(NAMES[0]), "").unwrap();
    fs::remove_dir(bed.live().join(NAMES[1])).unwrap();
    std::os::unix::fs::symlink("dir", bed.live().join(NAMES[1])).unwrap();
    bed.sync();
    assert_eq!(bed.live_tree().pristine, Some(false));
    rollback(&bed);
    check_replaced(&bed);
}
