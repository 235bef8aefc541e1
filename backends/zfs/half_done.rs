//! An exchange that was interrupted: recognised by identities and records, and gone on with.
//!
//! ZFS has no exchange of two names, so a swap is three renames and a promotion. Live has, for the time
//! in between, a temporary name among the old roots, and it is told from everything else by its guid,
//! which a record names. No step deletes anything, and each next one follows from what is there:
//!
//! | live | under the record's name | under its temporary name | next |
//! | --- | --- | --- | --- |
//! | the recorded tree | the copy | | nothing: prepared, and never begun |
//! | | the copy | the recorded tree | give the copy live's name |
//! | | | the recorded tree | give it live's name back: there is no copy |
//! | the copy | | the recorded tree | give it the record's name |
//! | the copy | the recorded tree, with blank | | promote live, so that blank is live's again |

use std::ffi::OsStr;
use std::os::fd::AsFd;

use super::Zfs;
use super::commands;
use super::name::ZfsName;
use super::output::Row;
use super::properties;
use super::survey::{Found, id_of, open_old};
use crate::error::Result;
use crate::record::{self, Record, Records};
use crate::survey::TreeId;
use crate::temporary;

/// The name of live between two steps of a swap.
pub fn parked_name(of: &Zfs, record: &str) -> Result<ZfsName> {
    let name = temporary::name(OsStr::new(record), 0);
    of.names.old_root(&name.to_string_lossy())
}

/// Whether something has such a name.
pub fn is_parked(of: &Zfs, found: &Found) -> bool {
    found.old_roots.iter().any(|row| record_of(of, row).is_some())
}

/// Goes on with what an interrupted swap left. Nothing is done where identities do not tell what that is.
pub fn finish(of: &Zfs) -> Result<()> {
    let found = Found::look(of)?;
    let mut renamed = false;
    for parked in &found.old_roots {
        let Some(name) = record_of(of, parked) else { continue };
        let dir = open_old(of)?;
        let file = format!("{name}.json");
        let Ok(record) = record::read_one(dir.as_fd(), OsStr::new(&file)) else { continue };
        if record.live == id_of(parked) {
            finish_renames(of, &found, parked, &record)?;
            renamed = true;
        }
    }
    if renamed { finish_promotion(of, &Found::look(of)?) } else { finish_promotion(of, &found) }
}

fn finish_renames(of: &Zfs, found: &Found, parked: &Row, record: &Record) -> Result<()> {
    let aside = of.names.old_root(&record.name)?;
    let parked = parked_name_of(parked)?;
    let copy = found.old_roots.iter().find(|row| row.name == aside.as_str());
    match (&found.live, copy) {
        (None, Some(_)) => {
            commands::rename("zfs: name the copy live", &aside, &of.names.live)?;
            commands::rename("zfs: name the old root", &parked, &aside)
        }
        (None, None) => commands::rename("zfs: give live back", &parked, &of.names.live),
        (Some(_), None) => commands::rename("zfs: name the old root", &parked, &aside),
        // Somebody else's work: the survey shows the temporary name.
        (Some(_), Some(_)) => Ok(()),
    }
}

/// Promotes live where blank is an old root's by now, and gives it what was withheld from it.
pub fn finish_promotion(of: &Zfs, found: &Found) -> Result<()> {
    let Some(live) = &found.live else { return Ok(()) };
    if found.blank.is_none()
        && of.names.blank_is_of_live()
        && let Some(origin) = live.origin.as_deref().and_then(|name| ZfsName::new(name).ok())
        && origin.snapshot() == of.names.blank.snapshot()
        && origin.dataset().parent() == Some(of.names.old.as_str())
        && let Some(snapshot) = commands::look(&[&origin], &origin)?.first()
        && is_recorded_blank(of, &id_of(snapshot))?
    {
        commands::promote(&of.names.live)?;
    }
    if live.lacks_something { properties::give_back(&of.names.live) } else { Ok(()) }
}

fn is_recorded_blank(of: &Zfs, snapshot: &TreeId) -> Result<bool> {
    let dir = open_old(of)?;
    let records = Records::read(dir.as_fd())?;
    Ok(records.readable.iter().any(|record| record.blank == *snapshot))
}

/// The record that a temporary name belongs to.
fn record_of(of: &Zfs, row: &Row) -> Option<String> {
    let last = row.name.rsplit('/').next()?;
    let name = temporary::stem(OsStr::new(last))?.to_str()?;
    let same = parked_name(of, name).is_ok_and(|parked| parked.as_str() == row.name);
    same.then(|| name.to_string())
}

fn parked_name_of(row: &Row) -> Result<ZfsName> {
    ZfsName::new(row.name.as_str()).map_err(|why| {
        crate::Error::new(format!("use the name `{}`", row.name), format!("it {why}"))
    })
}
