//! A mount of a subvolume is found by its number whatever became of its name: on a real Btrfs, in
//! mount namespaces of this test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its disk has failed")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use backends::SeenBy;
use backends::live_mounts::{Found, btrfs_mounts, find, find_in_tables};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, RenameFlags, renameat_with};

type Empty<'a> = Option<&'a str>;

#[test]
fn a_mount_is_found_after_an_exchange_and_after_deletion_in_every_namespace() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let disk = Disk::new();
    let (top, odd) = (disk.dir.path().join("top"), disk.dir.path().join("a b\n\\"));
    for dir in [&top, &odd] {
        std::fs::create_dir(dir).unwrap();
    }
    own_namespace();
    mount(Some(&disk.device), &top, Some("btrfs"), MsFlags::empty(), Some("subvolid=5")).unwrap();
    let _top = Mounted(top.clone());
    for name in ["root", "fresh"] {
        run(
            "btrfs",
            &["-q".as_ref(), "subvolume".as_ref(), "create".as_ref(), top.join(name).as_ref()],
        );
    }
    std::fs::create_dir(top.join("root/inside")).unwrap();
    let (root, fresh) = (subvolume(&top.join("root")), subvolume(&top.join("fresh")));

    // Another namespace, which sees a directory of `root` under an odd name.
    let (done, wait) = mpsc::channel::<()>();
    let (ready, started) = mpsc::channel();
    let bound = (top.join("root/inside"), odd.clone());
    let other = std::thread::spawn(move || {
        own_namespace();
        mount(Some(&bound.0), &bound.1, Empty::None, MsFlags::MS_BIND, Empty::None).unwrap();
        ready.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let _ = wait.recv();
    });
    let thread = started.recv().unwrap();
    let expected = vec![(odd.as_os_str().as_bytes().to_vec(), SeenBy::Process(thread), true)];

    assert_eq!(shown(root, &disk.device), expected);
    assert_eq!(shown(fresh, &disk.device), []);
    renameat_with(CWD, top.join("root"), CWD, top.join("fresh"), RenameFlags::EXCHANGE).unwrap();
    assert_eq!(subvolume(&top.join("fresh")), root);
    assert_eq!(shown(root, &disk.device), expected);
    assert_eq!(shown(fresh, &disk.device), []);
    run(
        "btrfs",
        &["-q".as_ref(), "subvolume".as_ref(), "delete".as_ref(), top.join("fresh").as_ref()],
    );
    assert_eq!(shown(root, &disk.device), expected);

    drop(done);
    other.join().unwrap();
    assert_eq!(shown(root, &disk.device), []);
}

#[test]
fn a_mount_that_no_process_sees_is_found_where_the_kernel_lists_namespaces() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let proc: OwnedFd = File::open("/proc").unwrap().into();
    if let Err(why) = btrfs_mounts(proc.as_fd(), Instant::now() + Duration::from_secs(3600)) {
        eprintln!("skipped: the kernel does not list all mount namespaces: {why}");
        return;
    }
    let disk = Disk::new();
    let (top, place) = (disk.dir.path().join("top"), disk.dir.path().join("place"));
    for dir in [&top, &place] {
        std::fs::create_dir(dir).unwrap();
    }
    own_namespace();
    mount(Some(&disk.device), &top, Some("btrfs"), MsFlags::empty(), Some("subvolid=5")).unwrap();
    let _top = Mounted(top.clone());
    run(
        "btrfs",
        &["-q".as_ref(), "subvolume".as_ref(), "create".as_ref(), top.join("root").as_ref()],
    );
    let root = subvolume(&top.join("root"));
    let place_text = place.as_os_str().as_bytes().to_vec();

    // Outside the root directory of the only thread in its namespace.
    let (done, wait) = mpsc::channel::<()>();
    let (ready, started) = mpsc::channel();
    let (bound, outside) = ((top.join("root"), place.clone()), top.clone());
    let other = std::thread::spawn(move || {
        own_namespace();
        mount(Some(&bound.0), &bound.1, Empty::None, MsFlags::MS_BIND, Empty::None).unwrap();
        let namespace = File::open("/proc/thread-self/ns/mnt").unwrap();
        nix::unistd::chroot(&outside).unwrap();
        ready.send(namespace).unwrap();
        let _ = wait.recv();
    });
    let namespace = started.recv().unwrap();
    let expected = vec![(place_text, SeenBy::Nobody, true)];
    assert_eq!(both_ways(root, &disk.device), (expected.clone(), Vec::new()));

    // In a namespace that has no thread any more, but an open file.
    drop(done);
    other.join().unwrap();
    assert_eq!(both_ways(root, &disk.device), (expected, Vec::new()));

    drop(namespace);
    assert_eq!(both_ways(root, &disk.device), (Vec::new(), Vec::new()));
}

