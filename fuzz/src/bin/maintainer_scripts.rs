//! A maintainer script: each path that it names stands in it, is clean, and lies where state may be. Comments name
//! none.
#![no_main]

use blankroot::owners::maintainer_scripts::named_paths;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let mut count = 0;
    named_paths(script, |path| {
        count += 1;
        let clean = dirfd::TreePath::parse(path).expect("it is a path");
        assert!(clean.as_bytes() == path && clean.depth() > 1);
        assert!(script.windows(path.len()).any(|window| window == path));
    });
    assert!(count <= script.len());
    let comment: Vec<u8> =
        script.split(|&b| b == b'\n').flat_map(|line| [b"# ", line, b"\n"].concat()).collect();
    named_paths(&comment, |path| panic!("a comment names {path:?}"));
});
