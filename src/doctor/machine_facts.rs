//! What the checks may know: the machine as it is, and as the next boot will make it. Plain data.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use backends::{Obstacle, Stubs};
use dirfd::{FileType, TreeName, TreePath};

use crate::boot::fstab::FstabMount;
use crate::boot::kernels::Kernels;
use crate::boot::swap_files::SwapFile;
use crate::config::reader::Position;
use crate::doctor::shadow::Shadow;
use crate::persist::accounts::Accounts;
use crate::persist::known_state::KnownPath;
use crate::persist::list::KeepEntry;

/// Everything that was found out.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Days since 1970-01-01.
    pub today: i64,
    /// The configuration's file, for people.
    pub file: String,
    /// The tree is a NixOS, which makes its accounts anew at every boot.
    pub nixos: bool,
    /// `/var/lib/nixos` is there after the next boot; `None` where that is not known.
    pub nixos_ids_survive: Option<bool>,
    /// Who can log in now; `None` where that could not be read.
    pub now: Option<People>,
    /// Who can log in after the next boot; `None` where that could not be read.
    pub after: Option<People>,
    /// What the next boot mounts as the root, and what is wrong with it.
    pub root: RootFacts,
    /// Kept paths that fstab mounts itself, at them or above them.
    pub by_fstab: BTreeMap<TreePath, FstabMount>,
    /// The keep list, with what is there for each entry.
    pub entries: Vec<EntryFacts>,
    /// The storages.
    pub storages: Vec<StorageFacts>,
    /// What is mounted from memory as the root or where homes are.
    pub memory: Vec<MemoryMount>,
    /// Bytes of memory of the machine.
    pub ram: Option<u64>,
    /// Blank, where there is one and it could be read.
    pub blank: Option<BlankFacts>,
    /// The subvolumes in live.
    pub nested: Vec<TreePath>,
    /// Those among them, and inside them, that hold something.
    pub nested_that_hold: Vec<TreePath>,
    /// What blank has in the places of such; `None` where nobody has looked.
    pub stubs: Option<Stubs>,
    /// What keeps live from being exchanged for a fresh copy.
    pub immovable: Vec<Obstacle>,
    /// Old roots that the rules let go, and that stay for the snapshots that somebody made of them.
    pub old_roots_with_snapshots: Vec<TreeName>,
    /// What the next boot finds as the configuration.
    pub own_config: Option<OwnConfig>,
    /// The kernels, and who has modules for them.
    pub kernels: Kernels,
    /// The swap files that lie in the root.
    pub swap_files: Vec<SwapFile>,
    /// How one is given another place.
    pub place_for_swap: String,
    /// How room is held back for the day on which the file system is full, where nobody did.
    pub how_to_hold_room_back: Option<String>,
    /// Blank was made in this boot, and the next one is the first that is rolled back.
    pub before_first_rollback: bool,
    /// What could not be found out.
    pub unchecked: Vec<Unchecked>,
}

impl Facts {
    /// A place in the configuration: `/etc/blankroot.toml:14`.
    pub fn at(&self, place: Position) -> String {
        format!("{}:{}", self.file, place.line)
    }

    /// The names of users whose homes have entries, each with its home and the first such place.
    pub fn homes(&self) -> BTreeMap<&str, (&TreePath, Position)> {
        let mut homes = BTreeMap::new();
        for EntryFacts { entry, .. } in &self.entries {
            if let Some(home) = &entry.home {
                homes.entry(home.user.as_str()).or_insert((&home.path, entry.place));
            }
        }
        homes
    }
}

/// What is wrong with the root of the next boot; each with its hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootFacts {
    /// Who names it by a number.
    pub numbers: Vec<(String, String)>,
    /// What is mounted in live's stead.
    pub other: Option<(String, String)>,
    /// Blank is no relative of live.
    pub unrelated: Option<(String, String)>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// What it would have told, to follow "could not check ".
    pub what: String,
    /// Why not, in one line.
    pub why: String,
}

/// The accounts of a tree, and how they get in.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Users and groups; `None` if the tree has no etc/passwd at all.
    pub accounts: Option<Accounts>,
    /// Their passwords.
    pub shadow: Shadow,
    /// An SSH server is set up.
    pub ssh: bool,
    /// There is an etc/nologin, which keeps out everybody but root (nologin(5)).
    pub nologin: bool,
    /// For each user who has one, a file with keys that an SSH server lets in.
    pub keys: BTreeMap<String, TreePath>,
    /// Other sources of accounts, in words: "systemd-homed".
    pub elsewhere: BTreeSet<String>,
    /// Where passwd and shadow come from, in words.
    pub origin: String,
}

