//! What each file system can do for Blankroot: survey its trees, show them, copy and swap them.
//!
//! This crate is mechanism: it knows file systems and nothing of keep lists, verdicts or boots.
//! Reading ([`Backend`]) and changing ([`LockedBackend`]) are two types, so that who holds the
//! first cannot change a disk.
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
//! | [`survey`](mod@survey), [`record`](mod@record), [`kinship`], [`old_roots`], [`hold`] | what is there, and what is half done |
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
pub mod old_roots;
pub mod record;
pub mod survey;
pub mod sys;
pub mod tmpfs;
#[cfg(feature = "zfs")]
pub mod zfs;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::{Changes, Error, Result, TreeName, TreePath};

pub use hold::{Held, Hold};
pub use kinship::Kinship;
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
    fn lock(&self) -> Result<Box<dyn LockedBackend + '_>>;
}

/// Changing: each call is one step of a plan, and deciding is over when it is made.
pub trait LockedBackend {
    /// The survey that a plan must be made from: nothing else changes the disk's trees meanwhile. Where
    /// live is mounted is not looked for: no plan but a rollback's has to know.
    fn survey(&self) -> Result<Survey>;
    /// The same for a plan of a rollback, which has to know where live is mounted, and of the youngest
    /// old roots only: how many there are then costs nothing.
    fn survey_for_rollback(&self) -> Result<Survey>;
    /// A directory handle on a tree, for reading; who holds the lock needs no `Backend` beside it.
    fn view(&self, tree: &Tree) -> Result<View>;
    /// The same as [`Backend::nested_that_hold`].
    fn nested_that_hold(&self, _tree: &Tree) -> Result<Vec<TreePath>> {
        Ok(Vec::new())
    }
    /// The same as [`Backend::look_for_snapshots`].
    fn look_for_snapshots(&self, _old_roots: &mut [OldRoot]) -> Result<()> {
        Ok(())
    }
    /// Makes the directory for old roots, where only root may look; nothing if it is there.
    fn make_old_dir(&mut self) -> Result<()>;
    /// Writes the hold, in place of an older one. Durable when it returns.
    fn hold(&mut self, hold: &Hold) -> Result<()>;
    /// Removes the hold.
    fn release(&mut self) -> Result<()>;
    /// Writes down that `blank` is what `live` is to be restored to, although neither was made of the
    /// other. Durable when it returns.
    fn adopt(&mut self, live: &Tree, blank: &Tree) -> Result<()>;
    /// Makes the blank snapshot under the layout's name, and the directory for old roots. Where that
    /// does not tell that live belongs to it, this is written down as [`adopt`](Self::adopt) does.
    ///
    /// Errors if something has the name already.
    fn capture(&mut self, origin: Origin) -> Result<Tree>;
    /// Writes `record` and makes a fresh copy of `blank` under the record's name in the directory
    /// of old roots. Slow is fine. Durable when it returns.
    ///
    /// The name then holds the fresh copy; [`swap`](Self::swap) makes it hold the old root. Which
    /// of the two it is can always be told by comparing its identity with the record.
    fn prepare(&mut self, blank: &Tree, record: &Record) -> Result<Tree>;
    /// Completes the prepared copy under `aside`, as far as it has stubs of nested trees, then exchanges
    /// live and it in one call. Durable when it returns.
    fn swap(&mut self, live: &Tree, aside: &TreeName) -> Result<()>;
    /// Looks for the stubs of nested trees in `blank`, and writes down which it has, so that a rollback
    /// does not have to. May take as long as reading all names of blank does.
    fn list_stubs(&mut self, _blank: &Tree) -> Result<()> {
        Ok(())
    }
    /// Makes live what blank is, in place: of what was written since, nothing is left. All of it or
    /// nothing, and nothing where something else would go with it. Durable when it returns.
    fn revert(&mut self, live: &Tree, _blank: &Tree) -> Result<()> {
        let why = "this file system cannot put a tree back in place";
        Err(Error::new(format!("put {} back to blank", live.name), why)
            .hint("write `strategy = \"set-aside\"` under [rollback]"))
    }
    /// Makes the tree that has live's name now the one that mounts without a tree's name lead to.
    /// Durable when it returns.
    fn make_live_default(&mut self) -> Result<()>;
    /// Deletes an old root: by identity, re-checked now, never at boot.
    fn discard(&mut self, old_root: &OldRoot) -> Result<()>;
    /// Deletes what an interrupted run left: a record alone, a fresh copy in which nobody has
    /// written, or the rest of a tree whose deletion was begun; by identity, re-checked now, never
    /// at boot. Everything else is refused.
    fn discard_unfinished(&mut self, left: &Unfinished) -> Result<()>;
}
