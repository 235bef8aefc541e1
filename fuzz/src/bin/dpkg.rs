//! dpkg's and ucf's texts: a list, diversions, status, registry, names of records. All that is told stands in the
//! text, without a leading slash, and a path that nobody diverted stays where it is.
#![no_main]

use blankroot::owners::dpkg::{
    Diversions, installed_packages, listed_paths, package_of_record, ucf_files,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for path in listed_paths(text) {
        assert!(!path.is_empty() && !path.contains(&b'\n'));
    }
    for package in installed_packages(text) {
        assert!(!package.name.is_empty() && !package.name.contains(&b'\n'));
    }
    let more = [text, b"\n\nPackage: x\nStatus: install ok installed\n"].concat();
    assert_eq!(installed_packages(&more).last().map(|package| package.name), Some(&b"x"[..]));
    for (package, path) in ucf_files(text) {
        assert!(!package.is_empty() && !path.is_empty());
    }
    if let Some((name, kind)) = package_of_record(text) {
        assert!(!name.is_empty() && !kind.contains(&b'.') && name.len() + kind.len() < text.len());
    }
    let diversions = Diversions::parse(text);
    assert_eq!(diversions.real_path(b"no\nline", b"x"), b"no\nline");
    for path in listed_paths(text) {
        let real = diversions.real_path(path, b"x\ny");
        // The package is none of those that keep the name.
        let again = diversions.real_path(path, b"x\nz");
        assert_eq!(real, again);
        assert!(real.len() <= text.len());
    }
});
