//! In the guest: what stands for the machine whose power went, so that each run of the command is at
//! another boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pool::TOP;
use crate::programs;

/// The command under test.
const COMMAND: &str = "/bin/blankroot";
/// The machine's proc, sys, dev, run and etc.
const HOST: &str = "/host";

/// Writes what the command reads of a machine.
pub fn set_up() {
    let host = Path::new(HOST);
    for dir in ["proc/sys/kernel/random", "sys/class/block", "run", "dev", "etc"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    fs::write(host.join("proc/cmdline"), "quiet noresume\n").unwrap();
    let text = format!(
        "[root]\nbackend = \"zfs\"\ndataset = \"{TOP}\"\nlive = \"root\"\nblank = \
         \"root@blank\"\nold = \"old-roots\"\n"
    );
    fs::write(config(), text).unwrap();
    for dir in ["/tmp", "/etc"] {
        fs::create_dir_all(dir).unwrap();
    }
    // The programs of ZFS look there for what is mounted.
    std::os::unix::fs::symlink("/proc/self/mounts", "/etc/mtab").unwrap();
}

/// Makes blank of live, which is mounted at `root`.
pub fn make_blank(root: &Path) {
    let (output, said) = run(&["init".as_ref(), "--root".as_ref(), root]);
    assert!(output.status.success(), "init ended with {}: {said}", output.status);
}

/// Runs the rollback of the next boot. The error is all that it said.
pub fn roll_back() -> Result<(), String> {
    static BOOTS: AtomicU32 = AtomicU32::new(1);
    let id = format!("{:08x}-7a01-4b6e-9d0a-000000000000\n", BOOTS.fetch_add(1, Ordering::Relaxed));
    fs::write(Path::new(HOST).join("proc/sys/kernel/random/boot_id"), id).unwrap();
    let stamp = Path::new(HOST).join("run/blankroot/rollback.json");
    if stamp.exists() {
        fs::remove_file(&stamp).unwrap();
    }
    let (output, said) = run(&["rollback".as_ref()]);
    let stamp = fs::read_to_string(&stamp).unwrap_or_default();
    match output.status.success() && stamp.contains("rolled-back") {
        true => Ok(()),
        false => Err(format!("the rollback ended with {}: {said}{stamp}", output.status)),
    }
}

fn run(args: &[&Path]) -> (Output, String) {
    let config = config();
    let more: [&Path; 4] = ["--host".as_ref(), HOST.as_ref(), "--config".as_ref(), &config];
    let output = programs::output(COMMAND, args.iter().copied().chain(more));
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

fn config() -> PathBuf {
    Path::new(HOST).join("etc/blankroot.toml")
}
