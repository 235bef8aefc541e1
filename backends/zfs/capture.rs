//! Makes blank: a snapshot of live, or of a dataset of its own that has nothing in it.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use super::commands;
use super::locked::Locked;
use super::name::ZfsName;
use super::open::{Access, open};
use super::output::is_snapshot_of;
use super::properties;
use crate::error::{Error, Result};
use crate::{Origin, temporary};

/// Makes the snapshot under the layout's name. A name that something has is an error.
pub(super) fn capture(locked: &Locked<'_>, origin: Origin) -> Result<()> {
    let names = &locked.of.names;
    let action = format!("make the blank snapshot {}", names.blank);
    if commands::is_there(&names.blank)? {
        return Err(Error::new(action, "something has its name already"));
    }
    // First, since a blank that is there is not made again after an interruption.
    locked.ensure_old_dir()?;
    match (origin, names.blank_is_of_live()) {
        (Origin::Live, true) => commands::snapshot(&names.blank),
        (Origin::Live, false) => of_live_in_its_own(locked, &action),
        (Origin::Empty, true) if is_empty(&names.live)? => commands::snapshot(&names.blank),
        (Origin::Empty, true) => {
            let why = "a snapshot of live has what live has, and live is not empty";
            let own = names.blank.snapshot().unwrap_or("blank");
            Err(Error::new(action, why).mend(format!(
                "give blank a dataset of its own: `blank = \"root-blank@{own}\"` under [root]"
            )))
        }
        (Origin::Empty, false) => {
            let (unfinished, snapshot) = unfinished(&names.blank, &action)?;
            commands::create(&unfinished)?;
            commands::snapshot(&snapshot)?;
            finish(&unfinished, &snapshot, &names.blank)
        }
    }
}

/// Blank gets live's content and a dataset of its own: a clone that becomes the one from which live
/// stems, so that no other tree is needed for it.
fn of_live_in_its_own(locked: &Locked<'_>, action: &str) -> Result<()> {
    let names = &locked.of.names;
    // The promotion takes along every snapshot that is older.
    let rows = commands::list_below(&[&names.live], &names.blank)?;
    if let Some(older) = rows.iter().find(|row| is_snapshot_of(row, &names.live)) {
        let why = format!("live has the snapshot {}, which would become blank's", older.name);
        return Err(Error::new(action, why).mend(format!(
            "make blank a snapshot of live: `blank = \"{}@blank\"`",
            names.live.last()
        )));
    }
    let (unfinished, snapshot) = unfinished(&names.blank, action)?;
    let last = snapshot.snapshot().unwrap_or_default();
    let of_live = names.live.at(last).map_err(|why| Error::new(action, why))?;
    commands::snapshot(&of_live)?;
    // What is in the files depends on properties, as access control lists do; nobody mounts it.
    let mut properties = properties::of_live(&names.live, &locked.pool)?.copy;
    properties.retain(|(name, _)| !matches!(name.as_str(), "mountpoint" | "canmount"));
    properties.push(("mountpoint".to_string(), b"legacy".to_vec()));
    commands::clone(&of_live, &unfinished, &properties)?;
    commands::promote(&unfinished)?;
    finish(&unfinished, &snapshot, &names.blank)
}

/// The names that blank and its dataset have until they are whole.
fn unfinished(blank: &ZfsName, action: &str) -> Result<(ZfsName, ZfsName)> {
    let dataset = blank.dataset();
    let wrong = |why: &str| Error::new(action, format!("a temporary name beside it {why}"));
    if commands::is_there(&dataset)? {
        return Err(Error::new(action, format!("there is a dataset {dataset} already"))
            .mend("name another one in `blank` under [root], or make the snapshot by hand"));
    }
    let parent = dataset.parent().unwrap_or_default();
    let last = blank.last();
    let temporary = temporary::name(OsStr::new(last), 0);
    let whole = ZfsName::new(format!("{parent}/{}", temporary.to_string_lossy())).map_err(wrong)?;
    if commands::is_there(&whole.dataset())? {
        let left = whole.dataset();
        return Err(Error::new(action, format!("an interrupted run left {left}"))
            .mend(format!("look at it, and delete it with `zfs destroy -r '{left}'`")));
    }
    Ok((whole.dataset(), whole))
}

fn finish(unfinished: &ZfsName, snapshot: &ZfsName, blank: &ZfsName) -> Result<()> {
    let last = blank.snapshot().unwrap_or_default();
    let whole = unfinished.at(last);
    let whole = whole.map_err(|why| Error::new(format!("make {blank}"), why))?;
    commands::rename_snapshot(snapshot, &whole)?;
    commands::rename("zfs: name blank", unfinished, &blank.dataset())
}

fn is_empty(live: &ZfsName) -> Result<bool> {
    let dir = open(live, Access::Read)?;
    let names = crate::descent::names(dir.as_fd())
        .map_err(|e| Error::io(format!("list what is in {live}"), e))?;
    Ok(names.is_empty())
}
