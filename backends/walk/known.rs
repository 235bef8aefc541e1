//! What a file system tells of two trees beforehand, so that a walk need not look at every file.

use crate::stat::Stat;

/// Knowledge of two trees in which a copied file keeps its inode number.
///
/// Who has it promises that nothing is mounted over a file of either.
pub trait Known {
    /// Whether the inode of this number is the same in both trees, bit for bit: what is in the file, or
    /// which names the directory has and where each leads, and all attributes.
    fn is_unchanged(&self, inode: u64) -> bool;

    /// Whether the two files of one name, now looked at, are the same for certain, but for their flags
    /// (chattr(1)) and project ids: no time need tell when those were set.
    fn is_same_but_for_flags(&self, was: &Stat, is: &Stat) -> bool;
}
