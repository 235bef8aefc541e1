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
use crate::persist::list::KeepEntry;
use crate::persist::real_path::LinkOnTheWay;

/// Everything that was found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Days since 1970-01-01.
    pub(crate) today: i64,
    /// The configuration's file, for people.
    pub(crate) file: String,
    /// The tree is a NixOS, which makes its accounts anew at every boot.
    pub(crate) nixos: bool,
    /// `/var/lib/nixos` is there after the next boot; `None` where that is not known.
    pub(crate) nixos_ids_survive: Option<bool>,
    /// Who can log in now; `None` where that could not be read.
    pub(crate) now: Option<People>,
    /// Who can log in after the next boot; `None` where that could not be read.
    pub(crate) after: Option<People>,
    /// What the next boot mounts as the root, and what is wrong with it.
    pub(crate) root: RootFacts,
    /// Kept paths that fstab mounts itself, at them or above them.
    pub(crate) by_fstab: BTreeMap<TreePath, FstabMount>,
    /// The keep list, with what is there for each entry.
    pub(crate) entries: Vec<EntryFacts>,
    /// The storages.
    pub(crate) storages: Vec<StorageFacts>,
    /// What is mounted from memory as the root or where homes are.
    pub(crate) memory: Vec<MemoryMount>,
    /// Bytes of memory of the machine.
    pub(crate) ram: Option<u64>,
    /// Blank, where there is one and it could be read.
    pub(crate) blank: Option<BlankFacts>,
    /// The subvolumes in live.
    pub(crate) nested: Vec<TreePath>,
    /// Those among them, and inside them, that hold something.
    pub(crate) nested_that_hold: Vec<TreePath>,
    /// What blank has in the places of such; `None` where nobody has looked.
    pub(crate) stubs: Option<Stubs>,
    /// What keeps live from being exchanged for a fresh copy.
    pub(crate) immovable: Vec<Obstacle>,
    /// Old roots that the rules let go, and that stay for the snapshots that somebody made of them.
    pub(crate) old_roots_with_snapshots: Vec<TreeName>,
    /// What the next boot finds as the configuration.
    pub(crate) own_config: Option<OwnConfig>,
    /// The kernels, and who has modules for them.
    pub(crate) kernels: Kernels,
    /// The swap files that lie in the root.
    pub(crate) swap_files: Vec<SwapFile>,
    /// How one is given another place.
    pub(crate) place_for_swap: String,
    /// How room is held back for the day on which the file system is full, where nobody did.
    pub(crate) how_to_hold_room_back: Option<String>,
    /// Blank was made in this boot, and the next one is the first that is rolled back.
    pub(crate) before_first_rollback: bool,
    /// What could not be found out.
    pub(crate) unchecked: Vec<Unchecked>,
}

impl Facts {
    /// A place in the configuration: `/etc/blankroot.toml:14`.
    pub(crate) fn at(&self, place: Position) -> String {
        format!("{}:{}", self.file, place.line)
    }

    /// The names of users whose homes have entries, each with its home and the first such place.
    pub(crate) fn homes(&self) -> BTreeMap<&str, (&TreePath, Position)> {
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
pub(crate) struct RootFacts {
    /// Who names it by a number.
    pub(crate) numbers: Vec<(String, String)>,
    /// What is mounted in live's stead.
    pub(crate) other: Option<(String, String)>,
    /// Blank is no relative of live.
    pub(crate) unrelated: Option<(String, String)>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unchecked {
    /// What it would have told, to follow "could not check ".
    pub(crate) what: String,
    /// Why not, in one line.
    pub(crate) why: String,
}

/// The accounts of a tree, and how they get in.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    /// Users and groups; `None` if the tree has no etc/passwd at all.
    pub(crate) accounts: Option<Accounts>,
    /// Their passwords.
    pub(crate) shadow: Shadow,
    /// An SSH server is set up.
    pub(crate) ssh: bool,
    /// There is an etc/nologin, which keeps out everybody but root (nologin(5)).
    pub(crate) nologin: bool,
    /// For each user who has one, a file with keys that an SSH server lets in.
    pub(crate) keys: BTreeMap<String, TreePath>,
    /// Other sources of accounts, in words: "systemd-homed".
    pub(crate) elsewhere: BTreeSet<String>,
    /// Where passwd and shadow come from, in words.
    pub(crate) origin: String,
}

/// An entry of the keep list.
#[derive(Clone, Debug)]
pub(crate) struct EntryFacts {
    /// The entry.
    pub(crate) entry: KeepEntry,
    /// Its data in storage.
    pub(crate) data: Data,
    /// It is noted on the data that its program replaces it.
    pub(crate) noted_as_replaced: bool,
    /// Blank has something at its path, which the next boot brings into an empty storage.
    pub(crate) in_blank: bool,
    /// What is at its path; `None` where live is not what is mounted.
    pub(crate) target: Option<Target>,
}

/// What a storage has for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing.
    Absent,
    /// What lacks its name, since an exchange was cut short.
    Unnamed,
    /// This.
    Present(Node),
    /// It could not be looked at, which is told elsewhere.
    Unknown,
}

/// A file as its inode tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its type.
    pub(crate) file_type: FileType,
    /// Its permissions, with setuid, setgid and sticky.
    pub(crate) mode: u16,
    /// Its owner.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
}

