//! Reads what is on the pool: live, blank, old roots, half-done work, room.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};

use chrono::DateTime;
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::Zfs;
use super::doubt::doubt;
use super::name::{Names, ZfsName};
use super::open::{Access, open};
use super::output::{Kind, Row, is_snapshot_of};
use super::{commands, mounts, obstacles};
use crate::error::{Error, Result};
use crate::old_roots::{OldRoots, Reach};
use crate::path::TreeName;
use crate::record::{Listing, Record};
use crate::survey::{Obstacle, Slot, Space, Survey, Tree, TreeId, Unfinished};
use crate::temporary;

/// Bytes that a record, a clone and three new names may take, with room to spare: each is a transaction
/// that ZFS refuses on a pool that is almost full.
const NEEDED: u64 = 2 << 20;

/// What the names of a layout hold.
#[derive(Debug)]
pub struct Found {
    pub live: Option<Row>,
    /// Datasets that are inside of live.
    pub inside_live: Vec<String>,
    pub blank: Option<Row>,
    pub old: Option<Row>,
    /// Datasets directly below that of the records.
    pub old_roots: Vec<Row>,
    /// Snapshots that captures left: temporary names of blank.
    pub leftovers: Vec<String>,
    /// The dataset below which all others are.
    top: Option<Row>,
    /// The identities of origins that were asked for.
    origins: RefCell<HashMap<String, Option<u64>>>,
}

impl Found {
    /// Looks at every name of the layout, all at once.
    pub fn look(of: &Zfs) -> Result<Self> {
        let names = &of.names;
        let beside = beside_blank(names);
        let (top, blank_of) = (&names.top, names.blank.dataset());
        let mut asked = vec![&names.live, &names.old, &blank_of];
        asked.extend(&beside);
        asked.sort();
        asked.dedup();
        let rows = commands::list_below(&asked, &names.blank)?;
        let named = |name: &ZfsName| rows.iter().find(|row| row.name == name.as_str()).cloned();
        let below = |name: &ZfsName| -> Vec<Row> {
            let is_dataset = |row: &&Row| matches!(row.kind, Kind::FileSystem | Kind::Volume);
            let is_below = |row: &&Row| {
                row.name.rsplit_once('/').is_some_and(|(parent, _)| parent == name.as_str())
            };
            rows.iter().filter(is_dataset).filter(is_below).cloned().collect()
        };
        Ok(Self {
            inside_live: below(&names.live).into_iter().map(|row| row.name).collect(),
            live: named(&names.live),
            blank: named(&names.blank),
            old: named(&names.old),
            old_roots: below(&names.old),
            leftovers: beside.map_or(Vec::new(), |beside| leftovers(names, &beside, &rows)),
            top: match rows.iter().find(|row| row.available.is_some()) {
                Some(row) => Some(row.clone()),
                None => commands::look(&[top], &names.blank)?.into_iter().next(),
            },
            origins: RefCell::default(),
        })
    }

    /// What a dataset's row is as a tree.
    pub fn slot(&self, of: &Zfs, row: Option<&Row>, name: &TreeName) -> Result<Slot> {
        let Some(row) = row else { return Ok(Slot::Missing) };
        let copy_of = self.copy_of(of, row)?;
        let blank = self.blank.as_ref().map(id_of);
        let pristine = match row.written {
            Some(bytes) if copy_of.is_some() && copy_of == blank => {
                let fresh = match row.fresh {
                    None => self.cost_of_copy(of, blank.as_ref())?,
                    fresh => fresh,
                };
                Some(bytes == fresh.unwrap_or(0))
            }
            Some(_) | None => None,
        };
        Ok(as_tree(row, name, copy_of, pristine))
    }

    /// Bytes that count as written in a copy of blank from its start, as far as live tells: each costs the
    /// same, and a power cut may come before that is noted for one.
    fn cost_of_copy(&self, of: &Zfs, blank: Option<&TreeId>) -> Result<Option<u64>> {
        let Some(live) = &self.live else { return Ok(None) };
        Ok(if self.copy_of(of, live)?.as_ref() == blank { live.fresh } else { None })
    }

    /// The snapshot whose content it started with: its origin, or blank where that is its own.
    fn copy_of(&self, of: &Zfs, row: &Row) -> Result<Option<TreeId>> {
        let own = format!("{}@", row.name);
        let blank = self.blank.as_ref();
        if let Some(blank) = blank.filter(|blank| blank.name.starts_with(&own)) {
            return Ok(Some(id_of(blank)));
        }
        let Some(origin) = &row.origin else { return Ok(None) };
        if let Some(blank) = blank.filter(|blank| blank.name == *origin) {
            return Ok(Some(id_of(blank)));
        }
        let known = self.origins.borrow().get(origin).copied();
        let guid = match known {
            Some(guid) => guid,
            None => {
                let name = ZfsName::new(origin.as_str()).ok();
                let look = |name: ZfsName| commands::look(&[&name], &of.names.blank);
                let rows = name.map(look).transpose()?.unwrap_or_default();
                let guid = rows.first().map(|row| row.guid);
                self.origins.borrow_mut().insert(origin.clone(), guid);
                guid
            }
        };
        Ok(guid.map(|guid| TreeId::new(guid.to_string())))
    }
}

