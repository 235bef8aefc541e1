//! Directories that span many blocks of the tree, with names of one length: what was deleted from
//! them leaves nothing behind but a size, which any other name of that length would explain as well.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use btrfsutil::subvolume::Subvolume;
use rustix::fs::{CWD, RenameFlags, rename, renameat_with};

use crate::btrfs::tests::btrfs_fixture::Bed;

const DIRS: u64 = 3;
const FILES: u64 = 250;
/// So much lies in the tree itself, so that a block of it holds few files, and one that was not
/// written looks like a few deleted inodes.
const CONTENT: [u8; 1500] = [b'.'; 1500];

/// Long, so that it takes less to look for what was deleted than to list the directory.
fn name(number: u64) -> String {
    format!("{number:0150}")
}

fn dir(live: &Path, number: u64) -> PathBuf {
    live.join(format!("dir {number}"))
}

fn fill(live: &Path) {
    for at in 0..DIRS {
        fs::create_dir(dir(live, at)).unwrap();
        for number in 0..FILES {
            fs::write(dir(live, at).join(name(number)), CONTENT).unwrap();
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A name that a file may have or not.
    fn path(&mut self, live: &Path) -> PathBuf {
        let at = self.below(DIRS);
        dir(live, at).join(name(self.below(FILES + 20)))
    }
}

/// One change, if it can be made.
fn change(random: &mut Random, live: &Path) -> std::io::Result<()> {
    let (a, b) = (random.path(live), random.path(live));
    match random.below(16) {
        0..6 => fs::remove_file(a),
        6 => fs::write(a, "other"),
        7..10 => rename(a, b).map_err(Into::into),
        10 => renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(Into::into),
        11 => fs::hard_link(a, b),
        12 => symlink("nowhere", a),
        13 => fs::create_dir(a),
        14 => fs::remove_dir(a),
        _ => {
            Subvolume::create(a.as_path(), None).map_err(std::io::Error::other)?;
            if random.below(3) == 0 { rename(a, b).map_err(Into::into) } else { Ok(()) }
        }
    }
}

#[test]
fn large_directories_are_exact_after_any_history() {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("BLANKROOT_SEED").unwrap_or(now.as_micros() as u64);
    for round in 0..variable("BLANKROOT_HISTORIES").unwrap_or(2000).div_ceil(400) {
        println!("BLANKROOT_SEED={seed}, round {round}");
        let Some(bed) = Bed::rolled_back(fill) else { return };
        let mut random = Random(seed.wrapping_mul(1000) + round);
        for _ in 0..6 {
            for _ in 0..random.below(12) {
                let _ = change(&mut random, &bed.live());
            }
            if random.below(2) == 0 {
                bed.sync();
            }
            bed.exact_changes();
        }
    }
}

#[test]
fn files_in_blocks_that_were_not_written_do_not_make_up_for_deleted_ones() {
    let Some(bed) = Bed::rolled_back(fill) else { return };
    let dir = dir(&bed.live(), 1);
    for number in (0..100).step_by(11) {
        File::open(dir.join(name(number))).unwrap().set_modified(UNIX_EPOCH).unwrap();
    }
    // At one time, as many are gone as the files between those ten that were not written.
    for number in 150..220 {
        fs::remove_file(dir.join(name(number))).unwrap();
        assert_eq!(bed.exact_changes().len() as u64, number - 149);
    }
}

#[test]
fn subvolumes_in_the_place_of_deleted_files_do_not_make_up_for_them() {
    let Some(bed) = Bed::rolled_back(fill) else { return };
    let dir = dir(&bed.live(), 1);
    for number in 100..150 {
        fs::remove_file(dir.join(name(number))).unwrap();
        Subvolume::create(dir.join(name(FILES + number)).as_path(), None).unwrap();
    }
    assert_eq!(bed.exact_changes().len(), 100);
}
