//! Mounts that one thread of a test has for itself.

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::geteuid;

/// Gives the calling thread mounts of its own; false, after it has said so, where only root can.
pub fn own_mounts() -> bool {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can mount");
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    true
}
