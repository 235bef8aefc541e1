use std::collections::{HashMap, HashSet};

use globset::GlobBuilder;
use proptest::prelude::*;

use super::*;
use crate::catalogue::catalogue_entry::Advice;
use crate::catalogue::path_pattern::PatternPart;
use crate::config::pattern_list::parse_pattern;

fn find(path: &str) -> Option<(&'static str, bool)> {
    let path = path.strip_prefix('/').unwrap();
    let found = Catalogue::well_known().find(path.as_bytes())?;
    Some((&found.entry.path, found.names_path))
}

fn catalogue(entries: &[(&str, Option<u32>)]) -> Catalogue {
    Catalogue::default().with_more(entries.iter().map(|&(path, line)| CatalogueEntry {
        line,
        ..CatalogueEntry::new(path.to_string(), "it", Advice::Keep)
    }))
}

/// A path that the entry is for, without its leading slash.
fn example_of(entry: &CatalogueEntry) -> String {
    let example = entry.example.as_deref().unwrap_or(&entry.path);
    example.replacen("~/", "/home/alice/", 1)[1..].to_string()
}

#[test]
fn the_catalogue_is_large_and_names_nothing_twice() {
    let entries = Catalogue::well_known().entries();
    assert!(entries.len() >= 260, "{}", entries.len());
    let mut seen: HashMap<String, &str> = HashMap::new();
    for entry in entries {
        let patterns = PathPattern::parse(&entry.path).expect(&entry.path);
        for pattern in patterns {
            if let Some(other) = seen.insert(format!("{pattern:?}"), &entry.path) {
                panic!("{} and {other} name the same", entry.path);
            }
        }
    }
}

#[test]
fn every_example_finds_its_own_entry() {
    for entry in Catalogue::well_known().entries() {
        let has_wildcards = entry.path.contains(['*', '?', '[', '{']);
        assert_eq!(has_wildcards, entry.example.is_some(), "{} needs an example", entry.path);
        let example = example_of(entry);
        let found = Catalogue::well_known().find(example.as_bytes()).expect(&entry.path);
        assert_eq!(found.entry.path, entry.path, "for {example}");
        assert!(found.names_path, "{example} is what {} names", entry.path);
        let below = format!("{example}/some file");
        let found = Catalogue::well_known().find(below.as_bytes()).expect(&entry.path);
        // What is below may have an entry of its own, but none that says less.
        assert!(found.named_bytes >= example.len(), "{below} is within {}", entry.path);
    }
}

#[test]
fn every_entry_is_worded_like_the_others() {
    for entry in Catalogue::well_known().entries() {
        let source = entry.source.as_deref().expect(&entry.path);
        for words in [entry.what.as_ref(), source] {
            assert!(!words.is_empty() && words.trim() == words, "{}: {words:?}", entry.path);
            assert!(!words.ends_with(['.', ',', ';', ':']), "{}: {words}", entry.path);
            assert!(!words.contains(['\\', '"']) && !words.contains("  "), "{words}");
        }
        assert!(entry.what.len() <= 110, "{}: {}", entry.path, entry.what);
        assert!(parse_pattern(entry.path.trim_start_matches('~')).is_ok(), "{}", entry.path);
        assert!(entry.line.is_none());
    }
}

#[test]
fn the_flags_of_an_entry_do_not_contradict_each_other() {
    for entry in Catalogue::well_known().entries() {
        let path = &entry.path;
        assert!(!entry.secret_link || entry.advice == Advice::Link, "{path}: secret twice");
        assert!(!entry.early || !path.starts_with('~'), "{path}: a home is not early");
        assert!(!entry.identity || entry.advice == Advice::Keep, "{path}");
        for pattern in PathPattern::parse(path).unwrap() {
            let any_depth = pattern.parts.contains(&PatternPart::AnyDepth);
            assert!(!any_depth || !entry.is_secret(), "{path}: `doctor` would not look there");
        }
    }
}

