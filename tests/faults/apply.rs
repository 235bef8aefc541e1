//! The same for `apply`: no byte is lost on either side, nothing is hidden, the failed step is named,
//! all other entries are in force, and the next run finishes.

use std::cell::RefCell;
use std::io::Read;
use std::process::ExitCode;
use std::rc::Rc;

use dirfd::fault::{Fault, run_with};
use scratch::file_systems::{PowerCut, Throwaway};
use support::sandbox::{Sandbox, on_btrfs};
use tempfile::TempDir;

use crate::kept::{Disk, End, Kept};
use crate::scenario::Scenario;
use crate::tables::table;
use crate::{ERRNOS, check_disk, small_disk};

/// Runs `story` with the storage on live's file system, then with it on another one.
fn with_both(story: impl Fn(&Sandbox, Disk<'_>, Disk<'_>) + Sync) {
    on_btrfs(|sandbox| {
        let disk = Disk { top: sandbox.top(), device: sandbox.throwaway().device() };
        story(sandbox, disk, disk);
        let (throwaway, dir) = (small_disk(), tempfile::tempdir().unwrap());
        let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
        story(sandbox, disk, Disk { top: dir.path(), device: throwaway.device() });
        mount.unmount().unwrap();
    });
}

/// Does what nothing disturbs, and returns what it leads to.
fn undisturbed(sandbox: &Sandbox, disk: Disk<'_>, other: Disk<'_>, scenario: Scenario) -> End {
    let kept = Kept::build(sandbox.namespace(), disk, other, scenario);
    let (ran, passed) = run_with(None, None, || kept.run());
    let own = disk.device == other.device;
    assert_eq!(passed, table(scenario, own), "{scenario:?}, own file system: {own}");
    let end = kept.end();
    kept.check_converged(&ran, &end, &format!("{scenario:?}, undisturbed"));
    end
}

#[test]
fn apply_passes_exactly_the_points_that_are_named_here() {
    with_both(|sandbox, disk, other| {
        for scenario in Scenario::ALL {
            undisturbed(sandbox, disk, other, scenario);
        }
    });
}

#[test]
fn any_call_of_apply_may_fail_or_be_the_last_and_the_next_run_finishes() {
    with_both(|sandbox, disk, other| {
        for scenario in Scenario::ALL {
            let end = undisturbed(sandbox, disk, other, scenario);
            let own = disk.device == other.device;
            for (position, point) in table(scenario, own).into_iter().enumerate() {
                let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
                // Where the storage is does not decide what an errno means.
                let errnos = if own { ERRNOS.as_slice() } else { &ERRNOS[..1] };
                let fails = errnos.iter().map(|errno| Fault::FailNth(position, *errno));
                for fault in cuts.into_iter().chain(fails) {
                    let what = format!("{scenario:?}, own {own}, {fault:?} ({point})");
                    let kept = Kept::build(sandbox.namespace(), disk, other, scenario);
                    let (ran, _) = run_with(Some(fault), None, || kept.run());
                    match fault {
                        Fault::FailNth(_, errno) => {
                            kept.check_safe(false, &what);
                            kept.check_failure(&ran, errno, &what);
                        }
                        _ => kept.check_safe(true, &what),
                    }
                    if own && scenario.adopts() {
                        let refused = kept.run_without_adoption();
                        kept.check_safe(true, &format!("{what}: a run that may not adopt"));
                        let hint =
                            refused.plan.refusals.iter().all(|no| no.hint.contains("--adopt"));
                        assert!(hint, "{what}: {:?}", refused.plan.refusals);
                    }
                    let next = kept.run();
                    kept.check_converged(&next, &end, &format!("{what}: the next run"));
                }
            }
        }
    });
}

#[test]
fn the_command_tells_by_its_exit_code_that_a_step_failed() {
    on_btrfs(|sandbox| {
        let disk = Disk { top: sandbox.top(), device: sandbox.throwaway().device() };
        for scenario in [Scenario::AdoptDir, Scenario::ReplacedLink, Scenario::LinkToBind] {
            let end = undisturbed(sandbox, disk, disk, scenario);
            let table = table(scenario, true);
            let position = table.len() / 2;
            let what = format!("{scenario:?}, {}", table[position]);
            let kept = Kept::build(sandbox.namespace(), disk, disk, scenario);
            let fault = Some(Fault::FailNth(position, ERRNOS[0]));
            let (code, _) = run_with(fault, None, || kept.command());
            assert_eq!(code, ExitCode::from(1), "{what}");
            assert_eq!(kept.command(), ExitCode::SUCCESS, "{what}: the next run");
            kept.check_converged(&kept.run(), &end, &what);
        }
    });
}

