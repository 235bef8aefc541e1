//! A history as long as a busy week: is `diff` still exact, and how long does it take?

use std::cell::RefCell;
use std::time::Instant;

use backends::btrfs::Btrfs;
use backends::{Backend, Changes, FastChanges, Layout, TreeName};
use support::histories::{self, BLANK, History, LIVE, Lineage, Outcome, Stage};
use support::oracle;
use support::sandbox::on_btrfs;

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
            let found = fast(end)?;
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

/// The fast answer for the trees at the end of the history.
fn fast(end: &Outcome<'_>) -> std::result::Result<Changes, String> {
    let layout = Layout {
        live: TreeName::new(LIVE)?,
        blank: TreeName::new(BLANK)?,
        old: TreeName::new("old-roots")?,
    };
    let device = end.sandbox.throwaway().device();
    let backend = Btrfs::open(device, layout).map_err(|e| e.to_string())?;
    let survey = backend.survey().map_err(|e| e.to_string())?;
    let (Some(blank), Some(live)) = (survey.blank.tree(), survey.live.tree()) else {
        return Err(format!("live or blank was not found: {survey:?}"));
    };
    match backend.changes(blank, live).map_err(|e| e.to_string())? {
        FastChanges::Exact(changes) => Ok(changes),
        FastChanges::Unavailable(why) => Err(format!("the fast way did not run: {why}")),
    }
}
