//! In the guest: what stands for the machine whose power went, so that each run of the command is at
//! another boot.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pool::TOP;
use crate::power_cuts::host_dir;
use crate::programs;

/// The command under test.
const COMMAND: &str = "/bin/blankroot";
/// The machine's proc, sys, dev, run and etc.
const HOST: &str = "/host";

/// Writes what the command reads of a machine.
pub fn set_up() {
    let host = Path::new(HOST);
    host_dir::furnish(host);
    fs::create_dir(host.join("dev")).unwrap();
    let text = format!(
        "[root]\nbackend = \"zfs\"\ndataset = \"{TOP}\"\nlive = \"root\"\nblank = \
         \"root@blank\"\nold = \"old-roots\"\n"
    );
    fs::write(host_dir::config(host), text).unwrap();
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
    host_dir::boot(Path::new(HOST), BOOTS.fetch_add(1, Ordering::Relaxed));
    let (output, said) = run(&["rollback".as_ref()]);
    let stamp = fs::read_to_string(host_dir::stamp(Path::new(HOST))).unwrap_or_default();
    match output.status.success() && stamp.contains("rolled-back") {
        true => Ok(()),
        false => Err(format!("the rollback ended with {}: {said}{stamp}", output.status)),
    }
}

fn run(args: &[&Path]) -> (Output, String) {
    let config = host_dir::config(Path::new(HOST));
    let more: [&Path; 4] = ["--host".as_ref(), HOST.as_ref(), "--config".as_ref(), &config];
    let output = programs::output(COMMAND, args.iter().copied().chain(more));
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}