/// On a storage that is full in the middle of a copy, by itself.
#[test]
fn a_storage_that_is_full_has_what_it_had_and_is_named() {
    on_btrfs(|sandbox| {
        let disk = Disk { top: sandbox.top(), device: sandbox.throwaway().device() };
        let (throwaway, dir) = (small_disk(), tempfile::tempdir().unwrap());
        let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
        let other = Disk { top: dir.path(), device: throwaway.device() };
        let end = undisturbed(sandbox, disk, other, Scenario::AdoptFile);
        let kept = Kept::build(sandbox.namespace(), disk, other, Scenario::AdoptFile);
        let filler = std::fs::File::create(dir.path().join("filler")).unwrap();
        let mut room = 64 << 20;
        while room >= 4096 {
            // What fits, in ever smaller pieces.
            let all = std::io::copy(&mut std::io::repeat(7).take(room), &mut &filler);
            room = if all.is_ok() && filler.sync_all().is_ok() { room } else { room / 2 };
        }
        let ran = kept.run();
        kept.check_safe(false, "a full storage");
        kept.check_failure(&ran, ERRNOS[0], "a full storage");
        let text = ran.outcome.failed[0].1.to_string();
        assert!(text.contains("hint: make room on the file system of /persist"), "{text}");
        drop(filler);
        std::fs::remove_file(dir.path().join("filler")).unwrap();
        kept.check_converged(&kept.run(), &end, "a storage with room again");
        drop(kept);
        mount.unmount().unwrap();
    });
}

/// Two disks and where their top levels are mounted; the second is the first where storage and live
/// share a file system.
struct Pair {
    disks: Vec<Throwaway>,
    dirs: Vec<TempDir>,
}

impl Pair {
    fn new(own: bool) -> Self {
        let count = if own { 1 } else { 2 };
        let dirs = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        Self { disks: (0..count).map(|_| small_disk()).collect(), dirs }
    }

    fn copy(&self) -> Vec<PowerCut> {
        self.disks.iter().map(|disk| disk.image_copy().unwrap()).collect()
    }

    /// Mounts the top levels for the time of `work`.
    fn mounted<T>(&self, sandbox: &Sandbox, work: impl FnOnce(Disk<'_>, Disk<'_>) -> T) -> T {
        let sides = || self.disks.iter().zip(&self.dirs);
        let mounts: Vec<_> = sides()
            .map(|(disk, dir)| disk.mount(sandbox.namespace(), None, dir.path()).unwrap())
            .collect();
        let found: Vec<_> =
            sides().map(|(disk, dir)| Disk { top: dir.path(), device: disk.device() }).collect();
        let done = work(found[0], *found.last().unwrap());
        mounts.into_iter().for_each(|mount| mount.unmount().unwrap());
        done
    }
}

type Cuts = Vec<(&'static str, Vec<PowerCut>)>;

/// The disks after each change of a run, and those from before it.
fn cut_everywhere(pair: Rc<Pair>, kept: &Kept<'_>) -> Cuts {
    let cuts = Rc::new(RefCell::new(vec![("nothing", pair.copy())]));
    let list = Rc::clone(&cuts);
    let watcher = move |point| list.borrow_mut().push((point, pair.copy()));
    let (ran, _) = run_with(None, Some(Box::new(watcher)), || kept.run());
    assert!(ran.outcome.is_complete() && ran.announced.is_ok(), "{:?}", ran.outcome);
    cuts.take()
}

#[test]
fn what_a_program_makes_durable_in_a_fresh_place_is_durable() {
    on_btrfs(|sandbox| {
        for own in [true, false] {
            let mut pair = Pair::new(own);
            let (mut kept, end, cut) = pair.mounted(sandbox, |disk, other| {
                let mut kept = Kept::build(sandbox.namespace(), disk, other, Scenario::Fresh);
                assert!(kept.run().outcome.is_complete());
                let end = kept.end();
                kept.write_durably();
                let cut = pair.copy();
                kept.shut_down();
                (kept, end, cut)
            });
            pair.disks.clear();
            pair.disks = cut.into_iter().map(|cut| cut.attach().unwrap()).collect();
            pair.mounted(sandbox, |disk, other| {
                kept.boot(disk, other);
                kept.check_written(&end);
                kept.shut_down();
            });
        }
    });
}

#[test]
fn the_power_may_go_after_any_change_of_apply_and_the_next_run_finishes() {
    on_btrfs(|sandbox| {
        for (scenario, own) in Scenario::ALL.into_iter().flat_map(|s| [(s, true), (s, false)]) {
            let pair = Rc::new(Pair::new(own));
            let (mut kept, cuts, end) = pair.mounted(sandbox, |disk, other| {
                let mut kept = Kept::build(sandbox.namespace(), disk, other, scenario);
                let cuts = cut_everywhere(Rc::clone(&pair), &kept);
                let end = kept.end();
                kept.shut_down();
                (kept, cuts, end)
            });
            let mut pair = Rc::into_inner(pair).unwrap();
            pair.disks.clear();
            let points: Vec<_> = cuts.iter().skip(1).map(|(point, _)| *point).collect();
            assert_eq!(points, table(scenario, own), "{scenario:?}, own file system: {own}");
            for (number, (point, images)) in cuts.into_iter().enumerate() {
                let what = format!("{scenario:?}, own {own}, power cut after {number}: {point}");
                pair.disks = images.into_iter().map(|cut| cut.attach().unwrap()).collect();
                pair.disks.iter().for_each(|disk| check_disk(disk.device(), &what));
                pair.mounted(sandbox, |disk, other| {
                    kept.boot(disk, other);
                    kept.check_safe(true, &what);
                    let copied =
                        |point| ["copy: sync name", "apply: sync directory"].contains(&point);
                    let durable = points.iter().take(number).any(|point| copied(*point));
                    assert!(!durable || kept.has_adopted(), "{what}: the copy is not durable");
                    let next = kept.run();
                    kept.check_converged(&next, &end, &what);
                    kept.shut_down();
                });
                pair.disks.clear();
            }
        }
    });
}
