//! The fast way to tell what differs: the kernel tells which dnodes were written since blank, and a walk of
//! names looks at those alone.
//!
//! A clone keeps the numbers of its origin's objects, and the number of an object is that of its inode. So
//! what has the same number on both sides, and is in no block of dnodes that was written, is the same file
//! to the last bit: its content hangs on its dnode, as its owner, mode, times and extended attributes do.
//! Names are read from directories, and never guessed from the one parent that ZFS notes for a file.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::syncfs;
use rustix::io::Errno;

use super::Zfs;
use super::name::ZfsName;
use super::open::{Access, open};
use super::written::Written;
use crate::FastChanges;
use crate::changes::Changes;
use crate::error::{Error, Result, describe};
use crate::kernel::zfs::{Closed, Door};
use crate::stat::Stat;
use crate::survey::Tree;
use crate::walk::{Known, walk_knowing};

/// What the name of a temporary snapshot starts with.
pub(super) const PREFIX: &str = "blankroot-diff";
/// Seconds before blank was made within which times of change are not trusted. What is in a snapshot was
/// written before the moment that it is dated, by as long as it took to write it out.
const RACY: i64 = 60;

/// What differs in `to` against `from`.
pub fn changes(of: &Zfs, from: &Tree, to: &Tree) -> Result<FastChanges> {
    let door = match Door::open() {
        Ok(door) => door,
        Err(why) => return Ok(FastChanges::Unavailable(closed(why))),
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
    compare(&older, &snapshot, &Since { written, made, is_clock_doubtful: Cell::new(false) })
        .and_then(|changes| expect(&door, &older, from).map(|()| FastChanges::Exact(changes)))
}

/// Walks, and once more without trust in times where they turn out not to deserve it.
fn compare(older: &ZfsName, newer: &ZfsName, since: &Since) -> Result<Changes> {
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

fn closed(why: Closed) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::Place;

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
}
