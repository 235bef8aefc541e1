//! The same for a hold: set, met by a rollback, and used up. Whatever fails, live stays as it is while the
//! hold may be meant for this boot, and blank and the old roots are untouched.

use std::fs;

use backends::{Held, Hold};
use blankroot::boot::execute_steps;
use blankroot::boot::hold_plan::{WantedHold, plan_hold};
use chrono::Utc;
use dirfd::fault::{Fault, run_with};
use support::sandbox::on_btrfs;

use crate::stage::{Stage, Variant, lock};
use crate::{ENOSPC, ERRNOS};

/// Every change that `hold` makes, in order.
const SET: [&str; 7] = [
    "btrfs: sync before survey",
    "btrfs: make old dir",
    "file: create",
    "file: write",
    "file: sync",
    "file: rename",
    "file: sync directory",
];
/// The same of `hold --release`.
const RELEASE: [&str; 3] = ["btrfs: sync before survey", "hold: unlink", "hold: sync directory"];
/// What a rollback changes that meets it, but for the stamp.
const HELD: [&str; 7] = SET;

/// Sets or releases, as the command does.
fn run(stage: &Stage, wanted: &WantedHold) -> Result<(), String> {
    let backend = stage.backend();
    let mut locked = lock(&backend).map_err(|e| e.to_string())?;
    let survey = locked.survey().map_err(|e| e.to_string())?;
    match plan_hold(wanted, survey.hold.as_ref()) {
        Ok(step) => execute_steps::execute_hold(&step, &mut locked).map_err(|e| e.to_string()),
        Err(_) => Ok(()),
    }
}

fn set(stage: &Stage) -> Result<(), String> {
    run(stage, &WantedHold::Set(Hold::new("an earlier boot", Utc::now())))
}

fn is_held(stage: &Stage) -> bool {
    match stage.survey().hold {
        Some(Held::By(_)) => true,
        None => false,
        Some(Held::Unreadable(why)) => panic!("half a hold: {why}"),
    }
}

fn faults(points: usize) -> impl Iterator<Item = (usize, Fault)> {
    (0..points).flat_map(|position| {
        let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
        let fails = ERRNOS.map(|errno| Fault::FailNth(position, errno));
        cuts.into_iter().chain(fails).map(move |fault| (position, fault))
    })
}

/// Without room for data the hold is written all the same.
fn makes_do(fault: Fault) -> bool {
    matches!(fault, Fault::FailNth(position, ENOSPC) if SET[position] == "file: write")
}

#[test]
fn a_hold_that_fails_anywhere_is_whole_or_absent_and_the_next_one_is_there() {
    on_btrfs(|sandbox| {
        let build = || Stage::build(sandbox.top(), sandbox.throwaway().device(), Variant::Plain);
        let stage = build();
        let (_, passed) = run_with(None, None, || set(&stage));
        assert_eq!(passed, SET);
        for (position, fault) in faults(SET.len()) {
            let (stage, what) = (build(), format!("hold, {fault:?} ({})", SET[position]));
            let (result, _) = run_with(Some(fault), None, || set(&stage));
            assert_eq!(result.is_ok(), makes_do(fault), "{what}: {result:?}");
            is_held(&stage);
            stage.check_safe(&what);
            set(&stage).unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
            assert!(is_held(&stage), "{what}");
        }
    });
}

#[test]
fn a_release_that_fails_anywhere_can_be_repeated() {
    on_btrfs(|sandbox| {
        let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), Variant::Plain);
        set(&stage).unwrap();
        let (_, passed) = run_with(None, None, || run(&stage, &WantedHold::Release));
        assert_eq!(passed, RELEASE);
        for (position, fault) in faults(RELEASE.len()) {
            let what = format!("release, {fault:?} ({})", RELEASE[position]);
            set(&stage).unwrap();
            let (result, _) = run_with(Some(fault), None, || run(&stage, &WantedHold::Release));
            assert!(result.is_err(), "{what}: nobody noticed");
            run(&stage, &WantedHold::Release).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!is_held(&stage), "{what}");
        }
    });
}

#[test]
fn a_held_boot_keeps_live_whatever_fails_and_the_boot_after_it_is_rolled_back() {
    on_btrfs(|sandbox| {
        let build = || {
            let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), Variant::Plain);
            set(&stage).unwrap();
            stage
        };
        let stage = build();
        let (_, passed) = run_with(None, None, || stage.roll_back());
        assert_eq!(passed[..HELD.len()], HELD);
        for (position, fault) in faults(HELD.len()) {
            let (stage, what) = (build(), format!("held, {fault:?} ({})", HELD[position]));
            let (result, _) = run_with(Some(fault), None, || stage.roll_back());
            assert_eq!(result.is_ok(), makes_do(fault), "{what}: {result:?}");
            assert!(!stage.is_replaced(), "{what}: live was set aside");
            stage.check_safe(&what);
            // Another run in that boot holds it still.
            stage.roll_back().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
            assert!(!stage.is_replaced(), "{what}: live was set aside");
            // The boot after it.
            let boot_id = stage.host.path().join("proc/sys/kernel/random/boot_id");
            fs::write(boot_id, "cccccccc-7a01-4b6e-9d0a-000000000000\n").unwrap();
            stage.roll_back().unwrap_or_else(|error| panic!("{what}: the boot after: {error}"));
            assert!(stage.is_replaced() && !is_held(&stage), "{what}");
            stage.check_converged(&what);
        }
    });
}

#[test]
fn a_directory_of_old_roots_that_others_may_open_is_closed_before_it_is_locked() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    const CLOSE: [&str; 2] = ["lock: take over", "lock: close to others"];
    on_btrfs(|sandbox| {
        let build = || {
            let stage = Stage::build(sandbox.top(), sandbox.throwaway().device(), Variant::Plain);
            let old = stage.dir.join("old-roots");
            fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
            chown(&old, Some(1000), None).unwrap();
            stage
        };
        let stage = build();
        let (_, passed) = run_with(None, None, || set(&stage));
        assert_eq!(passed, [&CLOSE[..], &SET].concat());
        for (position, fault) in faults(CLOSE.len()) {
            let (stage, what) = (build(), format!("lock, {fault:?} ({})", CLOSE[position]));
            let (result, _) = run_with(Some(fault), None, || set(&stage));
            assert!(result.is_err(), "{what}: nobody noticed");
            stage.check_safe(&what);
            set(&stage).unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
            let old = stage.dir.join("old-roots").metadata().unwrap();
            assert_eq!((old.uid(), old.mode() & 0o7777), (0, 0o700), "{what}");
        }
    });
}
