//! Edits of a configuration. The first two lines of the input are what to add (`forget` and a
//! pattern, or a storage and a path; a path that ends in a slash is a directory, in
//! two a directory that is linked), the rest is the
//! text. The result says what the text said and the addition, keeps every comment, and is not
//! edited again.
#![no_main]

use std::path::Path;

use blankroot::config::Config;
use blankroot::config::edit::{add_entry, add_forget, remove_entry};
use blankroot::config::entry::{EntryKind, PlacementMethod};
use blankroot::persist::list;
use dirfd::{Error, TreePath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let Some((place, rest)) = input.split_once('\n') else { return };
    let Some((added, text)) = rest.split_once('\n') else { return };
    if place == "forget" {
        forget(text, added);
    } else if let Ok(path) = TreePath::parse(added.as_bytes()) {
        let kind = if added.ends_with('/') { EntryKind::Dir } else { EntryKind::File };
        let how = added.ends_with("//").then_some(PlacementMethod::Symlink);
        entry(text, Path::new(place), &path, kind, how);
    }
});

fn forget(text: &str, pattern: &str) {
    let edited = match add_forget(text, &[pattern]) {
        Ok(edited) => edited,
        Err(error) => return check_error(&error),
    };
    let (before, after) = check_edit(text, &edited);
    let patterns = |config: &Config| -> Vec<String> {
        config.forget.patterns().iter().map(|pattern| pattern.text.clone()).collect()
    };
    let mut expected = patterns(&before);
    if !expected.iter().any(|known| known == pattern) {
        expected.push(pattern.to_string());
    }
    assert_eq!(patterns(&after), expected);
    assert_eq!(listed(&after), listed(&before));
    assert_eq!(add_forget(&edited, &[pattern]).expect("it is there already"), edited);
}

fn entry(
    text: &str,
    storage: &Path,
    path: &TreePath,
    kind: EntryKind,
    how: Option<PlacementMethod>,
) {
    let edited = match add_entry(text, storage, path, kind, how) {
        Ok(edited) => edited,
        Err(error) => return check_error(&error),
    };
    let (before, after) = check_edit(text, &edited);
    let name = TreePath::parse(storage.as_os_str().as_encoded_bytes()).expect("a storage's path");
    let mut expected = listed(&before);
    let new = (path.clone(), kind, name);
    if !expected.contains(&new) {
        expected.push(new);
        expected.sort();
    }
    assert_eq!(listed(&after), expected);
    assert_eq!(after.forget.patterns().len(), before.forget.patterns().len());
    assert_eq!(add_entry(&edited, storage, path, kind, how).expect("it is there already"), edited);
    removal(&edited, path);
}

/// Taking it out again leaves the others.
fn removal(text: &str, path: &TreePath) {
    let edited = remove_entry(text, path).expect("what is there can be taken out");
    let (before, after) = check_edit(text, &edited);
    let mut expected = listed(&before);
    expected.retain(|(other, ..)| other != path);
    assert_eq!(listed(&after), expected);
    assert_eq!(remove_entry(&edited, path).expect("it is gone already"), edited);
}

/// What is common to all edits; returns both configurations.
fn check_edit(text: &str, edited: &str) -> (Config, Config) {
    let read = |text: &str| Config::parse(Path::new("f"), text.as_bytes());
    let before = read(text).expect("what cannot be read is not edited");
    let after = read(edited).expect("the result can be read");
    assert_eq!(after.root, before.root);
    assert_eq!(after.rollback.retention, before.rollback.retention);
    let mut lines = edited.lines().map(str::trim);
    for comment in text.lines().map(str::trim).filter(|line| line.starts_with('#')) {
        assert!(lines.any(|line| line == comment), "lost: {comment:?} in {edited:?}");
    }
    (before, after)
}

fn listed(config: &Config) -> Vec<(TreePath, EntryKind, TreePath)> {
    list::keep_list(config)
        .into_iter()
        .map(|entry| (entry.path, entry.kind, entry.storage))
        .collect()
}

fn check_error(error: &Error) {
    let text = error.to_string();
    assert!(text.starts_with("cannot add "), "{text:?}");
    assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text:?}");
}
