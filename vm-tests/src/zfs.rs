//! Runs the tests of the backend for ZFS where there is ZFS: in a guest with a pool for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::minimal::Minimal;
use crate::programs;

/// What the tests may take in an emulated machine whose processors others keep busy.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Bytes of the pool.
const POOL: u64 = 900 << 20;

/// A guest with the tests in it.
#[derive(Clone, Debug)]
pub struct Guest {
    guest: Minimal,
    tests: String,
}

impl Guest {
    /// That of this suite, with these tests.
    pub fn of(suite: &str, tests: &Path) -> Self {
        let name = tests.file_name().expect("a program has a name");
        let guest = Minimal::with_zfs(suite).with(tests).patient(PATIENCE);
        Self { guest, tests: name.to_string_lossy().into_owned() }
    }

    /// Boots one and runs the tests that have `filter` in their names. Returns what they printed, and the
    /// line `status N`.
    pub fn run(&self, filter: &str) -> String {
        // The pool is in memory: a whole disk would be given partitions, for which there is no udev. A
        // change of Blankroot's shuts all others out, so one test runs at a time.
        let script = format!(
            "mkdir -p /tmp /etc
             ln -s /proc/self/mounts /etc/mtab
             truncate -s {POOL} /run/pool
             zpool create -O mountpoint=none -O atime=off tests /run/pool
             BLANKROOT_TEST_POOL=tests {tests} --test-threads=1 '{filter}'
             echo \"status $?\"
             zpool export tests",
            tests = self.tests
        );
        self.guest.run(&script, Vec::new())
    }
}

/// The tests of `backends` as a program, built with ZFS and without anything that a guest with ZFS has no
/// library for.
pub fn test_binary() -> PathBuf {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let args = ["test", "--manifest-path", workspace, "--package", "backends", "--lib", "--no-run"];
    let more = ["--no-default-features", "--features", "zfs,faults", "--message-format", "json"];
    let printed = programs::run(env!("CARGO"), args.iter().chain(&more));
    let mut messages = printed.split(|&byte| byte == b'\n').filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    messages.next_back().expect("cargo names the program that it built")
}
