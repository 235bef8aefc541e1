//! `diff` beside programs that move directories into each other: it ends, in little memory, says so where it
//! could not see the tree whole, and is exact once they hold still.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use support::{histories, oracle};

use crate::machine::{Machine, Ran, on_machine};

/// Directories of each age: those that blank has, and new ones. So many with names so long are in many
/// blocks, which are not read at one moment.
const DIRECTORIES: u8 = 100;
const NAME_BYTES: usize = 200;
/// Kilobytes that `diff` may have; half a million changes take a fifth.
const MEMORY: &str = "524288";
/// Seconds that one `diff` may take; it takes less than one.
const PATIENCE: &str = "120";
/// How often in all the writers stop, and the answer is compared.
const HALTS: u32 = 10;

/// How long in all, from `BLANKROOT_RENAMING_SECONDS`.
fn duration() -> Duration {
    let seconds = std::env::var("BLANKROOT_RENAMING_SECONDS").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(30))
}

fn make(live: &Path, age: &str) {
    for number in 0..DIRECTORIES {
        let name = format!("{age} {number}");
        let dir = live.join("moved").join(format!("{name:x<NAME_BYTES$}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("inside"), [number]).unwrap();
    }
}

fn open(path: &Path) -> OwnedFd {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// The directories by their own descriptors, which stay whatever the way to them.
fn directories(live: &Path) -> Vec<(CString, OwnedFd)> {
    let dirs = fs::read_dir(live.join("moved")).unwrap().map(|entry| entry.unwrap());
    let name = |name: &OsStr| CString::new(name.as_encoded_bytes()).unwrap();
    dirs.map(|entry| (name(&entry.file_name()), open(&entry.path()))).collect()
}

/// Moves directories into each other, and now and then to where they were, until told to stop.
fn move_around(all: &[(CString, OwnedFd)], top: &OwnedFd, mut random: u64, stop: &AtomicBool) {
    let mut moved = 0u32;
    // What lies in itself cannot be moved, and what the other one moves is not where it was.
    while !stop.load(Ordering::Relaxed) {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = |shift: u32| (random >> shift) as usize % all.len();
        let (name, what) = &all[pick(33)];
        let into = if random >> 61 == 0 { top } else { &all[pick(45)].1 };
        let above = openat(what, "..", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        moved += u32::from(renameat(&above, name, into, name).is_ok());
    }
    assert!(moved > 0, "nothing was moved");
}

/// Runs `diff` with so much memory and time and no more.
#[expect(clippy::disallowed_methods, reason = "a shell bounds what it starts")]
fn diff(machine: &Machine<'_>) -> Ran {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -d {MEMORY} && exec timeout {PATIENCE} \"$0\" \"$@\"")])
        .args([env!("CARGO_BIN_EXE_blankroot"), "diff", "-0", "--root"])
        .arg(machine.live())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn is_exact(machine: &Machine<'_>) {
    let [blank, live] = ["root-blank", "root"].map(|tree| oracle::walk(&machine.top().join(tree)));
    let expected = oracle::changes(&blank, &live);
    let expected: Vec<String> =
        expected.iter().map(|row| format!("/{}", String::from_utf8_lossy(&row.path))).collect();
    let ran = diff(machine).expect(0);
    assert_eq!(ran.err, "");
    let told: Vec<&str> = ran.out.split_terminator('\0').collect();
    let differing = told.iter().zip(&expected).find(|(told, expected)| told != expected);
    assert_eq!((differing, told.len()), (None, expected.len()));
}

#[test]
fn diff_ends_beside_histories_of_directories_that_are_moved_into_each_other() {
    on_machine(|machine| {
        make(machine.live(), "old");
        machine.initialise();
        machine.mount();
        make(machine.live(), "new");
        let (all, top) = (directories(machine.live()), open(&machine.live().join("moved")));
        let mut seed = histories::seed();
        println!("repeat it with BLANKROOT_SEED={seed}");
        let (mut whole, mut torn) = (0, 0);
        for _ in 0..HALTS {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..2 {
                    seed = seed.wrapping_add(1);
                    let (all, top, stop) = (&all, &top, &stop);
                    scope.spawn(move || move_around(all, top, seed, stop));
                }
                let ends = Instant::now() + duration() / HALTS;
                // Once at the least, however slow the machine.
                loop {
                    let ran = diff(machine);
                    match ran.code {
                        0 => whole += 1,
                        2 if is_told(&ran) => torn += 1,
                        _ => {
                            stop.store(true, Ordering::Relaxed);
                            panic!("{ran:#?}");
                        }
                    }
                    if Instant::now() > ends {
                        break;
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
            is_exact(machine);
        }
        println!("{whole} answers, {torn} times none because the tree did not hold still");
    });
}

/// Whether it says what kept changing, and what can be done.
fn is_told(ran: &Ran) -> bool {
    let texts =
        ["directories were moved while they were read", "tries\n", "  hint: run it again once"];
    texts.iter().all(|text| ran.err.contains(text))
}
