//! What `/proc` tells of users of files: control groups and bound sockets. A unit prints on one line
//! and can be stopped by one word; only sockets with lines of their own are found.
#![no_main]

use dirfd::{open_files, process_unit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Some(unit) = process_unit::unit_of_cgroup(text) {
        assert!(!unit.name.is_empty() && !unit.name.contains(&b'/'));
        assert!(!unit.to_string().contains(char::is_control));
        // The name comes back from a group of its own.
        let group = match &unit.of_user {
            None => [b"0::/system.slice/_", &unit.name[..]].concat(),
            Some(user) => {
                [b"0::/user.slice/user@", &user[..], b".service/_", &unit.name[..]].concat()
            }
        };
        assert_eq!(process_unit::unit_of_cgroup(&group), Some(unit.clone()));
        if let Some(stop) = unit.how_to_stop() {
            assert!(stop.starts_with("systemctl ") && !stop.contains(char::is_control));
        }
    }
    let bound = open_files::bound_below(text, b"/run");
    let lines = text
        .split(|&b| b == b'\n')
        .filter(|line| line.ends_with(b"/run") || line.windows(5).any(|w| w == b"/run/"));
    assert!(bound.len() <= lines.count());
});
