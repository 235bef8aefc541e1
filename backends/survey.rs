//! What a backend finds on its file system, as plain data for planners and for `status`.

use std::fmt;
use std::os::fd::AsFd;

use chrono::{DateTime, Utc};
use dirfd::mount_tables::Patience;
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreeName, TreePath, inode_flags};
use rustix::fs::IFlags;
use serde::{Deserialize, Serialize};

use crate::{Held, Kinship, Record};

/// The identity of a tree, which no rename changes: a subvolume's UUID, a directory's inode and
/// time of birth. Never a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TreeId(String);

impl TreeId {
    /// Wraps a backend's own notation of identity.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The backend's own notation.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One tree that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its identity.
    pub id: TreeId,
    /// Where it was found.
    pub name: TreeName,
    /// Nothing can be written in it.
    pub read_only: bool,
    /// When it was made, by the file system's own account.
    pub created: Option<DateTime<Utc>>,
    /// It is a copy of this tree.
    pub copy_of: Option<TreeId>,
    /// It is a copy of blank, and neither was written to since it was made; `None` for blank itself
    /// and where the backend cannot tell.
    pub pristine: Option<bool>,
}

/// What a declared name holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Nothing has this name.
    Missing,
    /// Something has it that is no tree; the text says what.
    NotATree(String),
    /// A tree.
    Present(Tree),
}

impl Slot {
    /// The tree, if there is one.
    pub fn tree(&self) -> Option<&Tree> {
        match self {
            Self::Present(tree) => Some(tree),
            Self::Missing | Self::NotATree(_) => None,
        }
    }
}

/// A former live tree with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRoot {
    /// The tree itself; its identity equals the record's.
    pub tree: Tree,
    /// What was written about it before it was set aside.
    pub record: Record,
    /// Bytes of data that it does not share with blank, where the backend can tell.
    pub own_bytes: Option<u64>,
    /// The nested trees in it that hold something, where somebody asked.
    pub nested: Vec<TreePath>,
    /// Snapshots and bookmarks of it that somebody made, by the names that they have in it, where somebody
    /// asked.
    pub snapshots: Vec<String>,
}

impl OldRoot {
    /// One of which no more is known.
    pub fn new(tree: Tree, record: Record) -> Self {
        Self { tree, record, own_bytes: None, nested: Vec::new(), snapshots: Vec::new() }
    }
}

/// What an interrupted rollback left; harmless, and either finished by the next one or expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A record whose fresh copy was never made.
    RecordOnly(Record),
    /// A fresh copy that never became live, and in which nothing was written as far as the backend
    /// can tell.
    FreshCopy {
        /// The copy, under its record's name.
        tree: Tree,
        /// Its record.
        record: Record,
    },
    /// What is left of an old root, or of a fresh copy, whose deletion was begun.
    HalfDeleted {
        /// The tree that the record's mark names.
        tree: Tree,
        /// Its record, marked.
        record: Record,
    },
    /// Swapped, but mounts without a tree's name still lead to this old root.
    DefaultLeftBehind(OldRoot),
    /// A tree that was live, between its two names: whoever takes its system's lock next goes on with it.
    HalfSetAside(TreeName),
    /// Something in the directory of old roots of which no record of ours tells: never touched.
    Foreign(TreeName),
    /// Under a temporary name, what a power cut kept from getting its own: never touched.
    Leftover(TreeName),
    /// A record that cannot be read; what it belongs to is never touched.
    UnreadableRecord {
        /// The record's own name.
        name: TreeName,
        /// What is wrong with it.
        why: String,
    },
}

/// In whose mount namespace a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBy {
    /// In our own.
    Us,
    /// In that of this process.
    Process(i32),
    /// Where no process can see it: in a namespace that only a file keeps alive, or outside the root
    /// directory of each process in its own.
    Nobody,
}

impl From<Option<i32>> for SeenBy {
    fn from(thread: Option<i32>) -> Self {
        thread.map_or(Self::Us, Self::Process)
    }
}

