//! The changes that ZFS makes: snapshot, clone, the exchange of two names, and what precedes a deletion.
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;

use dirfd::fault::change;
use dirfd::mount_tables::{Patience, cannot_tell};
use dirfd::{Error, Result, TreeName};
use rustix::fs::{self, AtFlags, unlinkat};
use rustix::io::Errno;

use crate::old_roots::{self, Reach, name_in_old};
use crate::survey::Mounts;
use crate::zfs::dataset_mounts::{self};
use crate::zfs::dataset_name::parked_name;
use crate::zfs::datasets_found::Found;
use crate::zfs::locked_pool::{Locked, changed_meanwhile, expect_identity};
use crate::zfs::obstacles::is_told_to_replace;
use crate::zfs::output::Row;
use crate::zfs::properties::{self};
use crate::zfs::snapshots::{self, guid_argument};
use crate::zfs::survey_datasets::survey_datasets;
use crate::zfs::{changed_dnodes, commands, interrupted_exchange};
use crate::{
    Backend, Hold, LockedBackend, OldRoot, Origin, Record, Records, Survey, Tree, Unfinished, View,
    hold, kinship, record,
};

impl LockedBackend for Locked<'_> {
    fn survey(&self) -> Result<Survey> {
        survey_datasets(self.of, &self.pool, Reach::All, Mounts::NotLookedFor)
    }

    fn survey_for_rollback(&self) -> Result<Survey> {
        survey_datasets(
            self.of,
            &self.pool,
            Reach::Youngest,
            Mounts::OfLive(&Patience::of_rollback()),
        )
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        self.of.view(tree)
    }

    fn look_for_snapshots(&self, old_roots: &mut [OldRoot]) -> Result<()> {
        self.of.look_for_snapshots(old_roots)
    }

    fn make_old_dir(&mut self) -> Result<()> {
        self.ensure_old_dir()
    }

    fn hold(&mut self, hold: &Hold) -> Result<()> {
        self.ensure_old_dir()?;
        hold::write(self.old_dir()?.as_fd(), &self.of.layout.live, hold)
    }

    fn release(&mut self) -> Result<()> {
        hold::remove(self.old_dir()?.as_fd(), &self.of.layout.live)
    }

    fn adopt(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        self.expect(live, kinship::ACTION)?;
        self.expect(blank, kinship::ACTION)?;
        self.ensure_old_dir()?;
        kinship::write(self.old_dir()?.as_fd(), &blank.id, &[&live.id])
            .map_err(|e| Error::io(kinship::ACTION, e))
    }

    fn capture(&mut self, origin: Origin) -> Result<Tree> {
        snapshots::capture_blank(self, origin)?;
        self.tree(&self.of.layout.blank, "make the blank snapshot")
    }

    fn prepare(&mut self, blank: &Tree, record: &Record) -> Result<Tree> {
        let aside = self.of.names.old_root(&record.name)?;
        let action = format!("make a fresh copy of {} as {aside}", blank.name);
        let snapshot = self.name(&blank.name, &action)?;
        expect_identity(&snapshot, &blank.id, &action)?;
        expect_identity(&self.of.names.live, &record.live, &action)?;
        if record.blank != blank.id {
            return Err(changed_meanwhile(&action, "the record names another blank"));
        }
        let old = self.old_dir()?;
        // A record must never lie beside something that is not ours: it would become ours.
        let entry = fs::statat(&old, &record.name, AtFlags::SYMLINK_NOFOLLOW);
        if commands::is_there(&aside)? || !matches!(entry, Err(Errno::NOENT)) {
            return Err(Error::new(action, format!("{aside} is taken")));
        }
        let mut properties = self.carried(&record.live)?.copy;
        let delegated = commands::delegations(&self.of.names.live)?;
        // Whoever goes on with a copy takes one that is told this for whole.
        let replaces = properties::replaces(&record.live);
        let is_whole = delegated.is_none() && properties::tell_cost(&properties);
        properties.push(if is_whole { replaces.clone() } else { properties::mark_unfinished() });
        record::write(old.as_fd(), record, File::sync_all)?;
        if let Err(error) = commands::clone(&snapshot, &aside, &properties) {
            if commands::is_there(&aside).is_ok_and(|is_there| !is_there) {
                // Best effort: a record alone is harmless.
                let _ = record::remove(old.as_fd(), record);
            }
            return Err(error);
        }
        if let Some(packed) = delegated {
            commands::delegate(&aside, &packed)?;
        }
        let cost = || properties::cost_of_copy(&aside, &self.of.names.blank);
        if !is_whole {
            let last: Vec<_> = cost()?.into_iter().chain([replaces]).collect();
            commands::set(&aside, &last)?;
        }
        let name = name_in_old(&self.of.layout.old, OsStr::new(&record.name))?;
        let copy = self.tree(&name, &action)?;
        if copy.pristine != Some(false) {
            return Ok(copy);
        }
        // Blank was made anew since live was a copy.
        if let Some(cost) = cost()? {
            commands::set(&aside, &[cost])?;
        }
        self.tree(&name, &action)
    }

    fn swap(&mut self, live: &Tree, aside: &TreeName) -> Result<()> {
        let action = format!("exchange {} and {aside}", live.name);
        let (live_name, copy) = (self.name(&live.name, &action)?, self.name(aside, &action)?);
        expect_identity(&live_name, &live.id, &action)?;
        let is_old = name_in_old(&self.of.layout.old, aside.file_name())? == *aside;
        if !is_old || !record::says(self.old_dir()?.as_fd(), aside.file_name(), &live.id) {
            return Err(changed_meanwhile(
                &action,
                "no record says that live is to be set aside there",
            ));
        }
        let rows = self.look(&[&copy])?;
        // Only what is told so is gone on with after a power cut.
        let is_fresh =
            |row: &Row| row.origin.is_some() && !row.read_only && is_told_to_replace(row, &live.id);
        if !rows.first().is_some_and(is_fresh) {
            return Err(changed_meanwhile(
                &action,
                "what is to become live is no fresh copy of blank",
            ));
        }
        let carried = self.carried(&live.id)?;
        if !carried.aside.is_empty() {
            commands::set(&live_name, &carried.aside)?;
        }
        let parked = parked_name(&self.of.names, &aside.file_name().to_string_lossy())?;
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

    fn revert(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        snapshots::revert_to_blank(self, live, blank)
    }

    fn make_live_default(&mut self) -> Result<()> {
        // No mount leads to a dataset without naming it.
        Ok(())
    }

    fn discard(&mut self, old_root: &OldRoot) -> Result<()> {
        discard_old_root(self, old_root)
    }

    fn discard_unfinished(&mut self, left: &Unfinished) -> Result<()> {
        discard_unfinished_copy(self, left)
    }
}

