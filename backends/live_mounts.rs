//! Which mounts show a given subvolume: by its number and its file system, never by a path.
//!
//! The kernel's `subvolid=` follows the directory that a mount shows, through renames, exchanges
//! and deletion, also for a bind mount of a directory inside. So it is the truth at any moment,
//! where `subvol=` and the source are only what they were called.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::Result;
use crate::every_namespace::{self, BtrfsMount};
use crate::mount_tables::{self, MountTables};
use crate::mountinfo::Mount;
use crate::survey::{LiveMount, SeenBy};

/// An answer that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tri {
    /// Proven.
    Yes,
    /// Proven not to be.
    No,
    /// Could not be found out.
    Unknown,
}

/// What was found in all mount tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The mounts of the subvolume.
    pub mounts: Vec<LiveMount>,
    /// Threads whose mount namespace we may not know.
    pub unreadable: usize,
}

/// Finds the mounts of the subvolume `subvolid` in every namespace. `proc` is the open `/proc`;
/// `is_ours` tells from an open directory whether it lies on the subvolume's file system.
///
/// At a boot there are none, and the kernel tells so at once. Only where there may be some, or where
/// it does not tell, are the tables of processes read.
pub fn find(
    proc: BorrowedFd<'_>,
    subvolid: u64,
    is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> Result<Found> {
    let listed = match every_namespace::btrfs_mounts(proc) {
        Ok(mut listed) => {
            listed.retain(|mount| is_number(mount.subvolid, subvolid) != Tri::No);
            if listed.is_empty() {
                return Ok(Found::default());
            }
            listed
        }
        // An older kernel, or one that shows us a part only: the tables are left.
        Err(_) => Vec::new(),
    };
    find_in_tables(proc, subvolid, &listed, is_ours)
}

/// The same from the tables of processes. Of the mounts that the kernel `listed`, those that no
/// table has are added.
pub fn find_in_tables(
    proc: BorrowedFd<'_>,
    subvolid: u64,
    listed: &[BtrfsMount],
    is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> Result<Found> {
    let tables = mount_tables::all(proc)?;
    let devices = listed.iter().map(|mount| mount.dev);
    let proven = file_systems(proc, &tables, subvolid, devices, is_ours);
    let same = |dev| proven.get(&dev).copied().unwrap_or(Tri::Unknown);
    let mut mounts = mounts_of_subvolume(&tables, |mount| same(mount.dev), subvolid);
    let known: BTreeSet<u64> =
        tables.tables.iter().flat_map(|table| &table.mounts).map(|mount| mount.id).collect();
    for mount in listed.iter().filter(|mount| !known.contains(&mount.table_id)) {
        let answers = (is_number(mount.subvolid, subvolid), same(mount.dev));
        if answers.0 != Tri::No && answers.1 != Tri::No {
            let (mount_point, certain) =
                (mount.mount_point.clone(), answers == (Tri::Yes, Tri::Yes));
            mounts.push(LiveMount { mount_point, seen_by: SeenBy::Nobody, certain });
        }
    }
    Ok(Found { mounts, unreadable: tables.unreadable })
}

/// The mounts that show the subvolume `subvolid` or a directory in it. What `same_file_system`
/// cannot tell counts as one, and is marked as uncertain.
pub fn mounts_of_subvolume(
    tables: &MountTables,
    same_file_system: impl Fn(&Mount) -> Tri,
    subvolid: u64,
) -> Vec<LiveMount> {
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| is_btrfs(mount)) {
            let certain = match (shows(mount, subvolid), same_file_system(mount)) {
                (Tri::No, _) | (_, Tri::No) => continue,
                answers => answers == (Tri::Yes, Tri::Yes),
            };
            let mount_point = mount.mount_point.clone();
            found.push(LiveMount { mount_point, seen_by: table.seen_by.into(), certain });
        }
    }
    found
}

