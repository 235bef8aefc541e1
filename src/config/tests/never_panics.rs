//! No text makes the reader, or an edit, fail other than with an error.

use proptest::prelude::*;

use crate::config::edit::add_forget;
use crate::config::tests::*;
use crate::diff::classify::classify;

/// Whatever comes in, an error can be shown and a configuration can be used.
fn use_it(text: &[u8]) {
    match Config::parse(Path::new(FILE), text) {
        Ok(config) => {
            let _ = crate::persist::list::keep_list(&config);
            let _ = classify(&dirfd::Changes::default(), &config);
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(error.to_string().starts_with("cannot use /etc/blankroot.toml: "));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
        use_it(&text);
    }

    #[test]
    fn arbitrary_patterns(pattern in "/[a-c*?\\[\\]{},!/\\\\é-]{0,40}") {
        let _ = add_forget("[root]\nbackend = \"tmpfs\"\n", &[&pattern]);
    }

    #[test]
    fn a_valid_text_with_changes(
        cuts in prop::collection::vec(
            (0..EXAMPLE.len(), 0..40_usize, prop::sample::select(vec![
                "", "\"", "[", "]", "{", "}", "=", "\n", ".", "..", "/", "\0", "1", "-1", "\\u0000",
                "true", "[[storage]]", "[storage]", "path", "x = 1", "é", "#", "'''", "1979-05-27",
            ])),
            1..4,
        )
    ) {
        let mut text = EXAMPLE.as_bytes().to_vec();
        for (at, len, with) in cuts {
            let at = at.min(text.len());
            let end = (at + len).min(text.len());
            text.splice(at..end, with.bytes());
        }
        use_it(&text);
    }
}

#[test]
fn deep_and_long_texts() {
    let root = "[root]\nbackend = \"tmpfs\"\n";
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("{root}[forget]\npaths = [\"/{}\"]", "{".repeat(100_000)),
        format!("{root}[forget]\npaths = [\"/{}\"]", "{a,".repeat(30)),
        format!("{root}[forget]\npaths = [\"/{}\"]", "*?[a-z]".repeat(500)),
        format!("{root}[[storage]]\npath = \"/{}\"", "a/".repeat(100_000)),
        format!("{root}{} = 1", "k".repeat(100_000)),
    ] {
        use_it(text.as_bytes());
    }
}
