//! The storages of early kept paths on a machine: looks, plans, mounts. What `apply --in-initrd` runs
//! before it puts the paths in their places.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use backends::stat::of_open;
use backends::{Error, Result, TreePath};
use rustix::fs::OFlags;

use crate::apply::early;
use crate::facts::fstab;
use crate::host::Machine;
use crate::keep::KeepEntry;
use crate::plan::early::{EarlyPlan, Point, StorageMount, plan};

/// What became of the storages.
#[derive(Debug, Default)]
pub struct Mounted<'p> {
    /// What was mounted.
    pub done: Vec<&'p StorageMount>,
    /// What could not be, and why.
    pub failed: Vec<Error>,
    /// Where something that was needed is missing, by refusal, failure or since a parent is.
    pub missing: Vec<&'p TreePath>,
}

/// Plans the mounts that the storages of `list` need, as the machine's fstab has them.
pub fn look_and_plan(machine: &Machine, list: &[KeepEntry]) -> Result<EarlyPlan> {
    let text = fstab::read(machine.root().as_fd())
        .map_err(|e| Error::io("read etc/fstab of the root", e))?;
    Ok(plan(list, &fstab::entries(&text), |point| look(machine, point)))
}

/// Mounts them. Devices are found below `host`.
pub fn execute<'p>(machine: &Machine, host: &Path, plan: &'p EarlyPlan) -> Mounted<'p> {
    let mut mounted = Mounted::default();
    mounted.missing.extend(plan.refusals.iter().map(|refusal| &refusal.point));
    for new in &plan.mounts {
        if mounted.missing.iter().any(|missing| new.point.is_within(missing)) {
            continue;
        }
        match early::mount(machine, host, new) {
            Ok(()) => mounted.done.push(new),
            Err(error) => {
                mounted.failed.push(error);
                mounted.missing.push(&new.point);
            }
        }
    }
    mounted
}

/// Parts a list into what these places matter to, and the rest.
pub fn part<'p>(
    list: Vec<KeepEntry>,
    places: &[&'p TreePath],
) -> (Vec<(KeepEntry, &'p TreePath)>, Vec<KeepEntry>) {
    let (mut there, mut rest) = (Vec::new(), Vec::new());
    for entry in list {
        match places.iter().find(|place| entry.storage.is_within(place)) {
            Some(place) => there.push((entry, *place)),
            None => rest.push(entry),
        }
    }
    (there, rest)
}

fn look(machine: &Machine, point: &TreePath) -> Point {
    let mount = |path: &TreePath| {
        let opened = machine.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok::<_, io::Error>(of_open(opened.as_fd())?.mount)
    };
    let both = mount(point).and_then(|own| Ok((own, mount(&point.parent().unwrap_or_default())?)));
    match both {
        Ok((own, parent)) if own == parent => Point::Free,
        Ok(_) => Point::Mounted,
        Err(why) if why.raw_os_error() == Some(nix::libc::ELOOP) => {
            let why = "a link lies on the way to it".to_string();
            Point::Unusable(
                why,
                "name the real path, in fstab and in the configuration".to_string(),
            )
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Point::Missing,
        Err(why) => {
            let why = backends::error::describe(&why);
            Point::Unusable(why, "see that its mount point is a directory".to_string())
        }
    }
}
