//! Which trees can be compared by what was written: those of one descent, as far as it is recorded.

use std::fs;

use btrfsutil::subvolume::{DeleteFlags, Subvolume};
use dirfd::process::Program;
use support::every_kind_of_file::fill;

use crate::FastChanges;
use crate::btrfs::tests::btrfs_fixture::{Bed, name};
use crate::conformance::Testbed;

#[test]
fn trees_that_were_made_apart_are_walked() {
    let Some(bed) = Bed::captured() else { return };
    bed.create(&name(b"apart"));
    fill(&bed.top().join("apart"));
    let apart = bed.tree(&name(b"apart"));
    match bed.backend().changes(&bed.blank_tree(), &apart).unwrap() {
        FastChanges::Unavailable(why) => {
            assert!(why.ends_with("are not copies of each other or of one tree"), "{why}");
        }
        FastChanges::Exact(changes) => panic!("{changes:?}"),
    }
    assert!(bed.walked(&bed.blank_tree(), &apart).is_empty());
}

#[test]
fn copies_of_copies_are_compared_with_each_other() {
    let Some(bed) = Bed::captured() else { return };
    let layout = bed.layout();
    let names = ["child", "grandchild", "cousin"].map(|text| name(text.as_bytes()));
    let [child, grandchild, cousin] = &names;
    for (from, to) in [(&layout.blank, child), (child, grandchild), (&layout.live, cousin)] {
        bed.snapshot(from, to);
        fs::write(bed.path(to).join(format!("in {to}")), "").unwrap();
        fs::write(bed.path(from).join("late"), "").ok();
        bed.sync();
    }
    let all = [&layout.live, &layout.blank, child, grandchild, cousin];
    for (from, to) in all.iter().flat_map(|from| all.map(|to| (from, to))) {
        bed.exact(&bed.tree(from), &bed.tree(to));
    }
}

#[test]
fn a_descent_that_leads_through_a_deleted_tree_is_walked() {
    let Some(bed) = Bed::captured() else { return };
    let (child, grandchild) = (name(b"child"), name(b"grandchild"));
    bed.snapshot(&bed.layout().blank, &child);
    fs::write(bed.path(&child).join("plain"), "other").unwrap();
    bed.snapshot(&child, &grandchild);
    let expected = bed.exact(&bed.blank_tree(), &bed.tree(&grandchild));
    assert_eq!(expected.len(), 2);
    Subvolume::get(bed.path(&child).as_path()).unwrap().delete(DeleteFlags::empty()).unwrap();
    // Until the last of its blocks is gone, it is still known where it came from. The kernel frees
    // them when it commits, which the option for throwaways puts off.
    let flags = nix::mount::MsFlags::MS_REMOUNT;
    nix::mount::mount(None::<&str>, bed.top(), None::<&str>, flags, Some("commit=1")).unwrap();
    let sync = ["subvolume".as_ref(), "sync".as_ref(), bed.top()];
    Program::new("btrfs", "btrfs-progs").run(sync).unwrap();
    let (blank, tree) = (bed.blank_tree(), bed.tree(&grandchild));
    // Nothing says any more since when the two differ.
    let answer = bed.backend().changes(&blank, &tree).unwrap();
    assert!(matches!(answer, FastChanges::Unavailable(_)), "{answer:?}");
    assert_eq!(bed.walked(&blank, &tree), expected);
}
