//! Locks the configuration that a command is about to edit, and writes it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backends::lock::{FileLock, patiently};
use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};

/// Bytes of the configuration's name that its lock's name has.
const LOCK_STEM: usize = 230;

/// Keeps every other command from editing the configuration, from before it is read until the lock is
/// dropped; `waiting` is called if it has to wait. Nobody else can open what is locked, which lies
/// beside the configuration, since that is another file whenever it was written.
pub fn lock_config(path: &Path, waiting: impl FnOnce()) -> Result<FileLock> {
    let action = || format!("change {}", Escaped::of_path(path));
    let name = path.file_name().unwrap_or_default().as_bytes();
    let name = [b".", name.get(..LOCK_STEM).unwrap_or(name), b".lock"].concat();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = File::open(parent.unwrap_or(Path::new(".")));
    let dir = dir.map_err(|why| Error::io(action(), why))?;
    let lock = || FileLock::take(dir.as_fd(), OsStr::from_bytes(&name), action);
    patiently(lock, waiting).map_err(|error| match error.cause() {
        Cause::ReadOnly => error.hint("declare it where the file is made"),
        _ => error,
    })
}

/// Writes the configuration, unless somebody else has changed it since it was read.
pub(crate) fn rewrite_config(path: &Path, before: &str, after: &str) -> Result<()> {
    let shown = Escaped::of_path(path).to_string();
    let failed = |why| Error::io(format!("write {shown}"), why);
    let name = path.file_name().unwrap_or_default();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = File::open(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    let now = atomic_file::read(dir.as_fd(), Path::new(name)).map_err(failed)?;
    if now != before.as_bytes() {
        return Err(Error::new(format!("write {shown}"), "it was changed meanwhile")
            .hint("run the command again"));
    }
    atomic_file::rewrite(dir.as_fd(), name, after.as_bytes()).map_err(|why| {
        let read_only = why.kind() == io::ErrorKind::ReadOnlyFilesystem;
        let error = failed(why);
        if read_only { error.hint("declare it where the file is made") } else { error }
    })
}
