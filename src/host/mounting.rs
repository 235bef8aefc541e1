//! Mounts what is open over what is open: no path is looked up twice, so nobody can lead a mount
//! elsewhere meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use backends::error::describe;
use backends::fault::change;
use backends::kernel::mount_attributes::{self, Attributes};
use backends::path::Escaped;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// Mounts the open file or directory `source` over the open `place`.
pub fn bind(
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
            mount_attributes::set(tree.as_fd(), attributes)
        })?;
    }
    change("apply: mount", || attach(tree.as_fd(), place))
}

fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, c"", place, c"", both)?)
}

/// A file system that is not mounted yet.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem<'f> {
    /// Its type.
    pub fs_type: &'f str,
    /// Its device, or what else its type takes for one.
    pub source: &'f Path,
    /// Options of the file system, in order, with their values.
    pub options: &'f [(String, Option<String>)],
    /// `MOUNT_ATTR_…` bits of the mount.
    pub attributes: u64,
}

/// Mounts a file system over the open directory `place`. The error has what the kernel said.
pub fn file_system(new: FileSystem<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let context = fsopen(new.fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    configure(context, new).map_err(|why| with_log(why, context))?;
    // It may replay its log.
    change("early: open file system", || Ok(fsconfig_create(context)?))
        .map_err(|why| with_log(why, context))?;
    // The lower half of the bits of mount_setattr(2) are those of fsmount(2).
    let attributes = u32::try_from(new.attributes).map_err(io::Error::other)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes);
    let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    change("early: mount", || attach(mount.as_fd(), place))
}

fn configure(context: BorrowedFd<'_>, new: FileSystem<'_>) -> io::Result<()> {
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
fn with_log(why: io::Error, context: BorrowedFd<'_>) -> io::Error {
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
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    change("apply: set mount options", || mount_attributes::set(mount, attributes))
}
