//! Declarations that are fine one by one and cannot be true together.

use std::collections::HashMap;

use backends::TreePath;

use super::entry::{Entry, EntryKind};
use super::forget::ForgetList;
use super::problem::Problems;
use super::storage::Storage;

/// Reports what contradicts another declaration; what is not enabled contradicts nothing.
pub(super) fn check(storages: &[Storage], forget: &ForgetList, problems: &mut Problems<'_>) {
    let storages: Vec<&Storage> = storages.iter().filter(|storage| storage.enable).collect();
    let mut entries: Vec<&Entry> = storages
        .iter()
        .flat_map(|storage| {
            storage.entries.iter().chain(storage.users.iter().flat_map(|user| &user.entries))
        })
        .filter(|entry| entry.enable)
        .collect();
    entries.sort_by_key(|entry| entry.place);
    same_storages(&storages, problems);
    let by_path = same_paths(&entries, problems);
    below_files(&entries, &by_path, problems);
    storages_and_entries(&storages, &entries, problems);
    same_data(&storages, problems);
    kept_and_forgotten(&by_path, forget, problems);
}

type ByPath<'e> = HashMap<&'e TreePath, &'e Entry>;

fn same_storages(storages: &[&Storage], problems: &mut Problems<'_>) {
    let mut seen: HashMap<&TreePath, u32> = HashMap::new();
    for storage in storages {
        match seen.get(&storage.path) {
            Some(line) => problems.add(
                storage.place,
                format!("the storage `{}` is declared in line {line} already", storage.path),
                "put all its entries below one [[storage]]",
            ),
            None => {
                seen.insert(&storage.path, storage.place.line);
            }
        }
    }
}

fn same_paths<'e>(entries: &[&'e Entry], problems: &mut Problems<'_>) -> ByPath<'e> {
    let mut by_path = ByPath::new();
    for entry in entries {
        let Some(first) = by_path.get(&entry.path) else {
            by_path.insert(&entry.path, entry);
            continue;
        };
        let (path, line) = (&entry.path, first.place.line);
        let what = if first.kind == entry.kind {
            format!("`{path}` is kept twice: here and in line {line}")
        } else {
            let (kind, other) = (entry.kind.word(), first.kind.word());
            format!("`{path}` is kept as a {kind} here and as a {other} in line {line}")
        };
        problems.add(entry.place, what, "remove one of the two entries");
    }
    by_path
}

/// Whatever is declared below a file can never be there.
fn below_files(entries: &[&Entry], by_path: &ByPath<'_>, problems: &mut Problems<'_>) {
    for entry in entries {
        let bytes = entry.path.as_bytes();
        for end in bytes.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at) {
            let Ok(parent) = TreePath::parse(&bytes[..end]) else { continue };
            let Some(file) = by_path.get(&parent).filter(|other| other.kind == EntryKind::File)
            else {
                continue;
            };
            let what = format!(
                "`{}` lies below `{parent}`, which is kept as a file in line {}",
                entry.path, file.place.line
            );
            let mend = "keep the parent as a directory, or remove one of the two entries";
            problems.add(entry.place, what, mend);
        }
    }
}

fn storages_and_entries(storages: &[&Storage], entries: &[&Entry], problems: &mut Problems<'_>) {
    for entry in entries {
        for storage in storages {
            let (path, place) = (&storage.path, storage.place.line);
            if entry.path.is_within(path) {
                let what = format!(
                    "the kept path `{}` lies in the storage `{path}` (line {place})",
                    entry.path
                );
                problems.add(entry.place, what, "remove it: what is in a storage survives anyway");
            } else if path.is_within(&entry.path) {
                let what = format!(
                    "the kept path `{}` contains the storage `{path}` (line {place})",
                    entry.path
                );
                let mend = "keep only what lies beside the storage, or move the storage";
                problems.add(entry.place, what, mend);
            }
        }
    }
}

/// With `strip_prefix`, or with one storage in another, two paths may claim the same data.
fn same_data(storages: &[&Storage], problems: &mut Problems<'_>) {
    let mut seen: HashMap<Vec<u8>, &Entry> = HashMap::new();
    for storage in storages {
        let users = storage.users.iter().flat_map(|user| &user.entries);
        for entry in storage.entries.iter().chain(users).filter(|entry| entry.enable) {
            let data = [storage.path.as_bytes(), b"/", entry.data.as_bytes()].concat();
            match seen.get(&data) {
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
                    seen.insert(data, entry);
                }
            }
        }
    }
}

fn kept_and_forgotten(by_path: &ByPath<'_>, forget: &ForgetList, problems: &mut Problems<'_>) {
    for pattern in forget.patterns() {
        let Ok(path) = TreePath::parse(pattern.text.as_bytes()) else { continue };
        if let Some(entry) = by_path.get(&path) {
            let what = format!("`{path}` is forgotten here and kept in line {}", entry.place.line);
            problems.add(pattern.place, what, "remove one of the two");
        }
    }
}
