//! In the guest: what is interrupted, and done while everything that is written is recorded.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, unmount};
use support::{base, names};

use super::aligned::Aligned;
use super::pool::{self, LIVE};
use super::{USED, machine};
use crate::power_cuts::ground::INIT;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A rollback, then live is used.
    Rollback,
    /// A rollback that goes on with what an interrupted one left: nothing has live's name.
    Completion,
}

/// The state in which everything that must not be lost is known.
pub const KNOWN: &str = "known";
/// From here on the power may go.
pub const BEGIN: &str = "begin";
/// The command has ended well.
pub const DONE: &str = "done";
/// Bytes before the pool's partition. Nobody but us writes there: marks.
pub const BEFORE: u64 = 1 << 20;
/// Where marks are written.
const MARKS: u64 = 512 << 10;
/// A program that is found before ZFS's own.
const IN_FRONT: &str = "/bin/zfs";
/// Where the module tells its version, and what is in its place for a time.
const VERSION: &str = "/sys/module/zfs/version";
const UNKNOWN: &str = "/tmp/version";

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rollback, Self::Completion];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Completion => "completion",
        }
    }

    /// Does it on the disk of this name, whose first partition gets a pool.
    pub fn record(self, disk: &str) {
        let partition = format!("{disk}1");
        pool::create(&partition);
        pool::mounted(LIVE, MountFlags::empty(), |root| {
            install(root);
            machine::make_blank(root);
        });
        pool::mounted(LIVE, MountFlags::empty(), |root| live(root, 1));
        machine::roll_back().unwrap();
        pool::mounted(LIVE, MountFlags::empty(), |root| live(root, 2));
        pool::export();
        mark(disk, KNOWN);
        if self == Self::Completion {
            pool::import(&partition);
            interrupted();
            pool::export();
        }
        mark(disk, BEGIN);
        pool::import(&partition);
        machine::roll_back().unwrap();
        mark(disk, DONE);
        pool::mounted(LIVE, MountFlags::empty(), |root| fs::write(root.join(USED), USED).unwrap());
        pool::export();
    }
}

/// A rollback that ends when nothing has live's name.
fn interrupted() {
    let script = format!(
        "#!/bin/sh\ncase \"$1 $4\" in 'rename {LIVE}') exit 1 ;; esac\nexec /usr/sbin/zfs \"$@\"\n"
    );
    fs::write(IN_FRONT, script).unwrap();
    fs::set_permissions(IN_FRONT, Permissions::from_mode(0o755)).unwrap();
    // With a release that is not known, renames go through the program, too.
    fs::write(UNKNOWN, "0.0.0\n").unwrap();
    mount_bind(UNKNOWN, VERSION).unwrap();
    machine::roll_back().expect_err("the rollback was not interrupted");
    unmount(VERSION, UnmountFlags::empty()).unwrap();
    fs::remove_file(IN_FRONT).unwrap();
    let list = pool::list();
    assert!(!list.iter().any(|each| each.name == LIVE), "something has live's name: {list:?}");
}

/// Fills live, which nobody has used yet.
fn install(root: &Path) {
    base::fill(root);
    for dir in ["sbin", "usr/share"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join(INIT), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join(INIT), Permissions::from_mode(0o755)).unwrap();
    for number in 0..20u8 {
        let content = names::content(number, usize::from(number) * 100);
        fs::write(root.join(format!("usr/share/{number}")), content).unwrap();
    }
}

/// What a life leaves in a root.
fn live(root: &Path, life: u8) {
    fs::write(root.join("etc/inline"), [life; 3000]).unwrap();
    fs::write(root.join("var/large"), names::content(life, 300_000)).unwrap();
    fs::remove_file(root.join("etc/empty")).unwrap();
    fs::create_dir(root.join("home/life")).unwrap();
    for number in 0..10u8 {
        let content = names::content(life + number, usize::from(number) * 100);
        fs::write(root.join(format!("home/life/{number}")), content).unwrap();
    }
}

/// Marks this moment in the log, without a flush.
fn mark(disk: &str, text: &str) {
    let mut sector = Aligned::zeroed(512);
    sector.bytes_mut()[..text.len()].copy_from_slice(text.as_bytes());
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap();
    let disk: File = File::options().write(true).custom_flags(flags).open(disk).unwrap();
    disk.write_all_at(sector.bytes(), MARKS).unwrap();
}