/// Where, seen by whom, and whether that is certain.
type Shown = (Vec<u8>, SeenBy, bool);

/// Every mount of the subvolume, which the tables of processes show, too.
fn shown(subvolid: u64, device: &Path) -> Vec<Shown> {
    let (found, in_tables) = both_ways(subvolid, device);
    assert_eq!(found, in_tables);
    found
}

/// What is found, and what the tables of processes alone would show.
fn both_ways(subvolid: u64, device: &Path) -> (Vec<Shown>, Vec<Shown>) {
    let proc: OwnedFd = File::open("/proc").unwrap().into();
    let name = device.file_name().unwrap().as_bytes().to_vec();
    let is_ours = |dir: BorrowedFd<'_>| Ok(sysfs_devices(dir)?.contains(&name));
    let plain = |Found { mounts, .. }: Found| {
        mounts.into_iter().map(|m| (m.mount_point, m.seen_by, m.certain)).collect()
    };
    let (wanted, until) = ([subvolid].into(), Instant::now() + Duration::from_secs(3600));
    let found = find(proc.as_fd(), &wanted, until, is_ours).unwrap();
    let in_tables = find_in_tables(proc.as_fd(), &wanted, &[], until, is_ours).unwrap();
    (plain(found), plain(in_tables))
}

/// The names of the block devices of the Btrfs that `dir` is on.
fn sysfs_devices(dir: BorrowedFd<'_>) -> std::io::Result<Vec<Vec<u8>>> {
    let mut info = [0u8; 1024];
    fs_info(dir, &mut info)?;
    let id = uuid::Uuid::from_slice(&info[16..32]).unwrap();
    let devices = Path::new("/sys/fs/btrfs").join(id.to_string()).join("devices");
    Ok(std::fs::read_dir(devices)?.map(|e| e.unwrap().file_name().as_bytes().to_vec()).collect())
}

#[expect(unsafe_code, reason = "the production call for this is the kernel room's, made elsewhere")]
fn fs_info(dir: BorrowedFd<'_>, info: &mut [u8; 1024]) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    // BTRFS_IOC_FS_INFO: struct btrfs_ioctl_fs_info_args is 1024 bytes, its fsid is at 16.
    nix::ioctl_read!(btrfs_fs_info, 0x94, 31, [u8; 1024]);
    // SAFETY: the kernel writes at most the 1024 bytes that `info` has.
    unsafe { btrfs_fs_info(dir.as_raw_fd(), info) }?;
    Ok(())
}

fn subvolume(path: &Path) -> u64 {
    let text = run("btrfs", &["inspect-internal".as_ref(), "rootid".as_ref(), path.as_ref()]);
    text.trim().parse().unwrap()
}

fn own_namespace() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(Empty::None, "/", Empty::None, private, Empty::None).unwrap();
}

/// A Btrfs on a loop device; both go away with it.
struct Disk {
    dir: tempfile::TempDir,
    device: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(128 << 20).unwrap();
        run("mkfs.btrfs", &["-q".as_ref(), image.as_ref()]);
        let device = run("losetup", &["-f".as_ref(), "--show".as_ref(), image.as_ref()]);
        Self { dir, device: device.trim().into() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("losetup", &["-d".as_ref(), self.device.as_ref()]);
    }
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests make their file systems with the usual tools")]
fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
