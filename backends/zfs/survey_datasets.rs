//! Reads what is on the pool: live, blank, old roots, half-done work, room.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};

use chrono::DateTime;
use dirfd::{Error, Result, TreeName, atomic_file};
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::old_roots::{OldRoots, Reach};
use crate::record::{self, Listing};
use crate::survey::Mounts;
use crate::zfs::dataset_mounts::{self, Access, open};
use crate::zfs::dataset_name::{Names, ZfsName};
use crate::zfs::obstacles::{self, doubt};
use crate::zfs::output::{Kind, Pool, Row, is_snapshot_of};
use crate::zfs::{Zfs, changed_dnodes, commands, interrupted_exchange};
use crate::{
    Kinship, Obstacle, OldRoot, Record, Slot, Space, Stubs, Survey, Tree, TreeId, Unfinished,
    kinship,
};

/// Bytes that a record, a clone and three new names may take, with room to spare: each is a transaction
/// that ZFS refuses on a pool that is almost full.
const NEEDED: u64 = 2 << 20;

/// Everything that a planner may know.
pub fn survey(of: &Zfs, pool: &Pool, reach: Reach, look_for: Mounts<'_>) -> Result<Survey> {
    // What was written and is still in memory would pass for never written. Who may not ask for it gets
    // what the disk has.
    if geteuid().is_root() && !pool.is_read_only {
        commands::sync(of.names.top.pool())?;
    }
    let found = Found::look(of, reach)?;
    let live = found.slot(of, found.live.as_ref(), &of.layout.live)?;
    let mut obstacles = obstacles::of(of, &found, pool);
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
    let (live_mounts, more_live_mounts) = match (&found.live, look_for) {
        (Some(_), Mounts::OfLive(patience)) => dataset_mounts::of(&of.names.live, patience)?,
        (Some(_), Mounts::NotLookedFor) => (Vec::new(), true),
        (None, _) => (Vec::new(), false),
    };
    Ok(Survey {
        file_system: pool.guid.to_string(),
        blank,
        kinship,
        tells_copies: false,
        live,
        has_old_dir: found.old.is_some(),
        old_roots: old.roots,
        unfinished: old.unfinished,
        other_lives: old.other_lives,
        hold: old.hold,
        live_mounts,
        more_live_mounts,
        // Other datasets are no part of live's tree: they are an obstacle.
        nested: Vec::new(),
        stubs: Some(Stubs::default()),
        immovable: obstacles::immovable(of, &found)?,
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
            None => plain(&dir, last),
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
        left => doubt(left, &datasets),
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

/// A name that no dataset has.
fn plain(dir: &OwnedFd, name: &OsStr) -> Result<Slot> {
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

// What is on the pool under the names of a layout, and what of it a rollback has to look at.

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
            rows.extend(match is_whole.then(|| youngest(names)).flatten() {
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
        if let Some(some) = youngest(names) {
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
            leftovers: beside.map_or(Vec::new(), |beside| leftovers(names, &beside, &rows)),
            top: rows.iter().find(|row| row.available.is_some()).cloned(),
            origins: RefCell::default(),
        }
    }

    /// The same for rows that need not have blank's: its identity is asked for by itself.
    pub fn without_blank(names: &Names, rows: Vec<Row>) -> Result<Self> {
        let mut found = Self::of_rows(names, rows);
        found.blank_id = identity(&names.blank)?;
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
        let id = ZfsName::new(origin).ok().map(|name| identity(&name)).transpose()?.flatten();
        self.origins.borrow_mut().insert(origin.to_string(), id.clone());
        Ok(id)
    }
}

/// How many records are looked at for what may be half done: the one of the last rollback, and the one before.
const YOUNGEST: usize = 2;

/// The names that an exchange of the youngest records' may have left; `None` where these cannot be read.
fn youngest(names: &Names) -> Option<Vec<ZfsName>> {
    let dir = open(&names.old, Access::Read).ok()?;
    let records = Listing::of(dir.as_fd()).ok()?.records;
    let records =
        records.iter().rev().take(YOUNGEST).filter_map(|file| record::stem(file)?.to_str());
    let both = |record| [names.old_root(record), interrupted_exchange::parked_name(names, record)];
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
fn leftovers(names: &Names, beside: &ZfsName, rows: &[Row]) -> Vec<String> {
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
pub fn identity(name: &ZfsName) -> Result<Option<TreeId>> {
    Ok(commands::guid(name)?.map(as_id))
}

/// A guid as an identity.
pub fn as_id(guid: u64) -> TreeId {
    TreeId::new(guid.to_string())
}
