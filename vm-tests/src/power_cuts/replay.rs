//! Makes the disk of each cut, checks it, lets the command run again, and checks that all is well.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::cuts::{self, Chosen, Cut};
use super::drive::Drive;
use super::host::{Host, Yard, apart};
use super::known::{CONFIG, Known};
use super::record::{Recording, marks};
use super::scenario::Scenario;
use crate::log_writes::Log;
use crate::programs;

/// After so many failures the rest would tell nothing new.
const ENOUGH: usize = 10;

/// How a replay went.
#[derive(Debug)]
pub struct Report {
    scenario: &'static str,
    entries: usize,
    chosen: Chosen,
    took: Duration,
    /// What is wrong, with the cut after which it is.
    pub failed: Vec<(Cut, String)>,
}

/// Replays the cuts of the recording that `choose` names.
pub fn replay(
    scenario: &dyn Scenario,
    recording: &Recording,
    command: &Path,
    choose: impl FnOnce(&Log<'_>) -> Chosen + Send,
) -> Report {
    let started = Instant::now();
    apart(|yard| {
        let log = recording.parse();
        let chosen = choose(&log);
        let known = learn(yard, recording, command);
        let mut failed = Vec::new();
        let durable = recording.base.copy();
        let mut done = 0;
        for cut in chosen.all() {
            let flushed = cuts::flushed(&log, cut.prefix);
            log.entries[done..flushed].iter().for_each(|entry| durable.change(entry.change));
            done = flushed;
            let drive = durable.copy();
            cuts::unflushed(&log, cut).into_iter().for_each(|change| drive.change(change));
            let said = marks(&log, cut.prefix);
            let health = chosen.flushes.contains(&cut);
            let look = || look(yard, &drive, command, scenario, &known, &said, health);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(look)) {
                failed.push((cut, text_of(panic.as_ref())));
                if failed.len() == ENOUGH {
                    break;
                }
            }
        }
        let (entries, took) = (log.entries.len(), started.elapsed());
        Report { scenario: scenario.name(), entries, chosen, took, failed }
    })
}

/// What the disk held before, and what of it is known only when all is over.
fn learn(yard: &Yard, recording: &Recording, command: &Path) -> Known {
    let on = |drive: &Drive, work: &dyn Fn(&Host<'_>) -> Known| {
        let host = Host::start(yard, drive, command);
        let known = work(&host);
        host.stop();
        known
    };
    let known = on(&recording.base.copy(), &|host| Known::of(host));
    on(&recording.end(), &|host| {
        let config_after = std::fs::read(host.top().join("root").join(CONFIG)).unwrap();
        Known { config_after, ..known.clone() }
    })
}

fn look(
    yard: &Yard,
    drive: &Drive,
    command: &Path,
    scenario: &dyn Scenario,
    known: &Known,
    said: &[String],
    health: bool,
) {
    programs::run("btrfs", ["check".as_ref(), "--readonly".as_ref(), drive.path().as_os_str()]);
    let host = Host::start(yard, drive, command);
    scenario.check(&host, known, said);
    scenario.again(&host, known);
    scenario.check_converged(&host, known);
    if health {
        scenario.check_health(&host);
    }
    host.stop();
}

/// What a panic says.
pub fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without a word").to_string()
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chosen { flushes, others, losses } = &self.chosen;
        let all = flushes.len() + others.len() + losses.len();
        let each = self.took.as_millis() / all.max(1) as u128;
        write!(
            out,
            "power cuts: {}: {} entries in the log; {} cuts at a flush, {} elsewhere, {} with \
             losses; {all} replayed in {} s, {each} ms each; {} failed",
            self.scenario,
            self.entries,
            flushes.len(),
            others.len(),
            losses.len(),
            self.took.as_secs(),
            self.failed.len()
        )
    }
}
