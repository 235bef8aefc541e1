//! What all plans have in common: how their steps are shown. How they are done differs, and why is told in
//! docs/decisions/0027.

use std::fmt::{self, Display};

/// Writes steps as `--dry-run` shows them: numbered, one a line.
pub(crate) fn write_numbered<S: Display>(
    f: &mut fmt::Formatter<'_>,
    steps: impl IntoIterator<Item = S>,
) -> fmt::Result {
    (1..).zip(steps).try_for_each(|(number, step)| writeln!(f, "{number}. {step}"))
}
