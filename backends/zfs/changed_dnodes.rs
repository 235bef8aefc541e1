//! The fast way to tell what differs: the kernel tells which dnodes were written since blank, and a walk of
//! names looks at those alone.
//!
//! A clone keeps the numbers of its origin's objects, and the number of an object is that of its inode. So
//! what has the same number on both sides, and is in no block of dnodes that was written, is the same file
//! to the last bit: its content hangs on its dnode, as its owner, mode, times and extended attributes do.
//! Names are read from directories, and never guessed from the one parent that ZFS notes for a file.

use std::cell::Cell;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;

use dirfd::compare_trees::{Known, walk_knowing};
use dirfd::error::describe;
use dirfd::stat::Stat;
use dirfd::{Changes, Error, Result};
use rustix::fs::syncfs;
use rustix::io::Errno;

use crate::sys::zfs_ioctls::{Closed, Door};
use crate::zfs::Zfs;
use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::ZfsName;
use crate::{FastChanges, Tree};

/// What the name of a temporary snapshot starts with.
pub(crate) const PREFIX: &str = "blankroot-diff";
/// Seconds before blank was made within which times of change are not trusted. What is in a snapshot was
/// written before the moment that it is dated, by as long as it took to write it out.
const RACY: i64 = 60;

/// What differs in `to` against `from`.
pub fn changes(of: &Zfs, from: &Tree, to: &Tree) -> Result<FastChanges> {
    let door = match Door::open() {
        Ok(door) => door,
        Err(why) => return Ok(FastChanges::Unavailable(close_transaction(why))),
    };
    let (older, newer) = (of.name(from)?, of.name(to)?);
    if older.snapshot().is_none() {
        return Ok(FastChanges::Unavailable(format!(
            "ZFS compares with a snapshot, not with {older}"
        )));
    }
    expect(&door, &older, from)?;
    let snapshot = match newer.snapshot() {
        Some(_) => newer.clone(),
        None => {
            write_out(&newer)?;
            match temporary_snapshot(&door, &newer)? {
                Ok(snapshot) => snapshot,
                Err(why) => return Ok(FastChanges::Unavailable(why)),
            }
        }
    };
    expect(&door, &newer, to)?;
    let records = match door.diff(older.as_str(), snapshot.as_str()) {
        Ok(records) => records,
        Err(why) => return Ok(FastChanges::Unavailable(no_diff(&why, &older, &newer))),
    };
    let written = match Written::parse(&records) {
        Ok(written) => written,
        Err(why) => return Ok(FastChanges::Unavailable(format!("of what the kernel told {why}"))),
    };
    let made = from.created.map(|made| made.timestamp());
    // The walk's own descriptors are closed before the door is: what is mounted cannot be destroyed.
    compare_by_dnodes(
        &older,
        &snapshot,
        &Since { written, made, is_clock_doubtful: Cell::new(false) },
    )
    .and_then(|changes| expect(&door, &older, from).map(|()| FastChanges::Exact(changes)))
}

/// Walks, and once more without trust in times where they turn out not to deserve it.
fn compare_by_dnodes(older: &ZfsName, newer: &ZfsName, since: &Since) -> Result<Changes> {
    let (older, newer) = (open(older, Access::Read)?, open(newer, Access::Read)?);
    let walk = |since| walk_knowing(older.as_fd(), newer.as_fd(), since, &|_| {});
    let changes = walk(since)?;
    if !since.is_clock_doubtful.get() {
        return Ok(changes);
    }
    let written = since.written.clone();
    walk(&Since { written, made: None, is_clock_doubtful: Cell::new(true) })
}

/// What was written since a snapshot.
struct Since {
    written: Written,
    /// When the snapshot was made, in seconds; `None` if times are not to be trusted.
    made: Option<i64>,
    is_clock_doubtful: Cell<bool>,
}

impl Known for Since {
    fn is_unchanged(&self, inode: u64) -> bool {
        !self.written.contains(inode)
    }

