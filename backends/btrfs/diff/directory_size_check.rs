//! Tells what came into a directory and what left it by the names of what was touched, and proves
//! by the directory's size that this is all.

use std::collections::HashMap;

use crate::btrfs::diff::back_references::BackReferences;
use crate::btrfs::diff::written_inodes::WrittenInodes;
use crate::btrfs::tree_items::InodeItem;
use crate::btrfs::tree_queries::InodeFacts;

/// What is known of the names in both trees.
pub struct DirectorySizeCheck<'a> {
    /// What was touched in the newer tree.
    pub touched: &'a WrittenInodes,
    /// Names in the older tree: all of what the newer one touched, and of some that it deleted.
    pub former: BackReferences,
    /// Directories of the newer tree in which a subvolume has its name, sorted.
    pub nested: Vec<u64>,
    /// Whether `former` has all that it must, and nobody wrote to the older tree.
    pub whole: bool,
}

impl DirectorySizeCheck<'_> {
    /// Whether all names that came into directory `ino` are among the touched ones and all that
    /// went are among the former ones.
    ///
    /// Why that is a proof: the kernel adds twice a name's length to the directory's size with each
    /// entry, a subvolume's and a stub's too, and takes it off with each that goes. Who gets or
    /// loses a name and stays is touched, and with it all its names are known, then and now. What
    /// came without being touched is a subvolume, and those are known; a stub cannot be moved. So
    /// what may be missing are names of what was deleted, and each would make the newer size less
    /// than what is known explains: none can make up for another.
    ///
    /// That holds for two states of one directory. Another one that has its number has no name among the
    /// touched ones, and a size that says nothing of what came.
    pub fn balances(&self, ino: u64, before: &InodeItem, now: &InodeItem) -> bool {
        let came = self.touched.back_references.of(ino);
        let came = came.filter(|(_, child)| self.touched.inode(*child).is_some());
        let went = self.former.of(ino);
        self.whole
            && before.generation == now.generation
            && self.nested.binary_search(&ino).is_err()
            && before.size.checked_add(directory_bytes_of_names(came))
                == now.size.checked_add(directory_bytes_of_names(went))
    }

    /// The directories among `inodes` that both trees have and that do not balance, each with the
    /// sum of its two sizes.
    pub fn open(&self, inodes: &[u64], older: &HashMap<u64, InodeFacts>) -> Vec<(u64, u64)> {
        let states = inodes
            .iter()
            .filter_map(|ino| Some((*ino, older.get(ino)?.item?, self.touched.inode(*ino)?)));
        let open = states.filter(|(ino, before, now)| {
            now.is_directory() && before.is_directory() && !self.balances(*ino, before, now)
        });
        open.map(|(ino, before, now)| (ino, before.size.saturating_add(now.size))).collect()
    }
}

/// What names add to their directory's size: each is in two of its items.
fn directory_bytes_of_names<'n>(names: impl Iterator<Item = (&'n [u8], u64)>) -> u64 {
    names.map(|(name, _)| 2 * name.len() as u64).sum()
}
