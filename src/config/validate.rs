//! Declarations that are fine one by one and cannot be true together.

use std::collections::HashMap;

use dirfd::TreePath;

use crate::config::entry::{DeclaredEntry, EntryKind};
use crate::config::ownership::Ownership;
use crate::config::pattern_list::PatternList;
use crate::config::reader::{Position, Problems};
use crate::config::storage::Storage;

/// Reports what contradicts another declaration; what is not enabled contradicts nothing.
pub(crate) fn check_contradictions(
    storages: &[Storage],
    forget: &PatternList,
    problems: &mut Problems<'_>,
) {
    let all = storages;
    let storages: Vec<&Storage> = all.iter().filter(|storage| storage.enable).collect();
    let mut declared: Vec<StoredEntry<'_>> = storages
        .iter()
        .flat_map(|storage| storage.all_entries().map(|entry| (&storage.path, entry)))
        .filter(|(_, entry)| entry.enable)
        .collect();
    declared.sort_by_key(|(_, entry)| entry.place);
    for (storage, entry) in &mut declared {
        if let Some((other, place)) = &entry.storage {
            *storage = other;
            declared_storage(other, *place, all, problems);
        }
    }
    let entries: Vec<&DeclaredEntry> = declared.iter().map(|&(_, entry)| entry).collect();
    same_storages(&storages, problems);
    let by_path = same_paths(&entries, problems);
    below_files(&entries, &by_path, problems);
    storages_and_entries(&storages, &entries, problems);
    same_data(&declared, problems);
    same_parents(&declared, problems);
    kept_and_forgotten(&by_path, forget, problems);
}

/// An entry and the storage that holds its data.
type StoredEntry<'e> = (&'e TreePath, &'e DeclaredEntry);
type ByPath<'e> = HashMap<&'e TreePath, &'e DeclaredEntry>;

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

fn same_paths<'e>(entries: &[&'e DeclaredEntry], problems: &mut Problems<'_>) -> ByPath<'e> {
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
fn below_files(entries: &[&DeclaredEntry], by_path: &ByPath<'_>, problems: &mut Problems<'_>) {
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
            let hint = "keep the parent as a directory, or remove one of the two entries";
            problems.add(entry.place, what, hint);
        }
    }
}

fn storages_and_entries(
    storages: &[&Storage],
    entries: &[&DeclaredEntry],
    problems: &mut Problems<'_>,
) {
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
                let hint = "keep only what lies beside the storage, or move the storage";
                problems.add(entry.place, what, hint);
            }
        }
    }
}

fn kept_and_forgotten(by_path: &ByPath<'_>, forget: &PatternList, problems: &mut Problems<'_>) {
    for pattern in forget.patterns() {
        let Ok(path) = TreePath::parse(pattern.text.as_bytes()) else { continue };
        if let Some(entry) = by_path.get(&path) {
            let what = format!("`{path}` is forgotten here and kept in line {}", entry.place.line);
            problems.add(pattern.place, what, "remove one of the two");
        }
    }
}

/// An entry may be kept in another storage than its own, if that is one.
pub(crate) fn declared_storage(
    path: &TreePath,
    place: Position,
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
pub(crate) fn same_data(declared: &[StoredEntry<'_>], problems: &mut Problems<'_>) {
    let mut seen: HashMap<Vec<u8>, &DeclaredEntry> = HashMap::new();
    for &(storage, entry) in declared {
        match seen.get(&data_on_machine(storage, entry)) {
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
                seen.insert(data_on_machine(storage, entry), entry);
            }
        }
    }
}

/// A directory has one owner and one mode: two entries right in it that say another `parent` each
/// cannot both have their way, and no order of the list decides between them.
pub(crate) fn same_parents(declared: &[StoredEntry<'_>], problems: &mut Problems<'_>) {
    let mut seen: HashMap<Vec<u8>, &DeclaredEntry> = HashMap::new();
    for &(storage, entry) in declared {
        if entry.parent == Ownership::default() {
            continue;
        }
        let in_storage = data_on_machine(storage, entry);
        let mut reported = None;
        for path in [entry.path.as_bytes(), &in_storage] {
            let parent = parent_of(path);
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
            let hint = "say the same in both, or declare the directory itself with its owner and \
                        mode";
            problems.add(entry.place, what, hint);
        }
    }
}

/// Where the data is on the machine, without a leading slash.
fn data_on_machine(storage: &TreePath, entry: &DeclaredEntry) -> Vec<u8> {
    [storage.as_bytes(), b"/", entry.data.as_bytes()].concat()
}

fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |end| &path[..end])
}
