//! What is on a machine before a keep list is applied, as data: the state of every path that a plan
//! depends on.

use std::collections::{BTreeMap, BTreeSet};

use dirfd::TreePath;
use dirfd::stat::Stat;
use rustix::fs::StatVfsMountFlags;

use crate::boot::fstab::FstabMount;
use crate::persist::create::InodeAttributes;

/// One place.
#[derive(Clone, Debug)]
pub(crate) enum PathState {
    /// Nothing has this name.
    Absent,
    /// Something has.
    Present(FoundFile),
    /// It could not be told; the text completes "cannot …: ", with a hint where there is one.
    Unreadable(String, Option<String>),
}

/// What has a name.
#[derive(Clone, Debug)]
pub(crate) struct FoundFile {
    /// What the kernel tells of it.
    pub(crate) stat: Stat,
    /// What it says, if it is a link.
    pub(crate) target: Option<Vec<u8>>,
    /// The options of the mount whose root it is; `None` if it is no mount's root.
    pub(crate) mounted: Option<StatVfsMountFlags>,
    /// What would be hidden if something else took its place.
    pub(crate) content: HiddenContent,
}

/// What something has that lies where kept data is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HiddenContent {
    /// No byte and no name.
    Empty,
    /// What blank has at the same place: the next boot brings it back.
    AsInBlank,
    /// What storage has.
    AsInStorage,
    /// What nothing else has, as far as is known.
    Data,
}

/// Why a storage does not survive a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolatileStorage {
    /// It lies on live itself.
    OnLive,
    /// It is in memory.
    InMemory,
}

impl VolatileStorage {
    /// What is wrong with the storage, as one line.
    pub(crate) fn reason(self, storage: &TreePath) -> String {
        let what = match self {
            Self::OnLive => "lies on live itself, and would go with it",
            Self::InMemory => "lies in memory, and would be gone at the next boot",
        };
        format!("the storage {storage} {what}")
    }

    /// What to do about it.
    pub(crate) const HINT: &str =
        "put it on a subvolume or file system of its own, and mount that there";
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations {
    /// Every place.
    pub(crate) places: BTreeMap<TreePath, PathState>,
    /// Places in storage that nothing has since an exchange was cut short, and where that is which is to
    /// have them.
    pub(crate) unnamed: BTreeMap<TreePath, TreePath>,
    /// The storages that lie on live itself, and would be wiped with it.
    pub(crate) wiped: BTreeSet<TreePath>,
    /// The paths that were linked in this boot although nothing says so.
    pub(crate) linked: BTreeSet<TreePath>,
    /// Files in storage of which it is noted that their programs replace them.
    pub(crate) replaced: BTreeSet<TreePath>,
    /// What is to be like something else, of all that is missing.
    pub(crate) models: BTreeMap<TreePath, InodeModel>,
    /// Kept paths that fstab mounts itself, at them or above them.
    pub(crate) by_fstab: BTreeMap<TreePath, FstabMount>,
}

impl Observations {
    /// What was seen at a place; a place that was not looked at counts as unreadable.
    pub(crate) fn state_of(&self, path: &TreePath) -> &PathState {
        static NOT_LOOKED_AT: PathState = PathState::Unreadable(String::new(), None);
        self.places.get(path).unwrap_or(&NOT_LOOKED_AT)
    }

    /// Where that is which has a place in storage, or is to have it.
    pub(crate) fn data_of(&self, source: &TreePath) -> TreePath {
        let unnamed = self
            .unnamed
            .iter()
            .find_map(|(place, unnamed)| source.below(place).map(|rest| unnamed.join_path(&rest)));
        unnamed.unwrap_or_else(|| source.clone())
    }

    /// What has a name.
    pub(crate) fn file_at(&self, path: &TreePath) -> Option<&FoundFile> {
        match self.state_of(path) {
            PathState::Present(found) => Some(found),
            PathState::Absent | PathState::Unreadable(..) => None,
        }
    }
}

/// What one is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InodeModel {
    /// Its user's number.
    pub(crate) uid: u32,
    /// Its group's number.
    pub(crate) gid: u32,
    /// Permission bits, as in stat(2).
    pub(crate) mode: u16,
    /// Its access control lists, flags and their kind; never the flags that keep everybody from
    /// writing (`+i`, `+a`), which protect the bare place of a mount, not the data mounted there.
    pub(crate) attributes: InodeAttributes,
}
