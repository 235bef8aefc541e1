//! A directory that stands for the machine's proc, sys, run and etc: the command's `--host`.

use std::fs;
use std::path::{Path, PathBuf};

/// Fills it with what the command reads of a machine, but for a boot and for devices.
pub fn furnish(host: &Path) {
    for dir in ["proc/sys/kernel/random", "sys/class/block", "run", "etc"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    fs::write(host.join("proc/cmdline"), "quiet noresume\n").unwrap();
}

/// Another boot, of this number: `/run` is empty.
pub fn boot(host: &Path, number: u32) {
    let id = format!("{number:08x}-7a01-4b6e-9d0a-000000000000\n");
    fs::write(host.join("proc/sys/kernel/random/boot_id"), id).unwrap();
    let stamp = stamp(host);
    if stamp.exists() {
        fs::remove_file(stamp).unwrap();
    }
}

/// Its configuration, as an initrd has one.
pub fn config(host: &Path) -> PathBuf {
    host.join("etc/blankroot.toml")
}

/// What the last rollback wrote of itself.
pub fn stamp(host: &Path) -> PathBuf {
    host.join("run/blankroot/rollback.json")
}
