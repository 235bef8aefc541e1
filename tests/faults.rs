//! Whatever fails, and whenever the power goes: live is there, blank is untouched, what was lived in
//! is whole, and the next run converges.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "faults/apply.rs"]
mod apply;
#[path = "faults/early.rs"]
mod early;
#[path = "faults/expire.rs"]
mod expire;
#[path = "faults/hold.rs"]
mod hold;
#[path = "faults/init.rs"]
mod init;
#[path = "faults/keep.rs"]
mod keep;
#[path = "faults/kept.rs"]
mod kept;
#[path = "faults/restore.rs"]
mod restore;
#[path = "faults/scenario.rs"]
mod scenario;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/tables.rs"]
mod tables;
#[path = "faults/without_exchange.rs"]
mod without_exchange;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use backends::Unfinished;
use dirfd::fault::{Fault, run_with};
use dirfd::process::Program;
use scratch::file_systems::{PowerCut, Throwaway};
use stage::{Stage, Variant};
use support::sandbox::{Sandbox, on_btrfs};

/// ENOSPC, EIO, EPERM, EBUSY (`asm-generic/errno-base.h`).
const ERRNOS: [i32; 4] = [ENOSPC, 5, 1, 16];
const ENOSPC: i32 = 28;

/// Every change that a rollback makes, in order.
const ROLLBACK: [&str; 19] = [
    "btrfs: sync before survey",
    "btrfs: make old dir",
    "file: create",
    "file: write",
    "file: sync",
    "file: link",
    "file: unlink temporary",
    "btrfs: snapshot",
    "btrfs: exchange",
    "btrfs: sync",
    // The stamp, in the host's /run.
    "host: make directory",
    "host: set the directory's mode",
    "host: make directory",
    "host: set the directory's mode",
    "file: create",
    "file: write",
    "file: sync",
    "file: rename",
    "file: sync directory",
];

/// What completes a copy of a blank with one stub.
const STUB: [&str; 7] = [
    "record: mark copy",
    "btrfs: remove stub",
    "btrfs: create nested subvolume",
    "btrfs: chown nested subvolume",
    "btrfs: chmod nested subvolume",
    "btrfs: sync",
    "record: mark copy",
];
/// The same for a variant: a live that is the default subvolume is followed by the default.
fn table(variant: Variant) -> Vec<&'static str> {
    let mut table = ROLLBACK.to_vec();
    if variant == Variant::NoOldDir {
        // For the lock, which it carries.
        table.insert(0, "btrfs: make old dir");
    }
    if variant == Variant::Stub {
        table.splice(8..8, STUB);
    }
    if variant == Variant::Default {
        table.splice(10..10, ["btrfs: set default", "btrfs: sync"]);
    }
    table
}

#[test]
fn the_command_passes_exactly_the_points_that_are_named_here() {
    on_btrfs(|sandbox| {
        for variant in Variant::ALL {
            let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), variant);
            let (_, passed) = run_with(None, None, || stage.command());
            assert_eq!(passed, table(variant), "{variant:?}");
            stage.check_converged("the command");
            let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), variant);
            let (_, passed) = run_with(None, None, || stage.roll_back());
            assert_eq!(passed, table(variant), "{variant:?}");
        }
    });
}

fn fails_and_converges(sandbox: &Sandbox, variant: Variant, position: usize, fault: Fault) {
    let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), variant);
    let what = format!("{variant:?}, {fault:?} ({})", table(variant)[position]);
    let (result, passed) = run_with(Some(fault), None, || stage.roll_back());
    assert!(passed.len() > position, "{what}: the point was not reached: {passed:?}");
    let table = table(variant);
    let exchange = table.iter().position(|point| *point == "btrfs: exchange").unwrap();
    let makes_do = match (fault, table[position]) {
        // A full disk must not keep the record from being written.
        (Fault::FailNth(_, ENOSPC), "file: write") => position < exchange,
        // A directory takes its place.
        (Fault::FailNth(..), "btrfs: create nested subvolume") => true,
        _ => false,
    };
    assert_eq!(result.is_ok(), makes_do, "{what}: {result:?}");
    stage.check_safe(&what);
    stage.roll_back().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
    stage.check_converged(&what);
}

#[test]
fn any_call_may_fail_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        for variant in Variant::ALL {
            for position in 0..table(variant).len() {
                for errno in ERRNOS {
                    let fault = Fault::FailNth(position, errno);
                    fails_and_converges(sandbox, variant, position, fault);
                }
            }
        }
    });
}

