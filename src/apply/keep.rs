//! Does the steps for the keep list, one after the other, and decides nothing.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backends::copy::copy_tree;
use backends::fault::change;
use backends::path::Escaped;
use backends::walk::walk;
use backends::{Error, Result, TreePath};
use rustix::fs;

use crate::host::HostRoot;
use crate::plan::KeepStep;

/// Does the steps; `done` hears of each that took effect.
pub fn keep(
    steps: &[KeepStep],
    live: &HostRoot,
    storage: &HostRoot,
    mut done: impl FnMut(&KeepStep),
) -> Result<()> {
    for step in steps {
        match step {
            KeepStep::Copy { path, data, .. } => copy(live, path, storage, data)?,
            KeepStep::Link { path, target } => link(live, path, target)?,
        }
        done(step);
    }
    Ok(())
}

/// Copies, makes durable and compares.
fn copy(live: &HostRoot, path: &TreePath, storage: &HostRoot, data: &TreePath) -> Result<()> {
    let action = || format!("copy {path} into storage");
    let failed = |e| Error::io(action(), e);
    let from = live.dir(path.as_path()).map_err(failed)?;
    let (parent, name) = parent_and_name(storage, data, &action)?;
    let name = CString::new(name.as_bytes()).map_err(|e| Error::new(action(), e))?;
    copy_tree(from.as_fd(), parent.as_fd(), &name)?;
    change("keep: sync storage", || Ok(fs::syncfs(&parent)?)).map_err(failed)?;
    let copied = storage.dir(data.as_path()).map_err(failed)?;
    let differences = walk(from.as_fd(), copied.as_fd(), &|_| {})?;
    match differences.iter().next() {
        None => Ok(()),
        Some(first) => Err(Error::new(action(), format!("the copy differs at {}", first.path))
            .mend("end the programs that write there, remove the copy, and try again")),
    }
}

fn link(live: &HostRoot, path: &TreePath, target: &[u8]) -> Result<()> {
    let action = || format!("link {path} to {}", Escaped(target));
    let (parent, name) = parent_and_name(live, path, &action)?;
    change("keep: link", || Ok(fs::symlinkat(OsStr::from_bytes(target), &parent, name)?))
        .map_err(|e| Error::io(action(), e))
}

/// The directory that holds `path`, made if it is missing, and the name in it.
fn parent_and_name<'p>(
    root: &HostRoot,
    path: &'p TreePath,
    action: &dyn Fn() -> String,
) -> Result<(OwnedFd, &'p OsStr)> {
    let path = path.as_path();
    let Some(name) = path.file_name() else {
        return Err(Error::new(action(), "it is the root itself"));
    };
    let parent = root.make_dirs(path.parent().unwrap_or(Path::new("")));
    Ok((parent.map_err(|e| Error::io(action(), e))?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_copied_whole_and_linked_back() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Path::new("var").join(OsStr::from_bytes(b"a b\n\xff"));
        let (live, persist) = (dir.path().join("live"), dir.path().join("live/persist"));
        std::fs::create_dir_all(live.join(&kept).join("sub")).unwrap();
        std::fs::create_dir(&persist).unwrap();
        std::fs::write(live.join(&kept).join("sub/file"), "content").unwrap();
        let roots = [&live, &persist].map(|path| HostRoot::open(path).unwrap());
        let path = TreePath::parse(kept.as_os_str().as_bytes()).unwrap();
        let storage = TreePath::parse(b"persist").unwrap();
        let steps = [KeepStep::Copy { path: path.clone(), storage, data: path.clone() }];
        keep(&steps, &roots[0], &roots[1], |_| {}).unwrap();
        // What is there already is not overwritten.
        assert!(keep(&steps, &roots[0], &roots[1], |_| {}).is_err());

        let fresh = dir.path().join("fresh");
        std::fs::create_dir(&fresh).unwrap();
        std::os::unix::fs::symlink("../live/persist", fresh.join("persist")).unwrap();
        let root = HostRoot::open(&fresh).unwrap();
        let target = [b"../persist/", path.as_bytes()].concat();
        let steps = [KeepStep::Link { path, target }];
        keep(&steps, &root, &roots[1], |_| {}).unwrap();
        assert_eq!(std::fs::read(fresh.join(&kept).join("sub/file")).unwrap(), b"content");
        assert!(keep(&steps, &root, &roots[1], |_| {}).is_err());
    }
}
