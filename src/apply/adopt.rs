//! Copies what live has to its place in storage: whole, durable and compared before it has its name.

use std::ffi::CString;
use std::os::fd::AsFd;

use backends::copy::aside::Aside;
use backends::stat::Place;
use backends::{Error, Result, TreePath};
use rustix::fs::OFlags;

use crate::host::Machine;

/// Copies `path` to `source`, which nothing must have. `progress` is told of names and bytes.
pub fn adopt(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let failed = |why| Error::io(format!("copy {path} to {source}"), why);
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
    let to = crate::host::beneath::open(dir, parent.as_path(), flags).map_err(failed)?;
    let from = Place { dir: from.as_fd(), name: &from_name };
    let to = Place { dir: to.as_fd(), name: &to_name };
    Aside::make(from, to, (path, source), progress)?.name().map(drop)
}
