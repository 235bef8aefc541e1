//! What the kernel would delete without a word, and we do not.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use btrfsutil::subvolume::Subvolume;
use dirfd::private_namespace::PrivateNamespace;
use rustix::fs::{IFlags, ioctl_setflags};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::btrfs::change_subvolumes::Locked;
use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::{Testbed, rollback};
use crate::lock::patiently;
use crate::{LockedBackend, OldRoot, Unfinished};

/// Discarding is refused for a reason that contains `why`, and nothing is gone.
fn assert_refused(bed: &Bed, old_root: &OldRoot, why: &str) {
    let backend = bed.backend();
    // Processes that other tests start have it for a moment.
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    let refused = locked.discard(old_root).unwrap_err().to_string();
    drop(locked);
    assert!(refused.contains(why), "{refused}");
    assert_eq!(bed.survey().old_roots, std::slice::from_ref(old_root));
    assert!(bed.path(&old_root.tree.name).join("plain").exists());
}

fn discard(bed: &Bed, old_root: &OldRoot) {
    let backend = bed.backend();
    patiently(|| backend.lock(), || ()).unwrap().discard(old_root).unwrap();
    assert_eq!((bed.survey().old_roots, bed.survey().unfinished), (Vec::new(), Vec::new()));
    assert!(!bed.path(&old_root.tree.name).exists());
}

/// What `chattr` does.
fn set_flags(path: &Path, flags: IFlags) {
    ioctl_setflags(fs::File::open(path).unwrap(), flags).unwrap();
}

#[test]
fn an_old_root_with_immutable_directories_and_subvolumes_is_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let nested = bed.live().join("dir/nested");
    Subvolume::create(nested.as_path(), None).unwrap();
    for path in [nested.join("file"), bed.live().join("a file")] {
        fs::write(&path, "x").unwrap();
        set_flags(&path, IFlags::IMMUTABLE);
    }
    set_flags(&nested, IFlags::APPEND);
    set_flags(&bed.live().join("dir"), IFlags::IMMUTABLE);
    let old_root = rollback(&bed);
    set_flags(&bed.path(&old_root.tree.name), IFlags::IMMUTABLE);
    discard(&bed, &old_root);
    // What keeps others from deleting in the directory of old roots is not ours to clear.
    let old_root = rollback(&bed);
    let old = bed.path(&bed.layout().old);
    set_flags(&old, IFlags::IMMUTABLE);
    assert_refused(&bed, &old_root, "cannot delete the old root");
    set_flags(&old, IFlags::empty());
    discard(&bed, &old_root);
}

#[test]
fn a_mounted_old_root_is_not_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let old_root = rollback(&bed);
    let place = tempfile::tempdir().unwrap();
    let name = &old_root.tree.name;
    let mount = bed.throwaway().mount(bed.namespace(), Some(name), place.path()).unwrap();
    assert_refused(&bed, &old_root, &format!("it is mounted at {}", place.path().display()));
    mount.unmount().unwrap();
    discard(&bed, &old_root);
}

#[test]
fn an_old_root_of_which_a_directory_is_bound_somewhere_is_not_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let old_root = rollback(&bed);
    let place = tempfile::tempdir().unwrap();
    mount_bind(bed.path(&old_root.tree.name).join("dir"), place.path()).unwrap();
    assert_refused(&bed, &old_root, &format!("it is mounted at {}", place.path().display()));
    unmount(place.path(), UnmountFlags::empty()).unwrap();
    discard(&bed, &old_root);
}

#[test]
fn an_old_root_that_is_mounted_in_another_namespace_is_not_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let old_root = rollback(&bed);
    let place = tempfile::tempdir().unwrap();
    let (from, to) = (bed.path(&old_root.tree.name), place.path().to_path_buf());
    let (done, wait) = mpsc::channel::<()>();
    let (ready, started) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let _namespace = PrivateNamespace::enter().unwrap();
        mount_bind(&from, &to).unwrap();
        ready.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let _ = wait.recv();
    });
    let thread = started.recv().unwrap();
    assert_refused(&bed, &old_root, &format!("in the mount namespace of process {thread}"));
    drop(done);
    other.join().unwrap();
    discard(&bed, &old_root);
}

#[test]
fn nested_subvolumes_of_an_old_root_go_first_unless_one_is_mounted() {
    let Some(bed) = Bed::captured() else { return };
    for nested in ["dir/nested", "dir/nested/inner", "other"] {
        Subvolume::create(bed.live().join(nested).as_path(), None).unwrap();
        fs::write(bed.live().join(nested).join("file"), "x").unwrap();
    }
    let old_root = rollback(&bed);
    let path = bed.path(&old_root.tree.name);
    let place = tempfile::tempdir().unwrap();
    mount_bind(path.join("dir/nested/inner"), place.path()).unwrap();
    assert_refused(&bed, &old_root, &format!("it is mounted at {}", place.path().display()));
    for nested in ["dir/nested/file", "dir/nested/inner/file", "other/file"] {
        assert!(path.join(nested).exists(), "{nested}");
    }
    unmount(place.path(), UnmountFlags::empty()).unwrap();
    discard(&bed, &old_root);
}

#[test]
fn the_default_subvolume_is_moved_along_and_never_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let set_default = |path: &Path| Subvolume::get(path).unwrap().set_default().unwrap();
    assert!(!bed.survey().live_is_default);
    set_default(&bed.live());
    assert!(bed.survey().live_is_default);
    let old_root = rollback(&bed);
    let left = [Unfinished::DefaultLeftBehind(old_root.clone())];
    assert_eq!((bed.survey().live_is_default, &bed.survey().unfinished[..]), (false, &left[..]));
    assert_refused(&bed, &old_root, "it is the default subvolume");
    bed.backend().lock().unwrap().make_live_default().unwrap();
    assert!(bed.survey().live_is_default);
    assert_eq!(bed.survey().unfinished, []);
    discard(&bed, &old_root);
}

#[test]
fn a_default_subvolume_that_is_any_old_root_is_told_to_a_rollback() {
    let Some(bed) = Bed::captured() else { return };
    let (first, _second) = (rollback(&bed), rollback(&bed));
    let brief = || bed.backend().lock().unwrap().survey_for_rollback().unwrap();
    assert_eq!((brief().old_roots.len(), brief().unfinished.len()), (1, 0));
    Subvolume::get(bed.path(&first.tree.name).as_path()).unwrap().set_default().unwrap();
    assert_eq!(brief().unfinished, [Unfinished::DefaultLeftBehind(first)]);
}

#[test]
fn nothing_is_deleted_of_which_it_is_not_known_whether_it_is_mounted() {
    let Some(bed) = Bed::captured() else { return };
    let old_root = rollback(&bed);
    let layout = bed.layout();
    let trees = Locked::new(bed.throwaway().device(), &layout).unwrap();
    // What others have mounted takes all the time that there is.
    trees.top.patience().look(|until| while Instant::now() < until {});
    let mut locked = LockedBackend::new(trees);
    let refused = locked.discard(&old_root).unwrap_err().to_string();
    let expected = format!(
        "cannot delete the old root {}: whether it is mounted could not",
        old_root.tree.name
    );
    assert!(refused.starts_with(&expected), "{refused}");
    drop(locked);
    assert_eq!(bed.survey().old_roots, std::slice::from_ref(&old_root));
    discard(&bed, &old_root);
}
