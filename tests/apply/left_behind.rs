//! What is removed is what Blankroot made or what was copied, and nothing that a user has moved to its
//! name or into it.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use backends::copy::private_dir::{PrivateDir, remove_left_behind};

use crate::ground::{Ground, as_root};

#[test]
fn a_directory_of_roots_that_has_a_private_name_is_not_removed() {
    as_root(|| {
        let ground = Ground::new();
        let home = ground.path("persist");
        let (roots, empty) = (home.join(".blankroot.tmp-7"), home.join(".blankroot.tmp-8"));
        for dir in [&roots, &empty] {
            fs::create_dir(dir).unwrap();
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(roots.join("precious"), "root's").unwrap();
        let open = File::open(&home).unwrap();
        // What a crash leaves, with something in it.
        let left = PrivateDir::make(open.as_fd(), open.as_fd()).unwrap();
        fs::write(home.join(".blankroot.tmp-0/copy"), "a copy").unwrap();
        drop(left);
        remove_left_behind(open.as_fd(), open.as_fd()).unwrap();
        assert!(roots.join("precious").exists());
        assert!(!home.join(".blankroot.tmp-0").exists() && !empty.exists());
    });
}
