//! Makes blank: a snapshot of live, or of a dataset of its own that has nothing in it.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use dirfd::{Error, Result, atomic_file};

use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::locked_pool::Locked;
use crate::zfs::output::{Kind, Row, is_snapshot_of};
use crate::zfs::{commands, properties};
use crate::{Origin, Tree};

/// Makes the snapshot under the layout's name, which is free.
pub(crate) fn capture_blank(locked: &Locked<'_>, origin: Origin, action: &str) -> Result<()> {
    let names = &locked.of.names;
    match (origin, names.blank_is_of_live()) {
        (Origin::Live, true) => commands::snapshot(&names.blank),
        (Origin::Live, false) => of_live_in_its_own(locked, action),
        (Origin::Empty, true) if is_empty(&names.live)? => commands::snapshot(&names.blank),
        (Origin::Empty, true) => {
            let why = "a snapshot of live has what live has, and live is not empty";
            let own = names.blank.snapshot().unwrap_or("blank");
            Err(Error::new(action, why).hint(format!(
                "give blank a dataset of its own: `blank = \"root-blank@{own}\"` under [root]"
            )))
        }
        (Origin::Empty, false) => {
            let (unfinished, snapshot) = unfinished(&names.blank, action)?;
            commands::create(&unfinished)?;
            commands::snapshot(&snapshot)?;
            finish_capture(&unfinished, &snapshot, &names.blank)
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
        return Err(Error::new(action, why).hint(format!(
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
    finish_capture(&unfinished, &snapshot, &names.blank)
}

/// The names that blank and its dataset have until they are whole.
fn unfinished(blank: &ZfsName, action: &str) -> Result<(ZfsName, ZfsName)> {
    let dataset = blank.dataset();
    let wrong = |why: &str| Error::new(action, format!("a temporary name beside it {why}"));
    if commands::is_there(&dataset)? {
        return Err(Error::new(action, format!("there is a dataset {dataset} already"))
            .hint("name another one in `blank` under [root], or make the snapshot by hand"));
    }
    let parent = dataset.parent().unwrap_or_default();
    let last = blank.last();
    let temporary = atomic_file::temporary_name(OsStr::new(last), 0);
    let whole = ZfsName::new(format!("{parent}/{}", temporary.to_string_lossy())).map_err(wrong)?;
    if commands::is_there(&whole.dataset())? {
        let left = whole.dataset();
        return Err(Error::new(action, format!("an interrupted run left {left}"))
            .hint(format!("look at it, and delete it with `zfs destroy -r '{left}'`")));
    }
    Ok((whole.dataset(), whole))
}

fn finish_capture(unfinished: &ZfsName, snapshot: &ZfsName, blank: &ZfsName) -> Result<()> {
    let last = blank.snapshot().unwrap_or_default();
    let whole = unfinished.at(last);
    let whole = whole.map_err(|why| Error::new(format!("make {blank}"), why))?;
    commands::rename_snapshot(snapshot, &whole)?;
    commands::rename("zfs: name blank", unfinished, &blank.dataset())
}

fn is_empty(live: &ZfsName) -> Result<bool> {
    let dir = open(live, Access::Read)?;
    let names = dirfd::directory_walker::list_names(dir.as_fd())
        .map_err(|e| Error::io(format!("list what is in {live}"), e))?;
    Ok(names.is_empty())
}

// Puts live back to blank in place, for those who want no old roots: one transaction that looks first.

/// Rolls back if both are what they were, and no snapshot is younger than blank; else it answers why not.
/// ZFS itself refuses if a bookmark is: Lua is told nothing of those but their names.
const ROLL_BACK: &str = r#"
local argv = (...)["argv"]
local live, guid, blank, blank_guid = argv[1], argv[2], argv[3], argv[4]
if "guid " .. zfs.get_prop(live, "guid") ~= guid then
  return "another dataset has its name by now"
end
if "guid " .. zfs.get_prop(blank, "guid") ~= blank_guid then
  return "another snapshot is called " .. blank .. " by now"
end
local made = zfs.get_prop(blank, "createtxg")
local younger = {}
for snapshot in zfs.list.snapshots(live) do
  if snapshot ~= blank and zfs.get_prop(snapshot, "createtxg") >= made then
    younger[#younger + 1] = snapshot
  end
end
if #younger > 0 then
  return "it would destroy " .. table.concat(younger, ", ")
end
local failed = zfs.sync.rollback(live)
if failed == 16 then return "it is in use" end
if failed == 17 then return "a bookmark is younger than " .. blank end
if failed ~= 0 then return "ZFS answered with error " .. failed end
"#;

/// Rolls live back to blank, which has to be its own snapshot.
pub(crate) fn revert_to_blank(
    locked: &Locked<'_>,
    live: &Tree,
    blank: &Tree,
    action: &str,
) -> Result<()> {
    let hint =
        "remove or rename what is named, or write `strategy = \"set-aside\"` under [rollback]";
    let (dataset, snapshot) = (locked.name(&live.name, action)?, locked.name(&blank.name, action)?);
    if snapshot.dataset() != dataset {
        return Err(
            Error::new(action, format!("{snapshot} is no snapshot of {dataset}")).hint(hint)
        );
    }
    let younger = younger_than(&snapshot, &dataset)?;
    if !younger.is_empty() {
        let why = format!("it would destroy {}", younger.join(", "));
        return Err(Error::new(action, why).hint(hint));
    }
    let guids = [guid_argument(live, action)?, guid_argument(blank, action)?];
    let args = [guids[0].as_str(), snapshot.as_str(), guids[1].as_str()];
    commands::program("zfs: roll back", ROLL_BACK, &dataset, &args)
        .map_err(|error| Error::new(action, error).hint(hint))?;
    properties::cost_of_copy(&dataset, &snapshot)?
        .map_or(Ok(()), |cost| commands::set(&dataset, &[cost]))
}

/// The snapshots and bookmarks of `dataset` that are younger than its snapshot.
fn younger_than(snapshot: &ZfsName, dataset: &ZfsName) -> Result<Vec<String>> {
    let rows = commands::list_below(&[dataset], snapshot)?;
    let made = rows.iter().find(|row| row.name == snapshot.as_str()).map(|row| row.createtxg);
    let is_younger = |row: &&Row| {
        let hangs_on_it = matches!(row.kind, Kind::Snapshot | Kind::Bookmark);
        hangs_on_it && made.is_some_and(|made| row.createtxg > made)
    };
    Ok(rows.iter().filter(is_younger).map(|row| row.name.clone()).collect())
}

/// A guid as an argument of a program: ZFS's Lua has signed numbers, and what starts with a hyphen would
/// pass for an option.
pub(crate) fn guid_argument(tree: &Tree, action: &str) -> Result<String> {
    let guid = tree.id.as_str().parse::<u64>();
    let guid = guid.map_err(|_| Error::new(action, "its identity is no guid"))?;
    Ok(format!("guid {}", guid.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreeId;
    use dirfd::TreeName;

    #[test]
    fn no_guid_passes_for_an_option() {
        let tree = |id: &str| Tree {
            id: TreeId::new(id),
            name: TreeName::new("root").unwrap(),
            read_only: false,
            created: None,
            copy_of: None,
            pristine: None,
        };
        let argument = |id| guid_argument(&tree(id), "try").ok();
        assert_eq!(argument("18446744073709551615").as_deref(), Some("guid -1"));
        assert_eq!(argument("7").as_deref(), Some("guid 7"));
        assert_eq!(argument("7@device-1:2"), None);
    }
}
