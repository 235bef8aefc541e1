//! Mounts what is open over what is open: no path is looked up twice, so nobody can lead a mount
//! elsewhere meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use backends::fault::change;
use backends::kernel::mount_attributes::{self, Attributes};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

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
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    change("apply: mount", || Ok(move_mount(&tree, c"", place, c"", both)?))
}

/// Changes what the mount allows whose root is open as `mount`.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    change("apply: set mount options", || mount_attributes::set(mount, attributes))
}
