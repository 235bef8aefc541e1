//! Deletes old roots and what interrupted runs left: by guid, in one transaction that looks once more.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, unlinkat};

use super::locked::{Locked, changed};
use super::revert::guid;
use super::{changes, commands, mounts};
use crate::LockedBackend;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::mount_tables::cannot_tell;
use crate::old_roots::{self, child};
use crate::record::{self, Record, Records};
use crate::survey::{OldRoot, Tree, Unfinished};

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
pub(super) fn old_root(locked: &Locked<'_>, old_root: &OldRoot) -> Result<()> {
    let action = format!("delete the old root {}", old_root.tree.name);
    let (tree, record) = (&old_root.tree, &old_root.record);
    let known = locked.survey()?.old_roots;
    let is_it = |known: &OldRoot| {
        known.tree.id == tree.id && known.tree.name == tree.name && known.record == *record
    };
    if !known.iter().any(is_it) {
        return Err(changed(&action, "it is no old root of this layout"));
    }
    delete(locked, tree, record, &old_root.snapshots, &action)
}

/// Deletes what an interrupted run left.
pub(super) fn unfinished(locked: &Locked<'_>, left: &Unfinished) -> Result<()> {
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
    let name = child(&locked.of.layout.old, OsStr::new(&record.name))?;
    if name != tree.name || !Records::read(old.as_fd())?.readable.contains(record) {
        return Err(changed(action, "no record of ours says that it may be deleted"));
    }
    let dataset = locked.expect(tree, action)?;
    let (mounts, more) = mounts::of(&dataset, &locked.of.patience)?;
    if let Some(mount) = mounts.first() {
        return Err(Error::new(action, format!("it is mounted at {mount}"))
            .mend("unmount it, then try again"));
    }
    if more {
        return Err(cannot_tell(action));
    }
    let guid = guid(tree, action)?;
    let snapshots: Vec<String> = snapshots.iter().map(|name| format!("{dataset}{name}")).collect();
    let temporary = format!("@{}-", changes::PREFIX);
    let args = [&guid, &temporary].into_iter().chain(&snapshots);
    let args: Vec<&str> = args.map(String::as_str).collect();
    commands::program("zfs: destroy", DESTROY, &dataset, &args)
        .map_err(|error| Error::new(action, error).mend("remove what needs it, then try again"))?;
    // Where it was mounted there may be a directory; who has something in it keeps it.
    let _ = change("zfs: remove mount point", || {
        Ok(unlinkat(&old, record.name.as_str(), AtFlags::REMOVEDIR)?)
    });
    record::remove(old.as_fd(), record)
}
