//! What an entry can say only in the system's configuration, since it needs root: reported where it stands
//! in a user's own file.

use crate::config::DEFAULT_FILE;
use crate::config::reader::{Position, Problems, TableReader};

/// The keys of an entry that are about mounts.
const ENTRY_KEYS: &[&str] =
    &["hide_mounts", "allow_trash", "options", "notrim", "in_initrd", "storage"];
/// What only root gives away.
const OWNER_KEYS: &[&str] = &["user", "group"];

/// Reports the keys of an entry that a user's own file cannot have.
pub(crate) fn refuse_in_entry(table: &mut TableReader<'_>, problems: &mut Problems<'_>) {
    refuse_keys(ENTRY_KEYS, table, problems);
    refuse_owner(table, problems);
}

/// The same for an entry or its parent: who owns it.
pub(crate) fn refuse_owner(table: &mut TableReader<'_>, problems: &mut Problems<'_>) {
    refuse_keys(OWNER_KEYS, table, problems);
}

/// The same for how the data comes to its place.
pub(crate) fn refuse_bind(place: Option<Position>, problems: &mut Problems<'_>) {
    let what = "`how = \"bind\"` needs root, and this is a user's own file";
    let hint =
        format!("remove it, since what is kept here is linked, or declare it in {DEFAULT_FILE}");
    problems.add(place.unwrap_or_default(), what, hint);
}

pub(crate) fn refuse_keys(
    keys: &[&'static str],
    table: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
) {
    for key in keys {
        if let Some(place) = key_place_if_given(key, table, problems) {
            let what =
                format!("`{key}` in {} needs root, and this is a user's own file", table.title);
            problems.add(place, what, format!("remove it, or declare it in {DEFAULT_FILE}"));
        }
    }
}

/// The place of a key that is there, which counts as known from now on; the keys of a message about
/// an unknown one are those that can be used.
pub(crate) fn key_place_if_given(
    key: &'static str,
    table: &mut TableReader<'_>,
    problems: &Problems<'_>,
) -> Option<Position> {
    let place = table.key_place(key, problems)?;
    table.value(key, problems);
    Some(place)
}
