//! Where a tree is mounted at this moment, in every mount namespace that can be read.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use super::Directory;
use crate::error::{Error, Result};
use crate::mount_tables;
use crate::mount_tables::Patience;
use crate::mountinfo::Mount;
use crate::path::TreeName;
use crate::stat::Place;
use crate::survey::LiveMount;

/// The mounts that show the tree `name` of a directory, or a part of the tree, as their root, and whether
/// there may be more.
pub(super) fn of(
    of: &Directory,
    name: &TreeName,
    patience: &Patience,
) -> Result<(Vec<LiveMount>, bool)> {
    let top = of.seen.as_fd();
    let action = || format!("find out where {name} is mounted");
    let failed = |why| Error::io(action(), why);
    let proc = File::open("/proc").map_err(failed)?;
    let path = fs::read_link(format!("/proc/thread-self/fd/{}", top.as_raw_fd()));
    let path = path.map_err(failed)?;
    let mount = Place { dir: top, name: c"." }.stat().map_err(failed)?.mount;
    let tables = patience.look(|until| mount_tables::all(proc.as_fd(), until))?;
    let ours = tables.tables.iter().filter(|table| table.seen_by.is_none());
    let Some(own) = ours.flat_map(|t| &t.mounts).find(|other| Some(other.id) == mount) else {
        let why = "its directory is on a mount that this process's mount table does not show";
        return Err(Error::new(action(), why));
    };
    let Some(above) = own.in_file_system(path.as_os_str().as_bytes()) else {
        return Err(Error::new(action(), "its directory was deleted"));
    };
    let tree = [&b"/"[..], &above, if above.is_empty() { b"" } else { b"/" }, name.as_bytes()];
    let tree = tree.concat();
    let shows = |other: &Mount| other.dev == own.dev && is_within(&other.root, &tree);
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| shows(mount)) {
            let mount_point = mount.mount_point.clone();
            found.push(LiveMount { mount_point, seen_by: table.seen_by.into(), certain: true });
        }
    }
    Ok((found, tables.more))
}

fn is_within(path: &[u8], tree: &[u8]) -> bool {
    path.strip_prefix(tree).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}
