//! What two entries may not share: their data in storage, or a parent that each wants another way.

use std::collections::HashMap;

use backends::TreePath;

use super::Declared;
use crate::config::account::Ownership;
use crate::config::entry::Entry;
use crate::config::problem::{Place, Problems};
use crate::config::storage::Storage;

/// An entry may be kept in another storage than its own, if that is one.
pub(super) fn declared_storage(
    path: &TreePath,
    place: Place,
    storages: &[Storage],
    problems: &mut Problems<'_>,
) {
    let same = || storages.iter().filter(|storage| storage.path == *path);
    if same().any(|storage| storage.enable) {
        return;
    }
    match same().next() {
        Some(storage) => problems.add(
            place,
            format!("the storage `{path}` is not enabled (line {})", storage.place.line),
            "enable it, or keep the entry in another storage",
        ),
        None => problems.add(
            place,
            format!("the storage `{path}` is declared nowhere"),
            format!("add a [[storage]] with the path `{path}`, or correct this one"),
        ),
    }
}

/// With `data`, with `strip_prefix`, or with one storage in another, two paths may claim the same
/// data.
pub(super) fn same_data(declared: &[Declared<'_>], problems: &mut Problems<'_>) {
    let mut seen: HashMap<Vec<u8>, &Entry> = HashMap::new();
    for &(storage, entry) in declared {
        match seen.get(&source(storage, entry)) {
            // The same path twice was reported as such.
            Some(first) if first.path != entry.path => problems.add(
                entry.place,
                format!(
                    "`{}` has the same data as `{}` in line {}",
                    entry.path, first.path, first.place.line
                ),
                "give each kept path data of its own",
            ),
            Some(_) => {}
            None => {
                seen.insert(source(storage, entry), entry);
            }
        }
    }
}

/// A directory has one owner and one mode: two entries right in it that say another `parent` each
/// cannot both have their way, and no order of the list decides between them.
pub(super) fn same_parents(declared: &[Declared<'_>], problems: &mut Problems<'_>) {
    let mut seen: HashMap<Vec<u8>, &Entry> = HashMap::new();
    for &(storage, entry) in declared {
        if entry.parent == Ownership::default() {
            continue;
        }
        let in_storage = source(storage, entry);
        let mut reported = None;
        for path in [entry.path.as_bytes(), &in_storage] {
            let parent = parent(path);
            // Neither the root nor a storage is ever made.
            if parent.is_empty() || parent == storage.as_bytes() {
                continue;
            }
            let Some(first) = seen.get(parent) else {
                seen.insert(parent.to_vec(), entry);
                continue;
            };
            // On the machine and in storage it is mostly the same pair.
            if first.parent == entry.parent || reported == Some(first.place) {
                continue;
            }
            reported = Some(first.place);
            let parent = TreePath::parse(parent).unwrap_or_default();
            let what = format!(
                "`parent` wants `{parent}` another way than `{}` in line {} does",
                first.path, first.place.line
            );
            let mend = "say the same in both, or declare the directory itself with its owner and \
                        mode";
            problems.add(entry.place, what, mend);
        }
    }
}

/// Where the data is on the machine, without a leading slash.
fn source(storage: &TreePath, entry: &Entry) -> Vec<u8> {
    [storage.as_bytes(), b"/", entry.data.as_bytes()].concat()
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |end| &path[..end])
}
