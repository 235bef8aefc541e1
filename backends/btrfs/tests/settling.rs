//! A record is whole on the disk as soon as the copy that was made for it is, however the file system
//! stores its content.

use std::fs::File;
use std::io::Write;

use nix::mount::{MsFlags, mount};

use crate::Unfinished;
use crate::btrfs::change_subvolumes::{commit_with_transaction, is_in_tree};
use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::btrfs::top_level::{Access, Top};
use crate::conformance::{Testbed, next_record};

/// In the tree, packed in the tree, at a place of its own, packed there, and without checksums.
const WAYS: [&str; 5] = [
    "max_inline=2048",
    "compress-force=zstd",
    "max_inline=0",
    "compress-force=zstd,max_inline=0",
    "compress=none,nodatacow,max_inline=0",
];

fn stored(bed: &Bed, way: &str) {
    let none = None::<&str>;
    mount(none, bed.top(), none, MsFlags::MS_REMOUNT, Some(way)).unwrap();
}

#[test]
fn a_power_cut_after_the_copy_was_made_leaves_its_record_whole() {
    for way in WAYS {
        let Some(mut bed) = Bed::captured() else { return };
        stored(&bed, way);
        let record = next_record(&bed);
        bed.backend().lock().unwrap().prepare(&bed.blank_tree(), &record).unwrap();
        bed.cut_the_power();
        let unfinished = bed.survey().unfinished;
        let [Unfinished::FreshCopy { record: found, .. }] = unfinished.as_slice() else {
            panic!("{way}: {unfinished:?}");
        };
        assert_eq!(*found, record, "{way}");
    }
}

#[test]
fn content_is_in_the_tree_once_it_settled_and_not_before() {
    for way in WAYS {
        let Some(bed) = Bed::make() else { return };
        stored(&bed, way);
        let top = Top::open(bed.throwaway().device(), Access::Write).unwrap();
        for content in [vec![b'x'; 300], vec![b'y'; 300_000]] {
            let mut file = File::create(bed.top().join(content.len().to_string())).unwrap();
            file.write_all(&content).unwrap();
            assert!(!is_in_tree(&top, &file).unwrap(), "{way}: it has no place yet");
            commit_with_transaction(&top, &file).unwrap();
            assert!(is_in_tree(&top, &file).unwrap(), "{way}");
        }
    }
}
