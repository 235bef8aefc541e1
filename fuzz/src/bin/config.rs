//! The configuration: its problems have places in the text and print on two lines each; a valid one
//! keeps no path twice, judges every change, and its root survives being written by `init`.
#![no_main]

use std::path::Path;

use blankroot::config::Config;
use blankroot::config::starter::starter_text;
use blankroot::diff::classify::{Verdict, classify};
use blankroot::persist::list;
use blankroot_fuzz::{FILE, added, check_keep_list, check_problems, is_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Config::parse(Path::new(FILE), text) {
        Ok(config) => {
            check_places(&config, text);
            check_keep_list(&list::keep_list(&config));
            check_verdicts(&config);
            let written = starter_text(&config.root).expect("what TOML held it can hold");
            let again = Config::parse(Path::new(FILE), written.as_bytes());
            assert_eq!(again.expect("`init` writes what can be read").root, config.root);
        }
        Err(error) => check_problems(&error, text),
    }
});

fn check_places(config: &Config, text: &[u8]) {
    let storages = &config.storages;
    assert!(storages.iter().all(|storage| is_in(storage.place, text)));
    assert!(config.forget.patterns().iter().all(|pattern| is_in(pattern.place, text)));
    let of_users = storages.iter().flat_map(|s| &s.users).flat_map(|user| &user.entries);
    let mut entries = storages.iter().flat_map(|s| &s.entries).chain(of_users);
    assert!(entries.all(|entry| is_in(entry.place, text)));
}

/// Each kept path and something below it, all of them added.
fn check_verdicts(config: &Config) {
    let list = list::keep_list(config);
    for entry in list.iter().take(8) {
        let changes = added(entry.path.as_bytes(), |_| {});
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
