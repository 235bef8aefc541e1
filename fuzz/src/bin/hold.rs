//! The hold: whatever was parsed comes back the same from its own text, and what is wrong with the rest
//! is told in one line.
#![no_main]

use backends::hold::Holds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Holds::parse(text) {
        Ok(holds) => {
            let own = serde_json::to_vec(&holds).expect("holds have a text");
            assert_eq!(Holds::parse(&own), Ok(holds));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
});
