//! Trees are told apart by their UUIDs, whatever names they have.

use std::fs;

use btrfsutil::subvolume::Subvolume;
use rustix::fs::{CWD, IFlags, RenameFlags, ioctl_setflags, rename, renameat_with};

use crate::btrfs::Btrfs;
use crate::btrfs::tests::btrfs_fixture::{Bed, name};
use crate::conformance::{Testbed, guards, next_record, rollback};
use crate::{Slot, Unfinished};

#[test]
fn a_subvolume_that_took_the_name_of_another_is_refused() {
    let Some(bed) = Bed::captured() else { return };
    let (live, blank, record) = (bed.live_tree(), bed.blank_tree(), next_record(&bed));
    let backend = bed.backend();
    let mut locked = backend.lock().unwrap();
    locked.prepare(&blank, &record).unwrap();
    let aside = bed.layout().old.child(&record.name).unwrap();
    // The name of a read-only subvolume cannot be changed.
    Subvolume::get(bed.blank().as_path()).unwrap().set_ro(false).unwrap();
    for taken in [&live.name, &blank.name] {
        rename(bed.path(taken), bed.top().join("elsewhere")).unwrap();
        bed.create(taken);
        let next = next_record(&bed);
        let refused = if *taken == live.name {
            locked.swap(&live, &aside).unwrap_err()
        } else {
            locked.prepare(&blank, &next).map(drop).unwrap_err()
        };
        let why = format!("another tree has taken the name {taken} meanwhile");
        assert!(refused.to_string().contains(&why), "{refused}");
        for tree in [&live, &blank].into_iter().filter(|tree| tree.name == *taken) {
            assert!(backend.view(tree).is_err());
        }
        fs::remove_dir(bed.path(taken)).unwrap();
        rename(bed.top().join("elsewhere"), bed.path(taken)).unwrap();
    }
    assert_eq!((bed.live_tree().id, bed.blank_tree().id), (live.id.clone(), blank.id));
    locked.swap(&live, &aside).unwrap();
}

#[test]
fn an_old_root_whose_name_another_subvolume_took_is_not_deleted() {
    let Some(bed) = Bed::captured() else { return };
    let old_root = rollback(&bed);
    let path = bed.path(&old_root.tree.name);
    rename(&path, bed.top().join("elsewhere")).unwrap();
    bed.create(&old_root.tree.name);
    assert!(bed.backend().lock().unwrap().discard(&old_root).is_err());
    assert!(path.exists() && bed.top().join("elsewhere").exists());
    assert_eq!(bed.survey().unfinished, [Unfinished::Foreign(old_root.tree.name)]);
}

#[test]
fn what_is_no_subvolume_is_no_tree() {
    let Some(bed) = Bed::make() else { return };
    let layout = bed.layout();
    rename(bed.live(), bed.top().join("elsewhere")).unwrap();
    fs::create_dir(bed.live()).unwrap();
    std::os::unix::fs::symlink("../elsewhere", bed.blank()).unwrap();
    for slot in [bed.survey().live, bed.survey().blank] {
        assert!(matches!(&slot, Slot::NotATree(why) if !why.is_empty()), "{slot:?}");
    }
    fs::remove_file(bed.blank()).unwrap();
    assert!(bed.backend().lock().unwrap().capture(crate::Origin::Live).is_err());
    assert_eq!(bed.survey().blank, Slot::Missing, "{}", layout.blank);
}

#[test]
fn a_subvolume_without_a_record_is_never_swapped_in() {
    let Some(bed) = Bed::captured() else { return };
    let live = bed.live_tree();
    let old = bed.layout().old.child("000001-3f2a1c9e").unwrap();
    for aside in [&old, &name(b"mine")] {
        bed.snapshot(&bed.layout().blank, aside);
        assert!(bed.backend().lock().unwrap().swap(&live, aside).is_err(), "{aside}");
    }
    // Nor what has only the name of a record, and lies elsewhere.
    let record = next_record(&bed);
    bed.backend().lock().unwrap().prepare(&bed.blank_tree(), &record).unwrap();
    let elsewhere = name(record.name.as_bytes());
    bed.snapshot(&bed.layout().blank, &elsewhere);
    assert!(bed.backend().lock().unwrap().swap(&live, &elsewhere).is_err());
    assert_eq!(bed.live_tree().id, live.id);
}

#[test]
fn live_among_the_old_roots_is_neither_swapped_nor_deleted() {
    let Some(bed) = Bed::make() else { return };
    guards::live_among_the_old_roots_is_neither_swapped_nor_deleted(&bed, &|layout| {
        Box::new(Btrfs::open(bed.throwaway().device(), layout).unwrap())
    });
}