impl Unfinished {
    /// The record that tells of it.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::RecordOnly(record)
            | Self::FreshCopy { record, .. }
            | Self::HalfDeleted { record, .. } => Some(record),
            Self::DefaultLeftBehind(old_root) => Some(&old_root.record),
            Self::HalfSetAside(_)
            | Self::Foreign(_)
            | Self::Leftover(_)
            | Self::UnreadableRecord { .. } => None,
        }
    }

    /// Where it is, relative to the top of the file system; `None` for a record alone.
    pub fn name(&self) -> Option<&TreeName> {
        match self {
            Self::RecordOnly(_) => None,
            Self::FreshCopy { tree, .. } | Self::HalfDeleted { tree, .. } => Some(&tree.name),
            Self::DefaultLeftBehind(old_root) => Some(&old_root.tree.name),
            Self::HalfSetAside(name)
            | Self::Foreign(name)
            | Self::Leftover(name)
            | Self::UnreadableRecord { name, .. } => Some(name),
        }
    }
}

/// A mount through which live can be reached at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMount {
    /// Where, as the mount table of the process that sees it spells it.
    pub mount_point: Vec<u8>,
    /// Who sees it.
    pub seen_by: SeenBy,
    /// Whether it was proven to be this file system's, or only could not be ruled out.
    pub certain: bool,
}

impl fmt::Display for LiveMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.mount_point))?;
        match self.seen_by {
            SeenBy::Us => {}
            SeenBy::Process(pid) => write!(f, " (in the mount namespace of process {pid})")?,
            SeenBy::Nobody => f.write_str(" (where no process sees it)")?,
        }
        if !self.certain {
            write!(f, " (could not be told apart from live)")?;
        }
        Ok(())
    }
}

/// Maximum number of stubs that a rollback replaces: each is a tree to be made at every boot.
pub const STUBS_REPLACED: usize = 64;

/// What a snapshot, and so blank, has in the places of nested trees: directories in which nothing can
/// be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stubs {
    /// Those in whose place a fresh copy gets an empty tree, by path.
    pub replaced: Vec<TreePath>,
    /// How many there are in blank; those that are not replaced stay as they are.
    pub total: usize,
}

/// Room for what a rollback writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that metadata can still take.
    pub available: u64,
    /// Bytes that preparing a fresh copy may need at the most.
    pub needed: u64,
}

/// A reason not to roll back that only the backend can know, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong: "`old-roots` is a plain file".
    pub reason: String,
    /// What the reader can do about it, where that is known.
    pub hint: Option<String>,
}

/// Whether a survey looks where live is mounted, which takes time where others have many mounts.
#[derive(Clone, Copy, Debug)]
pub enum Mounts<'p> {
    /// It does, with this patience.
    OfLive(&'p Patience),
    /// It does not: only a rollback has to know.
    NotLookedFor,
}

impl Mounts<'_> {
    /// The mounts of `live` by `find`, if they are asked for, and whether there may be more.
    pub(crate) fn of<T>(
        self,
        live: Option<T>,
        find: impl FnOnce(T, &Patience) -> Result<(Vec<LiveMount>, bool)>,
    ) -> Result<(Vec<LiveMount>, bool)> {
        match (live, self) {
            (Some(live), Self::OfLive(patience)) => find(live, patience),
            (Some(_), Self::NotLookedFor) => Ok((Vec::new(), true)),
            (None, _) => Ok((Vec::new(), false)),
        }
    }
}

