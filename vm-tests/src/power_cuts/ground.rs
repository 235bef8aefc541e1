//! What a disk holds before a scenario: a root that was lived in, blank, old roots, a storage; with
//! names and files of every kind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::kernel::create_subvolume;
use support::{apply, base, names};

use super::drive::{Drive, FILE_SYSTEM};
use super::host::{DISK, Host};
use crate::programs;

/// Where a subvolume of live's own is, and the file in it.
pub const NESTED: &str = "var/lib/portables";
/// What is in that file.
pub const INSIDE: &[u8] = b"of the subvolume in live\n";
/// What is kept by the scenario of that name.
pub const NOTES: &str = "srv/notes";
/// A root that has this file can be booted.
pub const INIT: &str = "sbin/init";

/// A disk with an empty file system.
pub fn empty_disk() -> Drive {
    let drive = Drive::new();
    let size = FILE_SYSTEM.to_string();
    let args = ["--quiet", "--nodiscard", "--byte-count", &size].map(OsStr::new);
    programs::run("mkfs.btrfs", args.into_iter().chain([drive.path().as_os_str()]));
    drive
}

/// The configuration of every scenario.
pub fn config() -> String {
    format!(
        "# What is kept.\n[root]\nbackend = \"btrfs\"\ndevice = \"{DISK}\"\nlive = \"root\"\nblank = \
         \"root-blank\"\nold = \"old-roots\"\n\n[rollback]\nretention = {{ at_least = 1, days = 30 \
         }}\n\n[[storage]]\npath = \"/persist\"\ndirectories = [\n  \"/var/log\", # logs\n]\n"
    )
}

/// Makes live, which nobody has used yet, and the storage.
pub fn install(host: &Host<'_>) {
    let root = host.top().join("root");
    base::build(&root);
    for dir in ["sbin", "usr/share", "srv", "var/log", "persist"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join(INIT), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join(INIT), fs::Permissions::from_mode(0o755)).unwrap();
    for number in 0..100u8 {
        let content = names::content(number, usize::from(number) * 20);
        fs::write(root.join(format!("usr/share/{number}")), content).unwrap();
    }
    create_subvolume(&host.top().join("persist")).unwrap();
    fs::create_dir_all(host.top().join("persist/var/log")).unwrap();
    fs::write(host.top().join("persist/var/log/messages"), "kept\n").unwrap();
}

/// Makes blank, then lives `lives` times; all but the last are old roots afterwards.
pub fn live(host: &Host<'_>, lives: u8) {
    fs::write(host.top().join("root/etc/blankroot.toml"), config()).unwrap();
    host.configure(&config());
    let mounts = host.mount_live();
    host.run_on_live(&["init"]).expect(0);
    host.unmount_live(mounts);
    for life in 1..=lives {
        use_root(&host.top().join("root"), life);
        if life < lives {
            host.boot();
            host.run(&["rollback"]).expect(0);
        }
    }
    support::sandbox::sync(host.top());
}

/// What a life leaves in a root.
fn use_root(root: &Path, life: u8) {
    let dir = root.join("home/user name").join(OsStr::from_bytes(b"a\nlife \xff"));
    fs::create_dir(&dir).unwrap();
    for number in 0..40u8 {
        let content = names::content(life + number, usize::from(number) * 100);
        fs::write(dir.join(OsStr::from_bytes(&names::name(number % 23))), content).unwrap();
    }
    fs::write(root.join("etc/inline"), [life; 3000]).unwrap();
    fs::write(root.join("var/large"), names::content(life, 300_000)).unwrap();
    fs::remove_file(root.join("etc/empty")).unwrap();
    create_subvolume(&root.join(NESTED)).unwrap();
    fs::write(root.join(NESTED).join("inside"), INSIDE).unwrap();
    notes(&root.join(NOTES));
}

/// A directory with a bit of everything.
fn notes(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let odd = dir.join(OsStr::from_bytes(b"a b\n\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("file"), names::content(9, 150_000)).unwrap();
    fs::hard_link(odd.join("file"), dir.join("second name")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("dangling")).unwrap();
    let sparse = fs::File::create(dir.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    apply::set_xattr(&odd, "user.test", b"x").unwrap();
    std::os::unix::fs::lchown(dir.join("sparse"), Some(1000), Some(1000)).unwrap();
    for number in 0..30u8 {
        let content = names::content(number, usize::from(number) * 300);
        fs::write(dir.join(format!("note {number}")), content).unwrap();
    }
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o711)).unwrap();
}
