//! What Btrfs alone knows of a file, where a copy of it is on another file system.

use std::fs::{self, File};
use std::os::fd::AsFd;

use dirfd::copy::temporary_copy::{Aside, difference};
use dirfd::stat::Place;
use dirfd::{TreePath, boundary};
use rustix::fs::{XattrFlags, setxattr};

use crate::btrfs::tests::btrfs_fixture::Bed;

/// A directory that is on no Btrfs.
const ELSEWHERE: &str = "/dev/shm";

#[test]
fn compression_that_another_file_system_does_not_know_is_named_and_the_rest_copied() {
    let Some(bed) = Bed::make() else { return };
    let dir = bed.live().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "x".repeat(100_000)).unwrap();
    for path in [dir.clone(), dir.join("file")] {
        setxattr(&path, "btrfs.compression", b"zstd", XattrFlags::empty()).unwrap();
    }
    let elsewhere = tempfile::tempdir_in(ELSEWHERE).unwrap();
    let (live, to) = (File::open(bed.live()).unwrap(), File::open(elsewhere.path()).unwrap());
    assert_ne!(
        boundary::file_system_type(&to).unwrap(),
        boundary::BTRFS,
        "{ELSEWHERE} is on Btrfs"
    );
    let (from, copy) =
        (Place { dir: live.as_fd(), name: c"dir" }, Place { dir: to.as_fd(), name: c"dir" });
    let shown = TreePath::parse(b"dir").unwrap();
    let made = Aside::make(from, copy, to.as_fd(), (&shown, &shown), &mut |_, _| {}).unwrap();
    let told = made.name().unwrap();
    let refused: Vec<String> =
        told.refused_flags.first().iter().map(|(path, flags)| format!("{path} +{flags}")).collect();
    assert_eq!(refused, ["/dir/file +c", "/dir +c"]);
    assert_eq!(fs::read(elsewhere.path().join("dir/file")).unwrap().len(), 100_000);
    assert_eq!(difference(from, copy, &shown).unwrap(), None);
    // What both can keep still counts.
    setxattr(dir.join("file"), "user.mark", b"1", XattrFlags::empty()).unwrap();
    assert_eq!(difference(from, copy, &shown).unwrap().unwrap().to_string(), "/dir/file");
}
