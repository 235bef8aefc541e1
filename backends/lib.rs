//! What each file system can do for Blankroot: survey its trees, show them, copy and swap them.
//!
//! This crate is mechanism: it knows file systems and nothing of keep lists, verdicts or boots.
//! Reading ([`Backend`]) and changing ([`LockedBackend`]) are two types, so that who holds the
//! first cannot change a disk. [`LockedBackend`] has every guard of a change; what a file system adds,
//! without any guard, is behind it, so that nobody else can call that.
//!
//! A rollback is three calls under the lock: [`LockedBackend::survey`] tells what is there,
//! [`LockedBackend::prepare`] writes a [`Record`] and makes a fresh copy of blank under the record's
//! name, [`LockedBackend::swap`] exchanges it with live. Whether the last one happened is told by
//! comparing identities, so an interruption at any moment leaves a state that a survey recognises.
//! [`LockedBackend::revert`] is for those who want no old roots, where a file system can do it at once.
//! [`LockedBackend::discard`] deletes one old root, by identity, and
//! [`LockedBackend::discard_unfinished`] what interrupted runs left; nothing else ever deletes a tree.
//!
//! | where to look | for |
//! | --- | --- |
//! | [`directory`], [`tmpfs`], `btrfs`, `zfs` | the file systems |
//! | [`locked_backend`] | the guards of a change, and what a file system has to implement |
//! | [`survey`](mod@survey), [`record`](mod@record), [`kinship`], [`old_roots`], [`hold`] | what is there, and what is half done |
//! | [`old_root_files`] | what is written of an old root beside its record |
//! | [`live_mounts`], [`lock`] | who has live mounted, and who may change trees |
//! | [`sys`] | the unsafe code of the file systems |

#[cfg(feature = "btrfs")]
pub mod btrfs;
#[cfg(test)]
pub(crate) mod conformance;
pub mod directory;
pub mod hold;
pub mod kinship;
pub mod live_mounts;
pub mod lock;
pub mod locked_backend;
pub mod old_root_files;
pub mod old_roots;
pub mod record;
pub mod survey;
pub mod sys;
pub mod tmpfs;
#[cfg(feature = "zfs")]
pub mod zfs;

use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::fingerprint::FileContent;
use dirfd::{Changes, Facts, Result, TreeName, TreePath};

pub use hold::{Held, Hold};
pub use kinship::Kinship;
pub use locked_backend::LockedBackend;
pub use old_root_files::{Life, OpenFile};
pub use record::{Record, Records};
pub use survey::{
    LiveMount, Obstacle, OldRoot, SeenBy, Slot, Space, Stubs, Survey, Tree, TreeId, Unfinished,
};

/// The names of the trees that a configuration declares, relative to the top of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The tree that is, or will be, mounted as `/`.
    pub live: TreeName,
    /// The read-only snapshot that live is restored to.
    pub blank: TreeName,
    /// The directory that holds old roots and their records.
    pub old: TreeName,
}

/// What a backend can do; planners ask this and never a backend's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Live survives a reboot, so it has to be rolled back (false for tmpfs).
    pub needs_rollback: bool,
    /// `prepare` and `swap` take the same time whatever the size of the tree.
    pub constant_time: bool,
    /// `changes` may answer without walking both trees.
    pub fast_changes: bool,
}

/// Where `capture` takes the blank snapshot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The live tree as it is now.
    Live,
    /// A tree without content.
    Empty,
}

/// A tree, opened for reading outside every mount table: nothing that is mounted over the tree's
/// directories hides what is in them.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
}

