//! The 1,900 changes: the mix of a machine in use, spread over all directories alike or over a few.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, XattrFlags, renameat_with, setxattr};

use crate::Result;
use crate::tree::{FILES, Shape, file};

/// New files, each in the directory of a random file.
const NEW: usize = 700;
/// Files with other content, a few bytes to a few kilobytes.
const OVERWRITTEN: usize = 500;
/// Files that are gone.
const REMOVED: usize = 300;
/// Files with another mode.
const CHMOD: usize = 200;
/// Files with another name, every second of them in another directory.
const RENAMED: usize = 100;
/// Files with an extended attribute more.
const ATTRIBUTE: usize = 100;

/// How many changes there are.
pub const COUNT: usize = NEW + OVERWRITTEN + REMOVED + CHMOD + RENAMED + ATTRIBUTE;
/// How many rows they are in `diff`: a rename is two.
pub const ROWS: usize = COUNT + RENAMED;
/// The same every time.
const SEED: u64 = 20_261_122;

/// In which directories the changes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// In one of twenty, as on a machine where some programs write much and most files lie still.
    Clustered,
    /// In all alike. The worst case for a search for what was written: nearly every change lies in
    /// another block of the file system's tree.
    Everywhere,
}

impl Spread {
    /// What a table adds, to follow "1900 changes in … files".
    pub fn words(self) -> &'static str {
        match self {
            Self::Clustered => "",
            Self::Everywhere => ", spread over all directories (the worst case)",
        }
    }
}

/// Makes the changes in the tree `root`. The same changes in every tree of the same directories,
/// whatever lies between them.
pub fn apply(root: &Path, shape: Shape, spread: Spread) -> Result<()> {
    let mut pick = Picker { root, shape, spread, state: SEED, taken: HashSet::new() };
    for number in 0..NEW {
        fs::write(pick.file().with_file_name(new_name(number)), content(number))?;
    }
    for number in 0..OVERWRITTEN {
        fs::write(pick.file(), content(number + 1))?;
    }
    for _ in 0..REMOVED {
        fs::remove_file(pick.file())?;
    }
    for _ in 0..CHMOD {
        fs::set_permissions(pick.file(), Permissions::from_mode(0o600))?;
    }
    for number in 0..RENAMED {
        let from = pick.file();
        let other = if number % 2 == 0 { pick.file() } else { from.clone() };
        let to = other.with_file_name(format!("renamed-{number:03}.conf"));
        renameat_with(CWD, &from, CWD, &to, rustix::fs::RenameFlags::NOREPLACE)?;
    }
    for _ in 0..ATTRIBUTE {
        setxattr(pick.file(), "user.note", b"of the bench", XattrFlags::CREATE)?;
    }
    Ok(())
}

fn new_name(number: usize) -> impl AsRef<OsStr> {
    format!("new-{number:03}.state")
}

/// Between 40 bytes and 6 KiB, not the same as another.
fn content(number: usize) -> Vec<u8> {
    format!("this is what was written by change {number:04}\n").repeat(1 + number % 128).into()
}

/// Draws files, none of them twice.
struct Picker<'a> {
    root: &'a Path,
    shape: Shape,
    spread: Spread,
    state: u64,
    taken: HashSet<usize>,
}

impl Picker<'_> {
    fn file(&mut self) -> PathBuf {
        loop {
            let every = if self.spread == Spread::Clustered { 20 } else { 1 };
            let drawn = (self.random() % (self.shape.files() / every) as u64) as usize;
            let number = drawn / FILES * FILES * every + drawn % FILES;
            if self.taken.insert(number) {
                return self.root.join(file(number));
            }
        }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