    /// Most of those whose dnodes share a block with a changed one are told by the time of the last change,
    /// which nobody can set, and which ZFS leaves as it is when flags are set. Only a clock that was set back
    /// could show the same time again: that of a file that was changed since, but by its time before, gives
    /// it away.
    fn is_same_but_for_flags(&self, was: &Stat, is: &Stat) -> bool {
        let Some(made) = self.made else { return false };
        if was.inode != is.inode {
            return false;
        }
        if was.changed != is.changed {
            if is.changed.0 < made - RACY {
                self.is_clock_doubtful.set(true);
            }
            return false;
        }
        let rest = |stat: &Stat| (stat.facts, stat.links, stat.born, stat.stands_for);
        rest(was) == rest(is) && was.changed.0 < made - RACY
    }
}

/// Fails unless `name` is that of this tree.
fn expect(door: &Door, name: &ZfsName, tree: &Tree) -> Result<()> {
    match door.guid(name.as_str()) {
        Ok(guid) if guid.to_string() == tree.id.as_str() => Ok(()),
        Ok(_) => Err(super::another_tree(name)),
        Err(why) => Err(Error::io(format!("look at {name}"), why)),
    }
}

/// Hands over what programs have written to files that they have mapped: a snapshot has what ZFS has, and
/// that is only in the page cache.
fn write_out(dataset: &ZfsName) -> Result<()> {
    let root = open(dataset, Access::Read)?;
    syncfs(&root).map_err(|e| Error::io(format!("write out {dataset}"), io::Error::from(e)))
}

fn temporary_snapshot(door: &Door, dataset: &ZfsName) -> Result<Result<ZfsName, String>> {
    let prefix = format!("{PREFIX}-{}", std::process::id());
    let name = match door.temporary_snapshot(dataset.as_str(), &prefix) {
        Ok(name) => name,
        Err(why) => return Ok(Err(no_snapshot(&why, dataset))),
    };
    let wrong = |why| Error::new(format!("use the snapshot `{name}` of {dataset}"), why);
    dataset.at(&name).map(Ok).map_err(wrong)
}

fn close_transaction(why: Closed) -> String {
    match why {
        Closed::Unknown(version) => {
            format!("version {version} of ZFS is none whose answers blankroot understands")
        }
        Closed::Failed(why) => format!("ZFS cannot be asked: {}", describe(&why)),
    }
}

fn no_snapshot(why: &io::Error, dataset: &ZfsName) -> String {
    match Errno::from_io_error(why) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "only root may make the temporary snapshot that the fast way needs".into()
        }
        Some(Errno::ROFS) => {
            format!("the pool {} is read-only, and has no temporary snapshot", dataset.pool())
        }
        Some(Errno::NOSPC | Errno::DQUOT) => {
            format!("there is no room for a temporary snapshot of {dataset}")
        }
        Some(Errno::NAMETOOLONG) => {
            format!("the name {dataset} is too long for a temporary snapshot")
        }
        _ => format!("ZFS made no temporary snapshot of {dataset}: {}", describe(why)),
    }
}

fn no_diff(why: &io::Error, from: &ZfsName, to: &ZfsName) -> String {
    match Errno::from_io_error(why) {
        Some(Errno::XDEV) => format!("{to} does not stem from {from}"),
        _ => format!("ZFS did not tell what was written since {from}: {}", describe(why)),
    }
}

// Which inodes were written between two snapshots, as the kernel tells it: a pure function of its records.

/// Bytes of `dmu_diff_record_t`, include/sys/zfs_ioctl.h: type, first and last object, each a `u64`.
const RECORD: usize = 24;
/// `DDR_INUSE`: these objects are there in the newer snapshot.
const IN_USE: u64 = 2;
/// `DDR_FREE`: and these are not.
const FREE: u64 = 4;

/// Numbers of objects, which are those of inodes. More than were changed: the kernel compares blocks of
/// dnodes, of which one has up to 32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Ascending, with a gap between two.
    ranges: Vec<RangeInclusive<u64>>,
}

