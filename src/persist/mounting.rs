//! Mounts what is open over what is open: no path is looked up twice, so nobody can lead a mount
//! elsewhere meanwhile.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::stat::Place;
use dirfd::sys::mount_calls::{self, Attributes};
use nix::mount::{MntFlags, umount2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// Mounts the open file or directory `source` over the open `place`.
pub(crate) fn bind_open(
    source: BorrowedFd<'_>,
    place: BorrowedFd<'_>,
    attributes: Attributes,
) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, c"", flags)?;
    if attributes != Attributes::default() {
        change("apply: set the new mount's options", || {
            mount_calls::set_mount_attributes(tree.as_fd(), attributes)
        })?;
    }
    change("apply: mount", || attach_mount(tree.as_fd(), place))
}

fn attach_mount(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, c"", place, c"", both)?)
}

/// Unmounts what is mounted over a name in an open directory: no link can lead it elsewhere. `EBUSY`
/// while somebody uses the mount.
pub(crate) fn unmount_place(place: Place<'_>) -> io::Result<()> {
    let dir = format!("/proc/thread-self/fd/{}", place.dir.as_raw_fd());
    let path = Path::new(&dir).join(OsStr::from_bytes(place.name.to_bytes()));
    change("move: unmount", || Ok(umount2(&path, MntFlags::UMOUNT_NOFOLLOW)?))
}

/// A file system that is not mounted yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFileSystem<'f> {
    /// As in the third field of fstab(5).
    pub(crate) fs_type: &'f str,
    /// Its device, or what else its type takes for one.
    pub(crate) source: &'f Path,
    /// Options of the file system, in order, with their values.
    pub(crate) options: &'f [(String, Option<String>)],
    /// `MOUNT_ATTR_…` bits of the mount.
    pub(crate) attributes: u64,
}

/// Mounts a file system over the open directory `place`. The error has what the kernel said.
pub(crate) fn mount_file_system(new: NewFileSystem<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let context = fsopen(new.fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    configure_file_system(context, new).map_err(|why| with_kernel_log(why, context))?;
    // It may replay its log.
    change("early: open file system", || Ok(fsconfig_create(context)?))
        .map_err(|why| with_kernel_log(why, context))?;
    // The lower half of the bits of mount_setattr(2) are those of fsmount(2).
    let attributes = u32::try_from(new.attributes).map_err(io::Error::other)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes);
    let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    change("early: mount", || attach_mount(mount.as_fd(), place))
}

fn configure_file_system(context: BorrowedFd<'_>, new: NewFileSystem<'_>) -> io::Result<()> {
    fsconfig_set_string(context, "source", new.source)?;
    for (key, value) in new.options {
        let set = match value {
            Some(value) => fsconfig_set_string(context, key.as_str(), value.as_str()),
            None => fsconfig_set_flag(context, key.as_str()),
        };
        set.map_err(|why| {
            let why = io::Error::from(why);
            io::Error::other(format!(
                "the option `{}` is refused: {}",
                Escaped(key.as_bytes()),
                describe(&why)
            ))
        })?;
    }
    Ok(())
}

/// Adds what the kernel wrote to the log of a mount that failed, one message a read.
fn with_kernel_log(why: io::Error, context: BorrowedFd<'_>) -> io::Error {
    let (mut said, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        let text = buffer.get(..length).unwrap_or_default().trim_ascii();
        said.push(Escaped(text.strip_prefix(b"e ").unwrap_or(text)).to_string());
    }
    if said.is_empty() {
        return why;
    }
    io::Error::new(why.kind(), format!("{} ({})", describe(&why), said.join("; ")))
}

/// Changes what the mount allows whose root is open as `mount`.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    change("apply: set mount options", || mount_calls::set_mount_attributes(mount, attributes))
}
