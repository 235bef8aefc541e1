//! Puts live back to blank in place, for those who want no old roots: one transaction that looks first.

use super::locked::Locked;
use super::name::ZfsName;
use super::output::{Kind, Row};
use super::{commands, properties};
use crate::error::{Error, Result};
use crate::survey::Tree;

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
pub(super) fn revert(locked: &Locked<'_>, live: &Tree, blank: &Tree) -> Result<()> {
    let action = format!("put {} back to blank", live.name);
    let mend =
        "remove or rename what is named, or write `strategy = \"set-aside\"` under [rollback]";
    let (dataset, snapshot) =
        (locked.name(&live.name, &action)?, locked.name(&blank.name, &action)?);
    if snapshot.dataset() != dataset {
        return Err(
            Error::new(action, format!("{snapshot} is no snapshot of {dataset}")).mend(mend)
        );
    }
    let younger = younger_than(&snapshot, &dataset)?;
    if !younger.is_empty() {
        let why = format!("it would destroy {}", younger.join(", "));
        return Err(Error::new(action, why).mend(mend));
    }
    let guids = [guid(live, &action)?, guid(blank, &action)?];
    let args = [guids[0].as_str(), snapshot.as_str(), guids[1].as_str()];
    commands::program("zfs: roll back", ROLL_BACK, &dataset, &args)
        .map_err(|error| Error::new(action, error).mend(mend))?;
    properties::cost(&dataset, &snapshot)?.map_or(Ok(()), |cost| commands::set(&dataset, &[cost]))
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
pub(super) fn guid(tree: &Tree, action: &str) -> Result<String> {
    let guid = tree.id.as_str().parse::<u64>();
    let guid = guid.map_err(|_| Error::new(action, "its identity is no guid"))?;
    Ok(format!("guid {}", guid.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::TreeName;
    use crate::survey::TreeId;

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
        let argument = |id| guid(&tree(id), "try").ok();
        assert_eq!(argument("18446744073709551615").as_deref(), Some("guid -1"));
        assert_eq!(argument("7").as_deref(), Some("guid 7"));
        assert_eq!(argument("7@device-1:2"), None);
    }
}
