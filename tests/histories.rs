//! `diff` is exact: after any history it answers what a whole walk of both trees answers.

use std::cell::Cell;

use backends::Changes;
use support::histories::{self, Outcome};
use support::oracle;
use support::sandbox::{on_btrfs, skip};

/// The production answer for the trees [`histories::BLANK`] and [`histories::LIVE`] below
/// `outcome.top`, on `outcome.sandbox`; `None` where there is none. The only place that asks.
fn production(_outcome: &Outcome<'_>) -> Option<Changes> {
    None
}

#[test]
fn diff_is_exact_after_any_history() {
    on_btrfs(|sandbox| {
        let compared = Cell::new(0);
        histories::run(sandbox, histories::seed(), histories::count(2000), |outcome| {
            let Some(changes) = production(outcome) else { return Ok(()) };
            compared.set(compared.get() + 1);
            oracle::difference(outcome.expected, &oracle::rows(&changes)).map_or(Ok(()), Err)
        });
        if compared.get() == 0 {
            skip("no answer was there to be compared");
        }
    });
}
