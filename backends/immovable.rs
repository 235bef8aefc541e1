//! The inode flags that forbid to rename a tree, or to rename within a directory (`chattr(1)`): with one
//! of them the exchange of live and a fresh copy fails, at every boot.

use std::os::fd::AsFd;

use rustix::fs::{IFlags, ioctl_getflags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::survey::Obstacle;

/// What stands in the way if the directory `shown` has such a flag; `mend` says how to clear them.
///
/// Nothing is cleared by itself: whoever set the flag meant the directory to stay, and the flags of
/// blank are what its owner made them.
pub(crate) fn obstacle(
    dir: impl AsFd,
    shown: &str,
    mend: impl FnOnce() -> String,
) -> Result<Option<Obstacle>> {
    let flags = match ioctl_getflags(dir) {
        Ok(flags) => flags,
        // Not every file system has them.
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(None),
        Err(error) => return Err(Error::io(format!("read the flags of {shown}"), error)),
    };
    let flag = if flags.contains(IFlags::IMMUTABLE) {
        "immutable (chattr +i)"
    } else if flags.contains(IFlags::APPEND) {
        "append-only (chattr +a)"
    } else {
        return Ok(None);
    };
    let reason = format!("{shown} is {flag}, so that live cannot be exchanged for a fresh copy");
    Ok(Some(Obstacle { reason, mend: Some(mend()) }))
}
