//! A shadow(5): each account that is told has a line of its own, the first; no number of days makes
//! an account that is closed open again, and only a hash or nothing lets anybody in.
#![no_main]

use blankroot::doctor::shadow::{Password, Shadow};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let shadow = Shadow::parse(text);
    let mut seen = 0;
    let mut names = std::collections::HashSet::new();
    for line in text.split(|&b| b == b'\n') {
        let field = line.split(|&b| b == b':').next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(field) else { continue };
        if !names.insert(name) {
            continue;
        }
        let Some(found) = shadow.line(name) else { continue };
        seen += 1;
        assert!(!found.password.contains(&b'\n') && !found.password.contains(&b':'));
        // It survives its own text, alone.
        let days = |days: Option<i64>| days.map(|days| days.to_string()).unwrap_or_default();
        let own = [
            name.as_bytes(),
            b":",
            &found.password,
            format!(
                ":{}::{}::{}:{}:",
                days(found.changed),
                days(found.max),
                days(found.inactive),
                days(found.expires)
            )
            .as_bytes(),
        ]
        .concat();
        assert_eq!(Shadow::parse(&own).line(name), Some(found));
        for day in [0, 20_000, i64::MAX - 1] {
            assert!(!found.is_closed(day) || found.is_closed(day + 1));
        }
        let locked = [b"!", found.password.as_slice()].concat();
        assert_eq!(Password::of(&locked), Password::Locked);
    }
    assert_eq!(seen, shadow.account_count());
});