#[test]
fn the_process_may_die_before_and_after_any_call_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        for variant in Variant::ALL {
            for position in 0..table(variant).len() {
                for fault in [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)] {
                    fails_and_converges(sandbox, variant, position, fault);
                }
            }
        }
    });
}

#[test]
fn the_same_crash_in_twenty_boots_leaves_one_fresh_copy_at_the_most() {
    on_btrfs(|sandbox| {
        let variants = [Variant::Plain, Variant::Stub];
        let all = variants.map(|v| (0..table(v).len()).map(move |position| (v, position)));
        for (variant, position) in all.into_iter().flatten() {
            let (top, device) = (sandbox.top(), sandbox.throwaway().device());
            let stage = Stage::build(top, device, variant);
            for _ in 0..20 {
                let cut = Some(Fault::CutAfterNth(position));
                let _ = run_with(cut, None, || stage.roll_back());
            }
            let unfinished = stage.survey().unfinished;
            let copies = unfinished.iter().filter(|u| matches!(u, Unfinished::FreshCopy { .. }));
            let point = table(variant)[position];
            assert!(copies.count() <= 1, "after {point}: {unfinished:?}");
            stage.check_safe(point);
            stage.roll_back().unwrap();
            stage.check_converged(point);
        }
    });
}

#[test]
fn temporary_files_of_many_crashes_of_one_process_id_do_not_stop_the_next_run() {
    on_btrfs(|sandbox| {
        let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), Variant::Plain);
        for _ in 0..70 {
            let (result, _) =
                run_with(Some(Fault::CutAfter("file: write")), None, || stage.roll_back());
            assert!(result.is_err());
        }
        stage.check_safe("70 crashes");
        stage.roll_back().unwrap();
        stage.check_converged("70 crashes");
    });
}

/// A disk after each change of `work`, and one from before it.
fn cut_everywhere(
    throwaway: Throwaway,
    work: impl FnOnce() -> Result<(), String>,
) -> Vec<(&'static str, PowerCut)> {
    let throwaway = Rc::new(throwaway);
    let cuts = Rc::new(RefCell::new(vec![("nothing", throwaway.image_copy().unwrap())]));
    let (disk, list) = (Rc::clone(&throwaway), Rc::clone(&cuts));
    let watcher = move |point| list.borrow_mut().push((point, disk.image_copy().unwrap()));
    let (result, _) = run_with(None, Some(Box::new(watcher)), work);
    result.unwrap();
    cuts.take()
}

fn small_disk() -> Throwaway {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    Throwaway::btrfs_in(&dir, 256 << 20, 1).unwrap()
}

fn check_disk(device: &Path, what: &str) {
    let args = ["check".as_ref(), "--readonly".as_ref(), device.as_os_str()];
    let checked = Program::new("btrfs", "btrfs-progs").run(args);
    checked.unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn the_power_may_go_after_any_change_and_the_next_boot_converges() {
    on_btrfs(|sandbox| {
        for variant in Variant::ALL {
            let dir = tempfile::tempdir().unwrap();
            let throwaway = small_disk();
            let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
            let mut stage = Stage::build(dir.path(), throwaway.device(), variant);
            let cuts = cut_everywhere(throwaway, || stage.roll_back());
            mount.unmount().unwrap();
            let points: Vec<_> = cuts.iter().skip(1).map(|(point, _)| *point).collect();
            assert_eq!(points, table(variant), "{variant:?}");
            for (number, (point, cut)) in cuts.into_iter().enumerate() {
                let what = format!("{variant:?}, power cut after {number}: {point}");
                let throwaway = cut.attach().unwrap();
                check_disk(throwaway.device(), &what);
                let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
                stage.boot(throwaway.device());
                stage.check_safe(&what);
                // A copy that was made and an exchange that was synced are promised to be durable.
                let after = |point| points.iter().position(|p| *p == point).unwrap() < number;
                let copied = stage.is_replaced() || stage.has_fresh_copy();
                assert!(copied || !after("btrfs: snapshot"), "{what}: the copy is lost");
                let exchange = points.iter().position(|p| *p == "btrfs: exchange").unwrap();
                let replaced = stage.is_replaced() || exchange + 1 >= number;
                assert!(replaced, "{what}: the exchange is lost");
                stage.roll_back().unwrap_or_else(|error| panic!("{what}: {error}"));
                stage.check_converged(&what);
                mount.unmount().unwrap();
            }
        }
    });
}
