//! A rollback that fails at any moment tells truly what live is now, and the next one completes it.

use std::fs;
use std::time::Instant;

use backends::Backend;
use backends::lock::patiently;
use blankroot::boot::execute_steps::{self, LiveNow, StoppedRollback};
use blankroot::boot::facts::BootFacts;
use blankroot::boot::stamp::RollbackOutcome;
use blankroot::boot::stamp::Stamp;
use blankroot::config::Config;
use blankroot::host::HostRoot;
use dirfd::fault::{Fault, run_with};

use chrono::Utc;
use support::oracle;

use crate::machine::{Machine, on_initialised};
use blankroot::boot::rollback_plan;

type Rolled = Result<Stamp, Box<StoppedRollback>>;

fn backend(machine: &Machine<'_>) -> Box<dyn Backend> {
    Config::load(&machine.config()).unwrap().open_backend(machine.live()).unwrap()
}

/// A rollback in this thread, with `fault` armed while its plan is executed.
fn roll_back(machine: &Machine<'_>, fault: Option<Fault>) -> (Rolled, Vec<&'static str>) {
    let config = Config::load(&machine.config()).unwrap();
    let host = HostRoot::open(machine.host()).unwrap();
    let facts = BootFacts::gather(&host, Utc::now()).unwrap();
    let backend = backend(machine);
    // A process that another test starts has all that is open here, the lock too, until it runs.
    let mut locked = patiently(|| backend.lock(), || ()).unwrap();
    let survey = locked.survey_for_rollback().unwrap();
    let plan = rollback_plan::plan_rollback(
        config.rollback.strategy,
        &survey,
        &facts,
        config.root.layout().unwrap(),
    )
    .unwrap();
    let stamp = Stamp::new(facts.boot_id, facts.clock, RollbackOutcome::RolledBack);
    run_with(fault, None, || {
        execute_steps::execute_rollback(&plan, &mut locked, &survey, &host, stamp, Instant::now())
    })
}

fn write_something(machine: &mut Machine<'_>) {
    machine.mount();
    fs::write(machine.live().join("written"), "x").unwrap();
    machine.unmount();
}

#[test]
fn whatever_fails_what_is_told_of_live_is_true() {
    on_initialised(|machine| {
        let live = machine.top().join("root");
        machine.btrfs(&["subvolume".as_ref(), "set-default".as_ref(), live.as_os_str()]);
        write_something(machine);
        let (done, points) = roll_back(machine, None);
        assert_eq!(done.unwrap().outcome, RollbackOutcome::RolledBack);
        assert!(points.contains(&"btrfs: exchange") && points.contains(&"btrfs: set default"));
        let live_id = |machine: &Machine<'_>| backend(machine).survey().unwrap().live;
        let mut told = Vec::new();
        for point in points {
            for fault in [Fault::Fail(point, 5), Fault::CutAfter(point)] {
                write_something(machine);
                let before = live_id(machine);
                let (stopped, _) = roll_back(machine, Some(fault));
                // What fails after the last change that matters is none of a rollback's failures.
                let Err(stopped) = stopped else { continue };
                let replaced = live_id(machine) != before;
                let truth = if replaced { LiveNow::Fresh } else { LiveNow::AsBefore };
                let honest = stopped.live == truth || stopped.live == LiveNow::Unknown;
                assert!(honest, "{fault:?}: {stopped:?}");
                assert!(matches!(stopped.stamp.outcome, RollbackOutcome::Failed { .. }));
                assert_eq!(stopped.stamp.old_root.is_some(), stopped.live == LiveNow::Fresh);
                told.push(stopped.live);

                roll_back(machine, None).0.unwrap();
                let blank = oracle::walk(&machine.top().join("root-blank"));
                assert_eq!(oracle::changes(&blank, &oracle::walk(&live)), []);
                let get = ["subvolume".as_ref(), "get-default".as_ref(), machine.top().as_os_str()];
                let default = machine.btrfs(&get);
                assert!(default.trim_end().ends_with(" path root"), "{fault:?}: {default}");
            }
        }
        assert!(told.contains(&LiveNow::AsBefore) && told.contains(&LiveNow::Fresh), "{told:?}");
    });
}
