//! Runs what is about ZFS where there is ZFS: in a guest with a pool for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::minimal::Minimal;
use crate::programs;

/// What it may take in an emulated machine whose processors others keep busy.
const PATIENCE: Duration = Duration::from_secs(2400);
/// Bytes of the pool.
const POOL: u64 = 900 << 20;

/// A guest with a pool, and with a program of ours.
#[derive(Clone, Debug)]
pub struct Guest {
    guest: Minimal,
    program: String,
}

impl Guest {
    /// That of this suite, with this program.
    pub fn of(suite: &str, program: &Path) -> Self {
        let name = program.file_name().expect("a program has a name");
        let guest = Minimal::with_zfs(suite).with(program).patient(PATIENCE);
        Self { guest, program: name.to_string_lossy().into_owned() }
    }

    /// The same with one program more beside it.
    #[must_use]
    pub fn with(mut self, program: &Path) -> Self {
        self.guest = self.guest.with(program);
        self
    }

    /// Boots one and runs the program, which is one of tests: those that have any of `filters` in their
    /// names. `variables` are for its environment. Returns what it printed, and the line `status N`.
    pub fn run_tests(&self, filters: &[&str], variables: &str) -> String {
        // A change of Blankroot's shuts all others out, so one test runs at a time.
        self.run(&format!(
            "{variables} BLANKROOT_TEST_POOL=tests {} --test-threads=1 --nocapture {}
             echo \"status $?\"",
            self.program,
            filters.join(" ")
        ))
    }

    /// Boots one and runs a script, in which the pool is called `tests`.
    pub fn run(&self, script: &str) -> String {
        // The pool is in memory: a whole disk would be given partitions, for which there is no udev.
        let script = format!(
            "mkdir -p /tmp /etc
             ln -s /proc/self/mounts /etc/mtab
             truncate -s {POOL} /run/pool
             zpool create -O mountpoint=none -O atime=off tests /run/pool
             {script}
             zpool export tests"
        );
        self.guest.run(&script, Vec::new())
    }
}

/// The tests of `backends` as a program.
pub fn tests_of_backends() -> PathBuf {
    let what = ["test", "--package", "backends", "--lib", "--no-run", "--features", "zfs,faults"];
    built("backends", &what)
}

/// Random histories as a program.
pub fn histories() -> PathBuf {
    let test = ["--test", "zfs_histories", "--no-run", "--features", "zfs"];
    built("zfs_histories", &[&["test", "--package", "blankroot"], &test[..]].concat())
}

/// The command; `fast` is the profile for what is measured.
pub fn command(profile: &str) -> PathBuf {
    let what = ["--package", "blankroot", "--bin", "blankroot", "--features", "zfs"];
    built("blankroot", &[&["build", "--profile", profile], &what[..]].concat())
}

/// What cargo builds of that name, with ZFS and without anything that a guest with ZFS has no library for.
fn built(name: &str, args: &[&str]) -> PathBuf {
    let manifest = ["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")];
    let more = ["--no-default-features", "--message-format", "json"];
    let printed = programs::run(env!("CARGO"), args.iter().chain(&manifest).chain(&more));
    let mut messages = printed.split(|&byte| byte == b'\n').filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        // The tests of a package come with its programs.
        if message["target"]["name"] != name {
            return None;
        }
        message["executable"].as_str().map(PathBuf::from)
    });
    messages.next_back().expect("cargo names the program that it built")
}