#[test]
fn the_deepest_entry_counts_for_what_lies_below_it() {
    for (path, expected) in [
        (
            "/var/lib/systemd/timers/stamp-a.timer",
            Some(("/var/lib/systemd/timers/stamp-*.timer", true)),
        ),
        ("/var/lib/systemd/timers/other", Some(("/var/lib/systemd/timers", false))),
        ("/var/lib/systemd", Some(("/var/lib/systemd", true))),
        ("/var/lib/systemd-other", None),
        ("/var/lib", None),
        ("/var/cache/some/thing", Some(("/var/cache", false))),
        ("/home/alice/.cache/x", Some(("~/.cache", false))),
        ("/root/.cache", Some(("~/.cache", true))),
        ("/home/.cache", None),
        ("/home/alice/b/.cache", None),
        ("/home/alice", None),
        ("/home//.cache", None),
        ("/srv/alice/.cache", Some(("/srv", false))),
        ("/home/alice/.config/kwinrc", Some(("~/.config/k*rc", true))),
        ("/home/alice/.config/kdeglobals", Some(("~/.config/kdeglobals", true))),
        ("/home/alice/.config/other/x", Some(("~/.config", false))),
        ("/var/.updated", Some(("/{etc,var}/.updated", true))),
        ("/", None),
    ] {
        assert_eq!(find(path), expected, "{path}");
    }
}

#[test]
fn homes_are_where_the_caller_says() {
    let catalogue = catalogue(&[("~/x", None), ("/srv/alice/x/y", None)]);
    let home = |path: &str| TreePath::parse(path.as_bytes()).unwrap();
    let (alice, inner) = (home("/srv/alice"), home("/srv/alice/x/bob"));
    let homes = Homes::given([&alice, &inner]);
    let find = |path: &'static str| {
        let found = catalogue.find_in_homes(path.as_bytes(), &homes)?;
        Some((found.entry.path.as_ref(), &path[..found.named_bytes]))
    };
    assert_eq!(find("srv/alice/x/z"), Some(("~/x", "srv/alice/x")));
    assert_eq!(find("srv/alice/x/y"), Some(("/srv/alice/x/y", "srv/alice/x/y")));
    assert_eq!(find("srv/alice/x/bob/x"), Some(("~/x", "srv/alice/x/bob/x")));
    assert_eq!(find("srv/alice/x/bob/y"), None);
    assert_eq!(find("home/alice/x"), None);
    assert_eq!(find("root/x"), None);
}

#[test]
fn a_users_own_entry_comes_first_where_both_say_equally_much() {
    let catalogue = catalogue(&[
        ("/a/b", None),
        ("/a", None),
        ("/a/b", Some(7)),
        ("/a/b", Some(8)),
        ("/a", Some(9)),
        ("/a/?", Some(10)),
    ]);
    for (path, line) in [("a/b", Some(7)), ("a/b/c", Some(7)), ("a", Some(9)), ("a/c", Some(10))] {
        assert_eq!(catalogue.find(path.as_bytes()).unwrap().entry.line, line, "{path}");
    }
    let deeper = catalogue.with_more([CatalogueEntry::new("/a/b/c", "it", Advice::Keep)]);
    assert_eq!(deeper.find(b"a/b/c").unwrap().entry.line, None);
    assert_eq!(Catalogue::well_known().find(b"a/b"), None);
}

#[test]
fn wildcards_of_every_kind_are_ordered_by_what_they_say() {
    let paths = ["/**", "/a", "/a/**", "/a/*", "/a/b*", "/a/b?", "/a/bc", "/**/deep/x", "/a/**/z"];
    let catalogue = catalogue(&paths.map(|path| (path, None)));
    for (path, expected, named) in [
        ("other/x", "/**", "other/x"),
        ("a", "/a", "a"),
        ("a/x/y", "/a/*", "a/x"),
        ("a/bc/y", "/a/bc", "a/bc"),
        ("a/bd/y", "/a/b?", "a/bd"),
        ("a/bdd/y", "/a/b*", "a/bdd"),
        ("o/deep/x/y", "/**/deep/x", "o/deep/x"),
        ("deep/x", "/**/deep/x", "deep/x"),
        ("a/z", "/a/**/z", "a/z"),
        ("a/b/c/z/d/z/e", "/a/**/z", "a/b/c/z/d/z"),
    ] {
        let found = catalogue.find(path.as_bytes()).unwrap();
        assert_eq!((found.entry.path.as_ref(), &path[..found.named_bytes]), (expected, named));
    }
}

