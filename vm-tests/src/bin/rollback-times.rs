//! Runs in a guest: how long a rollback takes there, from the start of the process to its end; how long
//! the system calls do that it cannot do without; and the start of a process that does nothing. In turns,
//! with nothing of the disk in memory, as at a boot.
//!
//! usage: rollback-times COMMAND DEVICE ROUNDS

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat, syncfs};
use support::needed_calls::{self, Trees};
use vm_tests::programs;

const LIVE: &str = "root";
const BLANK: &str = "root-blank";
/// What stands for the machine, so that every round is another boot.
const HOST: &str = "/host";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [command, device, rounds] = args.as_slice() else { panic!("usage: see the source") };
    let (command, device) = (Path::new(command), Path::new(device));
    let config = prepare(device);
    let (mut ours, mut needed, mut start) = (Vec::new(), Vec::new(), Vec::new());
    // The first of each does not count: it finds the programs themselves not in memory.
    for round in 0..=rounds.parse::<u32>().unwrap() {
        live_a_little(device, 2 * round);
        ours.push(roll_back(command, &config, device));
        live_a_little(device, 2 * round + 1);
        let aside = format!("aside-{round}");
        let trees = Trees { live: LIVE, blank: BLANK, aside: &aside };
        needed.push(needed_calls::roll_back(device, trees).unwrap());
        start.push(run(command, &["--version".as_ref()]));
    }
    let medians = [ours, needed, start].map(|times| median(times[1..].to_vec()).as_micros());
    println!("rollback {} needed {} start {}", medians[0], medians[1], medians[2]);
}

/// Writes what the command reads. Returns its configuration.
fn prepare(device: &Path) -> PathBuf {
    let host = Path::new(HOST);
    for dir in ["proc/sys/kernel/random", "sys/class/block", "run", "dev", "etc"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    fs::write(host.join("proc/cmdline"), "quiet noresume\n").unwrap();
    let config = host.join("etc/blankroot.toml");
    let text = format!(
        "[root]\nbackend = \"btrfs\"\ndevice = \"{}\"\nlive = \"{LIVE}\"\nblank = \"{BLANK}\"\nold = \
         \"old-roots\"\n",
        device.display()
    );
    fs::write(&config, text).unwrap();
    config
}

/// A boot in which live is written to, and the end of it.
fn live_a_little(device: &Path, boot: u32) {
    let id = format!("00000000-0000-4000-8000-{boot:012}\n");
    fs::write(Path::new(HOST).join("proc/sys/kernel/random/boot_id"), id).unwrap();
    let top = needed_calls::private_mount(device).unwrap();
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(&top, format!("{LIVE}/used"), flags, Mode::RUSR | Mode::WUSR).unwrap();
    syncfs(&top).unwrap();
    drop(top);
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

fn roll_back(command: &Path, config: &Path, device: &Path) -> Duration {
    let args =
        [Path::new("rollback"), "--config".as_ref(), config, "--host".as_ref(), HOST.as_ref()];
    let time = run(command, &args);
    let top = needed_calls::private_mount(device).unwrap();
    let used = openat(&top, format!("{LIVE}/used"), OFlags::PATH, Mode::empty());
    assert!(used.is_err(), "live is no fresh copy of blank");
    time
}

fn run(command: &Path, args: &[&Path]) -> Duration {
    let started = Instant::now();
    let done = programs::output(command, args);
    let time = started.elapsed();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    time
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
