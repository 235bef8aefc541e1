//! What is on the pool under the names of a layout, and what of it a rollback has to look at.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;

use chrono::DateTime;
use dirfd::{Result, TreeName, atomic_file};

use crate::old_roots::Reach;
use crate::record::{self, Listing};
use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::{Names, ZfsName, parked_name};
use crate::zfs::output::{Kind, Row, is_snapshot_of};
use crate::zfs::{Zfs, commands};
use crate::{Slot, Tree, TreeId};

/// What the names of a layout hold.
#[derive(Debug)]
pub struct Found {
    pub(crate) live: Option<Row>,
    /// Datasets that are inside of live.
    pub inside_live: Vec<String>,
    /// Where its row was asked for.
    pub blank: Option<Row>,
    /// The identity of blank, if it is there.
    pub blank_id: Option<TreeId>,
    pub(crate) old: Option<Row>,
    /// Datasets directly below that of the records, as many as were looked at.
    pub old_roots: Vec<Row>,
    /// Snapshots that captures left: temporary names of blank.
    pub leftovers: Vec<String>,
    /// The dataset below which all others are.
    pub top: Option<Row>,
    /// The identities of origins that were asked for.
    origins: RefCell<HashMap<String, Option<TreeId>>>,
}

impl Found {
    /// Looks at the names of the layout, and at as many old roots as `reach` says. Where live or blank is
    /// missing, something may be half done, and it is looked at all.
    pub fn look(of: &Zfs, reach: Reach) -> Result<Self> {
        let names = &of.names;
        let (beside, blank_of) = (beside_blank(names), names.blank.dataset());
        let mut asked = vec![&names.live, &blank_of];
        asked.extend(&beside);
        if reach == Reach::All {
            asked.push(&names.old);
        }
        asked.sort();
        asked.dedup();
        let mut rows = commands::list_below(&asked, &names.blank)?;
        if reach == Reach::Youngest {
            let is_there = |name: &ZfsName| rows.iter().any(|row| row.name == name.as_str());
            let is_whole = is_there(&names.live) && is_there(&names.blank);
            rows.extend(match is_whole.then(|| youngest_names(names)).flatten() {
                Some(some) => {
                    let some: Vec<&ZfsName> = [&names.old].into_iter().chain(&some).collect();
                    commands::look(&some, &names.blank)?
                }
                None => commands::list_below(&[&names.old], &names.blank)?,
            });
        }
        let mut found = Self::of_rows(names, rows);
        if found.top.is_none() {
            found.top = commands::look(&[&names.top], &names.blank)?.into_iter().next();
        }
        Ok(found)
    }

    /// Looks at live and at what an exchange of the youngest records' may have left, without blank's row.
    /// Where live or blank is missing, or these records cannot be read, all is looked at.
    pub fn look_for_half_done(of: &Zfs) -> Result<Self> {
        let names = &of.names;
        if let Some(some) = youngest_names(names) {
            let asked: Vec<&ZfsName> = [&names.live].into_iter().chain(&some).collect();
            let found = Self::without_blank(names, commands::look(&asked, &names.blank)?)?;
            if found.live.is_some() && found.blank_id.is_some() {
                return Ok(found);
            }
        }
        Self::look(of, Reach::All)
    }

    /// What these rows are in the layout.
    pub fn of_rows(names: &Names, rows: Vec<Row>) -> Self {
        let named = |name: &ZfsName| rows.iter().find(|row| row.name == name.as_str()).cloned();
        let below = |name: &ZfsName| -> Vec<Row> {
            let is_dataset = |row: &&Row| matches!(row.kind, Kind::FileSystem | Kind::Volume);
            let is_below = |row: &&Row| {
                row.name.rsplit_once('/').is_some_and(|(parent, _)| parent == name.as_str())
            };
            rows.iter().filter(is_dataset).filter(is_below).cloned().collect()
        };
        let beside = beside_blank(names);
        Self {
            inside_live: below(&names.live).into_iter().map(|row| row.name).collect(),
            live: named(&names.live),
            blank: named(&names.blank),
            blank_id: named(&names.blank).as_ref().map(id_of),
            old: named(&names.old),
            old_roots: below(&names.old),
            leftovers: beside.map_or(Vec::new(), |beside| leftover_names(names, &beside, &rows)),
            top: rows.iter().find(|row| row.available.is_some()).cloned(),
            origins: RefCell::default(),
        }
    }