/// Everything that a planner may know about the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The identity of the file system.
    pub file_system: String,
    /// What the name of live holds.
    pub live: Slot,
    /// What the name of blank holds.
    pub blank: Slot,
    /// Whether the two belong together.
    pub kinship: Kinship,
    /// Whether each tree that is a copy says so in `copy_of`, for good.
    pub tells_copies: bool,
    /// Whether the directory of old roots is there.
    pub has_old_dir: bool,
    /// Old roots, oldest first by the file system's own order.
    pub old_roots: Vec<OldRoot>,
    /// What interrupted runs left, and what is not ours.
    pub unfinished: Vec<Unfinished>,
    /// Lives of other systems of which records tell, as far as these are there and were looked for.
    pub other_lives: Vec<TreeName>,
    /// The hold, if there is one.
    pub hold: Option<Held>,
    /// Where live is mounted now, in any mount namespace that has a process.
    pub live_mounts: Vec<LiveMount>,
    /// Whether there may be more such mounts: others have so many that not all could be looked at.
    pub more_live_mounts: bool,
    /// Trees of their own inside live, by path; they travel along with it. Every user can make any
    /// number of them, so that a survey for a rollback does not list them.
    pub nested: Vec<TreePath>,
    /// The stubs in blank; `None` where nobody has looked for them yet
    /// ([`LockedBackend::list_stubs`](crate::LockedBackend::list_stubs)).
    pub stubs: Option<Stubs>,
    /// Whether a mount that names no tree leads to live.
    pub live_is_default: bool,
    /// Room, where the backend can tell.
    pub space: Option<Space>,
    /// Reasons not to roll back that nothing above expresses.
    pub obstacles: Vec<Obstacle>,
    /// What keeps live from being exchanged for a fresh copy; old roots can be deleted all the same.
    pub immovable: Vec<Obstacle>,
}

impl Survey {
    /// A file system with these two and nothing else that is worth telling.
    pub fn new(file_system: impl Into<String>, live: Slot, blank: Slot) -> Self {
        Self {
            file_system: file_system.into(),
            live,
            blank,
            kinship: Kinship::Unknown,
            tells_copies: false,
            has_old_dir: false,
            old_roots: Vec::new(),
            unfinished: Vec::new(),
            other_lives: Vec::new(),
            hold: None,
            live_mounts: Vec::new(),
            more_live_mounts: false,
            nested: Vec::new(),
            stubs: Some(Stubs::default()),
            live_is_default: false,
            space: None,
            obstacles: Vec::new(),
            immovable: Vec::new(),
        }
    }

    /// What is unfinished but for what another system's next run goes on with.
    pub fn own_unfinished(&self) -> impl Iterator<Item = &Unfinished> {
        let is_of_other = |left: &Unfinished| left.record().is_some_and(|r| self.is_of_other(r));
        self.unfinished.iter().filter(move |left| !is_of_other(left))
    }

    /// Whether a record tells of another system, which has its old roots in the same directory.
    pub fn is_of_other(&self, record: &Record) -> bool {
        self.other_lives.iter().any(|name| record.live_name.as_deref() == Some(&name.to_string()))
    }
}

// The inode flags that forbid to rename a tree, or to rename within a directory (`chattr(1)`): with one
// of them the exchange of live and a fresh copy fails, at every boot.

/// What stands in the way if the directory `shown` has such a flag; `hint` says how to clear them.
///
/// Nothing is cleared by itself: whoever set the flag meant the directory to stay, and the flags of
/// blank are what its owner made them.
pub(crate) fn obstacle(
    dir: impl AsFd,
    shown: &str,
    hint: impl FnOnce() -> String,
) -> Result<Option<Obstacle>> {
    let flags = inode_flags::read_flags(dir);
    let flags = flags.map_err(|why| Error::io(format!("read the flags of {shown}"), why))?;
    let Some(flags) = flags else { return Ok(None) };
    let flag = if flags.contains(IFlags::IMMUTABLE) {
        "immutable (chattr +i)"
    } else if flags.contains(IFlags::APPEND) {
        "append-only (chattr +a)"
    } else {
        return Ok(None);
    };
    let reason = format!("{shown} is {flag}, so that live cannot be exchanged for a fresh copy");
    Ok(Some(Obstacle { reason, hint: Some(hint()) }))
}
