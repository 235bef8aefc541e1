//! In the guest: makes the disk of each cut, lets the command run again, and checks that all is well.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::image::Image;
use super::known::Known;
use super::scenario::{BEFORE, BEGIN, DONE, KNOWN};
use super::{Choice, LABELS, SIZE, Which, machine, pool};
use crate::log_writes::{Change, Entry, Log};
use crate::power_cuts::cuts::{self, Chosen, Cut, choose};
use crate::power_cuts::replay::text_of;

/// After so many failures the rest would tell nothing new.
const ENOUGH: usize = 10;

/// Replays the cuts of the log on the device `log` that are this guest's, on the device `partition`.
/// Prints one line for each.
pub fn replay(name: &str, log: &str, partition: &str, choice: &Choice) {
    let bytes = fs::read(log).unwrap();
    let log = Log::parse(&bytes).unwrap_or_else(|why| panic!("{why}"));
    let mut image = Image::new(usize::try_from(SIZE).unwrap());
    let [known_at, begin] = [KNOWN, BEGIN].map(|mark| position(&log, mark).expect("it is marked"));
    log.entries[..known_at].iter().for_each(|entry| image.change(entry.change));
    image.write(partition);
    pool::import(partition);
    let known = Known::here();
    pool::export();
    log.entries[known_at..begin].iter().for_each(|entry| image.change(entry.change));

    let log = Log { sector: log.sector, entries: log.entries[begin..].to_vec() };
    let done_at = position(&log, DONE).expect("it is marked");
    let mut chosen = choose(&log, choice.most, choice.seed);
    match choice.which {
        Which::Every => {}
        Which::Found => chosen.flushes.retain(|cut| !is_before_label(&log, *cut)),
        Which::Only(cut) => {
            chosen = Chosen { flushes: vec![cut], others: Vec::new(), losses: Vec::new() };
        }
    }
    let all = chosen.all();
    println!(
        "\ncuts: {name} has {} entries in the log; {} cuts at a flush, {} elsewhere, {} with losses",
        log.entries.len(),
        chosen.flushes.len(),
        chosen.others.len(),
        chosen.losses.len()
    );
    let (mut applied, mut failed) = (0, 0);
    for cut in mine(&all, choice) {
        let flushed = cuts::flushed(&log, cut.prefix);
        log.entries[applied..flushed].iter().for_each(|entry| image.change(entry.change));
        applied = flushed;
        let started = Instant::now();
        let result = image.changed(&cuts::unflushed(&log, cut), |image| {
            image.write(partition);
            let look = || look(partition, &known, cut.prefix >= done_at);
            catch_unwind(AssertUnwindSafe(look)).map_err(|panic| text_of(panic.as_ref()))
        });
        match result {
            Ok(steps) => {
                println!("\ncut {name} {cut} ok {} {steps}", started.elapsed().as_millis());
            }
            Err(why) => {
                println!("\ncut {name} {cut} failed {why:?}");
                failed += 1;
                // Without its pool out of the way nothing more can be looked at.
                if failed == ENOUGH || pool::is_imported() && !pool::try_export() {
                    break;
                }
            }
        }
    }
}

/// Every guest takes its part of the cuts.
fn mine<'c>(all: &'c [Cut], choice: &'c Choice) -> impl Iterator<Item = Cut> + 'c {
    all.iter().copied().skip(choice.part).step_by(choice.parts)
}

/// Whether what is written next is a label.
fn is_before_label(log: &Log<'_>, cut: Cut) -> bool {
    let place = |entry: &Entry<'_>| match entry.change {
        Change::Write(at, _) => at.checked_sub(BEFORE),
        _ => None,
    };
    let next = log.entries[cut.prefix..].iter().find_map(place);
    next.is_some_and(|at| !(LABELS..SIZE - LABELS).contains(&at))
}

/// Returns how many milliseconds each step took.
fn look(partition: &str, known: &Known, is_done: bool) -> String {
    let mut last = Instant::now();
    let mut steps = Vec::new();
    let mut step = |name: &str| {
        steps.push(format!("{name} {}", last.elapsed().as_millis()));
        last = Instant::now();
    };
    pool::import(partition);
    step("import");
    pool::check_status();
    known.check_cut(is_done);
    step("cut");
    machine::roll_back().unwrap_or_else(|why| panic!("{why}"));
    step("rollback");
    known.check_converged();
    step("converged");
    pool::scrub();
    step("scrub");
    pool::export();
    step("export");
    steps.join(" ")
}

/// How many entries there are up to this mark.
fn position(log: &Log<'_>, mark: &str) -> Option<usize> {
    let is_it = |change| match change {
        Change::Write(at, data) if at < BEFORE => {
            String::from_utf8_lossy(data).trim_end_matches('\0') == mark
        }
        _ => false,
    };
    log.entries.iter().position(|entry| is_it(entry.change)).map(|at| at + 1)
}
