//! In the guest: the pool, asked and told as its owner would, by ZFS's own programs.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use support::oracle;

use crate::programs;

/// The pool's name.
pub const POOL: &str = "tank";
/// The dataset below which all others are.
pub const TOP: &str = "tank/local";
/// Live.
pub const LIVE: &str = "tank/local/root";
/// Blank.
pub const BLANK: &str = "tank/local/root@blank";
/// The dataset of old roots.
pub const OLD: &str = "tank/local/old-roots";
/// Where datasets are mounted, one at a time.
const PLACE: &str = "/mnt";

/// A dataset or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Its whole name.
    pub name: String,
    /// Its identity.
    pub guid: String,
}

/// Makes it on this device, with a live that is empty.
pub fn create(device: &str) {
    let options = ["-o", "cachefile=none", "-o", "ashift=12", "-O", "mountpoint=none"];
    let more = ["-O", "atime=off", "-O", "acltype=posix", "-O", "xattr=sa"];
    zpool(&[&["create"], &options[..], &more, &[POOL, device]].concat());
    zfs(&["create", TOP]);
    zfs(&["create", "-o", "mountpoint=legacy", LIVE]);
}

/// Imports it from this device, as an initrd does: nothing is mounted.
pub fn import(device: &str) {
    // The power went while it was imported.
    zpool(&["import", "-N", "-f", "-o", "cachefile=none", "-d", device, POOL]);
}

/// Gives it back.
pub fn export() {
    zpool(&["export", POOL]);
}

/// Whether it is imported.
pub fn is_imported() -> bool {
    programs::output("zpool", ["list", "-H", POOL]).status.success()
}

/// All datasets and snapshots below [`TOP`].
pub fn list() -> Vec<Dataset> {
    let args = ["list", "-Hp", "-r", "-t", "filesystem,snapshot", "-o", "name,guid", TOP];
    let printed = zfs(&args);
    let row = |line: &str| {
        let (name, guid) = line.split_once('\t').expect("two columns");
        Dataset { name: name.into(), guid: guid.into() }
    };
    printed.lines().map(row).collect()
}

/// Mounts it for as long as `work` takes.
pub fn mounted<R>(name: &str, flags: MountFlags, work: impl FnOnce(&Path) -> R) -> R {
    fs::create_dir_all(PLACE).unwrap();
    mount(name, PLACE, "zfs", flags, None)
        .unwrap_or_else(|why| panic!("cannot mount {name}: {why}"));
    let done = work(Path::new(PLACE));
    unmount(PLACE, UnmountFlags::empty()).unwrap();
    done
}

/// All that is in it.
pub fn walk(name: &str) -> oracle::Tree {
    mounted(name, MountFlags::RDONLY, oracle::walk)
}

/// Reads every block of it, and panics unless all are as they were written.
pub fn scrub() {
    zpool(&["scrub", "-w", POOL]);
    check_status();
}

/// Panics unless ZFS has nothing to complain about.
pub fn check_status() {
    let said = zpool(&["status", "-v", POOL]);
    let is_well = said.contains("state: ONLINE") && said.contains("No known data errors");
    let counts = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, "ONLINE", read, write, sum] if [read, write, sum] != [&"0"; 3])
    };
    assert!(is_well && !said.lines().any(|line| counts(&line)), "the pool is not well: {said}");
}

/// Runs `zfs`.
pub fn zfs<S: AsRef<OsStr>>(args: &[S]) -> String {
    String::from_utf8(programs::run("zfs", args)).unwrap()
}

fn zpool<S: AsRef<OsStr>>(args: &[S]) -> String {
    String::from_utf8(programs::run("zpool", args)).unwrap()
}

/// Gives it back if nobody uses it.
pub fn try_export() -> bool {
    let _ = unmount(PLACE, UnmountFlags::DETACH);
    programs::output("zpool", ["export", POOL]).status.success()
}
