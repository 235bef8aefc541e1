//! `diff` is exact: after any history it answers what a whole walk of both trees answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use backends::btrfs::Btrfs;
use backends::{Backend, Changes, FastChanges, Layout, TreeName};
use support::histories::{self, BLANK, LIVE, Outcome};
use support::oracle;
use support::sandbox::on_btrfs;

/// The fast answer for the trees below `outcome.top`.
fn production(outcome: &Outcome<'_>) -> Result<Changes, String> {
    let name = |text: &str| TreeName::new(text).unwrap();
    let layout = Layout { live: name(LIVE), blank: name(BLANK), old: name("old-roots") };
    let device = outcome.sandbox.throwaway().device();
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

#[test]
fn diff_is_exact_after_any_history() {
    on_btrfs(|sandbox| {
        histories::run(sandbox, histories::seed(), histories::count(2000), |outcome| {
            let changes = production(outcome)?;
            oracle::difference(outcome.expected, &oracle::rows(&changes)).map_or(Ok(()), Err)
        });
    });
}
