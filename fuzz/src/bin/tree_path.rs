//! A path inside a tree: what is accepted is relative, without detours, and its own clean form.
#![no_main]

use std::path::Component;

use dirfd::TreePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(path) = TreePath::parse(bytes) else { return };
    let clean = path.as_bytes();
    assert!(!clean.contains(&0) && !clean.starts_with(b"/"));
    assert!(
        path.as_path()
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    );
    assert!(path.is_within(&TreePath::root()));
    assert!(!path.to_string().contains(char::is_control));
    assert_eq!(TreePath::parse(clean), Ok(path.clone()));
    assert_eq!(TreePath::parse(&[b"//./", clean, b"/"].concat()), Ok(path));
});