#[test]
fn hostile_bytes_do_no_harm() {
    let found =
        |path: &[u8]| Catalogue::well_known().find(path).map(|found| found.entry.path.as_ref());
    assert_eq!(found(b"var/cache/\xff\n\0"), Some("/var/cache"));
    assert_eq!(found(b"home/\xff\xfe/.cache/x"), Some("~/.cache"));
    assert_eq!(found(b"home/alice/.config/k\xff\nrc"), Some("~/.config/k*rc"));
    let long = [b"home/a/.config/k".as_slice(), &vec![b'r'; 4000]].concat();
    assert_eq!(found(&long), Some("~/.config"));
    for path in
        [&b""[..], b"/", b"//", b"/var", b"var//cache", b"root/", b"home//", b"\xff", b"~/x"]
    {
        assert!(found(path).is_none(), "{path:?}");
    }
    let deep = "a/".repeat(100_000);
    assert_eq!(found(deep.as_bytes()), None);
    let many = catalogue(&[("/**/a/**/a/**/a/**/b", None), ("/*a*a*a*a*a*a*b", None)]);
    assert!(many.find(deep.as_bytes()).is_none());
    assert!(many.find("a".repeat(4000).as_bytes()).is_none());
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    for (text, why) in [
        ("var", "is neither absolute nor below `~/`"),
        ("~alice/x", "is neither absolute nor below `~/`"),
        ("/", "has an empty component"),
        ("/a//b", "has an empty component"),
        ("/a[b", "has a bracket that is not closed"),
        ("/a[b/c]", "has a slash in brackets"),
        ("/a[é]", "has a letter in brackets that is not ASCII"),
        ("/a[c-b]", "has a range in brackets that ends before it begins"),
        ("/a{b", "has braces that are not closed"),
        ("/a}b", "has braces that are not opened"),
        ("/a\\", "ends in a backslash"),
        (&format!("/{}", "{a,b}".repeat(9)), "stands for more than 256 paths"),
        (&format!("/{}", "{a,".repeat(30)), "has braces that are not closed"),
        (&format!("/{}", "{a,".repeat(33)), "has more than 4096 bytes or 32 braces"),
        (&format!("/{}*", "a".repeat(4096)), "has more than 4096 bytes or 32 braces"),
    ] {
        assert_eq!(PathPattern::parse(text), Err(why), "{text}");
    }
    assert_eq!(PathPattern::parse(&format!("/{}", "{a,b}".repeat(8))).unwrap().len(), 256);
    assert_eq!(PathPattern::parse("/{,a}{}/b/").unwrap(), PathPattern::parse("/a/b").unwrap());
}

/// Whether a pattern means these names, by trying everything.
fn means(parts: &[PatternPart], names: &[&[u8]]) -> bool {
    match (parts, names) {
        ([], _) => names.is_empty(),
        ([PatternPart::AnyDepth], _) => !names.is_empty(),
        ([PatternPart::AnyDepth, rest @ ..], _) => {
            (0..=names.len()).any(|from| means(rest, &names[from..]))
        }
        (_, []) => false,
        ([PatternPart::Name(own), rest @ ..], [name, names @ ..]) => {
            own == name && means(rest, names)
        }
        ([PatternPart::Wildcards(own), rest @ ..], [name, names @ ..]) => {
            own.matches(name) && means(rest, names)
        }
    }
}

/// Every pattern of a catalogue with its entry's number, and whether that is a user's own.
fn all_patterns(catalogue: &Catalogue) -> Vec<(PathPattern, usize, bool)> {
    let of_entry = |(at, entry): (usize, &CatalogueEntry)| {
        let own = entry.line.is_some();
        PathPattern::parse(&entry.path).unwrap().into_iter().map(move |one| (one, at, own))
    };
    catalogue.entries().iter().enumerate().flat_map(of_entry).collect()
}

/// The same lookup, for one path alone and by every pattern.
fn find_slowly(patterns: &[(PathPattern, usize, bool)], path: &[u8]) -> Option<(usize, usize)> {
    let names: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let home = match names.as_slice() {
        [b"root", _, ..] => Some(1),
        [b"home", _, _, ..] => Some(2),
        _ => None,
    };
    let mut all = Vec::new();
    for (pattern, at, own) in patterns {
        let Some(start) = (if pattern.in_home { home } else { Some(0) }) else { continue };
        for end in start..=names.len() {
            if means(&pattern.parts, &names[start..end]) {
                let mut specificity = pattern.specificity();
                specificity.half_names = match pattern.parts.last() {
                    Some(PatternPart::AnyDepth) => specificity.half_names + 2 * start,
                    _ => 2 * end,
                };
                let bytes = names[..end].join(&b'/').len();
                all.push((specificity, *own, usize::MAX - at, bytes));
            }
        }
    }
    all.into_iter().max().map(|(_, _, at, bytes)| (usize::MAX - at, bytes))
}

