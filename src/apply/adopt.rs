//! Copies what live has to its place in storage: whole, durable and compared before it has its name.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use backends::copy::Copied;
use backends::copy::aside::Aside;
use backends::fault::change;
use backends::stat::Place;
use backends::{Error, Result, TreePath};
use rustix::fs::OFlags;

use crate::host::{Machine, beneath, making};

/// Told of names and bytes.
type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Copies `path` to `source`, which nothing must have; returns the nested subvolumes that hold
/// something, which are no part of the copy.
pub fn new(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    progress: Progress<'_>,
) -> Result<Copied> {
    copy(machine, path, source, progress)?.name()
}

/// Copies `path` to `source`. What has that name is told to `set_aside` under its next one as soon
/// as it has it. Returns the same as [`new`].
pub fn instead(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    set_aside: &mut dyn FnMut(TreePath),
    progress: Progress<'_>,
) -> Result<Copied> {
    let copy = copy(machine, path, source, progress)?;
    let failed = |why| Error::io(format!("put the copy of {path} in the place of {source}"), why);
    match making::supersede(copy.place(), copy.dir(), source.name().unwrap_or_default()) {
        Ok(aside) => {
            set_aside(source.parent().unwrap_or_default().join(aside.as_bytes()));
            change("apply: sync directory", || making::sync_dir(copy.dir())).map_err(failed)?;
            copy.finish()
        }
        Err(why) => {
            // Best effort: nobody else can enter the directory that it is in.
            let _ = copy.discard();
            Err(failed(why))
        }
    }
}

/// A finished copy, which has no name yet.
fn copy(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    progress: Progress<'_>,
) -> Result<Aside> {
    let failed = |why: io::Error| Error::io(format!("copy {path} to {source}"), why);
    let name_of = |path: &TreePath| {
        let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
        CString::new(name).map_err(|why| failed(why.into()))
    };
    let (from_name, to_name) = (name_of(path)?, name_of(source)?);
    let from = machine.parent_of(path).map_err(failed)?;
    let parent = source.parent().unwrap_or_default();
    // Open for reading, so that it can be made durable.
    let dir = machine.base_of(source);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let to = beneath::open(dir, parent.as_path(), flags).map_err(failed)?;
    let from = Place { dir: from.as_fd(), name: &from_name };
    let place = Place { dir: to.as_fd(), name: &to_name };
    let copy = Aside::make(from, place, dir, (path, source), progress);
    copy.map_err(|why| with_mend(why, &parent))
}

/// The two sides may be on two file systems: it is told which one has no room.
fn with_mend(why: Error, parent: &TreePath) -> Error {
    match why.errno() {
        Some(nix::libc::ENOSPC | nix::libc::EDQUOT) => why.mend(format!(
            "make room on the file system of {parent}, and run this again; until then all is as it \
             was"
        )),
        _ => why,
    }
}
