//! The Btrfs mounts of every mount namespace, asked of the kernel by number: no path, no process and
//! no root directory hides any, and no table has to be written and read for each namespace.
//!
//! What answers is the whole list or an error: older kernels, and those that let us see but a part,
//! leave the question to [`mount_tables`](crate::mount_tables). Not told is what is in no namespace:
//! mounts that were detached while in use.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};
use rustix::thread::{CapabilitySet, capabilities};

use crate::kernel::mount_namespaces::{Direction, MountNamespace};
use crate::magic;
use crate::mountinfo;

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
        let Some(facts) = namespace.facts(id)?.filter(|facts| facts.magic == magic::BTRFS) else {
            continue;
        };
        if let Some(text) = namespace.text(id)? {
            let subvolid = mountinfo::option(&text.options, b"subvolid");
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
