//! The hold: whatever was parsed comes back the same from its own text, and what is wrong with the rest
//! is told in one line.
#![no_main]

use backends::Hold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Hold::parse(text) {
        Ok(hold) => {
            let own = serde_json::to_vec(&hold).expect("a hold has a text");
            assert_eq!(Hold::parse(&own), Ok(hold));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
});
