//! What blank belongs to which live: whatever was parsed comes back the same from its own text, and what is
//! wrong with the rest is told in one line.
#![no_main]

use backends::kinship::Adoptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Adoptions::parse(text) {
        Ok(adoptions) => {
            let own = serde_json::to_vec(&adoptions).expect("adoptions have a text");
            assert_eq!(Adoptions::parse(&own), Ok(adoptions));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
});
