//! Reads what is on the pool: live, blank, old roots, half-done work, room.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};

use dirfd::cause::Cause;
use dirfd::{Error, Result, TreeName, atomic_file};
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::old_roots::{OldRoots, Reach};
use crate::record::Listing;
use crate::survey::Mounts;
use crate::zfs::dataset_mounts::{self, Access, open};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::datasets_found::Found;
use crate::zfs::obstacles::{self, doubt_fresh_copy};
use crate::zfs::output::{Pool, Row};
use crate::zfs::{Zfs, changed_dnodes, commands, interrupted_exchange};
use crate::{Kinship, Obstacle, OldRoot, Record, Slot, Space, Survey, Tree, Unfinished, kinship};

/// Bytes that a record, a clone and three new names may take, with room to spare: each is a transaction
/// that ZFS refuses on a pool that is almost full.
const NEEDED: u64 = 2 << 20;

/// Everything that a planner may know.
pub fn survey_datasets(
    of: &Zfs,
    pool: &Pool,
    reach: Reach,
    look_for: Mounts<'_>,
) -> Result<Survey> {
    // What was written and is still in memory would pass for never written. Who may not ask for it gets
    // what the disk has.
    if geteuid().is_root() && !pool.is_read_only {
        commands::sync(of.names.top.pool())?;
    }
    let found = Found::look(of, reach)?;
    let live = found.slot(of, found.live.as_ref(), &of.layout.live)?;
    let mut obstacles = obstacles::obstacles_of_pool(of, &found, pool);
    let (mut old, is_readable) = match old_roots(of, &found, reach)? {
        Ok(old) => (old, true),
        Err(obstacle) => {
            obstacles.push(obstacle);
            (OldRoots::default(), false)
        }
    };
    let blank = found.slot(of, found.blank.as_ref(), &of.layout.blank)?;
    let kinship = match (live.tree(), blank.tree()) {
        // A snapshot of live itself counts as its origin.
        (Some(live), Some(blank)) if live.copy_of.as_ref() == Some(&blank.id) => Kinship::Proven,
        (Some(live), Some(blank)) if is_readable => {
            kinship::recorded(&old.adoption, &live.id, &blank.id)
        }
        _ => Kinship::Unknown,
    };
    let leftover = |name: &String| below_top(of, name).map(Unfinished::Leftover);
    old.unfinished.extend(found.leftovers.iter().filter_map(leftover));
    let available = found.top.as_ref().and_then(|row| row.available);
    let mounts = look_for.of(found.live.as_ref(), |_, patience| {
        dataset_mounts::mounts_of_dataset(&of.names.live, patience)
    })?;
    // No mount leads to a dataset without naming it, and datasets inside live are no part of its tree: they
    // are an obstacle.
    Ok(Survey {
        kinship,
        has_old_dir: found.old.is_some(),
        immovable: obstacles::find_immovable(of, &found)?,
        space: available.map(|available| Space { available, needed: NEEDED }),
        obstacles,
        ..old.into_survey(pool.guid.to_string(), live, blank, mounts)
    })
}

