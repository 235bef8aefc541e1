//! What every call of libbtrfsutil needs: a path below an open directory, and the errno of a failure.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::Subvolume;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result};

/// Makes an empty subvolume at `path`, which nothing has the name of yet.
pub fn create_subvolume(path: &Path) -> Result<()> {
    change("btrfs: create empty subvolume", || with_errno(Subvolume::create(path, None))).map_err(
        |e| {
            let shown = Escaped::of_path(path);
            Error::io(format!("make the subvolume {shown}"), e)
        },
    )
}

/// A path for libbtrfsutil, which takes no descriptors: it leads through the open directory, so
/// that no rename of a parent can make it name another.
pub(crate) fn path_below(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

/// libbtrfsutil's errors carry no errno, but leave it behind in the thread.
pub(crate) fn with_errno<T>(result: btrfsutil::Result<T>) -> io::Result<()> {
    let errno = io::Error::last_os_error();
    match result {
        Ok(_) => Ok(()),
        Err(_) if errno.raw_os_error().is_some_and(|errno| errno != 0) => Err(errno),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
