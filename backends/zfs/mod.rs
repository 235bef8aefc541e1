//! ZFS: trees are datasets, a copy is a clone, and blank stays with live by promotion.
//!
//! Most is asked of the programs `zfs` and `zpool`, in one room (`commands`), and read by pure functions
//! (`output`); the rest of the kernel. So nothing is linked against ZFS, and a build with it runs without it.

pub mod change_datasets;
pub mod changed_dnodes;
pub mod commands;
pub mod dataset_mounts;
pub mod dataset_name;
pub mod datasets_found;
pub mod delegations;
pub mod interrupted_exchange;
pub mod locked_pool;
pub mod obstacles;
pub mod output;
pub mod properties;
pub mod snapshots;
pub mod survey_datasets;
#[cfg(test)]
mod tests;

use std::os::fd::{BorrowedFd, OwnedFd};

use dirfd::mount_tables::Patience;
use dirfd::{Error, Result};

use crate::old_roots::Reach;
use crate::survey::Mounts;
use crate::zfs::dataset_mounts::Access;
use crate::zfs::dataset_name::{Names, ZfsName};
use crate::{
    Abilities, Backend, FastChanges, Layout, LockedBackend, OldRoot, Slot, Survey, Tree, TreeId,
    View,
};

/// Datasets of a pool with the layout of a root.
#[derive(Debug)]
pub struct Zfs {
    names: Names,
    layout: Layout,
    /// How long mounts of its datasets may be looked for.
    patience: Patience,
}

impl Zfs {
    /// The datasets below `dataset`; what is wrong with a name is told here, and nothing is opened.
    pub fn open(dataset: &str, layout: Layout) -> Result<Self> {
        let names = Names::of(dataset, &layout)?;
        Ok(Self { names, layout, patience: Patience::default() })
    }

    fn name(&self, tree: &Tree) -> Result<ZfsName> {
        ZfsName::of(&self.names.top, &tree.name)
            .map_err(|why| Error::new(format!("open {}", tree.name), format!("its name {why}")))
    }
}

/// The error of who was about to use a tree under a name that leads to another one by now.
fn another_tree(name: &ZfsName) -> Error {
    Error::new(format!("open {name}"), "another tree has its name by now")
        .hint("run the command again")
}

impl Backend for Zfs {
    fn survey(&self) -> Result<Survey> {
        let pool = commands::pool(self.names.top.pool())?;
        survey_datasets::survey_datasets(self, &pool, Reach::All, Mounts::OfLive(&self.patience))
    }

    fn survey_without_mounts(&self) -> Result<Survey> {
        let pool = commands::pool(self.names.top.pool())?;
        survey_datasets::survey_datasets(self, &pool, Reach::All, Mounts::NotLookedFor)
    }

    fn live_and_blank(&self) -> Result<(Slot, Slot)> {
        // One list, and nothing of what is beside them.
        let rows = commands::look(&[&self.names.live, &self.names.blank], &self.names.blank)?;
        let slot = |name: &ZfsName, tree| {
            let row = rows.iter().find(|row| row.name == name.as_str());
            row.map_or(Slot::Missing, |row| datasets_found::as_tree(row, tree, None, None))
        };
        let live = slot(&self.names.live, &self.layout.live);
        Ok((live, slot(&self.names.blank, &self.layout.blank)))
    }

    fn file_system(&self) -> Result<String> {
        Ok(commands::pool(self.names.top.pool())?.guid.to_string())
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        let name = self.name(tree)?;
        let root = dataset_mounts::open(&name, Access::Read)?;
        // Looked at when it is open: the name may have moved on just before.
        match datasets_found::identity_of(&name)? == Some(tree.id.clone()) {
            true => Ok(View::new(root)),
            false => Err(another_tree(&name)),
        }
    }

    fn changes(&self, from: &Tree, to: &Tree) -> Result<FastChanges> {
        changed_dnodes::changes(self, from, to)
    }

    fn own_bytes(&self, tree: &Tree) -> Result<Option<u64>> {
        let found = commands::look(&[&self.name(tree)?], &self.names.blank)?;
        Ok(found.first().and_then(|row| row.written))
    }

    fn look_for_snapshots(&self, old_roots: &mut [OldRoot]) -> Result<()> {
        survey_datasets::look_for_snapshots(self, old_roots)
    }

    fn old_dir(&self) -> Result<Option<OwnedFd>> {
        match commands::is_there(&self.names.old)? {
            true => dataset_mounts::open(&self.names.old, Access::Read).map(Some),
            false => Ok(None),
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities { needs_rollback: true, constant_time: true, fast_changes: true }
    }

    fn identify(&self, dir: BorrowedFd<'_>) -> Result<Option<TreeId>> {
        let Some(name) = dataset_mounts::dataset_of(dir)? else { return Ok(None) };
        datasets_found::identity_of(&name)
    }

    fn how_to_hold_room_back(&self) -> Result<Option<String>> {
        let pool = self.names.top.pool();
        if commands::has_limit(&self.names.live)? || commands::has_reserve(pool)? {
            return Ok(None);
        }
        let make = "zfs create -o canmount=off -o refreservation=256M";
        let release = "zfs set refreservation=none";
        Ok(Some(format!(
            "run `{make} '{pool}/reserve'`; `{release} '{pool}/reserve'` gives it back"
        )))
    }

    fn lock(&self) -> Result<LockedBackend<'_>> {
        Ok(LockedBackend::new(locked_pool::Locked::new(self)?))
    }
}
