//! A user of a subvolume's files is found whatever mount and mount namespace it sees them through: on
//! a real Btrfs, where `/proc/PID/maps` shows another device than `stat(2)`.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its disk has failed")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dirfd::manifest::Census;
use dirfd::open_files::{Hold, find_users};
use dirfd::private_namespace::PrivateNamespace;
use dirfd::{TreeName, TreePath};
use scratch::file_systems::Throwaway;

struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_mapped_file_of_a_subvolume_is_found_in_another_mount_namespace() {
    if let Some(why) = Throwaway::unavailable() {
        assert!(std::env::var_os("BLANKROOT_REQUIRE_REAL").is_none(), "{why}");
        println!("SKIPPED: {why}");
        return;
    }
    std::thread::spawn(story).join().unwrap();
}

fn story() {
    let namespace = PrivateNamespace::enter().unwrap();
    let disk = Throwaway::btrfs(256 << 20, 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (top, other) = (dir.path().join("top"), dir.path().join("other"));
    std::fs::create_dir(&top).unwrap();
    std::fs::create_dir(&other).unwrap();
    let _top = disk.mount(&namespace, None, &top).unwrap();
    for name in ["root", "same numbers"] {
        make_subvolume(&top.join(name));
        std::fs::create_dir(top.join(name).join("a b")).unwrap();
        std::fs::copy("/bin/bash", top.join(name).join("a b/shell")).unwrap();
    }
    // The holder sees the subvolume under another path, in a namespace of its own.
    let root = TreeName::new("root").unwrap();
    let mount = disk.mount(&namespace, Some(&root), &other).unwrap();
    let holder = hold(&other);
    mount.unmount().unwrap();
    let pid = holder.0.id() as i32;
    let found = users(&top.join("root/a b"));
    assert_eq!(found, [(pid, Hold::Mapped)]);
    // The inode numbers are the same there; the subvolume is not.
    assert_eq!(users(&top.join("same numbers/a b")), []);
}

fn users(dir: &Path) -> Vec<(i32, Hold)> {
    let (proc, opened) = (File::open("/proc").unwrap(), File::open(dir).unwrap());
    let census = Census::of_dir(opened.as_fd(), &TreePath::root()).unwrap();
    let found = find_users(proc.as_fd(), &census, dir.as_os_str().as_bytes()).unwrap();
    found.users.into_iter().map(|user| (user.pid, user.hold)).collect()
}

#[expect(clippy::disallowed_methods, reason = "the process whose handles are looked for")]
fn hold(mounted: &Path) -> Holder {
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(mounted.join("a b/shell"))
        .args(["-c", "echo ready; read -r x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Holder(child)
}

#[expect(clippy::disallowed_methods, reason = "its own tool, as whoever sets a machine up")]
fn make_subvolume(path: &Path) {
    let made = Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(path).output();
    assert!(made.unwrap().status.success());
}