#[test]
fn a_fresh_copy_is_pristine_until_something_is_written() {
    let Some(bed) = Bed::captured() else { return };
    rollback(&bed);
    assert_eq!(bed.live_tree().pristine, Some(true));
    fs::write(bed.live().join("new"), "").unwrap();
    bed.sync();
    assert_eq!(bed.live_tree().pristine, Some(false));
}

#[test]
fn nested_subvolumes_are_named_and_travel_with_the_old_root() {
    let Some(bed) = Bed::captured() else { return };
    let nested = bed.live().join("dir/nest ed\n");
    let inner = nested.join("inner");
    for path in [&nested, &inner] {
        Subvolume::create(path.as_path(), None).unwrap();
        fs::write(path.join("file"), "x").unwrap();
    }
    bed.sync();
    let shown: Vec<String> = bed.survey().nested.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["/dir/nest ed\\n"]);
    let old_root = rollback(&bed);
    assert!(bed.path(&old_root.tree.name).join("dir/nest ed\n/inner/file").exists());
    assert!(!nested.exists());
    assert_eq!(bed.survey().nested, []);
}

#[test]
fn a_mount_of_live_is_told_until_live_is_another_tree() {
    let Some(bed) = Bed::captured() else { return };
    let place = tempfile::tempdir().unwrap();
    assert_eq!(bed.survey().live_mounts, []);
    let live = bed.layout().live;
    let _mount = bed.throwaway().mount(bed.namespace(), Some(&live), place.path()).unwrap();
    let shown: Vec<_> = bed.survey().live_mounts.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [place.path().display().to_string()]);
    let was_live = bed.live_tree();
    rollback(&bed);
    assert_eq!(bed.survey().live_mounts, []);
    // Exchanged back: the mount shows live again.
    let old = bed.survey().old_roots.remove(0).tree;
    assert_eq!(old.id, was_live.id);
    let (old, live) = (bed.path(&old.name), bed.live());
    renameat_with(CWD, old, CWD, live, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(bed.survey().live_mounts.len(), 1);
}

#[test]
fn a_survey_for_a_rollback_does_not_list_what_every_user_can_make() {
    let Some(bed) = Bed::captured() else { return };
    for number in 0..20 {
        let path = bed.live().join(format!("dir/{number}"));
        Subvolume::create(path.as_path(), None).unwrap();
    }
    assert_eq!(bed.survey().nested.len(), 20);
    assert_eq!(bed.backend().lock().unwrap().survey_for_rollback().unwrap().nested, []);
}

/// What `chattr` does.
fn set_flags(path: &std::path::Path, flags: IFlags) {
    let file = fs::File::open(path).unwrap();
    ioctl_setflags(&file, flags).unwrap();
}

#[test]
fn a_directory_that_cannot_be_renamed_is_told_before_the_exchange_fails() {
    let Some(bed) = Bed::captured() else { return };
    let layout = bed.layout();
    let old = bed.path(&layout.old);
    let blank = Subvolume::get(bed.blank().as_path()).unwrap();
    for (path, shown) in [
        (bed.live(), "the top directory of live, `@/li ve`,"),
        (bed.blank(), "the top directory of blank, `@/blank\\xff`,"),
        (bed.top().join("@"), "the directory that holds live, `@/li ve`,"),
        (old, "the directory of old roots, `old roots`,"),
    ] {
        for (flag, word) in [(IFlags::IMMUTABLE, "immutable"), (IFlags::APPEND, "append-only")] {
            let is_blank = path == bed.blank();
            let change = |flags| {
                blank.set_ro(!is_blank).unwrap();
                set_flags(&path, flags);
                blank.set_ro(true).unwrap();
            };
            change(flag);
            let told = bed.survey().immovable;
            let [told] = &told[..] else { panic!("{shown} {word}: {told:?}") };
            assert!(told.reason.starts_with(&format!("{shown} is {word}")), "{told:?}");
            assert!(told.hint.as_ref().unwrap().contains("chattr -i -a "), "{told:?}");
            assert_eq!(
                bed.backend().lock().unwrap().survey_for_rollback().unwrap().immovable.len(),
                1
            );
            // The file system agrees.
            let (live, copy) = (bed.live_tree(), next_record(&bed));
            let aside = layout.old.child(&copy.name).unwrap();
            let backend = bed.backend();
            let mut locked = backend.lock().unwrap();
            let prepared = locked.prepare(&bed.blank_tree(), &copy);
            if prepared.is_ok() {
                locked.swap(&live, &aside).unwrap_err();
            }
            drop(locked);
            change(IFlags::empty());
        }
    }
    assert_eq!(bed.survey().immovable, []);
}
