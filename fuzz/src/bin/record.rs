//! The record beside an old root: whatever was parsed comes back the same from its own text, and
//! what is wrong with the rest is told in one line.
#![no_main]

use backends::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Record::parse(text) {
        Ok(record) => {
            let own = serde_json::to_vec(&record).expect("a record has a text");
            assert_eq!(Record::parse(&own), Ok(record));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
});
