//! The name of a tree: what is accepted stays below the top of the file system and prints on one
//! line.
#![no_main]

use std::path::Component;

use dirfd::TreeName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(name) = TreeName::new(bytes) else { return };
    assert_eq!(name.as_bytes(), bytes);
    assert!(name.as_path().components().all(|part| matches!(part, Component::Normal(_))));
    assert!(name.is_within(&name));
    assert!(!name.to_string().contains(char::is_control));
    let (parent, last) = name.split();
    assert_eq!(parent, name.as_path().parent().filter(|parent| !parent.as_os_str().is_empty()));
    assert_eq!(Some(last), name.as_path().file_name());
    let child = name.child("x").expect("a plain name can be below any tree");
    assert!(child.is_within(&name) && !name.is_within(&child));
});
