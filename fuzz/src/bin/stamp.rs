//! The stamp in `/run`: whatever was parsed comes back the same from its own text, and what
//! is wrong with the rest is told in one line.
#![no_main]

use blankroot::boot::stamp::Stamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match Stamp::parse(text) {
        Ok(stamp) => {
            assert_eq!(stamp.version, 1);
            let own = serde_json::to_vec_pretty(&stamp).expect("a stamp has a text");
            assert_eq!(Stamp::parse(&own), Ok(stamp));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
});
