//! The inode flags that forbid to rename a tree, or to rename within a directory (`chattr(1)`): with one
//! of them the exchange of live and a fresh copy fails, at every boot.

use std::os::fd::AsFd;

use rustix::fs::IFlags;

use crate::error::{Error, Result};
use crate::inode_flags;
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
    let flags = inode_flags::read(dir);
    let flags = flags.map_err(|why| Error::io(format!("read the flags of {shown}"), why))?;
    let Some(flags) = flags else { return Ok(None) };
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