    /// The same for rows that need not have blank's: its identity is asked for by itself.
    pub fn without_blank(names: &Names, rows: Vec<Row>) -> Result<Self> {
        let mut found = Self::of_rows(names, rows);
        found.blank_id = identity_of(&names.blank)?;
        Ok(found)
    }

    /// What a dataset's row is as a tree.
    pub fn slot(&self, of: &Zfs, row: Option<&Row>, name: &TreeName) -> Result<Slot> {
        let Some(row) = row else { return Ok(Slot::Missing) };
        let copy_of = self.copy_of(of, row)?;
        let pristine = match row.written {
            Some(bytes) if copy_of.is_some() && copy_of == self.blank_id => {
                let fresh = match row.fresh {
                    None => self.cost_of_copy(of)?,
                    fresh => fresh,
                };
                Some(bytes == 0 || Some(bytes) == fresh)
            }
            Some(_) | None => None,
        };
        Ok(as_tree(row, name, copy_of, pristine))
    }

    /// Bytes that count as written in a copy of blank from its start, as far as live tells: each costs the
    /// same, and a power cut may come before that is noted for one.
    fn cost_of_copy(&self, of: &Zfs) -> Result<Option<u64>> {
        let Some(live) = &self.live else { return Ok(None) };
        Ok(if self.copy_of(of, live)? == self.blank_id { live.fresh } else { None })
    }

    /// The snapshot whose content it started with: its origin, or blank where that is its own.
    fn copy_of(&self, of: &Zfs, row: &Row) -> Result<Option<TreeId>> {
        let (blank, origin) = (&of.names.blank, row.origin.as_deref());
        let is_blank = row.name == blank.dataset().as_str() || origin == Some(blank.as_str());
        if is_blank && self.blank_id.is_some() {
            return Ok(self.blank_id.clone());
        }
        let Some(origin) = origin else { return Ok(None) };
        if let Some(known) = self.origins.borrow().get(origin) {
            return Ok(known.clone());
        }
        let id = ZfsName::new(origin).ok().map(|name| identity_of(&name)).transpose()?.flatten();
        self.origins.borrow_mut().insert(origin.to_string(), id.clone());
        Ok(id)
    }
}

/// How many records are looked at for what may be half done: the one of the last rollback, and the one before.
const YOUNGEST: usize = 2;

/// The names that an exchange of the youngest records' may have left; `None` where these cannot be read.
fn youngest_names(names: &Names) -> Option<Vec<ZfsName>> {
    let dir = open(&names.old, Access::Read).ok()?;
    let records = Listing::of(dir.as_fd()).ok()?.records;
    let records =
        records.iter().rev().take(YOUNGEST).filter_map(|file| record::stem(file)?.to_str());
    let both = |record| [names.old_root(record), parked_name(names, record)];
    Some(records.flat_map(both).filter_map(Result::ok).collect())
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

/// The dataset that has blank's temporary names.
fn beside_blank(names: &Names) -> Option<ZfsName> {
    let dataset = names.blank.dataset();
    ZfsName::new(format!("{}/.{}", dataset.parent()?, dataset.last())).ok()
}

/// Snapshots with temporary names of blank, by their whole names.
fn leftover_names(names: &Names, beside: &ZfsName, rows: &[Row]) -> Vec<String> {
    let is_left = |row: &&Row| {
        let name = row.name.rsplit('/').next().unwrap_or_default();
        is_snapshot_of(row, beside)
            && atomic_file::is_of(OsStr::new(name), OsStr::new(names.blank.last()))
    };
    rows.iter().filter(is_left).map(|row| row.name.clone()).collect()
}

/// The identity of a dataset or of a snapshot.
pub fn id_of(row: &Row) -> TreeId {
    as_id(row.guid)
}

/// The identity of what has this name.
pub fn identity_of(name: &ZfsName) -> Result<Option<TreeId>> {
    Ok(commands::guid(name)?.map(as_id))
}

/// A guid as an identity.
pub fn as_id(guid: u64) -> TreeId {
    TreeId::new(guid.to_string())
}
