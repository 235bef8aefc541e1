//! Reads the directory of old roots: records say what should be there, identities what is.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use dirfd::{Error, Result, TreeName, atomic_file};

use crate::record::{self, Listing};
use crate::{
    Held, Layout, LiveMount, OldRoot, Record, Slot, Survey, Tree, Unfinished, hold, kinship,
};

/// What was found.
#[derive(Debug)]
pub struct OldRoots {
    /// In the order of their names.
    pub roots: Vec<OldRoot>,
    /// Everything else.
    pub unfinished: Vec<Unfinished>,
    /// Lives of other systems of which records tell, as far as somebody looked for them.
    pub other_lives: Vec<TreeName>,
    /// The hold, if there is one.
    pub hold: Option<Held>,
    /// What is written down of live and blank.
    pub adoption: kinship::Found,
}

impl Default for OldRoots {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            unfinished: Vec::new(),
            other_lives: Vec::new(),
            hold: None,
            adoption: Ok(None),
        }
    }
}

/// How many old roots to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// From the youngest record back to the first one that has its old root beside it.
    ///
    /// What a rollback can go on with is younger: live came to its place when that old root left it,
    /// and a record names the live of its time. Older records cannot name the live of today, unless
    /// somebody put an old root back by hand; then a copy that they left is not used again.
    Youngest,
}

impl OldRoots {
    /// Reads the open directory `dir`, which has the layout's name for it.
    ///
    /// `look` tells what a name in it holds, and `may_be_copy` whether a tree may be the copy that
    /// was made for a record.
    pub fn read(
        dir: BorrowedFd<'_>,
        layout: &Layout,
        reach: Reach,
        look: impl FnMut(&TreeName) -> Result<Slot>,
        may_be_copy: impl Fn(&Tree, &Record) -> bool,
    ) -> Result<Self> {
        Self::judge_all(dir, Listing::of(dir)?, layout, reach, look, may_be_copy)
    }

    /// The same for a listing that was made before: not every tree is an entry of the directory.
    pub fn judge_all(
        dir: BorrowedFd<'_>,
        listing: Listing,
        layout: &Layout,
        reach: Reach,
        mut look: impl FnMut(&TreeName) -> Result<Slot>,
        may_be_copy: impl Fn(&Tree, &Record) -> bool,
    ) -> Result<Self> {
        let old = &layout.old;
        let hold = if listing.has_hold { hold::read(dir, &layout.live) } else { None };
        let adoption = if listing.has_adoption { kinship::read(dir) } else { Ok(None) };
        let mut found = Self { hold, adoption, ..Self::default() };
        let mut unreadable = Vec::new();
        for file in listing.records.iter().rev() {
            match record::read_one(dir, file) {
                Ok(record) => {
                    let name = name_in_old(old, OsStr::new(&record.name))?;
                    let slot = look(&name)?;
                    found.judge(name, slot, record, &may_be_copy);
                }
                Err(why) => {
                    let name = name_in_old(old, file)?;
                    unreadable.push(Unfinished::UnreadableRecord { name, why });
                }
            }
            if reach == Reach::Youngest && !found.roots.is_empty() {
                break;
            }
        }
        // Oldest first.
        found.roots.reverse();
        found.unfinished.reverse();
        found.unfinished.extend(unreadable.into_iter().rev());
        let claimed: HashSet<&OsStr> =
            listing.records.iter().filter_map(|file| record::stem(file)).collect();
        for entry in listing.entries.iter().filter(|entry| !claimed.contains(entry.as_os_str())) {
            found.unfinished.push(Unfinished::Foreign(name_in_old(old, entry)?));
        }
        for entry in &listing.leftovers {
            found.unfinished.push(Unfinished::Leftover(name_in_old(old, entry)?));
        }
        Ok(found)
    }

    /// Looks which lives of other systems are there, of those that records tell of. Where none has such a
    /// name, the live that had it has another one by now.
    pub fn look_for_other_lives(
        &mut self,
        own: &TreeName,
        mut is_there: impl FnMut(&TreeName) -> Result<bool>,
    ) -> Result<()> {
        let of_roots = self.roots.iter().map(|root| &root.record);
        let records = of_roots.chain(self.unfinished.iter().filter_map(Unfinished::record));
        let names: BTreeSet<TreeName> = records
            .filter_map(|record| TreeName::new(record.live_name.as_deref()?).ok())
            .filter(|name| name != own)
            .collect();
        for name in names {
            if is_there(&name)? {
                self.other_lives.push(name);
            }
        }
        Ok(())
    }

    /// A survey that has these, live with its mounts, and nothing else that is worth telling.
    pub(crate) fn into_survey(
        self,
        file_system: impl Into<String>,
        live: Slot,
        blank: Slot,
        (live_mounts, more_live_mounts): (Vec<LiveMount>, bool),
    ) -> Survey {
        Survey {
            old_roots: self.roots,
            unfinished: self.unfinished,
            other_lives: self.other_lives,
            hold: self.hold,
            live_mounts,
            more_live_mounts,
            ..Survey::new(file_system, live, blank)
        }
    }

    /// One comparison of identities tells whether the swap has happened.
    fn judge(
        &mut self,
        name: TreeName,
        slot: Slot,
        record: Record,
        may_be_copy: &impl Fn(&Tree, &Record) -> bool,
    ) {
        match slot {
            Slot::Missing => self.unfinished.push(Unfinished::RecordOnly(record)),
            Slot::Present(tree) if record.discarding.is_some() => {
                self.unfinished.push(match record.discarding.as_ref() == Some(&tree.id) {
                    true => Unfinished::HalfDeleted { tree, record },
                    false => Unfinished::Foreign(name),
                });
            }
            Slot::Present(tree) if tree.id == record.live => {
                self.roots.push(OldRoot::new(tree, record));
            }
            Slot::Present(tree) if may_be_copy(&tree, &record) => {
                self.unfinished.push(Unfinished::FreshCopy { tree, record });
            }
            Slot::Present(_) | Slot::NotATree(_) => {
                self.unfinished.push(Unfinished::Foreign(name));
            }
        }
    }
}

/// What interrupted captures left beside the name of blank; `dir` is the open directory of it.
pub fn leftovers_of_capture(dir: BorrowedFd<'_>, blank: &TreeName) -> Result<Vec<Unfinished>> {
    let names = dirfd::directory_walker::list_names(dir)
        .map_err(|e| Error::io(format!("list what is beside {blank}"), e))?;
    let mut found = Vec::new();
    for name in names {
        let name = OsStr::from_bytes(name.to_bytes());
        if atomic_file::is_of(name, blank.file_name()) {
            let name = blank.sibling(name);
            found.extend(name.map(Unfinished::Leftover));
        }
    }
    Ok(found)
}

/// A name in the directory of old roots.
pub fn name_in_old(old: &TreeName, name: &OsStr) -> Result<TreeName> {
    old.child(name).map_err(|why| {
        let name = dirfd::path::Escaped(name.as_encoded_bytes());
        Error::new(format!("use `{name}` as a name in {old}"), format!("it {why}"))
    })
}
