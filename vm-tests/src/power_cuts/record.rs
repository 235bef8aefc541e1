//! Lets a guest do what scenarios say, and records all that it writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::drive::{Drive, FILE_SYSTEM, copy_data, memory};
use super::host::{Host, apart};
use super::known::Known;
use super::scenario::Scenario;
use crate::log_writes::{Change, Log};
use crate::minimal::Minimal;
use crate::qemu::Disk;

/// Sectors of the disk before the place for marks.
const MARKS: u64 = FILE_SYSTEM / 512;

/// What a script's line ends with, in the words of a shell. It marks moments in the log without a
/// flush: a write past the end of the file system, by no cache.
const BEFORE: &str = "mkdir -p /mnt
mark() { echo \"$1\" | dd of=/dev/$dev bs=512 conv=sync oflag=direct seek=$marks 2>/dev/null; }
";

/// A disk as it was, and everything that was written to it since.
#[derive(Debug)]
pub struct Recording {
    /// The disk before.
    pub base: Drive,
    /// The log.
    pub log: Vec<u8>,
}

/// The scenarios' recordings in their order, from one run of a guest; or why there is none.
pub fn record(
    scenarios: &[&dyn Scenario],
    suite: &str,
    command: &Path,
) -> Vec<Result<Recording, String>> {
    let bases: Vec<(Drive, Known)> =
        scenarios.iter().map(|scenario| prepare(*scenario, command)).collect();
    let dir = TempDir::new_in(memory()).unwrap();
    let file = |scenario: &dyn Scenario, what: &str| {
        dir.path().join(format!("{}.{what}", scenario.name()))
    };
    let mut script = BEFORE.replace("$marks", &MARKS.to_string());
    let mut disks = Vec::new();
    for ((scenario, (base, known)), letter) in scenarios.iter().zip(&bases).zip('a'..) {
        let name = scenario.name();
        let lines = scenario.script(known);
        script.push_str(&format!(
            "(\ndev=vd{letter}\nset -e\nln -sfn /dev/$dev /mnt/disk\nrm -rf /etc /sysroot \
             /run/blankroot\n{lines})\necho \"cuts: {name} ended with $?\"\n"
        ));
        let (disk, log) = (file(*scenario, "raw"), file(*scenario, "log"));
        copy_file(base.path(), &disk);
        File::create(&log).unwrap();
        disks.push(Disk::Logged { file: disk, log });
    }
    let said = Minimal::of(suite).with(command).run(&script, disks);
    let ended = |scenario: &dyn Scenario| {
        let ended = format!("cuts: {} ended with 0", scenario.name());
        said.lines().any(|line| line.trim_end().ends_with(&ended))
    };
    let each = scenarios.iter().zip(bases).map(|(scenario, (base, _))| {
        if !ended(*scenario) {
            return Err(format!("{} failed in the guest, which said:\n{said}", scenario.name()));
        }
        let log = fs::read(file(*scenario, "log")).unwrap();
        let recording = Recording { base, log };
        recording.check_complete(&file(*scenario, "raw"));
        Ok(recording)
    });
    each.collect()
}

impl Recording {
    /// One that was saved before.
    pub fn load(dir: &Path) -> Self {
        let log = fs::read(dir.join("log")).unwrap();
        Self { base: Drive::of(&dir.join("base.raw")), log }
    }

    /// Saves it, to be looked at again.
    pub fn save(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        copy_file(self.base.path(), &dir.join("base.raw"));
        fs::write(dir.join("log"), &self.log).unwrap();
    }

    /// What was written.
    pub fn parse(&self) -> Log<'_> {
        Log::parse(&self.log).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The disk with all that was written.
    pub fn end(&self) -> Drive {
        let end = self.base.copy();
        self.parse().entries.iter().for_each(|entry| end.change(entry.change));
        end
    }

    /// The log leads from the disk before to the disk after.
    fn check_complete(&self, after: &Path) {
        assert!(self.end().equals(after), "the log lacks something that was written");
    }
}

/// What was marked within the first `prefix` entries.
pub fn marks(log: &Log<'_>, prefix: usize) -> Vec<String> {
    let text = |change| match change {
        Change::Write(at, data) if at >= FILE_SYSTEM => {
            Some(String::from_utf8_lossy(data).trim_end_matches(['\0', '\n']).to_string())
        }
        _ => None,
    };
    log.entries[..prefix].iter().filter_map(|entry| text(entry.change)).collect()
}

fn prepare(scenario: &dyn Scenario, command: &Path) -> (Drive, Known) {
    let drive = super::ground::empty_disk();
    let known = apart(|yard| {
        let host = Host::start(yard, &drive, command);
        scenario.prepare(&host);
        let known = Known::of(&host);
        host.stop();
        known
    });
    (drive, known)
}

fn copy_file(from: &Path, to: &PathBuf) {
    let (from, to) = (File::open(from).unwrap(), File::create(to).unwrap());
    to.set_len(from.metadata().unwrap().len()).unwrap();
    copy_data(&from, &to);
}
