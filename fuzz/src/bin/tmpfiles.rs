//! Lines of tmpfiles.d: each tells one clean path at most, and comments and what follows change none of it.
#![no_main]

use blankroot::owners::systemd_words::{directory_specifier, split_words};
use blankroot::owners::tmpfiles::made_paths;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let specifiers = |letter: u8| directory_specifier(letter).map(<[u8]>::to_vec);
    let made = made_paths(text, &specifiers);
    assert!(made.len() <= text.split(|&b| b == b'\n').count());
    for path in &made {
        let clean = dirfd::TreePath::parse(path).expect("it is a path");
        assert!(clean.as_bytes() == path && clean.depth() > 0);
    }
    let more = [b"# d /x\n", text, b"\nz /y\nd /last 0755 root root -\n"].concat();
    let again = made_paths(&more, &specifiers);
    assert_eq!((&again[..made.len()], again.last()), (&made[..], Some(&b"last".to_vec())));
    let words = split_words(text);
    assert!(words.iter().map(Vec::len).sum::<usize>() <= text.len());
});