/// For each Btrfs file system of which a mount may show `subvolid`, and for `devices`, by its device
/// number, whether it is ours. One mount that can be opened proves it for all mounts with that number; no other mount is
/// opened, since that keeps others from unmounting it for a moment.
fn file_systems(
    proc: BorrowedFd<'_>,
    tables: &MountTables,
    subvolid: u64,
    devices: impl Iterator<Item = (u32, u32)>,
    mut is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> BTreeMap<(u32, u32), Tri> {
    let all = || tables.tables.iter().flat_map(|table| &table.mounts);
    let asked: BTreeSet<(u32, u32)> = all()
        .filter(|mount| is_btrfs(mount) && shows(mount, subvolid) != Tri::No)
        .map(|mount| mount.dev)
        .chain(devices)
        .collect();
    let mut proven = BTreeMap::new();
    for table in &tables.tables {
        let mounts = table.mounts.iter().filter(|m| is_btrfs(m) && asked.contains(&m.dev));
        for mount in mounts {
            let answer = proven.entry(mount.dev).or_insert(Tri::Unknown);
            if *answer != Tri::Unknown {
                continue;
            }
            // A mount that cannot be opened proves nothing; another one of its file system may.
            *answer = match mount_tables::open_mount_point(proc, table.seen_by, mount)
                .and_then(|dir| is_ours(dir.as_fd()))
            {
                Ok(true) => Tri::Yes,
                Ok(false) => Tri::No,
                Err(_) => Tri::Unknown,
            };
        }
    }
    proven
}

fn is_btrfs(mount: &Mount) -> bool {
    mount.fs_type == b"btrfs"
}

fn shows(mount: &Mount, subvolid: u64) -> Tri {
    let shown = mount
        .option(b"subvolid")
        .and_then(|value| std::str::from_utf8(&value).ok()?.parse::<u64>().ok());
    is_number(shown, subvolid)
}

fn is_number(shown: Option<u64>, subvolid: u64) -> Tri {
    match shown {
        Some(shown) if shown == subvolid => Tri::Yes,
        Some(_) => Tri::No,
        None => Tri::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount_tables::{MountTable, MountTables};
    use crate::mountinfo;

    fn tables(table: &str) -> MountTables {
        let mounts = mountinfo::parse(table.as_bytes()).unwrap();
        MountTables { tables: vec![MountTable { seen_by: Some(7), mounts }], unreadable: 0 }
    }

    #[test]
    fn only_the_subvolume_of_the_same_file_system_matches() {
        let table = "\
            1 0 0:1 /root /a rw - btrfs x rw,subvolid=256,subvol=/root\n\
            2 0 0:1 / /top rw - btrfs x rw,subvolid=5,subvol=/\n\
            3 0 0:2 /root /b rw - btrfs y rw,subvolid=256,subvol=/root\n\
            4 0 0:3 / /c rw - tmpfs z rw,subvolid=256\n";
        let same = |mount: &Mount| if mount.dev == (0, 1) { Tri::Yes } else { Tri::No };
        let found = mounts_of_subvolume(&tables(table), same, 256);
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["/a (in the mount namespace of process 7)"]);
    }

    #[test]
    fn what_cannot_be_told_counts_and_is_marked() {
        let table = "\
            1 0 0:1 /root /a rw - btrfs x rw,subvolid=256,subvol=/root\n\
            2 0 0:2 / /b rw - btrfs x rw\n\
            3 0 0:1 / /top rw - btrfs x rw,subvolid=5,subvol=/\n";
        let same = |mount: &Mount| if mount.dev == (0, 2) { Tri::Yes } else { Tri::Unknown };
        let found = mounts_of_subvolume(&tables(table), same, 256);
        let shown: Vec<_> = found.iter().map(|m| (&m.mount_point[..], m.certain)).collect();
        assert_eq!(shown, [(&b"/a"[..], false), (b"/b", false)]);
    }
}
