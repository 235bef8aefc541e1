//! A user's own file: its problems have places in the text and print on two lines each; a valid one
//! keeps nothing outside the home, links everything, and names no owner.
#![no_main]

use std::path::Path;

use blankroot::config::entry::PlacementMethod;
use blankroot::config::users_list;
use blankroot_fuzz::{check_keep_list, check_problems};
use dirfd::TreePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let home = TreePath::parse(b"/home/a b").expect("a home");
    match users_list::parse_users_list(Path::new(blankroot_fuzz::FILE), text, &home, "alice") {
        Ok(list) => {
            check_keep_list(&list);
            for entry in &list {
                assert!(entry.path.is_within(&home) && entry.path != home);
                assert_eq!(entry.how, Some(PlacementMethod::Symlink));
                assert!(entry.owner.user.is_none() && entry.owner.group.is_none());
                assert!(entry.parent.user.is_none() && entry.parent.group.is_none());
                assert!(entry.options.is_empty() && !entry.hide_mounts && !entry.allow_trash);
            }
        }
        Err(error) => check_problems(&error, text),
    }
});
