//! The record beside an old root: whatever was parsed comes back the same from its own text.
#![no_main]

use backends::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(record) = Record::parse(text) {
        let own = serde_json::to_vec(&record).expect("a record has a text");
        assert_eq!(Record::parse(&own), Ok(record));
    }
});
