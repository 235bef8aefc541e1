//! Which subvolume was made of which: each has the UUID of the one that it is a snapshot of.

use uuid::Uuid;

use super::search::parent_of;
use super::survey::privileged;
use super::top::{Top, id_of};
use crate::error::{Error, Result};
use crate::kernel::btrfs::SubvolumeInfo;
use crate::kinship::{self, Found, Kinship};

/// How many generations are looked back. Each is two searches by key; a rollback adds one, and a new
/// blank another.
const GENERATIONS: usize = 64;

/// Whether live and blank belong together. `written` is what the directory of old roots says.
pub fn kinship(
    top: &Top,
    live: &SubvolumeInfo,
    blank: &SubvolumeInfo,
    written: &Found,
) -> Result<Kinship> {
    if live.parent_uuid == Some(blank.uuid) || blank.parent_uuid == Some(live.uuid) {
        return Ok(Kinship::Proven);
    }
    let recorded = kinship::recorded(written, &id_of(live), &id_of(blank));
    if recorded == Kinship::Recorded {
        return Ok(recorded);
    }
    let stems = |from: &SubvolumeInfo, of: Uuid| {
        privileged(
            stems(top, from.parent_uuid, of)
                .map_err(|why| Error::io("find out which subvolume is a snapshot of which", why)),
        )
    };
    Ok(match (stems(live, blank.uuid)?, stems(blank, live.uuid)?) {
        (Some(false), Some(false)) => recorded,
        (Some(true), _) | (_, Some(true)) => Kinship::Proven,
        _ => Kinship::Unknown,
    })
}

fn stems(top: &Top, mut from: Option<Uuid>, of: Uuid) -> std::io::Result<bool> {
    for _ in 0..GENERATIONS {
        match from {
            None => return Ok(false),
            Some(uuid) if uuid == of => return Ok(true),
            Some(uuid) => from = parent_of(top, uuid)?,
        }
    }
    Ok(false)
}
