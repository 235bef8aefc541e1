//! `<storage>/.blankroot`: what Blankroot itself writes down where it stays.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use backends::{Backend, Tree};
use dirfd::fault::change;
use dirfd::stat::of_open;
use dirfd::{Error, Result, TreePath};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use crate::config::Config;
use crate::host::HostRoot;
use crate::persist::create::open_beneath;

/// Its name.
pub(crate) const OWN_DIR: &str = ".blankroot";

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
    Err(Error::new(action, why)
        .hint("`findmnt` lists what is mounted; the unit that mounts it may have failed"))
}
