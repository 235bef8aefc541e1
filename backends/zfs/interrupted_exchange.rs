//! An exchange that was interrupted: recognised by identities, and gone on with.
//!
//! ZFS has no exchange of two names, so a swap is three renames and a promotion. Live has, for the time
//! in between, a temporary name among the old roots, and it is told from everything else by its guid,
//! which the copy has in a property: that can be read without the key of an encrypted root, which an initrd
//! may ask for only when there is a root. No step deletes anything, and each next one follows from what is there:
//!
//! | live | under the record's name | under its temporary name | next |
//! | --- | --- | --- | --- |
//! | the tree | its copy | | nothing: prepared, and never begun |
//! | | its copy | the tree | give the copy live's name |
//! | | | the tree, by its record | give it live's name back: there is no copy |
//! | its copy | | the tree | give it the record's name |
//! | its copy | the tree, with blank | | promote live, so that blank is live's again |

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};

use dirfd::{Result, atomic_file};

use crate::record;
use crate::zfs::commands::{self, Property};
use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::{Names, ZfsName, parked_name};
use crate::zfs::datasets_found::{Found, id_of};
use crate::zfs::output::{Pool, Row};
use crate::zfs::{Zfs, properties};

/// Whether a dataset has the name that live has between two steps of a swap.
pub fn is_parked(of: &Zfs, row: &Row) -> bool {
    record_of(of, row).is_some()
}

/// Goes on with what an interrupted swap left. Nothing is done where identities do not tell what that is.
pub fn finish_interrupted(of: &Zfs, pool: &mut Pool) -> Result<()> {
    let found = Found::look_for_half_done(of)?;
    let mut renamed = false;
    for parked in &found.old_roots {
        let record = record_of(of, parked).filter(|record| !is_of_other(of, record));
        if let Some(record) = record {
            renamed |= finish_renames(of, pool, &found, parked, &of.names.old_root(&record)?)?;
        }
    }
    let found = if renamed { Found::look_for_half_done(of)? } else { found };
    if found.live.is_some() && !pool.is_read_only {
        boot_live(of, pool)?;
    }
    finish_promotion(of, &found)
}

fn finish_renames(
    of: &Zfs,
    pool: &mut Pool,
    found: &Found,
    parked: &Row,
    aside: &ZfsName,
) -> Result<bool> {
    let from = parked_name_of(parked)?;
    let copy = found.old_roots.iter().find(|row| row.name == aside.as_str());
    let replaces_it = |row: &Row| row.replaces == Some(parked.guid);
    match (&found.live, copy) {
        (None, Some(copy)) if replaces_it(copy) => {
            // What was live has its name back where that fails, and the next rollback tries once more.
            if name_copy_live(of, aside, &from).is_ok() {
                finish_setting_aside(of, pool, &from, aside)?;
            } else if !commands::is_there(&of.names.live)? {
                return Ok(false);
            }
        }
        (Some(live), None) if replaces_it(live) => finish_setting_aside(of, pool, &from, aside)?,
        (None, _) if was_live(of, parked, aside)? => {
            commands::rename("zfs: give live back", &from, &of.names.live)?;
        }
        // Somebody else's work: the survey shows the temporary name.
        _ => return Ok(false),
    }
    Ok(true)
}

fn finish_setting_aside(
    of: &Zfs,
    pool: &mut Pool,
    parked: &ZfsName,
    aside: &ZfsName,
) -> Result<()> {
    let hidden = properties::to_hide(parked, pool)?;
    set_aside(of, pool, parked, aside, &hidden)
}

/// Makes an old root of what was live, once the copy has live's name: the pool boots live, and no boot menu
/// offers the other.
pub fn set_aside(
    of: &Zfs,
    pool: &mut Pool,
    parked: &ZfsName,
    aside: &ZfsName,
    hidden: &[Property],
) -> Result<()> {
    boot_live(of, pool)?;
    if !hidden.is_empty() {
        commands::set(parked, hidden)?;
    }
    commands::rename("zfs: name the old root", parked, aside)
}

/// Gives the copy live's name. Where ZFS refuses, what was live gets it back: there is always a root.
pub fn name_copy_live(of: &Zfs, copy: &ZfsName, parked: &ZfsName) -> Result<()> {
    let live = &of.names.live;
    let Err(why) = commands::rename("zfs: name the copy live", copy, live) else { return Ok(()) };
    commands::rename("zfs: give live back", parked, live)?;
    properties::give_back(live)?;
    Err(why)
}

/// Sees to it that the pool boots live, where it would boot what was live: `bootfs` goes where a dataset
/// goes.
fn boot_live(of: &Zfs, pool: &mut Pool) -> Result<()> {
    let Names { live, old, .. } = &of.names;
    let was_live = |name: &str| {
        let last = name.strip_prefix(old.as_str()).and_then(|rest| rest.strip_prefix('/'));
        last.is_some_and(|last| {
            let record = atomic_file::stem(OsStr::new(last)).and_then(OsStr::to_str);
            !is_of_other(of, record.unwrap_or(last))
        })
    };
    if pool.bootfs.as_deref().is_some_and(was_live) {
        commands::set_bootfs(live)?;
        pool.bootfs = Some(live.to_string());
    }
    Ok(())
}

/// Whether a record tells of another live, whose own next run goes on with it. What cannot be read says
/// nothing.
fn is_of_other(of: &Zfs, record: &str) -> bool {
    let dir = open(&of.names.old, Access::Read);
    let live_name = dir.ok().and_then(|dir| live_name(dir.as_fd(), OsStr::new(record)));
    live_name.is_some_and(|name| name != of.layout.live.to_string())
}

/// The name of the live that a record in `old`, the open directory of old roots, is about.
pub fn live_name(old: BorrowedFd<'_>, record: &OsStr) -> Option<String> {
    record::read_one(old, &record::file_name(record)).ok()?.live_name
}

/// Whether a record says so: the copy, which would tell it without a key, is gone.
fn was_live(of: &Zfs, parked: &Row, aside: &ZfsName) -> Result<bool> {
    let dir = open(&of.names.old, Access::Read)?;
    Ok(record::says(dir.as_fd(), OsStr::new(aside.last()), &id_of(parked)))
}

/// Promotes live where blank is an old root's by now, and gives it what was withheld from it.
pub fn finish_promotion(of: &Zfs, found: &Found) -> Result<()> {
    let Some(live) = &found.live else { return Ok(()) };
    if found.blank_id.is_none()
        && of.names.blank_is_of_live()
        && let Some(origin) = live.origin.as_deref().and_then(|name| ZfsName::new(name).ok())
        && origin.snapshot() == of.names.blank.snapshot()
        && let Some(old_root) =
            found.old_roots.iter().find(|row| row.name == origin.dataset().as_str())
        && live.replaces == Some(old_root.guid)
    {
        commands::promote(&of.names.live)?;
    }
    if live.lacks_something { properties::give_back(&of.names.live) } else { Ok(()) }
}

/// The record that a temporary name belongs to.
fn record_of(of: &Zfs, row: &Row) -> Option<String> {
    let last = row.name.rsplit('/').next()?;
    let name = atomic_file::stem(OsStr::new(last))?.to_str()?;
    let same = parked_name(&of.names, name).is_ok_and(|parked| parked.as_str() == row.name);
    same.then(|| name.to_string())
}

fn parked_name_of(row: &Row) -> Result<ZfsName> {
    ZfsName::new(row.name.as_str()).map_err(|why| {
        dirfd::Error::new(format!("use the name `{}`", row.name), format!("it {why}"))
    })
}
