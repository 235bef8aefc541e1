//! Gives a copy the owner, extended attributes, mode and times of its original.

use std::io;

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid};

use crate::changes::{Facts, FileType};
use crate::fault::change;
use crate::stat::{Moment, Place, Stat};
use crate::xattrs;

/// The order matters: a new owner drops setuid bits and capabilities, some attributes need the
/// owner's permission to write, an ACL sets permission bits, and all of it changes times.
pub(super) fn copy(from: Place<'_>, stat: &Stat, to: Place<'_>) -> io::Result<()> {
    let wanted = &stat.facts;
    give(from, wanted, to)?;
    let times = Timestamps {
        last_access: timespec(stat.accessed),
        last_modification: timespec((wanted.mtime, wanted.mtime_nanos)),
    };
    change("copy: set times", || {
        Ok(fs::utimensat(to.dir, to.name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    })
}

/// The same without times: owner, extended attributes and mode.
pub(crate) fn give(from: Place<'_>, wanted: &Facts, to: Place<'_>) -> io::Result<()> {
    let made = to.stat()?.facts;
    if (made.uid, made.gid) != (wanted.uid, wanted.gid) {
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        change("copy: set owner", || {
            Ok(fs::chownat(to.dir, to.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
        })?;
    }
    xattrs::copy(from, to)?;
    // Links have no mode of their own.
    if wanted.file_type != FileType::Symlink {
        let mode = Mode::from_raw_mode(wanted.mode.into());
        change("copy: set mode", || Ok(fs::chmodat(to.dir, to.name, mode, AtFlags::empty())?))?;
    }
    Ok(())
}

fn timespec((tv_sec, nanos): Moment) -> Timespec {
    Timespec { tv_sec, tv_nsec: nanos.into() }
}