impl View {
    /// Wraps the open root directory of a tree.
    pub fn new(root: OwnedFd) -> Self {
        Self { root }
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// How a backend answered [`Backend::changes`].
#[derive(Debug)]
pub enum FastChanges {
    /// The exact changes, sorted by path bytes.
    Exact(Changes),
    /// The fast way cannot run; the text completes "walked both trees, because …".
    Unavailable(String),
}

/// An inode that a comparison came across.
#[derive(Clone, Copy, Debug)]
pub struct FoundInode {
    /// Its number.
    pub number: NonZero<u64>,
    /// What it was.
    pub facts: Facts,
}

/// Where swap is to be, whatever holds the root.
pub const PLACE_FOR_SWAP: &str =
    "make a new one on a partition or a file system of its own, that fstab names";

/// Reading only: who holds a `Backend` cannot change the disk.
pub trait Backend: Send + Sync {
    /// What is there: live, blank, old roots, half-done work. Reads names and records, never walks.
    fn survey(&self) -> Result<Survey>;
    /// What the names of live and of blank hold: all that a comparison needs of a survey.
    fn live_and_blank(&self) -> Result<(Slot, Slot)> {
        self.survey().map(|survey| (survey.live, survey.blank))
    }
    /// The identity of the file system, as a survey tells it.
    fn file_system(&self) -> Result<String> {
        self.survey().map(|survey| survey.file_system)
    }
    /// A directory handle on a tree, for reading.
    fn view(&self, tree: &Tree) -> Result<View>;
    /// What differs in `to` against `from`, the fast way.
    fn changes(&self, from: &Tree, to: &Tree) -> Result<FastChanges>;
    /// The same where it takes no walk of names, and no reading of what was not written; else `None`.
    fn changes_without_walk(&self, _from: &Tree, _to: &Tree) -> Result<Option<Changes>> {
        Ok(None)
    }
    /// What each of these files of `tree` holds, where the file system tells it without opening them; else `None`.
    fn known_contents(
        &self,
        _tree: &Tree,
        files: &[Option<FoundInode>],
    ) -> Result<Vec<Option<FileContent>>> {
        Ok(vec![None; files.len()])
    }
    /// Bytes of data in `tree` that were written since it was copied from its origin; `None` where
    /// the backend cannot tell without a walk.
    fn own_bytes(&self, _tree: &Tree) -> Result<Option<u64>> {
        Ok(None)
    }
    /// The nested trees in `tree` that hold something, by path; none where the backend has no such.
    fn nested_that_hold(&self, _tree: &Tree) -> Result<Vec<TreePath>> {
        Ok(Vec::new())
    }
    /// Fills in which snapshots somebody made of these; nothing where the backend has no such.
    fn look_for_snapshots(&self, _old_roots: &mut [OldRoot]) -> Result<()> {
        Ok(())
    }
    /// The same without looking where live is mounted, for who asks about its old roots alone.
    fn survey_without_mounts(&self) -> Result<Survey> {
        self.survey()
    }
    /// The directory of old roots, open for reading what is written of them; `None` where there is none.
    fn old_dir(&self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }
    /// What this backend can do.
    fn abilities(&self) -> Abilities;
    /// The identity of the tree that holds the open directory `dir`; `None` if it is on another file
    /// system.
    fn identify(&self, dir: BorrowedFd<'_>) -> Result<Option<TreeId>>;
    /// How the reader can make `tree` read-only, where that is a matter of a command.
    fn how_to_make_read_only(&self, _tree: &Tree) -> Option<String> {
        None
    }
    /// How the reader can change something in `tree`, which is read-only: what comes before that, and after.
    fn how_to_change_read_only(&self, _tree: &Tree) -> Option<[String; 2]> {
        None
    }
    /// How the reader can hold room back for the day on which the file system is full, where it has to be
    /// asked for and nobody did.
    fn how_to_hold_room_back(&self) -> Result<Option<String>> {
        Ok(None)
    }
    /// How the reader gives a swap file a place of which no snapshot is made, to follow "delete it, and ".
    fn how_to_place_swap(&self) -> String {
        PLACE_FOR_SWAP.to_string()
    }
    /// Takes the lock that every change needs; an error if another process holds it.
    fn lock(&self) -> Result<LockedBackend<'_>>;
}
