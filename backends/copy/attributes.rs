//! Gives a copy the owner, extended attributes, mode and times of its original.

use std::ffi::CString;
use std::io;

use rustix::fs::{Mode, Timespec, Timestamps};

use crate::changes::{Facts, FileType};
use crate::fault::change;
use crate::handle::Handle;
use crate::magic;
use crate::stat::{Moment, SET_ID, Stat};
use crate::xattrs;

use super::limits::Limits;

/// The order matters: a new owner drops setuid bits and capabilities, some attributes need the
/// owner's permission to write, an ACL sets permission bits, and all of it changes times.
///
/// Returns whether there were privileges, which the copy does not get.
pub(super) fn copy(
    from: Handle<'_>,
    stat: &Stat,
    to: Handle<'_>,
    limits: &Limits,
) -> io::Result<bool> {
    let mut wanted = stat.facts;
    let mut attributes = xattrs::of_open(from.fd())?;
    let mut dropped = false;
    if limits.no_privileges {
        let all = attributes.len();
        attributes.retain(|(name, _)| name.as_c_str() != xattrs::CAPABILITY);
        let has_mode = wanted.file_type != FileType::Symlink;
        dropped = all > attributes.len() || (has_mode && wanted.mode & SET_ID != 0);
        wanted.mode &= !SET_ID;
    }
    set(&wanted, attributes, to)?;
    let times = Timestamps {
        last_access: timespec(stat.accessed),
        last_modification: timespec((wanted.mtime, wanted.mtime_nanos)),
    };
    change("copy: set times", || to.set_times(&times))?;
    Ok(dropped)
}

/// The same without times: owner, extended attributes and mode.
pub(crate) fn give(from: Handle<'_>, wanted: &Facts, to: Handle<'_>) -> io::Result<()> {
    set(wanted, xattrs::of_open(from.fd())?, to)
}

fn set(wanted: &Facts, mut attributes: xattrs::Values, to: Handle<'_>) -> io::Result<()> {
    let is_of_btrfs = |name: &CString| xattrs::is_of_btrfs(name);
    if attributes.iter().any(|(name, _)| is_of_btrfs(name)) && magic::of(to.fd())? != magic::BTRFS {
        attributes.retain(|(name, _)| !is_of_btrfs(name));
    }
    let made = to.stat()?.facts;
    if (made.uid, made.gid) != (wanted.uid, wanted.gid) {
        change("copy: set owner", || to.set_owner(wanted.uid, wanted.gid))?;
    }
    xattrs::set_on_open(to.fd(), &attributes)?;
    // Links have no mode of their own.
    if wanted.file_type != FileType::Symlink {
        let mode = Mode::from_raw_mode(wanted.mode.into());
        change("copy: set mode", || to.set_mode(mode))?;
    }
    Ok(())
}

fn timespec((tv_sec, nanos): Moment) -> Timespec {
    Timespec { tv_sec, tv_nsec: nanos.into() }
}
