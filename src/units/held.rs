//! Which mounts are held back: a target with data that nothing else has must not be covered, and
//! `apply` is what finds it, before the mount units start.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use backends::fault::change;
use backends::{Error, Result, TreePath};
use rustix::fs::{self, AtFlags, Mode, OFlags};

use super::{HELD, LINKED, name};
use crate::host::{HostRoot, is_not_found};

/// Holds the mounts on these paths back, and no others, until the next call or the next boot.
pub fn set<'p>(host: &HostRoot, paths: impl IntoIterator<Item = &'p TreePath>) -> Result<()> {
    // A path without a unit has nothing to hold back.
    let names = paths.into_iter().filter_map(|path| name::of_mount(path).ok());
    let wanted: BTreeSet<OsString> = names.map(OsString::from).collect();
    update(host, &wanted).map_err(|e| Error::io(format!("hold mounts back in /{HELD}"), e))
}

/// Notes that this boot has linked these paths, until the next boot.
pub fn add_linked<'p>(
    host: &HostRoot,
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<()> {
    let noted = || {
        let there = names(host, LINKED)?;
        let new = paths.into_iter().filter_map(|path| name::of_mount(path).ok());
        let new: Vec<_> = new.map(OsString::from).filter(|name| !there.contains(name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let dir = host.make_dirs(LINKED)?;
        new.iter().try_for_each(|name| hold(dir.as_fd(), name))
    };
    noted().map_err(|e| Error::io(format!("note links in /{LINKED}"), e))
}

/// Those of these paths of which that is noted.
pub fn linked<'p>(
    host: &HostRoot,
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<BTreeSet<TreePath>> {
    let there = names(host, LINKED).map_err(|e| Error::io(format!("look into /{LINKED}"), e))?;
    let is_there =
        |path: &&TreePath| name::of_mount(path).is_ok_and(|name| there.contains(OsStr::new(&name)));
    Ok(paths.into_iter().filter(is_there).cloned().collect())
}

fn names(host: &HostRoot, dir: &str) -> io::Result<BTreeSet<OsString>> {
    match host.names(dir) {
        Ok(names) => Ok(names.into_iter().collect()),
        Err(error) if is_not_found(&error) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn update(host: &HostRoot, wanted: &BTreeSet<OsString>) -> io::Result<()> {
    let there = names(host, HELD)?;
    if there == *wanted {
        return Ok(());
    }
    let dir = host.make_dirs(HELD)?;
    wanted.difference(&there).try_for_each(|name| hold(dir.as_fd(), name))?;
    there.difference(wanted).try_for_each(|name| {
        change("units: let go", || Ok(fs::unlinkat(&dir, name.as_os_str(), AtFlags::empty())?))
    })
}

fn hold(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    change("units: hold", || Ok(fs::openat(dir, name, flags, mode).map(drop)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_says_what_is_held_back() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        set(&host, []).unwrap();
        assert!(!host.has("run").unwrap(), "nothing to hold back, nothing made");
        let paths = ["/var/log", "/a b", "/srv"].map(|path| TreePath::parse(path.as_bytes()));
        let [log, odd, srv] = paths.map(Result::unwrap);
        set(&host, [&log, &odd]).unwrap();
        assert_eq!(host.names(HELD).unwrap(), ["a\\x20b.mount", "var-log.mount"]);
        set(&host, [&log, &srv]).unwrap();
        assert_eq!(host.names(HELD).unwrap(), ["srv.mount", "var-log.mount"]);
        set(&host, []).unwrap();
        assert!(host.names(HELD).unwrap().is_empty());
        // Of links it is noted until the next boot.
        assert!(linked(&host, [&log]).unwrap().is_empty());
        add_linked(&host, [&odd]).unwrap();
        add_linked(&host, [&log]).unwrap();
        assert_eq!(linked(&host, [&log, &odd, &srv]).unwrap(), BTreeSet::from([log, odd]));
    }
}
