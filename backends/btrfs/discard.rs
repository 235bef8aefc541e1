//! Deletes subvolumes by number, those inside them first, and never one that is in use.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::search::{self, default_subvolume, nested};
use super::top::Top;
use crate::descent;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::inode_flags;
use crate::kernel::btrfs as ioctl;
use crate::mount_tables::cannot_tell;

/// The subvolume `id` and all that are inside it, each after the one that holds it; an error if one
/// of them is in use.
pub fn all_in(top: &Top, id: u64, action: &str) -> Result<Vec<u64>> {
    let mut order = vec![id];
    let mut at = 0;
    while let Some(&parent) = order.get(at) {
        order.extend(nested(top, parent)?.iter().map(|child| child.id));
        at += 1;
    }
    let default = default_subvolume(top)?;
    for &id in &order {
        if id == default {
            let action = format!("{action} (subvolume {id})");
            return Err(Error::new(action, "it is the default subvolume"));
        }
    }
    // The kernel deletes mounted subvolumes without a word.
    let (mounts, more) =
        super::mounts::of_subvolumes(top, &order.iter().copied().collect(), top.patience())?;
    if let Some(mount) = mounts.first() {
        return Err(
            Error::new(action, format!("it is mounted at {mount}")).mend(format!("umount {mount}"))
        );
    }
    if more {
        return Err(cannot_tell(action));
    }
    Ok(order)
}

/// Deletes them, the innermost first. The kernel frees their blocks later, in its own time.
pub fn destroy(top: &Top, all: &[u64], action: &str) -> Result<()> {
    for &id in all.iter().rev() {
        let destroy = || change("btrfs: destroy subvolume", || ioctl::destroy_subvolume(top, id));
        let destroyed = match destroy() {
            // Perhaps it is immutable, or what it lies in is.
            Err(why) if why.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                unlock(top, id, all)
                    .and_then(|unlocked| if unlocked { destroy() } else { Err(why) })
            }
            destroyed => destroyed,
        };
        destroyed.map_err(|e| Error::io(format!("{action} (subvolume {id})"), e))?;
    }
    Ok(())
}

/// Clears the flags that forbid to delete the name of a subvolume, on it and on the directory that has
/// the name if that is doomed, too; says whether there was one.
fn unlock(top: &Top, id: u64, all: &[u64]) -> io::Result<bool> {
    let Some((dir, name)) = search::place_of(top, id)? else { return Ok(false) };
    let names = dir.split(|&b| b == b'/').filter(|name| !name.is_empty());
    let names = names.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let parent = descent::open_path(top.as_fd(), &names)?;
    let parent = descent::open_dir(parent.as_ref().map_or(top.as_fd(), AsFd::as_fd), c".")?;
    let parent = parent.as_fd();
    let doomed = descent::open_dir(parent, &CString::new(name)?)?;
    if ioctl::subvolume_info(&doomed)?.id != id {
        return Err(io::Error::other("another subvolume has taken its name meanwhile"));
    }
    let is_doomed = all.contains(&ioctl::subvolume_info(parent)?.id);
    let of_parent = is_doomed && !inode_flags::unlock(parent)?.is_empty();
    Ok(!inode_flags::unlock(doomed.as_fd())?.is_empty() || of_parent)
}
