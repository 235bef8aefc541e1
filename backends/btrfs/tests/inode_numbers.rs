//! Inode numbers that are given out again: after a mount Btrfs goes on from the highest in use, so what is
//! deleted and made again can have its old number and be another inode.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use btrfsutil::subvolume::Subvolume;
use dirfd::ChangeKind;

use crate::btrfs::tests::btrfs_fixture::Bed;

type Rows<'a> = &'a [(&'a str, ChangeKind)];

#[expect(clippy::disallowed_methods, reason = "a tree that this test made")]
fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

fn ino(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// In live, which is blank, deletes `gone`, mounts again and makes what `again` makes. It must have the
/// inode numbers of what was deleted, in the order of `same`: the name in blank and that in live.
fn made_again(
    before: impl FnOnce(&Path),
    gone: &[&str],
    again: impl FnOnce(&Path),
    same: &[(&str, &str)],
    expected: Rows<'_>,
) {
    let Some(mut bed) = Bed::rolled_back(|live| {
        fs::write(live.join("old"), "stays").unwrap();
        before(live);
    }) else {
        return;
    };
    for name in gone {
        remove(&bed.live().join(name));
    }
    bed.remount();
    again(&bed.live());
    for (was, is) in same {
        let (was, is) = (ino(&bed.blank().join(was)), ino(&bed.live().join(is)));
        assert_eq!(was, is, "no number was given out again, so nothing was tried");
    }
    let rows = bed.exact_changes();
    let rows: Vec<_> = rows.iter().map(|row| (row.path.to_string(), row.kind)).collect();
    let expected: Vec<_> = expected.iter().map(|(path, kind)| (path.to_string(), *kind)).collect();
    assert_eq!(rows, expected);
}

fn app(live: &Path) {
    fs::create_dir(live.join("app")).unwrap();
    fs::write(live.join("app/bin"), "v1").unwrap();
}

#[test]
fn a_directory_made_again_with_its_old_number_is_gone_into() {
    made_again(
        app,
        &["app"],
        |live| {
            fs::create_dir(live.join("app")).unwrap();
            fs::write(live.join("app/bin"), "v2").unwrap();
            fs::set_permissions(live.join("app/bin"), fs::Permissions::from_mode(0o4755)).unwrap();
        },
        &[("app", "app"), ("app/bin", "app/bin")],
        &[("/app/bin", ChangeKind::Modified)],
    );
}

#[test]
fn names_of_equal_length_in_a_directory_made_again_are_told_apart() {
    made_again(
        |live| {
            for dir in ["app", "app/dir"] {
                fs::create_dir(live.join(dir)).unwrap();
            }
            fs::write(live.join("app/dir/one"), "v1").unwrap();
            fs::hard_link(live.join("app/dir/one"), live.join("app/two")).unwrap();
            symlink("one", live.join("app/lnk")).unwrap();
        },
        &["app"],
        |live| {
            for dir in ["app", "app/rid"] {
                fs::create_dir(live.join(dir)).unwrap();
            }
            fs::write(live.join("app/rid/one"), "v1").unwrap();
            fs::hard_link(live.join("app/rid/one"), live.join("app/own")).unwrap();
            symlink("two", live.join("app/lnk")).unwrap();
        },
        &[("app", "app"), ("app/dir", "app/rid"), ("app/two", "app/own"), ("app/lnk", "app/lnk")],
        &[
            ("/app/dir", ChangeKind::Removed),
            ("/app/dir/one", ChangeKind::Removed),
            ("/app/lnk", ChangeKind::Modified),
            ("/app/own", ChangeKind::Added),
            ("/app/rid", ChangeKind::Added),
            ("/app/rid/one", ChangeKind::Added),
            ("/app/two", ChangeKind::Removed),
        ],
    );
}

#[test]
fn a_number_that_went_to_something_else_is_not_what_it_was() {
    made_again(
        |live| {
            app(live);
            fs::write(live.join("x"), "a file").unwrap();
        },
        &["app", "x"],
        |live| {
            // The directory's number goes to a file of its name, the file's to a directory elsewhere, the
            // last to a directory of its name.
            fs::write(live.join("app"), "a file").unwrap();
            fs::create_dir(live.join("dir")).unwrap();
            fs::create_dir(live.join("x")).unwrap();
            fs::write(live.join("dir/bin"), "v1").unwrap();
            fs::write(live.join("x/bin"), "v1").unwrap();
        },
        &[("app", "app"), ("app/bin", "dir"), ("x", "x")],
        &[
            ("/app", ChangeKind::Replaced),
            ("/app/bin", ChangeKind::Removed),
            ("/dir", ChangeKind::Added),
            ("/dir/bin", ChangeKind::Added),
            ("/x", ChangeKind::Replaced),
            ("/x/bin", ChangeKind::Added),
        ],
    );
}

#[test]
fn files_that_swapped_their_numbers_are_compared_by_name() {
    made_again(
        |live| {
            for dir in ["a", "b"] {
                fs::create_dir(live.join(dir)).unwrap();
            }
            fs::write(live.join("a/one"), "1").unwrap();
            fs::write(live.join("b/two"), "2").unwrap();
        },
        &["a/one", "b/two"],
        |live| {
            fs::write(live.join("b/two"), "2").unwrap();
            fs::write(live.join("a/eno"), "1").unwrap();
        },
        &[("a/one", "b/two"), ("b/two", "a/eno")],
        &[("/a/eno", ChangeKind::Added), ("/a/one", ChangeKind::Removed)],
    );
}

#[test]
fn directories_that_both_trees_made_under_one_number_are_two() {
    let Some(bed) = Bed::rolled_back(|live| fs::write(live.join("old"), "").unwrap()) else {
        return;
    };
    let blank = Subvolume::get(bed.blank().as_path()).unwrap();
    blank.set_ro(false).unwrap();
    bed.sync();
    // In one transaction, so that not even their generations differ.
    for (tree, name) in [(bed.blank(), "one"), (bed.live(), "two")] {
        fs::create_dir(tree.join("dir")).unwrap();
        fs::write(tree.join("dir").join(name), name).unwrap();
    }
    bed.sync();
    blank.set_ro(true).unwrap();
    assert_eq!(ino(&bed.blank().join("dir")), ino(&bed.live().join("dir")));
    let rows = bed.exact_changes();
    let rows: Vec<_> = rows.iter().map(|row| (row.path.to_string(), row.kind)).collect();
    let expected = [
        ("/dir/one".to_string(), ChangeKind::Removed),
        ("/dir/two".to_string(), ChangeKind::Added),
    ];
    assert_eq!(rows, expected);
}
