//! `<storage>/.blankroot`: what Blankroot itself writes down where it stays.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use backends::{Backend, Tree};
use dirfd::cause::Cause;
use dirfd::fault::change;
use dirfd::stat::of_open;
use dirfd::{Error, Result, TreePath, atomic_file, directory_walker};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::config::Config;
use crate::host::HostRoot;
use crate::persist::create::open_beneath;

/// Its name.
pub(crate) const OWN_DIR: &str = ".blankroot";

const NOT_MOUNTED: &str =
    "`findmnt` lists what is mounted; the unit that mounts it may have failed";

/// The storage that it lies in: the first that is in force.
pub(crate) fn storage_of_own_directory(config: &Config) -> Option<&TreePath> {
    config.storages.iter().find(|storage| storage.enable).map(|storage| &storage.path)
}

/// Opens it; `None` if there is none. One that others may write in is not ours.
pub(crate) fn open_own_directory(
    host: &HostRoot,
    storage: &TreePath,
) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = match open_beneath(host.as_fd(), storage.as_path(), flags) {
        Ok(root) => root,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(&root, OWN_DIR, flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(None),
        Err(why) => return Err(why.into()),
    };
    let facts = of_open(dir.as_fd())?.facts;
    if facts.uid != rustix::process::geteuid().as_raw() || facts.mode & 0o022 != 0 {
        return Err(io::Error::other(format!("others may write in its directory {OWN_DIR}")));
    }
    Ok(Some(dir))
}

/// The same, and makes it where it is missing; the storage itself must be there.
pub(crate) fn make_own_directory(host: &HostRoot, storage: &TreePath) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = open_beneath(host.as_fd(), storage.as_path(), flags)?;
    let made = change("own directory: mkdir", || Ok(mkdirat(&root, OWN_DIR, Mode::RWXU)?));
    match made {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
        _ => open_own_directory(host, storage)?.ok_or_else(|| Errno::NOENT.into()),
    }
}

/// Refuses a storage that is a directory of live, since nothing is mounted there: what is written into it goes with
/// live. One that is not there at all is told by whoever writes. `action` completes "cannot …".
pub(crate) fn refuse_storage_in_live(
    backend: &dyn Backend,
    live: &Tree,
    host: &HostRoot,
    storage: &TreePath,
    action: &str,
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(dir) = open_beneath(host.as_fd(), storage.as_path(), flags) else { return Ok(()) };
    if backend.identify(dir.as_fd())?.as_ref() != Some(&live.id) {
        return Ok(());
    }
    let why = format!("nothing is mounted at {storage}, so that it would go with the root");
    Err(Error::new(action, why).hint(NOT_MOUNTED))
}

/// Removes what was left by somebody who was cut off while a file was written whose name `is_ours`. Of other files
/// somebody may be writing one now.
pub(crate) fn remove_unfinished(
    dir: BorrowedFd<'_>,
    is_ours: impl Fn(&OsStr) -> bool,
) -> io::Result<()> {
    for name in directory_walker::list_names(dir)? {
        let name = OsStr::from_bytes(name.to_bytes());
        if atomic_file::stem(name).is_some_and(&is_ours) {
            let unlink = || Ok(unlinkat(dir, name, AtFlags::empty())?);
            change("own directory: unlink unfinished", unlink)?;
        }
    }
    Ok(())
}

/// Why something could not be written into the directory; `action` completes "cannot …".
pub(crate) fn failed_to_write(action: String, storage: &TreePath, why: io::Error) -> Error {
    match Cause::of(&why) {
        Cause::NotFound => Error::new(action, "the storage is not there").hint(NOT_MOUNTED),
        _ => Error::io(action, why).hint(format!("look at {storage}/{OWN_DIR}")),
    }
}
