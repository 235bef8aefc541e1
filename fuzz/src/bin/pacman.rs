//! pacman's `files`, and the name of a package's directory.
#![no_main]

use blankroot::owners::pacman::{listed_paths, package_of_directory};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for path in listed_paths(text) {
        assert!(!path.is_empty() && !path.contains(&b'\n'));
    }
    let more = [b"%FILES%\nx/\n\n", text].concat();
    assert_eq!(listed_paths(&more).next(), Some(&b"x"[..]));
    assert_eq!(listed_paths(&more).count(), 1 + listed_paths(text).count());
    if let Some((name, version)) = package_of_directory(text) {
        assert_eq!([name, b"-", version].concat(), text);
        assert_eq!(version.iter().filter(|&&byte| byte == b'-').count(), 1);
    }
});
