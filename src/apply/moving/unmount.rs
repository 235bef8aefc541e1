//! Unmounts what is mounted over a name in an open directory: no link can lead it elsewhere.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backends::fault::change;
use backends::stat::Place;
use nix::mount::{MntFlags, umount2};

/// Unmounts; `EBUSY` while somebody uses the mount.
pub fn unmount(place: Place<'_>) -> io::Result<()> {
    let dir = format!("/proc/thread-self/fd/{}", place.dir.as_raw_fd());
    let path = Path::new(&dir).join(OsStr::from_bytes(place.name.to_bytes()));
    change("move: unmount", || Ok(umount2(&path, MntFlags::UMOUNT_NOFOLLOW)?))
}
