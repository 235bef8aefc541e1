//! Declarations that are fine one by one and cannot be true together.

mod shared;

use std::collections::HashMap;

use backends::TreePath;

use super::entry::{Entry, EntryKind};
use super::forget::ForgetList;
use super::problem::Problems;
use super::storage::Storage;

/// Reports what contradicts another declaration; what is not enabled contradicts nothing.
pub(super) fn check(storages: &[Storage], forget: &ForgetList, problems: &mut Problems<'_>) {
    let all = storages;
    let storages: Vec<&Storage> = all.iter().filter(|storage| storage.enable).collect();
    let mut declared: Vec<Declared<'_>> = storages
        .iter()
        .flat_map(|storage| storage.all_entries().map(|entry| (&storage.path, entry)))
        .filter(|(_, entry)| entry.enable)
        .collect();
    declared.sort_by_key(|(_, entry)| entry.place);
    for (storage, entry) in &mut declared {
        if let Some((other, place)) = &entry.storage {
            *storage = other;
            shared::declared_storage(other, *place, all, problems);
        }
    }
    let entries: Vec<&Entry> = declared.iter().map(|&(_, entry)| entry).collect();
    same_storages(&storages, problems);
    let by_path = same_paths(&entries, problems);
    below_files(&entries, &by_path, problems);
    storages_and_entries(&storages, &entries, problems);
    shared::same_data(&declared, problems);
    shared::same_parents(&declared, problems);
    kept_and_forgotten(&by_path, forget, problems);
}

/// An entry and the storage that holds its data.
type Declared<'e> = (&'e TreePath, &'e Entry);
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

fn kept_and_forgotten(by_path: &ByPath<'_>, forget: &ForgetList, problems: &mut Problems<'_>) {
    for pattern in forget.patterns() {
        let Ok(path) = TreePath::parse(pattern.text.as_bytes()) else { continue };
        if let Some(entry) = by_path.get(&path) {
            let what = format!("`{path}` is forgotten here and kept in line {}", entry.place.line);
            problems.add(pattern.place, what, "remove one of the two");
        }
    }
}
