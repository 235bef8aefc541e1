//! What is removed is what Blankroot made or what was copied, and nothing that a user has moved to its
//! name or into it.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use blankroot::config::{Config, edit};
use blankroot::host::Machine;
use blankroot::persist::keep_execute::KeepContext;
use blankroot::persist::list;
use blankroot::persist::resolve::resolve_entries;
use blankroot::persist::unkeep_plan::{self, StoredDataAction};
use dirfd::TreePath;
use dirfd::copy::private_directory::{PrivateDir, remove_left_behind};
use dirfd::fault::run_with;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::ground::{Ground, as_root};
use crate::hostile::hand_over;
use blankroot::persist::unkeep_execute;

#[expect(clippy::disallowed_methods, reason = "she does this")]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)
}

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

const TEXT: &str = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\ndirectories = [\"/home/alice/data\"]\n";

/// Moves her data back while she does `hers` after each change.
fn move_back(ground: &Ground, hers: impl FnMut(&'static str) + 'static) -> bool {
    let (file, path) =
        (ground.path("etc/blankroot.toml"), TreePath::parse(b"/home/alice/data").unwrap());
    fs::write(&file, TEXT).unwrap();
    let config = Config::load(&file).unwrap();
    let machine = Machine::open(ground.root()).unwrap();
    let list = list::keep_list(&config);
    let arranged = resolve_entries(&list);
    let after = edit::remove_entry(TEXT, &path).unwrap();
    let now = unkeep_plan::probe_live(&machine, &arranged[0]).unwrap();
    let plan = unkeep_plan::plan_unkeep(
        &arranged[0],
        &list,
        StoredDataAction::MoveBack,
        now,
        true,
        (TEXT, &after),
    );
    let plan = plan.ok().unwrap();
    let world =
        KeepContext { machine: &machine, config: &file, old_root: None, even_if_unseen: true };
    let run = || {
        unkeep_execute::execute_unkeep(&plan, &world, (TEXT, &after), &mut |_, _| {}, |_| {})
            .is_ok()
    };
    run_with(None, Some(Box::new(hers)), run).0
}

fn homes(ground: &Ground) {
    for home in ["home/alice", "persist/home/alice"] {
        fs::create_dir_all(ground.path(home)).unwrap();
        hand_over(&ground.path(home));
        fs::create_dir(ground.path(home).join("data")).unwrap();
        hand_over(&ground.path(home).join("data"));
    }
    fs::write(ground.path("persist/home/alice/data/file"), "hers").unwrap();
    hand_over(&ground.path("persist/home/alice/data/file"));
}

#[test]
fn what_is_moved_into_data_that_is_removed_stays() {
    as_root(|| {
        let ground = Ground::new();
        homes(&ground);
        let home = ground.path("persist/home/alice");
        let (precious, doomed) = (home.join("precious"), home.join(".data.tmp-0"));
        fs::write(&precious, "root's").unwrap();
        let there = precious.clone();
        let done = move_back(&ground, move |point| {
            if point == "move: rename doomed" {
                let _ = rename(&there, &doomed.join("precious"));
            }
        });
        assert!(done && precious.exists());
        assert!(!ground.path("persist/home/alice/data").exists());
        assert_eq!(fs::read(ground.path("home/alice/data/file")).unwrap(), b"hers");
    });
}

#[test]
fn data_that_was_changed_at_the_last_moment_is_put_back() {
    as_root(|| {
        let ground = Ground::new();
        homes(&ground);
        let (top, home) = (ground.path("persist"), ground.path("persist/home/alice"));
        let stored = fs::File::open(home.join("data")).unwrap();
        ioctl_setflags(&stored, IFlags::IMMUTABLE).unwrap();
        let done = move_back(&ground, move |point| {
            if point == "move: rename doomed" {
                // As through a descriptor that was open all the while, wherever it is by now.
                let places =
                    [top.join(".blankroot.tmp-0/data/file"), home.join(".data.tmp-0/file")];
                for file in places.iter().filter(|file| file.exists()) {
                    fs::write(file, "hers, and more").unwrap();
                }
            }
        });
        assert!(!done);
        let flags = ioctl_getflags(&stored).unwrap();
        // The copy has it, too, and the test's directory has to go.
        for dir in [stored, fs::File::open(ground.path("home/alice/data")).unwrap()] {
            ioctl_setflags(&dir, flags - IFlags::IMMUTABLE).unwrap();
        }
        let content = fs::read(ground.path("persist/home/alice/data/file")).unwrap();
        assert_eq!(content, b"hers, and more");
        assert!(flags.contains(IFlags::IMMUTABLE), "what is put back may be changed by anybody");
    });
}