/// The old roots, oldest first, or why they cannot be read.
fn old_roots(of: &Zfs, found: &Found, reach: Reach) -> Result<Result<OldRoots, Obstacle>> {
    let Some(old) = &found.old else { return Ok(Ok(OldRoots::default())) };
    if old.is_locked {
        let reason = format!("the key of `{}`, which has the records, is not loaded", of.names.old);
        let hint = Some(format!("load it with `zfs load-key -r '{}'`", of.names.top.pool()));
        return Ok(Err(Obstacle { reason, hint }));
    }
    let dir = match open(&of.names.old, Access::Read) {
        // Who may not look can still compare live with blank.
        Err(error) if error.cause() == Cause::NotPermitted => {
            let reason = format!("the old roots in `{}` are for root alone to see", of.names.old);
            return Ok(Err(Obstacle { reason, hint: Some("run it as root".into()) }));
        }
        opened => opened?,
    };
    let mut listing = Listing::of(dir.as_fd())?;
    let mut datasets: HashMap<OsString, Row> =
        found.old_roots.iter().filter_map(|row| Some((last(row)?, row.clone()))).collect();
    listing.add(datasets.keys().cloned());
    let look = |name: &TreeName| {
        let last = name.file_name();
        if reach == Reach::Youngest && !datasets.contains_key(last) {
            let full = of.names.old_root(&last.to_string_lossy())?;
            let rows = commands::look(&[&full], &of.names.blank)?;
            datasets.extend(rows.into_iter().map(|row| (last.to_os_string(), row)));
        }
        match datasets.get(last) {
            Some(row) => found.slot(of, Some(row), name),
            None => slot_of_plain(&dir, last),
        }
    };
    let is_copy = |tree: &Tree, record: &Record| tree.copy_of.as_ref() == Some(&record.blank);
    let mut old = OldRoots::judge_all(dir.as_fd(), listing, &of.layout, reach, look, is_copy)?;
    let parked: Vec<OsString> = found
        .old_roots
        .iter()
        .filter(|row| interrupted_exchange::is_parked(of, row))
        .filter_map(last)
        .collect();
    let judged = |left| match left {
        Unfinished::Leftover(name) if parked.iter().any(|parked| parked == name.file_name()) => {
            Unfinished::HalfSetAside(name)
        }
        left => doubt_fresh_copy(left, &datasets),
    };
    old.unfinished = old.unfinished.into_iter().map(judged).collect();
    let made = |tree: &Tree| datasets.get(tree.name.file_name()).map(|row| row.createtxg);
    old.roots.sort_by_key(|root| made(&root.tree));
    if reach == Reach::All {
        // One that is half set aside has another name for now.
        let live_name = |parked: &OsString| {
            interrupted_exchange::live_name(dir.as_fd(), atomic_file::stem(parked)?)
        };
        let half_set_aside: Vec<String> = parked.iter().filter_map(live_name).collect();
        old.look_for_other_lives(&of.layout.live, |name| {
            if half_set_aside.contains(&name.to_string()) {
                return Ok(true);
            }
            let name = ZfsName::of(&of.names.top, name);
            name.map_or(Ok(false), |name| commands::is_there(&name))
        })?;
    }
    for root in &mut old.roots {
        root.own_bytes = datasets.get(root.tree.name.file_name()).and_then(|row| row.written);
        // Whether anything was written in a tree that was live is nobody's question.
        root.tree.pristine = None;
    }
    Ok(Ok(old))
}

/// Fills in what hangs on these.
pub fn look_for_snapshots(of: &Zfs, old_roots: &mut [OldRoot]) -> Result<()> {
    if old_roots.is_empty() {
        return Ok(());
    }
    let hanging = commands::hanging_below(&of.names.old)?;
    for root in old_roots {
        root.snapshots = snapshots_of(&of.names.old_root(&root.record.name)?, &hanging);
    }
    Ok(())
}

/// What of it hangs on this dataset, by the names that it has there; but what a comparison left.
fn snapshots_of(dataset: &ZfsName, hanging: &[String]) -> Vec<String> {
    let own = |name: &String| {
        let rest = name.strip_prefix(dataset.as_str())?;
        let is_temporary = rest
            .strip_prefix('@')
            .and_then(|name| name.strip_prefix(changed_dnodes::PREFIX))
            .is_some_and(|rest| rest.starts_with('-'));
        (rest.starts_with(['@', '#']) && !is_temporary).then(|| rest.to_string())
    };
    hanging.iter().filter_map(own).collect()
}

/// What a name of the directory of old roots holds that no dataset has.
pub(crate) fn slot_of_plain(dir: &OwnedFd, name: &OsStr) -> Result<Slot> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Slot::Missing),
        Err(error) => Err(Error::io("look at what is among the old roots", error)),
        Ok(_) => Ok(Slot::NotATree("no dataset".into())),
    }
}

fn below_top(of: &Zfs, name: &str) -> Option<TreeName> {
    let rest = name.strip_prefix(of.names.top.as_str())?.strip_prefix('/')?;
    TreeName::new(rest).ok()
}

fn last(row: &Row) -> Option<OsString> {
    row.name.rsplit('/').next().map(OsString::from)
}
