//! Where a hibernation image may be: the first page of a swap area, and a device's label as udev
//! spells it. Only the two ends of a page count; a label comes back from its spelling.
#![no_main]

use std::path::Component;

use blankroot::boot::resume::is_image;
use blankroot::boot::resume::{device_path, encode_tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let (Some(start), Some(end)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<10>()) {
        let page = [start.as_slice(), &[0; 4078], end].concat();
        assert_eq!(page.len(), 4096);
        if bytes.len() >= 18 {
            assert_eq!(is_image(&page), is_image(bytes));
        }
    } else {
        assert!(!is_image(bytes));
    }

    let name = encode_tag(bytes);
    assert!(!name.contains(|c: char| c == '/' || c == ' ' || c.is_ascii_control()));
    assert_eq!(decode(name.as_bytes()), bytes);

    let device = device_path(bytes);
    assert_eq!(device.components().next(), Some(Component::Normal("dev".as_ref())));
});

fn decode(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\' {
            let digits = tail.get(1..3).expect("an escape has two digits");
            let digits = std::str::from_utf8(digits).expect("digits are ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("digits are hexadecimal"));
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    bytes
}