impl Written {
    /// Reads what the kernel wrote; the error says what is wrong with it.
    pub fn parse(records: &[u8]) -> Result<Self, &'static str> {
        let (records, rest) = records.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return Err("a record is cut short");
        }
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let (fields, _) = record.as_chunks::<8>();
            let fields = fields.iter().map(|bytes| u64::from_ne_bytes(*bytes));
            let [kind, first, last] = fields.collect::<Vec<u64>>()[..] else {
                return Err("a record is cut short");
            };
            if ![IN_USE, FREE].contains(&kind) || first > last {
                return Err("a record makes no sense");
            }
            found.push((first, last));
        }
        found.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for (first, last) in found {
            match ranges.last_mut() {
                Some(before) if first <= before.end().saturating_add(1) => {
                    *before = *before.start()..=last.max(*before.end());
                }
                _ => ranges.push(first..=last),
            }
        }
        Ok(Self { ranges })
    }

    /// Whether the object may have been written.
    pub fn contains(&self, object: u64) -> bool {
        let at = self.ranges.partition_point(|range| *range.end() < object);
        self.ranges.get(at).is_some_and(|range| range.contains(&object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirfd::stat::Place;

    fn since() -> Since {
        let written = Written::parse(b"").unwrap_or_default();
        Since { written, made: Some(1_000_000), is_clock_doubtful: Cell::new(false) }
    }

    /// A file that was changed last at this second, and is this long.
    fn file(changed: i64, size: u64) -> Stat {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let mut stat = Place { dir: root.as_fd(), name: c"." }.stat().unwrap();
        (stat.inode, stat.born, stat.links) = (7, None, 1);
        (stat.facts.mtime, stat.facts.mtime_nanos, stat.facts.size) = (0, 0, size);
        Stat { changed: (changed, 5), ..stat }
    }

    #[test]
    fn a_time_of_change_tells_only_of_what_is_well_before_blank() {
        let since = since();
        let same = |was: &Stat, is: &Stat| since.is_same_but_for_flags(was, is);
        assert!(same(&file(900_000, 1), &file(900_000, 1)));
        assert!(!same(&file(900_000, 1), &file(900_000, 2)));
        assert!(!same(&file(900_000, 1), &file(1_000_001, 1)));
        assert!(!same(&file(1_000_000, 1), &file(1_000_000, 1)));
        assert!(!same(&file(999_950, 1), &file(999_950, 1)));
        assert!(!since.is_clock_doubtful.get());
    }

    #[test]
    fn a_number_that_was_given_out_again_is_another_file() {
        let since = since();
        let was = Stat { born: Some((800_000, 1)), ..file(900_000, 1) };
        assert!(since.is_same_but_for_flags(&was, &was));
        let again = Stat { born: Some((800_000, 2)), ..was };
        assert!(!since.is_same_but_for_flags(&was, &again));
        let elsewhere = Stat { inode: 8, ..was };
        assert!(!since.is_same_but_for_flags(&was, &elsewhere));
    }

    #[test]
    fn a_clock_that_was_set_back_gives_itself_away() {
        let since = since();
        assert!(!since.is_same_but_for_flags(&file(900_000, 1), &file(900_001, 1)));
        assert!(since.is_clock_doubtful.get());
    }

    fn record(kind: u64, first: u64, last: u64) -> Vec<u8> {
        [kind, first, last].map(u64::to_ne_bytes).concat()
    }

    #[test]
    fn ranges_are_joined_and_their_ends_belong_to_them() {
        let records = [record(2, 64, 95), record(4, 96, 127), record(2, 0, 31)].concat();
        let written = Written::parse(&records).unwrap();
        assert_eq!(written.ranges, [0..=31, 64..=127]);
        let inside = [0, 31, 64, 96, 127].map(|object| written.contains(object));
        let outside = [32, 63, 128, u64::MAX].map(|object| written.contains(object));
        assert_eq!((inside, outside), ([true; 5], [false; 4]));
        assert!(!Written::default().contains(0));
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        let whole = record(2, 1, 2);
        assert!(Written::parse(&whole[..23]).is_err());
        assert!(Written::parse(&record(1, 1, 2)).is_err());
        assert!(Written::parse(&record(2, 2, 1)).is_err());
        assert_eq!(Written::parse(b""), Ok(Written::default()));
    }
}