/// Paths in the neighbourhood of what the catalogue names.
fn arb_path() -> impl Strategy<Value = Vec<u8>> {
    let examples: Vec<String> = Catalogue::well_known().entries().iter().map(example_of).collect();
    let names: HashSet<String> =
        examples.iter().flat_map(|path| path.split('/')).map(str::to_string).collect();
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    let name = prop::sample::select(names);
    let some = prop::collection::vec(name, 0..4);
    (prop::sample::select(examples), 0..3_usize, some, any::<bool>(), any::<u8>()).prop_map(
        |(path, cut, more, glued, byte)| {
            let kept = path.split('/').count().saturating_sub(cut).max(1);
            let mut names: Vec<Vec<u8>> =
                path.split('/').take(kept).map(|name| name.as_bytes().to_vec()).collect();
            names.extend(more.into_iter().map(String::into_bytes));
            if let Some(last) = names.last_mut().filter(|_| glued && !matches!(byte, 0 | b'/')) {
                last.push(byte);
            }
            names.join(&b'/')
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sorted_paths_are_found_as_each_is_alone(
        mut paths in prop::collection::vec(arb_path(), 1..12),
        own in prop::collection::vec("/(\\*\\*/)?(var|etc|home)/([a-z*?]|lib|\\*\\*|\\{a,b\\})(/[a-z*])?", 0..4),
    ) {
        let mut line = 0;
        let whole = Catalogue::well_known().with_more(own.into_iter().map(|path| {
            line += 1;
            CatalogueEntry { line: Some(line), ..CatalogueEntry::new(path, "it", Advice::Keep) }
        }));
        paths.sort();
        let patterns = all_patterns(&whole);
        for path in &paths {
            let found = whole.find(path);
            let slowly = find_slowly(&patterns, path);
            let shown = String::from_utf8_lossy(path);
            prop_assert_eq!(
                found.map(|found| (&found.entry.path, found.named_bytes)),
                slowly.map(|(at, bytes)| (&whole.entries()[at].path, bytes)),
                "{}", shown
            );
            prop_assert_eq!(
                found.is_some_and(|found| found.names_path),
                slowly.is_some_and(|(_, bytes)| bytes == path.len())
            );
        }
    }

}

/// A class in brackets that globset takes a slash for as well.
fn has_class_with_slash(pattern: &str) -> bool {
    let mut windows = pattern.as_bytes().windows(3);
    let in_range = windows.any(|at| at[1] == b'-' && (at[0]..=at[2]).contains(&b'/'));
    in_range || pattern.contains("[!")
}

proptest! {
    #[test]
    fn a_pattern_means_what_globset_takes_it_for(
        pattern in "[ab*?\\[\\]{},!/\\\\-]{1,14}",
        paths in prop::collection::vec("[ab,-]{1,3}(/[ab,-]{1,3}){0,3}", 8),
    ) {
        let glob = GlobBuilder::new(pattern.trim_end_matches('/')).literal_separator(true).build();
        let parsed = PathPattern::parse(&format!("/{pattern}"));
        // Globset lets `**` in braces stand for a part of a name.
        let in_braces = pattern.split('{').skip(1).any(|rest| rest.contains("**"));
        if let ((Ok(glob), Ok(parsed)), false) = ((glob, parsed), in_braces) {
            let glob = glob.compile_matcher();
            let mut tree = PatternTree::default();
            parsed.iter().for_each(|one| tree.insert(one, 0, false));
            let one_name = has_class_with_slash(&pattern);
            for path in paths.iter().filter(|path| !one_name || !path.contains('/')) {
                let mut meant = false;
                tree.walk(path.as_bytes(), 0, &mut |found| {
                    meant |= found.named_bytes == path.len();
                });
                prop_assert_eq!(meant, glob.is_match(path), "{} and {}", pattern, path);
                let names: Vec<&[u8]> = path.as_bytes().split(|&b| b == b'/').collect();
                prop_assert_eq!(meant, parsed.iter().any(|one| means(&one.parts, &names)));
            }
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_refused(text in "[~/]{0,2}.{0,60}") {
        let _ = PathPattern::parse(&text);
    }
}

#[test]
fn the_whole_catalogue_means_the_same_to_globset() {
    for entry in Catalogue::well_known().entries() {
        let text = entry.path.replacen("~/", "/{root,home/*}/", 1);
        let glob = GlobBuilder::new(&text[1..]).literal_separator(true).build().unwrap();
        assert!(glob.compile_matcher().is_match(example_of(entry)), "{}", entry.path);
    }
}
