//! Several scenarios at once: one guest makes all recordings, and they are replayed side by side, since a
//! replay waits more than it works.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use super::cuts::choose;
use super::record::{Recording, record};
use super::replay::{Report, replay, text_of};
use super::scenario::Scenario;
use crate::cache;

/// By the names of the scenarios: how the replay went, or why there was none.
pub type Results = BTreeMap<&'static str, Result<Report, String>>;

/// Records and replays: all cuts at a flush, and `most` of each other kind. The recording of a scenario
/// that failed is saved in [`place`].
pub fn run(
    scenarios: &[&'static dyn Scenario],
    suite: &str,
    command: &Path,
    most: usize,
    seed: u64,
) -> Results {
    let recorded = record(scenarios, suite, command);
    let results = Mutex::new(Results::new());
    let left = Mutex::new(scenarios.iter().zip(recorded).collect::<Vec<_>>());
    let work = || loop {
        // The guard must not live through the work.
        let next = left.lock().unwrap().pop();
        let Some((scenario, recorded)) = next else { return };
        let replay = |recording: Recording| {
            let replay = || replay(*scenario, &recording, command, |log| choose(log, most, seed));
            let report = catch_unwind(AssertUnwindSafe(replay));
            if report.as_ref().is_ok_and(|report| !report.failed.is_empty()) {
                recording.save(&place(scenario.name()));
            }
            report.map_err(|panic| text_of(panic.as_ref()))
        };
        let result = recorded.and_then(replay);
        results.lock().unwrap().insert(scenario.name(), result);
    };
    thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

/// Where the recording of a scenario is that failed last.
pub fn place(name: &str) -> PathBuf {
    cache::directory().join("failed").join(name)
}

fn workers() -> usize {
    thread::available_parallelism().map_or(2, usize::from) + 1
}
