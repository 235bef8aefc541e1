//! Which mounts show a given subvolume: by its number and its file system, never by a path.
//!
//! The kernel's `subvolid=` follows the directory that a mount shows, through renames, exchanges
//! and deletion, also for a bind mount of a directory inside. So it is the truth at any moment,
//! where `subvol=` and the source are only what they were called.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use dirfd::mount_tables::{self, MountTables};
use dirfd::mountinfo::{self, Mount};
use dirfd::sys::mount_calls::{Direction, MountNamespace};
use dirfd::{Result, boundary};
use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};
use rustix::thread::{CapabilitySet, capabilities};

use crate::{LiveMount, SeenBy};

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
    let listed = match btrfs_mounts(proc, until) {
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
    let mut tables = mount_tables::read_mount_tables(proc, until)?;
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

// The Btrfs mounts of every mount namespace, asked of the kernel by number: no path, no process and
// no root directory hides any, and no table has to be written and read for each namespace.
//
// What answers is the whole list or an error: older kernels, and those that let us see but a part,
// leave the question to [`mount_tables`](dirfd::mount_tables). Not told is what is in no namespace:
// mounts that were detached while in use.

/// The inode of the user namespace that the kernel starts with (`PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;
/// How many mounts are looked at between two looks at the clock.
const AT_ONCE: usize = 64;
/// How often a list that others change is made, before the tables are left to tell.
const ATTEMPTS: usize = 8;
/// More than a walk from parent to parent ever takes.
const DEEPEST: usize = 1 << 16;

/// A mount of a Btrfs, in whatever namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtrfsMount {
    /// Its number in mount tables.
    pub table_id: u64,
    /// The file system's device number, as in mount tables.
    pub dev: (u32, u32),
    /// Where it is, from the root of its namespace.
    pub mount_point: Vec<u8>,
    /// The subvolume that it shows, where the kernel tells.
    pub subvolid: Option<u64>,
}

/// All of them. An error where we cannot be sure that the kernel told of every one, `TimedOut` where
/// they were too many; `proc` is the open `/proc`.
///
/// One namespace at a time is kept alive by that, and for no longer than the look takes.
pub fn btrfs_mounts(proc: BorrowedFd<'_>, until: Instant) -> io::Result<Vec<BtrfsMount>> {
    if !sees_everything(proc)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = fs::openat(proc, "thread-self/ns/mnt", flags, Mode::empty())?;
    let own = MountNamespace::of(own)?;
    let mut found = Vec::new();
    add(&own, until, &mut found)?;
    for direction in [Direction::Next, Direction::Previous] {
        let mut at = own.neighbour(direction)?;
        while let Some(namespace) = at {
            add(&namespace, until, &mut found)?;
            at = namespace.neighbour(direction)?;
        }
    }
    Ok(found)
}

/// The kernel passes over namespaces in which we lack `CAP_SYS_ADMIN`. In the first user namespace
/// it is for all of them, since every other one descends from that.
fn sees_everything(proc: BorrowedFd<'_>) -> io::Result<bool> {
    let user = Path::new("thread-self/ns/user");
    let stat = fs::statx(proc, user, AtFlags::empty(), StatxFlags::INO)?;
    let may = capabilities(None)?.effective.contains(CapabilitySet::SYS_ADMIN);
    Ok(stat.stx_ino == FIRST_USER_NAMESPACE && may)
}

fn add(namespace: &MountNamespace, until: Instant, found: &mut Vec<BtrfsMount>) -> io::Result<()> {
    in_time(until)?;
    for (at, id) in ids(namespace, until)?.into_iter().enumerate() {
        if at % AT_ONCE == 0 {
            in_time(until)?;
        }
        let Some(facts) = namespace.facts(id)?.filter(|facts| facts.magic == boundary::BTRFS)
        else {
            continue;
        };
        if let Some(text) = namespace.text(id)? {
            let subvolid = mountinfo::find_option(&text.options, b"subvolid");
            let (table_id, dev, mount_point) = (facts.table_id, facts.dev, text.mount_point);
            let subvolid = subvolid.and_then(|id| std::str::from_utf8(&id).ok()?.parse().ok());
            found.push(BtrfsMount { table_id, dev, mount_point, subvolid });
        }
    }
    Ok(())
}

fn in_time(until: Instant) -> io::Result<()> {
    if Instant::now() < until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// The numbers of all mounts. Where one is mounted or unmounted meanwhile, the list is made again.
fn ids(namespace: &MountNamespace, until: Instant) -> io::Result<Vec<u64>> {
    for _ in 0..ATTEMPTS {
        let top = top_of(namespace, until)?;
        let mut ids = namespace.below(top, || in_time(until))?;
        if ids.len() == namespace.count()? {
            ids.push(top);
            return Ok(ids);
        }
    }
    Err(io::Error::other("the list of mounts does not have as many as there are"))
}

/// The topmost mount. What the kernel takes for the root of a namespace may have others beside it,
/// and our own root directory may be anywhere.
fn top_of(namespace: &MountNamespace, until: Instant) -> io::Result<u64> {
    let mut at = namespace.any()?;
    for step in 0..DEEPEST {
        if step % AT_ONCE == 0 {
            in_time(until)?;
        }
        let parent = namespace.facts(at)?.ok_or(io::ErrorKind::NotFound)?.parent;
        if parent == at {
            return Ok(at);
        }
        at = parent;
    }
    Err(io::Error::other("the namespace has no topmost mount"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirfd::mount_tables::{MountTable, MountTables};
    use dirfd::mountinfo;

    fn tables(table: &str) -> MountTables {
        let mounts = mountinfo::parse_mountinfo(table.as_bytes()).unwrap();
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