/// Everything that a planner may know.
pub fn survey(of: &Zfs, reach: Reach) -> Result<Survey> {
    let pool = commands::pool(of.names.top.pool())?;
    // What was written and is still in memory would pass for never written. Who may not ask for it gets
    // what the disk has.
    if geteuid().is_root() && !pool.is_read_only {
        commands::sync(of.names.top.pool())?;
    }
    let found = Found::look(of)?;
    let live = found.slot(of, found.live.as_ref(), &of.layout.live)?;
    let mut obstacles = obstacles::of(of, &found, &pool);
    let mut old = match old_roots(of, &found, reach)? {
        Ok(old) => old,
        Err(obstacle) => {
            obstacles.push(obstacle);
            OldRoots::default()
        }
    };
    let leftover = |name: &String| below_top(of, name).map(Unfinished::Leftover);
    old.unfinished.extend(found.leftovers.iter().filter_map(leftover));
    let available = found.top.as_ref().and_then(|row| row.available);
    let live_mounts = match &found.live {
        Some(_) => mounts::of(&of.names.live)?,
        None => Vec::new(),
    };
    Ok(Survey {
        file_system: pool.guid.to_string(),
        blank: found.slot(of, found.blank.as_ref(), &of.layout.blank)?,
        live,
        has_old_dir: found.old.is_some(),
        old_roots: old.roots,
        unfinished: old.unfinished,
        hold: old.hold,
        live_mounts,
        // Other datasets are no part of live's tree: they are an obstacle.
        nested: Vec::new(),
        // No mount leads to a dataset without naming it.
        live_is_default: false,
        space: available.map(|available| Space { available, needed: NEEDED }),
        obstacles,
    })
}

/// The old roots, oldest first, or why they cannot be read.
fn old_roots(of: &Zfs, found: &Found, reach: Reach) -> Result<Result<OldRoots, Obstacle>> {
    let Some(old) = &found.old else { return Ok(Ok(OldRoots::default())) };
    if old.is_locked {
        let reason = format!("the key of `{}`, which has the records, is not loaded", of.names.old);
        let mend = Some(format!("load it with `zfs load-key -r '{}'`", of.names.top.pool()));
        return Ok(Err(Obstacle { reason, mend }));
    }
    let dir = match open(&of.names.old, Access::Read) {
        // Who may not look can still compare live with blank.
        Err(error) if error.errno() == Some(Errno::PERM.raw_os_error()) => {
            let reason = format!("the old roots in `{}` are for root alone to see", of.names.old);
            return Ok(Err(Obstacle { reason, mend: Some("run it as root".into()) }));
        }
        opened => opened?,
    };
    let mut listing = Listing::of(dir.as_fd())?;
    let datasets: HashMap<OsString, &Row> =
        found.old_roots.iter().filter_map(|row| Some((last(row)?, row))).collect();
    listing.add(datasets.keys().cloned());
    let look = |name: &TreeName| match datasets.get(name.file_name()) {
        Some(row) => found.slot(of, Some(row), name),
        None => plain(&dir, name.file_name()),
    };
    let is_copy = |tree: &Tree, record: &Record| tree.copy_of.as_ref() == Some(&record.blank);
    let mut old = OldRoots::judge_all(dir.as_fd(), listing, &of.layout.old, reach, look, is_copy)?;
    old.unfinished = old.unfinished.into_iter().map(|left| doubt(left, &datasets)).collect();
    let made = |tree: &Tree| datasets.get(tree.name.file_name()).map(|row| row.createtxg);
    old.roots.sort_by_key(|root| made(&root.tree));
    for root in &mut old.roots {
        root.own_bytes = datasets.get(root.tree.name.file_name()).and_then(|row| row.written);
        // Whether anything was written in a tree that was live is nobody's question.
        root.tree.pristine = None;
    }
    Ok(Ok(old))
}

/// A row as what its name holds.
pub fn as_tree(
    row: &Row,
    name: &TreeName,
    copy_of: Option<TreeId>,
    pristine: Option<bool>,
) -> Slot {
    if !matches!(row.kind, Kind::FileSystem | Kind::Snapshot) {
        return Slot::NotATree("a volume, which has no files".into());
    }
    Slot::Present(Tree {
        id: id_of(row),
        name: name.clone(),
        read_only: row.read_only,
        created: DateTime::from_timestamp(row.creation, 0),
        copy_of,
        pristine,
    })
}

/// A name that no dataset has.
fn plain(dir: &OwnedFd, name: &OsStr) -> Result<Slot> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Slot::Missing),
        Err(error) => Err(Error::io("look at what is among the old roots", error)),
        Ok(_) => Ok(Slot::NotATree("no dataset".into())),
    }
}

/// The dataset that has blank's temporary names.
fn beside_blank(names: &Names) -> Option<ZfsName> {
    let dataset = names.blank.dataset();
    ZfsName::new(format!("{}/.{}", dataset.parent()?, dataset.last())).ok()
}

/// Snapshots with temporary names of blank, by their whole names.
fn leftovers(names: &Names, beside: &ZfsName, rows: &[Row]) -> Vec<String> {
    let is_left = |row: &&Row| {
        let name = row.name.rsplit('/').next().unwrap_or_default();
        is_snapshot_of(row, beside)
            && temporary::is_of(OsStr::new(name), OsStr::new(names.blank.last()))
    };
    rows.iter().filter(is_left).map(|row| row.name.clone()).collect()
}

fn below_top(of: &Zfs, name: &str) -> Option<TreeName> {
    let rest = name.strip_prefix(of.names.top.as_str())?.strip_prefix('/')?;
    TreeName::new(rest).ok()
}

/// The identity of a dataset or of a snapshot.
pub fn id_of(row: &Row) -> TreeId {
    TreeId::new(row.guid.to_string())
}

fn last(row: &Row) -> Option<OsString> {
    row.name.rsplit('/').next().map(OsString::from)
}