// Deletes old roots and what interrupted runs left: by guid, in one transaction that looks once more.

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

/// Deletes an old root that its record names.
pub(crate) fn discard_old_root(locked: &Locked<'_>, old_root: &OldRoot) -> Result<()> {
    let action = format!("delete the old root {}", old_root.tree.name);
    let (tree, record) = (&old_root.tree, &old_root.record);
    let known = locked.survey()?.old_roots;
    let is_it = |known: &OldRoot| {
        known.tree.id == tree.id && known.tree.name == tree.name && known.record == *record
    };
    if !known.iter().any(is_it) {
        return Err(changed_meanwhile(&action, "it is no old root of this layout"));
    }
    delete(locked, tree, record, &old_root.snapshots, &action)
}

/// Deletes what an interrupted run left.
pub(crate) fn discard_unfinished_copy(locked: &Locked<'_>, left: &Unfinished) -> Result<()> {
    let delete =
        |tree: &Tree, record: &Record, action: &str| delete(locked, tree, record, &[], action);
    old_roots::discard_unfinished(locked, left, || locked.old_dir(), delete)
}

fn delete(
    locked: &Locked<'_>,
    tree: &Tree,
    record: &Record,
    snapshots: &[String],
    action: &str,
) -> Result<()> {
    let old = locked.old_dir()?;
    let name = name_in_old(&locked.of.layout.old, OsStr::new(&record.name))?;
    if name != tree.name || !Records::read(old.as_fd())?.readable.contains(record) {
        return Err(changed_meanwhile(action, "no record of ours says that it may be deleted"));
    }
    let dataset = locked.expect(tree, action)?;
    let (mounts, more) = dataset_mounts::mounts_of_dataset(&dataset, &locked.of.patience)?;
    if let Some(mount) = mounts.first() {
        return Err(Error::new(action, format!("it is mounted at {mount}"))
            .hint("unmount it, then try again"));
    }
    if more {
        return Err(cannot_tell(action));
    }
    let guid = guid_argument(tree, action)?;
    let snapshots: Vec<String> = snapshots.iter().map(|name| format!("{dataset}{name}")).collect();
    let temporary = format!("@{}-", changed_dnodes::PREFIX);
    let args = [&guid, &temporary].into_iter().chain(&snapshots);
    let args: Vec<&str> = args.map(String::as_str).collect();
    commands::program("zfs: destroy", DESTROY, &dataset, &args)
        .map_err(|error| Error::new(action, error).hint("remove what needs it, then try again"))?;
    // Where it was mounted there may be a directory; who has something in it keeps it.
    let _ = change("zfs: remove mount point", || {
        Ok(unlinkat(&old, record.name.as_str(), AtFlags::REMOVEDIR)?)
    });
    record::remove(old.as_fd(), record)
}
