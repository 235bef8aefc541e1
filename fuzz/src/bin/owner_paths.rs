//! A path, and on the second line a link's target: whose store path it is, what it leads to, what the path is made
//! from, and its spelling without links.
#![no_main]

use blankroot::owners::derived_names::origin;
use blankroot::owners::known_writers::writers_of;
use blankroot::owners::nix_store::{StoreOwner, owner_of_target};
use blankroot::owners::usr_merge::{Aliases, lexical_target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |&b| b == b'\n');
    let (path, target) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Some(StoreOwner::Package(name) | StoreOwner::Unit(name)) = owner_of_target(target) {
        assert!(!name.is_empty() && !name.contains(&b'/'));
        assert!(target.starts_with(b"/nix/store/"));
    }
    // A path of a tree is clean, and no target has a NUL.
    let Ok(clean) = dirfd::TreePath::parse(path) else { return };
    let path = clean.as_bytes();
    if let Some(led) = lexical_target(path, target).filter(|led| !led.contains(&0)) {
        assert_eq!(dirfd::TreePath::parse(&led).map(|led| led.as_bytes().to_vec()), Ok(led));
    }
    if let Some(origin) = origin(path) {
        assert!(!origin.is_empty() && origin != path && origin.len() < path.len() + 3);
    }
    assert!(writers_of(path).len() < 8);
    // All that may be a link says the same.
    let aliases = Aliases::of(|_| Some(target.to_vec()));
    let canonical = aliases.canonical(path);
    assert!(canonical.len() <= path.len() + 4 * (target.len() + 8));
    let merged = Aliases::of(|name| (name == b"bin").then(|| b"usr/bin".to_vec()));
    let once = merged.canonical(path).into_owned();
    assert_eq!(*merged.canonical(&once), *once);
});
