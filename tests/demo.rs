//! The demo as its viewer meets it: what it shows, how it ends, and that nothing is left of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scratch::file_systems::Throwaway;
use support::sandbox::skip;
use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// The demo with a temporary directory of its own.
#[expect(clippy::disallowed_methods, reason = "the test is about the process as a whole")]
fn demo(temporary: &TempDir, args: &[&str]) -> Command {
    // Who runs the tests in the background may have it ignore signals, which would be inherited.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_blankroot"), "demo"]);
    command.args(args).env("TMPDIR", temporary.path()).env_remove("LS_COLORS");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The backends that can be played on here.
fn grounds() -> Vec<&'static str> {
    match Throwaway::unavailable() {
        None => vec!["directory", "btrfs"],
        Some(why) => {
            skip(&why);
            vec!["directory"]
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// No file, no mount and no loop device tells that there was a demo.
fn assert_nothing_left(temporary: &TempDir) {
    let names: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
    assert!(names.is_empty(), "left behind: {names:?}");
    let dir = temporary.path().to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir), "{mounts}");
    // Where udev runs, it may look at a device for a moment longer.
    let started = Instant::now();
    while loop_device_of(dir).is_some() && started.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
    assert_eq!(loop_device_of(dir), None);
}

/// A loop device whose image is, or was, in `dir`.
fn loop_device_of(dir: &str) -> Option<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .map(|device| device.path().join("loop/backing_file"))
        .find_map(|file| fs::read_to_string(file).ok().filter(|image| image.contains(dir)))
}

#[test]
fn the_story_is_told_on_every_backend_and_nothing_is_left() {
    for ground in grounds() {
        let temporary = tempfile::tempdir().unwrap();
        let output = demo(&temporary, &["--backend", ground]).output().unwrap();
        let shown = text(&output);
        assert!(output.status.success(), "{ground}: {output:?}");
        assert!(output.stderr.is_empty(), "{ground}: {output:?}");
        for part in [
            "$ blankroot init\n",
            "done: make the blank snapshot `root-blank` of `root`\n",
            "+ └─ notes/         2 files  49 B  stray\n",
            "done: copy /var/lib/notes to /persist/var/lib/notes, and compare the two\n",
            "$ blankroot diff /var/lib/notes\n  /var/lib/\n+ └─ notes",
            "  kept\n",
            "$ blankroot rollback\nrolled back in ",
            "$ blankroot apply\ndone: make /var/lib/notes: ",
            "Nothing needs attention.\n",
            "    Gone: /root/.bash_history, /usr/local/bin/miner\n",
            "Restored: /etc/hostname, /etc/motd\n",
            "    Kept: /var/lib/notes, which still says: feed the cat\n",
            "Old root: old-roots/000001-b81d40e7,",
            "and is gone now.\n",
        ] {
            assert!(shown.contains(part), "{ground}: {part:?} is not in\n{shown}");
        }
        let on = if ground == "btrfs" { "a Btrfs on /dev/loop" } else { "the directory /" };
        assert_eq!(shown.matches(on).count(), 2, "{shown}");
        assert!(shown.lines().count() <= 80, "{} lines", shown.lines().count());
        assert!(!shown.contains('\u{1b}'));
        assert_nothing_left(&temporary);
    }
}

#[test]
fn what_is_kept_is_mounted_where_that_can_be_and_linked_elsewhere() {
    for ground in grounds() {
        let temporary = tempfile::tempdir().unwrap();
        let shown = text(&demo(&temporary, &["--backend", ground]).output().unwrap());
        let (command, entry, done) = match (ground, is_root()) {
            ("btrfs", _) => (
                "$ blankroot keep --storage /persist /var/lib/notes\n",
                "   +   \"/var/lib/notes\",\n",
                "done: mount /persist/var/lib/notes at /var/lib/notes\n",
            ),
            (_, true) => (
                "$ blankroot keep --symlink --storage /persist /var/lib/notes\n",
                "   +   { path = \"/var/lib/notes\", how = \"symlink\" },\n",
                "link to ../../persist/var/lib/notes",
            ),
            (_, false) => (
                "$ blankroot apply --adopt\n",
                "+   { path = \"/var/lib/notes\", how = \"symlink\" },\n",
                "link to ../../persist/var/lib/notes",
            ),
        };
        for part in [command, entry] {
            assert!(shown.contains(part), "{ground}: {part:?} is not in\n{shown}");
        }
        // Once when it is kept, and once more after the reboot.
        assert_eq!(shown.matches(done).count(), 2, "{ground}: {shown}");
        assert_eq!(shown.contains("Nothing is mounted there"), ground == "directory", "{shown}");
    }
}

