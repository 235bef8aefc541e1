//! One guest makes all recordings; two, side by side, look at the cuts.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::scenario::{BEFORE, Scenario};
use super::{Choice, Which};
use crate::console::quoted;
use crate::minimal::Minimal;
use crate::power_cuts::cuts::Cut;
use crate::power_cuts::drive::memory;
use crate::qemu::Disk;
use crate::{cache, zfs, zfs_root};

/// One for each of two processors.
const GUESTS: usize = 2;
/// What one may take where others keep the processors busy.
const PATIENCE: Duration = Duration::from_secs(3600);
/// What makes an emulated guest faster whose work does not run side by side.
const WORDS: &str = "maxcpus=1";
/// Else an import waits some seconds for udev, which is not there.
const ENVIRONMENT: &str = "export ZFS_VDEV_DEVID_OPT_OUT=YES";
/// How the program in the guest ends what it says.
const ALL_DONE: &str = "cuts: all done";

/// How the cuts of one scenario went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many pools were looked at.
    pub replayed: usize,
    /// Milliseconds of all that went well.
    pub milliseconds: u64,
    /// What is wrong, with the cut after which it is.
    pub failed: Vec<String>,
    /// What the guests said of the recording.
    pub recording: String,
}

/// A guest with the program for guests, and the command under test.
pub fn guest(suite: &str, program: &Path) -> Minimal {
    let guest = Minimal::with_zfs(suite).with(program).with(&zfs::command("dev"));
    guest.patient(PATIENCE).say_to_kernel(WORDS)
}

/// Looks at one cut of a log that was saved.
pub fn look_again(log: &Path, guest: &Minimal, cut: Cut) -> (Scenario, Report) {
    let named = |scenario: &Scenario| log.file_stem().is_some_and(|stem| stem == scenario.name());
    let scenario = Scenario::ALL.into_iter().find(named).expect("the log has a scenario's name");
    let dir = TempDir::new_in(memory()).unwrap();
    fs::copy(log, dir.path().join(format!("{}.log", scenario.name()))).unwrap();
    let choice = Choice { which: Which::Only(cut), most: 0, seed: 0, part: 0, parts: 1 };
    let said = replay(&[scenario], guest, dir.path(), choice);
    (scenario, Report::read(&[said], scenario))
}

/// Records the scenarios and replays them. Where something fails, the log stays in [`place`].
pub fn run(scenarios: &[Scenario], guest: &Minimal, choice: Choice) -> Vec<(Scenario, Report)> {
    let dir = TempDir::new_in(memory()).unwrap();
    let started = Instant::now();
    record(scenarios, guest, dir.path());
    println!("power cuts: recorded in {} s", started.elapsed().as_secs());
    let said: Vec<String> = thread::scope(|scope| {
        let start = |part| {
            let dir = dir.path();
            let choice = Choice { part, parts: GUESTS, ..choice };
            scope.spawn(move || replay(scenarios, guest, dir, choice))
        };
        let guests: Vec<_> = (0..GUESTS).map(start).collect();
        guests.into_iter().map(|guest| guest.join().unwrap()).collect()
    });
    let reports = scenarios.iter().map(|scenario| (*scenario, Report::read(&said, *scenario)));
    let reports: Vec<(Scenario, Report)> = reports.collect();
    for (scenario, report) in &reports {
        if !report.failed.is_empty() {
            fs::create_dir_all(place()).unwrap();
            let name = format!("{}.log", scenario.name());
            fs::copy(dir.path().join(&name), place().join(name)).unwrap();
        }
    }
    reports
}

/// Where the logs of scenarios are that failed last.
pub fn place() -> PathBuf {
    cache::directory().join("failed/zfs")
}

fn record(scenarios: &[Scenario], guest: &Minimal, dir: &Path) {
    let mut disks = Vec::new();
    let mut script = format!("{ENVIRONMENT}\nzfs-cuts record");
    for (scenario, letter) in scenarios.iter().zip('a'..) {
        let name = scenario.name();
        let (file, log) = (dir.join(format!("{name}.raw")), dir.join(format!("{name}.log")));
        disk(&file);
        File::create(&log).unwrap();
        script.push_str(&format!(" {name} /dev/vd{letter}"));
        disks.push(Disk::Logged { file, log });
    }
    expect_end(&guest.run(&script, disks));
}

fn replay(scenarios: &[Scenario], guest: &Minimal, dir: &Path, choice: Choice) -> String {
    let Choice { which, most, seed, part, parts } = choice;
    let file = dir.join(format!("replay-{part}.raw"));
    disk(&file);
    let mut disks = vec![Disk::Raw(file)];
    let mut script =
        format!("{ENVIRONMENT}\nzfs-cuts replay {which} {most} {seed} {part} {parts} /dev/vda");
    for (scenario, letter) in scenarios.iter().zip('b'..) {
        let name = scenario.name();
        // Nobody writes to it, but a file that is open for writing is one machine's alone.
        let log = dir.join(format!("{name}-{part}.log"));
        fs::copy(dir.join(format!("{name}.log")), &log).unwrap();
        script.push_str(&format!(" {name} /dev/vd{letter}"));
        disks.push(Disk::Raw(log));
    }
    let said = guest.run(&script, disks);
    expect_end(&said);
    said
}

/// A disk with one partition for a pool.
fn disk(file: &Path) {
    zfs_root::partitioned(file, BEFORE + super::SIZE);
}

#[track_caller]
fn expect_end(said: &str) {
    assert!(
        said.contains(ALL_DONE),
        "the guest did not come to an end. It said:\n{}",
        quoted(said)
    );
}

impl Report {
    /// What the guests said of this scenario.
    fn read(said: &[String], scenario: Scenario) -> Self {
        let mut report = Self::default();
        let recording = format!("cuts: {} has ", scenario.name());
        for line in said.iter().flat_map(|said| said.lines()).map(str::trim_end) {
            if let Some(text) = line.strip_prefix(&recording) {
                report.recording = text.to_string();
            }
            let Some(text) = line.strip_prefix(&format!("cut {} ", scenario.name())) else {
                continue;
            };
            report.replayed += 1;
            match text.split_whitespace().collect::<Vec<_>>().as_slice() {
                [_, "ok", time, ..] => report.milliseconds += time.parse::<u64>().unwrap(),
                _ => report.failed.push(text.to_string()),
            }
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let well = self.replayed - self.failed.len();
        let each = self.milliseconds / well.max(1) as u64;
        let (all, failed) = (self.replayed, self.failed.len());
        write!(out, "{}; {all} replayed, {each} ms each; {failed} failed", self.recording)
    }
}
