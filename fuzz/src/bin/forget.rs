//! Patterns of `[forget]`, one a line up to an empty line, and a path, the rest. What is named is
//! covered, and so is all below it; `classify` says the same as the list.
#![no_main]

use std::path::Path;

use blankroot::config::Config;
use blankroot::diff::classify::{Verdict, classify};
use blankroot_fuzz::added;
use dirfd::TreePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(split) = input.windows(2).position(|two| two == b"\n\n") else { return };
    let (patterns, path) = (&input[..split], &input[split + 2..]);
    let (Ok(patterns), Ok(path)) = (std::str::from_utf8(patterns), TreePath::parse(path)) else {
        return;
    };
    let names_fit = path.as_bytes().split(|&b| b == b'/').all(|name| name.len() <= 255);
    if path == TreePath::root() || !names_fit {
        return;
    }
    let patterns: toml::value::Array = patterns.lines().map(toml::Value::from).collect();
    let text = format!(
        "forget.paths = {}\nroot.backend = \"tmpfs\"\n",
        toml::Value::Array(patterns.clone())
    );
    let config = match Config::parse(Path::new("f"), text.as_bytes()) {
        Ok(config) => config,
        Err(error) => {
            assert!(error.problems().iter().all(|problem| problem.what.contains("pattern")));
            return;
        }
    };
    assert_eq!(config.forget.patterns().len(), patterns.len());
    check(&config, path.as_bytes());
});

fn check(config: &Config, path: &[u8]) {
    let mut covered = Vec::new();
    let changes = added(path, |above| {
        let (named, covers) = (config.forget.names(above), config.forget.covers(above));
        // The outermost that is named counts.
        let inherited = covered.last().copied().flatten();
        assert_eq!(covers, inherited.or(named));
        assert!(covers.is_none_or(|index| index < config.forget.patterns().len()));
        covered.push(covers);
    });
    let verdicts = classify(&changes, config);
    assert_eq!(verdicts.iter().len(), covered.len());
    for ((verdict, rule), covers) in verdicts.iter().zip(covered) {
        assert_eq!(verdict, if covers.is_some() { Verdict::Forgotten } else { Verdict::Stray });
        assert_eq!(rule.is_some(), covers.is_some());
        assert!(rule.is_none_or(|rule| !rule.contains(char::is_control)), "{rule:?}");
    }
}
