//! `diff` is exact: after any history it answers what a whole walk of both trees answers.

use support::histories;
use support::sandbox::on_btrfs;
use support::{fast, oracle};

#[test]
fn diff_is_exact_after_any_history() {
    on_btrfs(|sandbox| {
        histories::run(sandbox, histories::seed(), histories::count(2000), |outcome| {
            let changes = fast::changes(outcome)?;
            oracle::difference(outcome.expected, &oracle::rows(&changes)).map_or(Ok(()), Err)
        });
    });
}
