//! The answer of Btrfs's fast way for the trees at the end of a history.

use backends::btrfs::Btrfs;
use backends::{Backend, FastChanges, Layout};
use dirfd::{Changes, TreeName};

use crate::histories::{BLANK, LIVE, Outcome};

/// What changed from blank to live, as `diff` asks for it; why not, if the fast way did not run.
pub fn changes(end: &Outcome<'_>) -> Result<Changes, String> {
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
