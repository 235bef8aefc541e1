//! Names of mount units are the names that systemd gives them.

use blankroot::systemd::unit_file;
use dirfd::TreePath;
use dirfd::process::Program;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::sandbox::skip;

const ESCAPE: Program = Program::new("systemd-escape", "systemd");

/// Paths of a few components with all sorts of characters, odd ones more often.
fn paths() -> impl Strategy<Value = Vec<TreePath>> {
    let character = prop_oneof![
        proptest::char::any(),
        proptest::sample::select(". -_\\:@%\n\t~!\u{7f}\u{f6}a0Z".chars().collect::<Vec<_>>()),
    ];
    let component = proptest::collection::vec(character, 1..8)
        .prop_map(|chars| chars.into_iter().collect::<String>().replace(['/', '\0'], "_"))
        .prop_filter("a component", |part| part != ".." && part != ".");
    let path = proptest::collection::vec(component, 1..5)
        .prop_map(|parts| TreePath::parse(parts.join("/").as_bytes()).unwrap());
    proptest::collection::vec(path, 200)
}

/// Runs `systemd-escape` for all of them; it ends each answer with a space or, the last, a newline.
fn ask(options: &[&str], words: &[String]) -> Vec<String> {
    let words = options.iter().map(|option| option.to_string()).chain(words.iter().cloned());
    let output = ESCAPE.run(words.collect::<Vec<_>>()).unwrap();
    let text = String::from_utf8(output).unwrap();
    text.trim_end_matches('\n').split(' ').map(str::to_string).collect()
}

#[test]
fn every_path_has_the_name_that_systemd_gives_it() {
    if ESCAPE.find().is_none() {
        return skip("there is no systemd-escape to compare with");
    }
    let mut runner =
        TestRunner::new(Config { cases: 10, failure_persistence: None, ..Config::default() });
    let compared = runner.run(&paths(), |paths| {
        let named: Vec<(String, String)> = paths
            .iter()
            .filter_map(|path| {
                let text = format!("/{}", std::str::from_utf8(path.as_bytes()).unwrap());
                Some((text, unit_file::of_mount(path).ok()?))
            })
            .collect();
        prop_assert!(named.len() > 100, "most are short enough");
        let words: Vec<String> = named.iter().map(|(path, _)| path.clone()).collect();
        let names = ask(&["--path", "--suffix=mount", "--"], &words);
        let ours: Vec<String> = named.iter().map(|(_, name)| name.clone()).collect();
        prop_assert_eq!(&names, &ours);
        // Back again one by one, since what is unescaped may have spaces.
        for (path, name) in named.iter().take(5) {
            let back = ESCAPE.run(["--unescape", "--path", "--", name.trim_end_matches(".mount")]);
            prop_assert_eq!(String::from_utf8(back.unwrap()).unwrap(), format!("{path}\n"));
        }
        Ok(())
    });
    compared.unwrap();
}
