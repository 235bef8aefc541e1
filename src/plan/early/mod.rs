//! Plans the storages of early kept paths: what of the root's fstab has to be mounted, in the initrd,
//! before such a path can be put in its place. Pure.

mod mounting;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use backends::TreePath;

use super::apply::ancestors;
use crate::facts::fstab::Entry;
use crate::keep::KeepEntry;
use crate::units::way;

pub use mounting::{Source, StorageMount};

/// What is at a mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// A mount.
    Mounted,
    /// A directory to mount over.
    Free,
    /// Nothing.
    Missing,
    /// Something else; the text says what, to follow "cannot mount …: ", and the mend.
    Unusable(String, String),
}

/// The mounts, parents before what lies in them, and what cannot be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlyPlan {
    /// What will be mounted, in order.
    pub mounts: Vec<StorageMount>,
    /// What will not.
    pub refusals: Vec<MountRefusal>,
}

/// Why an entry of fstab cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRefusal {
    /// Where.
    pub point: TreePath,
    /// The number of its line in fstab.
    pub line: usize,
    /// The reason.
    pub why: String,
    /// What to do about it.
    pub mend: String,
}

/// The entries that the initrd puts in their places, and those that they lie in: mounted later, a
/// parent would cover them.
pub fn entries(list: &[KeepEntry]) -> Vec<KeepEntry> {
    let early: BTreeSet<&TreePath> =
        list.iter().filter(|entry| way::in_initrd(entry)).map(|entry| &entry.path).collect();
    let needed = |entry: &&KeepEntry| early.iter().any(|path| path.is_within(&entry.path));
    list.iter().filter(needed).cloned().collect()
}

/// Plans the mounts that the storages of `list` need; `look` tells what is at a mount point.
pub fn plan(list: &[KeepEntry], fstab: &[Entry], look: impl Fn(&TreePath) -> Point) -> EarlyPlan {
    let storages: BTreeSet<&TreePath> = list.iter().map(|entry| &entry.storage).collect();
    let mut points: BTreeSet<TreePath> = storages.iter().flat_map(|path| ancestors(path)).collect();
    points.extend(storages.into_iter().cloned());
    let mut plan = EarlyPlan::default();
    // Sorted by path, so that a parent comes before what lies in it.
    for point in points {
        // Of two entries with the same mount point the first one counts, as for systemd.
        let Some(entry) = fstab.iter().find(|entry| entry.point == point) else { continue };
        if plan.refusals.iter().any(|refused| point.is_within(&refused.point)) {
            continue;
        }
        let hidden = plan.mounts.iter().any(|mount| point.is_within(&mount.point));
        match mount(entry, if hidden { Point::Free } else { look(&point) }) {
            Ok(mount) => plan.mounts.extend(mount),
            Err((why, mend)) => {
                plan.refusals.push(MountRefusal { point, line: entry.line, why, mend });
            }
        }
    }
    plan
}

fn mount(entry: &Entry, point: Point) -> Result<Option<StorageMount>, (String, String)> {
    match point {
        Point::Mounted => Ok(None),
        Point::Free => StorageMount::of(entry).map(Some),
        Point::Missing => {
            let why = "its mount point is not there".to_string();
            let mend =
                format!("make the directory {} in blank, where each boot finds it", entry.point);
            Err((why, mend))
        }
        Point::Unusable(why, mend) => Err((why, mend)),
    }
}

impl fmt::Display for MountRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, line, why, mend } = self;
        write!(f, "cannot mount {point} (line {line} of /etc/fstab): {why}\n  mend: {mend}")
    }
}

impl fmt::Display for EarlyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mount) in self.mounts.iter().enumerate() {
            writeln!(f, "{}. {mount}", at + 1)?;
        }
        Ok(())
    }
}
