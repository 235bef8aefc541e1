//! What the kernel tells of the objects that were written: each that a record names was written, and no
//! other.
#![no_main]

use backends::zfs::changed_dnodes::Written;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|records: &[u8]| {
    let Ok(written) = Written::parse(records) else { return };
    let (records, rest) = records.as_chunks::<24>();
    assert!(rest.is_empty());
    let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    let ranges: Vec<_> = records.iter().map(|r| (number(&r[8..16]), number(&r[16..]))).collect();
    for &(first, last) in &ranges {
        for object in [first, last, first.saturating_sub(1), last.saturating_add(1)] {
            let is_named = ranges.iter().any(|(first, last)| (*first..=*last).contains(&object));
            assert_eq!(written.contains(object), is_named, "{object}");
        }
    }
});