#[test]
fn without_privilege_it_says_why_it_is_on_plain_directories() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = demo(&temporary, &[]);
    if is_root() {
        std::os::unix::fs::chown(temporary.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = match command.output() {
        Err(error) => return skip(&format!("nobody may run the command where it is: {error}")),
        Ok(output) => output,
    };
    let shown = text(&output);
    assert!(output.status.success(), "{output:?}");
    let why = "The backend is `directory`, because this is not run as root.\n";
    assert!(shown.contains(why), "{shown}");
    assert!(shown.contains("`blankroot keep` needs root"), "{shown}");
    assert!(shown.contains("$ blankroot apply --adopt\n"), "{shown}");
    assert_nothing_left(&temporary);
}

#[test]
fn the_best_backend_is_the_one_that_is_used() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = text(&demo(&temporary, &["--color", "always"]).output().unwrap());
    let on = if Throwaway::unavailable().is_none() { "a Btrfs on" } else { "the directory" };
    assert!(shown.contains(&format!("It is on {on}")), "{shown}");
    assert!(shown.contains("\u{1b}["), "no colour although it was asked for");
}

#[test]
fn a_signal_in_the_middle_leaves_nothing() {
    for (ground, signal, code) in [
        ("directory", Signal::SIGINT, Some(130)),
        ("directory", Signal::SIGTERM, Some(143)),
        ("directory", Signal::SIGHUP, Some(129)),
        ("btrfs", Signal::SIGINT, None),
        ("btrfs", Signal::SIGTERM, None),
        ("btrfs", Signal::SIGHUP, None),
        ("btrfs", Signal::SIGKILL, None),
    ] {
        if !grounds().contains(&ground) {
            continue;
        }
        for scene in ["1", "4", "5", "6"] {
            let temporary = tempfile::tempdir().unwrap();
            let mut paused = pause(&temporary, &["--backend", ground, "--pause-at", scene]);
            let input = paused.stdin.take();
            // Of a directory there is something to remove at this moment.
            let names = fs::read_dir(temporary.path()).unwrap().count();
            assert_eq!(names, usize::from(ground == "directory"));
            kill(Pid::from_raw(paused.id().cast_signed()), signal).unwrap();
            // Once more with a story that goes on while the signal is dealt with.
            let input = input.filter(|_| scene != "4");
            let status = paused.wait().unwrap();
            drop(input);
            // The story that went on may have been faster.
            if scene != "4" || status.code() != Some(0) {
                // A shell reports both as 128 and the signal's number.
                assert_eq!(status.code(), code, "{ground}, {signal}");
                let by = if code.is_none() { Some(signal as i32) } else { None };
                assert_eq!(status.signal(), by, "{ground}, {signal}");
            }
            assert_nothing_left(&temporary);
        }
    }
}

/// Starts it and waits until it waits.
fn pause(temporary: &TempDir, args: &[&str]) -> Child {
    let mut command = demo(temporary, args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.starts_with("(waiting")));
    child
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    for ground in grounds() {
        let temporary = tempfile::tempdir().unwrap();
        let mut paused = pause(&temporary, &["--backend", ground, "--pause-at", "3"]);
        drop((paused.stdout.take(), paused.stdin.take()));
        assert!(paused.wait().unwrap().success());
        assert_nothing_left(&temporary);
    }
}

#[test]
fn a_failure_names_its_reason_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let nowhere = temporary.path().join("a b");
    let output = demo(&temporary, &[]).env("TMPDIR", &nowhere).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint.contains("cannot use the temporary directory"), "{complaint}");
    assert!(complaint.contains("\n  hint: set TMPDIR"), "{complaint}");

    // Something is in the way in the middle of the story.
    let mut paused = pause(&temporary, &["--backend", "directory", "--pause-at", "4"]);
    let base = fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    File::create(base.join("disk/persist/var")).unwrap();
    drop(paused.stdin.take());
    let mut complaint = String::new();
    paused.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(paused.wait().unwrap().code(), Some(2));
    let why = match is_root() {
        true => "cannot look at /persist/var/lib/notes: Not a directory",
        false => "cannot keep /var/lib/notes: its parent /persist/var is no directory",
    };
    assert!(complaint.contains(why), "{complaint}");
    assert_nothing_left(&temporary);
}
