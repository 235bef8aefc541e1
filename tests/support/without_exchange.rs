//! A real file system that can neither exchange two names nor rename without replacing: ext4, served by
//! fuse2fs, of which the kernel says `EINVAL`.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dirfd::mountinfo;
use dirfd::private_namespace::PrivateNamespace;
use dirfd::process::Program;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use crate::sandbox::skip;

const MKE2FS: Program = Program::new("mke2fs", "e2fsprogs");
const FUSE2FS: Program = Program::new("fuse2fs", "fuse2fs");
const SETPRIV: Program = Program::new("setpriv", "util-linux");

/// Bytes of the disk; sparse.
const SIZE: u64 = 64 << 20;

/// Runs `story` in a directory where one is mounted, which its thread alone sees.
///
/// Where there can be none it prints `SKIPPED: <why>`, or fails if `BLANKROOT_REQUIRE_REAL` is 1.
pub fn on_fuse2fs(story: impl FnOnce(&Path) + Send) {
    if let Some(why) = unavailable() {
        return skip(&why);
    }
    let run = || {
        let _namespace = PrivateNamespace::enter().unwrap();
        let served = Served::new();
        story(&served.dir.path().join("top"));
    };
    // A namespace is a thread's, and this thread may run other tests later.
    if let Err(panic) = thread::scope(|scope| scope.spawn(run).join()) {
        resume_unwind(panic);
    }
}

fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this is not run as root".into());
    }
    if let Err(why) = File::options().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse: {why}"));
    }
    let programs = [("mke2fs", MKE2FS), ("fuse2fs", FUSE2FS), ("setpriv", SETPRIV)];
    let missing = programs.iter().find(|(_, program)| program.find().is_none());
    missing.map(|(name, _)| format!("{name} is not installed"))
}

/// Whoever serves it ends with this, and with the thread that started it.
struct Served {
    server: Child,
    dir: TempDir,
}

impl Served {
    #[expect(clippy::disallowed_methods, reason = "it serves for as long as the test runs")]
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (image, top) = (dir.path().join("image"), dir.path().join("top"));
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        std::fs::create_dir(&top).unwrap();
        let options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal"];
        let args = options.iter().map(AsRef::as_ref).chain([image.as_os_str()]);
        MKE2FS.run(args).unwrap();
        let server = Command::new(SETPRIV.find().unwrap())
            .args(["--pdeathsig", "KILL"])
            .arg(FUSE2FS.find().unwrap())
            .arg("-f")
            .args([&image, &top])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = Self { server, dir };
        let patience = Instant::now() + Duration::from_secs(30);
        while !is_mounted(&top) {
            assert_eq!(served.server.try_wait().unwrap(), None, "fuse2fs has ended");
            assert!(Instant::now() < patience, "fuse2fs has not mounted anything");
            thread::yield_now();
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = umount2(&self.dir.path().join("top"), MntFlags::MNT_DETACH);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn is_mounted(dir: &Path) -> bool {
    let dir = dir.as_os_str().as_bytes();
    mountinfo::read_mounts().unwrap().iter().any(|mount| mount.mount_point == dir)
}