/// What is where a kept path should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
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
    BehindLink(LinkOnTheWay),
    /// It could not be looked at, which is told elsewhere.
    Unknown,
}

/// A storage.
#[derive(Clone, Debug)]
pub(crate) struct StorageFacts {
    /// Where it is.
    pub(crate) path: TreePath,
    /// Where it was declared.
    pub(crate) place: Position,
    /// What it is on.
    pub(crate) lies: Lies,
    /// Its directory; `None` if it is not there.
    pub(crate) root: Option<Node>,
    /// What shows it is mounted, and nothing mounts that at the next boot.
    pub(crate) by_hand: Option<ByHand>,
    /// What is in it.
    pub(crate) content: Content,
}

/// A mount that the next boot does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByHand {
    /// Where it is mounted.
    pub(crate) point: TreePath,
    /// The line of fstab that would, where one can be told.
    pub(crate) line: Option<String>,
    /// Where what would mount it is missing.
    pub(crate) missing: Missing,
}

/// Where neither an fstab nor a unit mounts a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// In blank alone.
    InBlank,
    /// In live, and blank has none of its own.
    InLive,
    /// In both.
    Everywhere,
}

/// Where a storage lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
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
pub(crate) struct Content {
    /// Names that were looked at.
    pub(crate) seen: usize,
    /// There are more.
    pub(crate) cut: bool,
    /// Owners, each with the number of its files and one of them.
    pub(crate) users: BTreeMap<u32, (usize, TreePath)>,
    /// Groups, likewise.
    pub(crate) groups: BTreeMap<u32, (usize, TreePath)>,
    /// Secrets that everybody can read, and what they are.
    pub(crate) open_secrets: Vec<(TreePath, String)>,
    /// Files with more extended attributes than the kernel lists.
    pub(crate) unlisted: Vec<TreePath>,
}

/// A tmpfs that is the root, or where homes are.
#[derive(Clone, Debug)]
pub(crate) struct MemoryMount {
    /// Where it is mounted, seen from the root.
    pub(crate) path: TreePath,
    /// Its limit in bytes, if one was set.
    pub(crate) limit: Option<u64>,
    /// The mode of its root directory.
    pub(crate) mode: u16,
}

/// Blank.
#[derive(Clone, Debug)]
pub(crate) struct BlankFacts {
    /// What comes before and after a change to it, which is read-only, where that takes commands.
    pub(crate) to_change_it: Option<[String; 2]>,
    /// Its root directory.
    pub(crate) root: Node,
    /// Private keys and the like in it.
    pub(crate) secrets: Vec<Secret>,
    /// Its machine-id names a machine.
    pub(crate) machine_id: bool,
    /// Its random seed, if it has one.
    pub(crate) random_seed: Option<TreePath>,
    /// Its newest initrd, if that is older than its configuration.
    pub(crate) older_initrd: Option<TreePath>,
}

/// A secret in blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    /// Where it is.
    pub(crate) path: TreePath,
    /// What it is, in words.
    pub(crate) what: String,
    /// Its path is kept, so that the copy in blank is not used.
    pub(crate) kept: bool,
}

/// What the next boot finds at /etc/blankroot.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnConfig {
    /// What is in force now.
    Same,
    /// Another text.
    Other,
    /// Nothing.
    Nothing,
}

impl Unchecked {
    /// Because of this error, in one line with its hint.
    pub(crate) fn new(what: impl Into<String>, why: &impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string().replace("\n  ", "; ").replace('\n', "; ") }
    }
}
