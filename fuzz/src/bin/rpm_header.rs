//! A package's header in rpm's database, and one that the input's bytes are the data of. It tells no more files
//! than it has bytes, and each path is made of two of its strings.
#![no_main]

use blankroot::owners::rpm::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check(input);
    // Most inputs have lengths that do not fit; with those that do, the entries are looked into.
    let entries = input.len() / 32;
    let data = input.len() - entries * 16;
    let lengths = [entries as u32, data as u32].map(u32::to_be_bytes).concat();
    check(&[&lengths, input].concat());
});

fn check(blob: &[u8]) {
    let Ok(header) = Header::parse(blob) else { return };
    let mut count = 0;
    header.for_each_file(|file| {
        count += 1;
        assert!(!file.path.is_empty() && !file.path.contains(&0));
        assert!(file.path.len() <= 2 * blob.len());
    });
    assert!(count <= blob.len());
    assert!(header.name().is_none_or(|name| !name.is_empty() && !name.contains(&0)));
    assert!(header.version().len() <= 2 * blob.len() + 12);
    assert!(header.scripts().count() <= 6);
    // What stands behind a header is not its own.
    let more = [blob, b"more"].concat();
    assert_eq!(Header::parse(&more).map(|header| header.name()), Ok(header.name()));
}
