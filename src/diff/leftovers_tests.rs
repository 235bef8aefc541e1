use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::persist::create::backup_name;

/// Paths of few names, so that they meet.
fn paths(len: std::ops::Range<usize>) -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[ab](/[ab.]{1,2}){0,3}", len).prop_map(|paths| {
        let odd = |path: &String| path.split('/').any(|name| name == "." || name == "..");
        paths.into_iter().filter(|path| !odd(path)).collect()
    })
}

fn config(declared: &BTreeMap<String, bool>) -> Config {
    let mut text = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/p\"\n".to_string();
    text.push_str("directories = [\n");
    for (path, enable) in declared {
        text.push_str(&format!("{{ path = \"/{path}\", enable = {enable} }},\n"));
    }
    text.push_str("]\n");
    Config::parse(Path::new("f"), text.as_bytes()).unwrap()
}

fn is_within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

proptest! {
    /// Every file is kept or lies in exactly one leftover, and no leftover could be told shorter.
    #[test]
    fn leftovers_are_all_that_is_not_kept_and_nothing_else(
        declared in paths(0..6), enabled in prop::collection::vec(any::<bool>(), 6),
        there in paths(0..12), dirs in prop::collection::vec(any::<bool>(), 12),
    ) {
        let declared: BTreeMap<String, bool> = declared.into_iter().zip(enabled).collect();
        let dir = tempfile::tempdir().unwrap();
        let storage = dir.path().join("p");
        std::fs::create_dir(&storage).unwrap();
        let mut made = Vec::new();
        for (path, is_dir) in there.iter().zip(dirs) {
            let whole = storage.join(path);
            let parent = std::fs::create_dir_all(whole.parent().unwrap());
            // What another path made a file cannot be a directory too.
            if parent.is_err() || whole.exists() {
                continue;
            }
            if is_dir { std::fs::create_dir(&whole) } else { std::fs::write(&whole, "x") }.unwrap();
            made.push((path.clone(), is_dir));
        }
        let host = HostRoot::open(dir.path()).unwrap();
        let found = find_leftovers(&host, &config(&declared), &[], &|_| {}).unwrap().found;
        let told: Vec<String> =
            found.iter().map(|one| one.path.to_string().split_off("/p/".len())).collect();
        let kept = |path: &str| declared.iter().any(|(dir, on)| *on && is_within(path, dir));
        let leads = |path: &str| declared.keys().any(|dir| is_within(dir, path));
        for (path, is_dir) in &made {
            let above = told.iter().filter(|one| is_within(path, one)).count();
            let expected = if kept(path) || (*is_dir && leads(path) && above == 0) { 0 } else { 1 };
            prop_assert_eq!(above, expected, "{} of {:?} in {:?}", path, told, declared);
        }
        for (one, leftover) in told.iter().zip(&found) {
            prop_assert!(!declared.iter().any(|(dir, on)| *on && is_within(dir, one)
                && storage.join(dir).exists()), "{} holds what is kept", one);
            let parent = one.rsplit_once('/').map_or("", |(parent, _)| parent);
            prop_assert!(parent.is_empty() || leads(parent) || !leads(one)
                && declared.keys().any(|dir| is_within(one, dir)), "{} is not the topmost", one);
            let files = made.iter().filter(|(path, dir)| !dir && is_within(path, one)).count();
            prop_assert_eq!(leftover.weight.files, files as u64);
        }
    }
}

#[test]
fn our_own_names_are_told_from_all_others() {
    let before = |of: &[u8]| Some(LeftoverReason::SetAside { of: of.to_vec() });
    for name in [&b"machine-id"[..], b".ssh", b"a\n\xff.before-3"] {
        let aside = backup_name(OsStr::from_bytes(name), 12);
        assert_eq!(parse_own_name(aside.as_bytes()), before(name));
    }
    let aside = backup_name(OsStr::from_bytes(&[b'x'; 255]), u32::MAX);
    assert!(matches!(parse_own_name(aside.as_bytes()), Some(LeftoverReason::SetAside { .. })));
    assert_eq!(parse_own_name(b".a.tmp-0"), Some(LeftoverReason::Temporary { of: b"a".to_vec() }));
    assert_eq!(parse_own_name(b".a.new-1"), Some(LeftoverReason::Unnamed { of: b"a".to_vec() }));
    for other in ["a.before-1", ".a.before-", ".before-1", ".a.before-1x", ".a.before", ""] {
        assert_eq!(parse_own_name(other.as_bytes()), None, "{other}");
    }
}
