//! A history as long as a busy week: is `diff` still exact, and how long does it take?

use std::cell::RefCell;
use std::time::Instant;

use support::histories::{self, History, Lineage, Stage};
use support::sandbox::on_btrfs;
use support::{fast, oracle};

use crate::{Result, say};

/// Operations in the history.
const OPERATIONS: usize = 100_000;
/// The same every time.
const SEED: u64 = 7;

/// Plays the history once and compares `diff` with the oracle; tells what was compared. An error if
/// they differ.
pub fn compare() -> Result<String> {
    say(&format!("playing a history of {OPERATIONS} operations"));
    let operations = histories::sample(SEED, u32::MAX).flat_map(|history| history.since);
    let since = operations.take(OPERATIONS).collect();
    let history = History { lineage: Lineage::CopyOfBlank, before: Vec::new(), since };
    let mut outcome = Err("there can be no throwaway file system".to_string());
    on_btrfs(|sandbox| {
        let told = RefCell::new(String::new());
        let played = Stage::new(sandbox).play(&history, |end| {
            let started = Instant::now();
            let found = fast::changes(end)?;
            let took = started.elapsed().as_secs_f64() * 1e3;
            *told.borrow_mut() = format!(
                "After a history of {OPERATIONS} operations (seed {SEED}) `diff` took {took:.1} ms \
                 and told the same {} changes as the oracle, which walks both trees and compares \
                 everything.",
                end.expected.len()
            );
            oracle::difference(end.expected, &oracle::rows(&found)).map_or(Ok(()), Err)
        });
        outcome = played.map(|()| told.take());
    });
    outcome
        .map_err(|why| format!("a history of {OPERATIONS} operations (seed {SEED}): {why}").into())
}