/// An entry of the keep list.
#[derive(Clone, Debug)]
pub struct EntryFacts {
    /// The entry.
    pub entry: KeepEntry,
    /// What is known of its path.
    pub known: Option<&'static KnownPath>,
    /// Its data in storage.
    pub data: Data,
    /// It is noted on the data that its program replaces it.
    pub noted_as_replaced: bool,
    /// Blank has something at its path, which the next boot brings into an empty storage.
    pub in_blank: bool,
    /// What is at its path; `None` where live is not what is mounted.
    pub target: Option<Target>,
}

/// What a storage has for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Absent,
    /// This.
    Present(Node),
    /// It could not be looked at, which is told elsewhere.
    Unknown,
}

/// A file as its inode tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub file_type: FileType,
    /// Its permissions, with setuid, setgid and sticky.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What is where a kept path should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing.
    Absent,
    /// The data in storage, mounted.
    RightMount,
    /// A link to the data in storage.
    RightLink,
    /// A link to somewhere else.
    OtherLink(Vec<u8>),
    /// Something else is mounted.
    OtherMount,
    /// A plain directory.
    Dir {
        /// Nothing is in it.
        empty: bool,
    },
    /// A plain file.
    File {
        /// It has no content.
        empty: bool,
    },
    /// Neither file, directory nor link.
    Odd(FileType),
    /// The way there passes a link.
    BehindLink {
        /// The link.
        link: TreePath,
        /// Where it leads.
        to: Vec<u8>,
    },
    /// It could not be looked at, which is told elsewhere.
    Unknown,
}

/// A storage.
#[derive(Clone, Debug)]
pub struct StorageFacts {
    /// Where it is.
    pub path: TreePath,
    /// Where it was declared.
    pub place: Position,
    /// What it is on.
    pub lies: Lies,
    /// Its directory; `None` if it is not there.
    pub root: Option<Node>,
    /// What shows it is mounted, and nothing mounts that at the next boot.
    pub by_hand: Option<ByHand>,
    /// What is in it.
    pub content: Content,
}

/// A mount that the next boot does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Where it is mounted.
    pub point: TreePath,
    /// The line of fstab that would, where one can be told.
    pub line: Option<String>,
    /// Where what would mount it is missing.
    pub missing: Missing,
}

/// Where neither an fstab nor a unit mounts a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// In blank alone.
    InBlank,
    /// In live, and blank has none of its own.
    InLive,
    /// In both.
    Everywhere,
}

/// Where a storage lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// Nowhere: there is no such directory.
    Missing,
    /// Nowhere, but what it would be made on survives.
    NotMade,
    /// In live, or in a subvolume that travels with it.
    InLive,
    /// In memory.
    InMemory,
    /// On something that no rollback touches.
    Safe,
    /// It could not be told, which is told elsewhere.
    Unknown,
}

/// What a look through a storage found.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Names that were looked at.
    pub seen: usize,
    /// There are more.
    pub cut: bool,
    /// Owners, each with the number of its files and one of them.
    pub users: BTreeMap<u32, (usize, TreePath)>,
    /// Groups, likewise.
    pub groups: BTreeMap<u32, (usize, TreePath)>,
    /// Secrets that everybody can read, and what they are.
    pub open_secrets: Vec<(TreePath, String)>,
    /// Files with more extended attributes than the kernel lists.
    pub unlisted: Vec<TreePath>,
}

/// A tmpfs that is the root, or where homes are.
#[derive(Clone, Debug)]
pub struct MemoryMount {
    /// Where it is mounted, seen from the root.
    pub path: TreePath,
    /// Its limit in bytes, if one was set.
    pub limit: Option<u64>,
    /// The mode of its root directory.
    pub mode: u16,
}

/// Blank.
#[derive(Clone, Debug)]
pub struct BlankFacts {
    /// What comes before and after a change to it, which is read-only, where that takes commands.
    pub to_change_it: Option<[String; 2]>,
    /// Its root directory.
    pub root: Node,
    /// Private keys and the like in it.
    pub secrets: Vec<Secret>,
    /// Its machine-id names a machine.
    pub machine_id: bool,
    /// Its random seed, if it has one.
    pub random_seed: Option<TreePath>,
    /// Its newest initrd, if that is older than its configuration.
    pub older_initrd: Option<TreePath>,
}

/// A secret in blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Where it is.
    pub path: TreePath,
    /// What it is, in words.
    pub what: String,
    /// Its path is kept, so that the copy in blank is not used.
    pub kept: bool,
}

/// What the next boot finds at /etc/blankroot.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnConfig {
    /// What is in force now.
    Same,
    /// Another text.
    Other,
    /// Nothing.
    Nothing,
}

impl Unchecked {
    /// Because of this error, in one line with its hint.
    pub fn new(what: impl Into<String>, why: &impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string().replace("\n  ", "; ").replace('\n', "; ") }
    }
}
