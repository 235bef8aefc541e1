//! The changes that ZFS makes: snapshot, clone, the exchange of two names, and what precedes a deletion.

use std::os::fd::OwnedFd;

use dirfd::fault::change;
use dirfd::{Error, Result, TreeName};
use rustix::fs::{AtFlags, unlinkat};

use crate::locked_backend::{Deletion, TreeChanges};
use crate::old_roots::Reach;
use crate::survey::Mounts;
use crate::zfs::dataset_mounts::{self, Access, open};
use crate::zfs::dataset_name::parked_name;
use crate::zfs::datasets_found::{Found, identity_of};
use crate::zfs::locked_pool::Locked;
use crate::zfs::properties::{self};
use crate::zfs::snapshots::{self, guid_argument};
use crate::zfs::survey_datasets::survey_datasets;
use crate::zfs::{changed_dnodes, commands, interrupted_exchange};
use crate::{Backend, Layout, OldRoot, Origin, Record, Slot, Survey, Tree, TreeId, View};

impl TreeChanges for Locked<'_> {
    fn layout(&self) -> &Layout {
        &self.of.layout
    }

    fn survey(&self, reach: Reach, mounts: Mounts<'_>) -> Result<Survey> {
        survey_datasets(self.of, &self.pool, reach, mounts)
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        self.of.view(tree)
    }

    fn look_for_snapshots(&self, old_roots: &mut [OldRoot]) -> Result<()> {
        self.of.look_for_snapshots(old_roots)
    }

    fn look(&self, name: &TreeName) -> Result<Slot> {
        self.slot(name)
    }

    fn identity(&self, name: &TreeName) -> Result<Option<TreeId>> {
        identity_of(&self.name(name, "look at a dataset")?)
    }

    fn old_dir(&self) -> Result<OwnedFd> {
        open(&self.of.names.old, Access::Write)
    }

    fn make_old_dir(&self) -> Result<OwnedFd> {
        self.ensure_old_dir()
    }

    fn make_blank(&mut self, origin: Origin, action: &str) -> Result<Tree> {
        snapshots::capture_blank(self, origin, action)?;
        self.tree(&self.of.layout.blank, action)
    }

    fn copy_blank(
        &mut self,
        blank: &Tree,
        record: &Record,
        name: &TreeName,
        action: &str,
    ) -> Result<Tree> {
        let (snapshot, aside) = (self.name(&blank.name, action)?, self.name(name, action)?);
        let mut properties = self.carried(&record.live)?.copy;
        let delegated = commands::delegations(&self.of.names.live)?;
        // Whoever goes on with a copy takes one that is told this for whole.
        let replaces = properties::replaces(&record.live);
        let is_whole = delegated.is_none() && properties::tell_cost(&properties);
        properties.push(if is_whole { replaces.clone() } else { properties::mark_unfinished() });
        commands::clone(&snapshot, &aside, &properties)?;
        if let Some(packed) = delegated {
            commands::delegate(&aside, &packed)?;
        }
        let cost = || properties::cost_of_copy(&aside, &self.of.names.blank);
        if !is_whole {
            let last: Vec<_> = cost()?.into_iter().chain([replaces]).collect();
            commands::set(&aside, &last)?;
        }
        let copy = self.tree(name, action)?;
        if copy.pristine != Some(false) {
            return Ok(copy);
        }
        // Blank was made anew since live was a copy.
        if let Some(cost) = cost()? {
            commands::set(&aside, &[cost])?;
        }
        self.tree(name, action)
    }

    fn exchange(&mut self, live: &Tree, copy: &Tree, action: &str) -> Result<()> {
        let (live_name, copy) = (self.name(&live.name, action)?, self.name(&copy.name, action)?);
        let carried = self.carried(&live.id)?;
        if !carried.aside.is_empty() {
            commands::set(&live_name, &carried.aside)?;
        }
        let parked = parked_name(&self.of.names, copy.last())?;
        commands::rename("zfs: set live aside", &live_name, &parked)?;
        interrupted_exchange::name_copy_live(self.of, &copy, &parked)?;
        if self.pool.bootfs.as_deref() == Some(live_name.as_str()) {
            self.pool.bootfs = Some(parked.to_string());
        }
        interrupted_exchange::set_aside(
            self.of,
            &mut self.pool,
            &parked,
            &copy,
            &carried.old_root,
        )?;
        let names = &self.of.names;
        let rows = self.look(&[&names.live, &copy])?;
        interrupted_exchange::finish_promotion(self.of, &Found::without_blank(names, rows)?)
    }

    fn revert(&mut self, live: &Tree, blank: &Tree, action: &str) -> Result<()> {
        snapshots::revert_to_blank(self, live, blank, action)
    }

    fn plan_deletion<'t>(&'t self, old_root: &'t OldRoot, action: &'t str) -> Result<Deletion<'t>> {
        let dataset = self.name(&old_root.tree.name, action)?;
        let (mounts, more_mounts) = dataset_mounts::mounts_of_dataset(&dataset, &self.of.patience)?;
        let destroy = move || {
            let guid = guid_argument(&old_root.tree, action)?;
            let temporary = format!("@{}-", changed_dnodes::PREFIX);
            let may_go = old_root.snapshots.iter().map(|name| format!("{dataset}{name}"));
            let args: Vec<String> = [guid, temporary].into_iter().chain(may_go).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            commands::program("zfs: destroy", DESTROY, &dataset, &args).map_err(|error| {
                Error::new(action, error).hint("remove what needs it, then try again")
            })?;
            // Where it was mounted there may be a directory; who has something in it keeps it.
            let old = self.old_dir()?;
            let _ = change("zfs: remove mount point", || {
                Ok(unlinkat(&old, old_root.record.name.as_str(), AtFlags::REMOVEDIR)?)
            });
            Ok(())
        };
        // One transaction, which looks once more.
        Ok(Deletion { goes_in_steps: false, mounts, more_mounts, destroy: Box::new(destroy) })
    }
}

/// Destroys the dataset and its snapshots if its guid is the given one, nobody needs them, and there is none
/// but those that are named, and what a comparison left; else it answers why not.
const DESTROY: &str = r#"
local argv = (...)["argv"]
local dataset, guid, temporary = argv[1], argv[2], argv[3]
local may_go = {}
for at = 4, #argv do may_go[argv[at]] = true end
if "guid " .. zfs.get_prop(dataset, "guid") ~= guid then
  return "another dataset has its name by now"
end
for child in zfs.list.children(dataset) do
  return "the dataset " .. child .. " is inside of it"
end
local snapshots = {}
for snapshot in zfs.list.snapshots(dataset) do
  for clone in zfs.list.clones(snapshot) do
    return clone .. " is a clone of " .. snapshot
  end
  for hold in zfs.list.holds(snapshot) do
    return snapshot .. " is held by " .. hold
  end
  if not may_go[snapshot] and not string.find(snapshot, temporary, 1, true) then
    return snapshot .. " was made since it was looked at"
  end
  snapshots[#snapshots + 1] = snapshot
end
for _, snapshot in ipairs(snapshots) do
  local failed = zfs.check.destroy(snapshot)
  if failed ~= 0 then return "error " .. failed .. " with " .. snapshot end
end
for _, snapshot in ipairs(snapshots) do
  local failed = zfs.sync.destroy(snapshot)
  if failed ~= 0 then error("error " .. failed .. " with " .. snapshot) end
end
local failed = zfs.sync.destroy(dataset)
if failed == 16 then return "it is in use" end
if failed ~= 0 then error("error " .. failed .. " with " .. dataset) end
"#;
