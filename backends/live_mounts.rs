//! Which mounts show a given subvolume: by its number and its file system, never by a path.
//!
//! The kernel's `subvolid=` follows the directory that a mount shows, through renames, exchanges
//! and deletion, also for a bind mount of a directory inside. So it is the truth at any moment,
//! where `subvol=` and the source are only what they were called.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::error::Result;
use crate::every_namespace::{self, BtrfsMount};
use crate::mount_tables::{self, MountTables};
use crate::mountinfo::Mount;
use crate::survey::{LiveMount, SeenBy};

/// So often all is looked at anew while something cannot be told apart: another file system's mount,
/// or the process that sees it, may end between the list and the look, and the next list lacks it.
const LOOKS: usize = 5;

/// So many mounts of a file system are opened to prove which one it is: who has more of one that cannot
/// be opened has made them for that.
const TRIES: usize = 64;

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
    /// There may be more: the time was up before all had been looked at.
    pub more: bool,
}

/// Finds the mounts of the subvolumes `wanted` in every namespace, for as long as there is time.
/// `proc` is the open `/proc`; `is_ours` tells from an open directory whether it lies on the
/// subvolumes' file system.
///
/// At a boot there are none, and the kernel tells so at once. Only where there may be some, or where
/// it does not tell, are the tables of processes read.
pub fn find(
    proc: BorrowedFd<'_>,
    wanted: &BTreeSet<u64>,
    until: Instant,
    mut is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> Result<Found> {
    let mut found = look(proc, wanted, until, &mut is_ours)?;
    for _ in 1..LOOKS {
        if found.more || found.mounts.iter().all(|mount| mount.certain) {
            break;
        }
        found = look(proc, wanted, until, &mut is_ours)?;
    }
    Ok(found)
}

fn look(
    proc: BorrowedFd<'_>,
    wanted: &BTreeSet<u64>,
    until: Instant,
    is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> Result<Found> {
    let listed = match every_namespace::btrfs_mounts(proc, until) {
        Ok(mut listed) => {
            listed.retain(|mount| is_wanted(mount.subvolid, wanted) != Tri::No);
            if listed.is_empty() {
                return Ok(Found::default());
            }
            listed
        }
        // An older kernel, or one that shows us a part only: the tables are left. Where they are too
        // many, our own table still is.
        Err(_) => Vec::new(),
    };
    find_in_tables(proc, wanted, &listed, until, is_ours)
}

/// The same from the tables of processes. Of the mounts that the kernel `listed`, those that no
/// table has are added.
pub fn find_in_tables(
    proc: BorrowedFd<'_>,
    wanted: &BTreeSet<u64>,
    listed: &[BtrfsMount],
    until: Instant,
    is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> Result<Found> {
    let mut tables = mount_tables::all(proc, until)?;
    let devices = listed.iter().map(|mount| mount.dev);
    let proven = file_systems(proc, &mut tables, wanted, devices, until, is_ours);
    let same = |dev| proven.get(&dev).copied().unwrap_or(Tri::Unknown);
    let mut mounts = mounts_of_subvolumes(&tables, |mount| same(mount.dev), wanted);
    let known: BTreeSet<u64> =
        tables.tables.iter().flat_map(|table| &table.mounts).map(|mount| mount.id).collect();
    // With tables that nobody has read, a mount that none has is not one that nobody sees.
    let unseen = listed.iter().filter(|mount| !tables.more && !known.contains(&mount.table_id));
    for mount in unseen {
        let answers = (is_wanted(mount.subvolid, wanted), same(mount.dev));
        if answers.0 != Tri::No && answers.1 != Tri::No {
            let (mount_point, certain) =
                (mount.mount_point.clone(), answers == (Tri::Yes, Tri::Yes));
            mounts.push(LiveMount { mount_point, seen_by: SeenBy::Nobody, certain });
        }
    }
    Ok(Found { mounts, unreadable: tables.unreadable, more: tables.more })
}

/// The mounts that show one of the subvolumes `wanted` or a directory in it. What `same_file_system`
/// cannot tell counts as one, and is marked as uncertain.
pub fn mounts_of_subvolumes(
    tables: &MountTables,
    same_file_system: impl Fn(&Mount) -> Tri,
    wanted: &BTreeSet<u64>,
) -> Vec<LiveMount> {
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| is_btrfs(mount)) {
            let certain = match (shows(mount, wanted), same_file_system(mount)) {
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
    tables: &mut MountTables,
    wanted: &BTreeSet<u64>,
    devices: impl Iterator<Item = (u32, u32)>,
    until: Instant,
    mut is_ours: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
) -> BTreeMap<(u32, u32), Tri> {
    let all = || tables.tables.iter().flat_map(|table| &table.mounts);
    let asked: BTreeSet<(u32, u32)> = all()
        .filter(|mount| is_btrfs(mount) && shows(mount, wanted) != Tri::No)
        .map(|mount| mount.dev)
        .chain(devices)
        .collect();
    let (mut proven, mut tries) = (BTreeMap::new(), BTreeMap::new());
    for table in &tables.tables {
        let mounts = table.mounts.iter().filter(|m| is_btrfs(m) && asked.contains(&m.dev));
        for mount in mounts {
            let answer = proven.entry(mount.dev).or_insert(Tri::Unknown);
            if *answer != Tri::Unknown {
                continue;
            }
            let tried = tries.entry(mount.dev).or_insert(0);
            *tried += 1;
            if *tried > TRIES {
                continue;
            }
            // Mounts of our own table are proven whatever time that takes: nobody else makes those.
            if table.seen_by.is_some() && Instant::now() >= until {
                tables.more = true;
                return proven;
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

fn shows(mount: &Mount, wanted: &BTreeSet<u64>) -> Tri {
    let shown = mount
        .option(b"subvolid")
        .and_then(|value| std::str::from_utf8(&value).ok()?.parse::<u64>().ok());
    is_wanted(shown, wanted)
}

fn is_wanted(shown: Option<u64>, wanted: &BTreeSet<u64>) -> Tri {
    match shown {
        Some(shown) if wanted.contains(&shown) => Tri::Yes,
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
        MountTables {
            tables: vec![MountTable { seen_by: Some(7), mounts }],
            unreadable: 0,
            more: false,
        }
    }

    #[test]
    fn only_the_subvolume_of_the_same_file_system_matches() {
        let table = "\
            1 0 0:1 /root /a rw - btrfs x rw,subvolid=256,subvol=/root\n\
            2 0 0:1 / /top rw - btrfs x rw,subvolid=5,subvol=/\n\
            3 0 0:2 /root /b rw - btrfs y rw,subvolid=256,subvol=/root\n\
            4 0 0:3 / /c rw - tmpfs z rw,subvolid=256\n";
        let same = |mount: &Mount| if mount.dev == (0, 1) { Tri::Yes } else { Tri::No };
        let found = mounts_of_subvolumes(&tables(table), same, &[256].into());
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
        let found = mounts_of_subvolumes(&tables(table), same, &[256].into());
        let shown: Vec<_> = found.iter().map(|m| (&m.mount_point[..], m.certain)).collect();
        assert_eq!(shown, [(&b"/a"[..], false), (b"/b", false)]);
    }
}
