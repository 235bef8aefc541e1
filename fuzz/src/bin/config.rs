//! The configuration: its problems have places in the text and print on two lines each; a valid one
//! keeps no path twice, judges every change, and its root survives being written by `init`.
#![no_main]

use std::path::Path;

use backends::changes::ChangesWriter;
use backends::{ChangeKind, Changes, Facts, FileType, TreePath};
use blankroot::classify::{Verdict, classify};
use blankroot::config::starter::starter;
use blankroot::config::{Config, ConfigError, Place};
use blankroot::keep;
use libfuzzer_sys::fuzz_target;

const FILE: &str = "/etc/blank\nroot.toml";

fuzz_target!(|text: &[u8]| {
    match Config::parse(Path::new(FILE), text) {
        Ok(config) => {
            check_places(&config, text);
            check_keep_list(&config);
            check_verdicts(&config);
            let written = starter(&config.root).expect("what TOML held it can hold");
            let again = Config::parse(Path::new(FILE), written.as_bytes());
            assert_eq!(again.expect("`init` writes what can be read").root, config.root);
        }
        Err(error) => check_problems(&error, text),
    }
});

fn check_problems(error: &ConfigError, text: &[u8]) {
    let problems = error.problems();
    assert!(!problems.is_empty() && problems.is_sorted());
    let shown = error.to_string();
    assert!(shown.starts_with("cannot use /etc/blank\\nroot.toml: "), "{shown:?}");
    assert_eq!(shown.lines().count(), 1 + 2 * problems.len(), "{shown:?}");
    for problem in problems {
        assert!(is_in(problem.place, text), "{problem:?}");
        for line in [&problem.what, &problem.mend] {
            assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
        }
    }
}

fn is_in(place: Place, text: &[u8]) -> bool {
    let mut lines = text.split(|&b| b == b'\n');
    let Some(at) = place.line.checked_sub(1) else { return false };
    let Some(line) = lines.nth(at as usize) else { return false };
    (1..=line.len() as u32 + 1).contains(&place.column)
}

fn check_places(config: &Config, text: &[u8]) {
    let storages = &config.storages;
    assert!(storages.iter().all(|storage| is_in(storage.place, text)));
    assert!(config.forget.patterns().iter().all(|pattern| is_in(pattern.place, text)));
    let of_users = storages.iter().flat_map(|s| &s.users).flat_map(|user| &user.entries);
    let mut entries = storages.iter().flat_map(|s| &s.entries).chain(of_users);
    assert!(entries.all(|entry| is_in(entry.place, text)));
}

fn check_keep_list(config: &Config) {
    let list = keep::list(config);
    assert!(list.is_sorted_by(|a, b| a.path < b.path), "a path is kept twice");
    let mut sources: Vec<TreePath> = list.iter().map(keep::KeepEntry::source).collect();
    sources.sort();
    assert!(sources.is_sorted_by(|a, b| a < b), "two paths have the same data");
    for entry in &list {
        assert_ne!(entry.path, TreePath::root());
        assert_ne!(entry.data, TreePath::root());
        assert!(entry.source().is_within(&entry.storage) && entry.source() != entry.storage);
        assert!(!entry.path.is_within(&entry.storage) && !entry.storage.is_within(&entry.path));
        assert_eq!(TreePath::parse(entry.path.as_bytes()).as_ref(), Ok(&entry.path));
    }
}

/// Each kept path and something below it, all of them added.
fn check_verdicts(config: &Config) {
    let list = keep::list(config);
    for entry in list.iter().take(8) {
        let changes = added(entry.path.as_bytes());
        let verdicts = classify(&changes, config);
        assert_eq!(verdicts.iter().len(), changes.len());
        let judged: Vec<_> = verdicts.iter().collect();
        // What leads to it is kept with it.
        for (verdict, rule) in judged {
            assert_eq!(verdict, Verdict::Kept);
            let rule = rule.expect("what is kept has a rule");
            assert!(!rule.contains(char::is_control), "{rule:?}");
        }
    }
}

fn added(path: &[u8]) -> Changes {
    let facts = Facts {
        file_type: FileType::Dir,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 0,
        mtime_nanos: 0,
    };
    let mut writer = ChangesWriter::new();
    for name in path.split(|&b| b == b'/') {
        writer.record(name, ChangeKind::Added, facts);
        writer.descend(name);
    }
    writer.finish()
}
