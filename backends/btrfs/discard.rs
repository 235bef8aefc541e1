//! Deletes subvolumes by number, those inside them first, and never one that is in use.

use super::search::{default_subvolume, nested};
use super::top::Top;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::kernel::btrfs as ioctl;

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
        let action = || format!("{action} (subvolume {id})");
        if id == default {
            return Err(Error::new(action(), "it is the default subvolume"));
        }
        // The kernel deletes mounted subvolumes without a word.
        if let Some(mount) = super::mounts::of_subvolume(top, id)?.first() {
            return Err(Error::new(action(), format!("it is mounted at {mount}"))
                .mend(format!("umount {mount}")));
        }
    }
    Ok(order)
}

/// Deletes them, the innermost first. The kernel frees their blocks later, in its own time.
pub fn destroy(top: &Top, all: &[u64], action: &str) -> Result<()> {
    for &id in all.iter().rev() {
        change("btrfs: destroy subvolume", || ioctl::destroy_subvolume(top, id))
            .map_err(|e| Error::io(format!("{action} (subvolume {id})"), e))?;
    }
    Ok(())
}
