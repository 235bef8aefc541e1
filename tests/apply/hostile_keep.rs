//! The same while root keeps what she has: `keep` copies, mounts and writes nothing elsewhere.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use blankroot::config::Config;
use blankroot::host::Machine;
use blankroot::persist::keep_execute::{self, KeepContext};
use blankroot::persist::keep_request::{self, KeepRequest};
use dirfd::TreePath;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{AtFlags, statat, unlinkat};

use crate::ground::{Ground, STORAGES, as_root};
use crate::hostile::{Ends, bait, hand_over, open_hers, rounds, swap_now_and_then};

const TEXT: &str = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n\
                    [storage.users.alice]\ndirectories = []\n";

/// What the command does; whether it came to its end.
fn keep(ground: &Ground) -> bool {
    let file = ground.path("etc/blankroot.toml");
    fs::write(&file, TEXT).unwrap();
    let config = Config::load(&file).unwrap();
    let machine = Machine::open(ground.root()).unwrap();
    let paths = [(TreePath::parse(b"/home/alice/a/data").unwrap(), false)];
    let request =
        KeepRequest { paths: &paths, storage: None, how: None, old_root: None, adopt: true };
    let Ok(plan) = keep_request::plan_keep(&request, &machine, &config, &|| Ok(None)) else {
        return false;
    };
    let world =
        KeepContext { machine: &machine, config: &file, old_root: None, even_if_unseen: true };
    keep_execute::execute_keep(&plan, &world, &mut |_, _| {}, |_| {}).is_ok()
}

#[test]
fn a_user_who_swaps_parents_for_links_leads_a_keep_nowhere_else() {
    as_root(|| {
        let ground = Ground::new();
        for dir in ["bait/data", "bait/b", "home/alice", "persist/home/alice"] {
            fs::create_dir_all(ground.path(dir)).unwrap();
        }
        fs::write(ground.path("bait/file"), "root's own").unwrap();
        fs::write(ground.path("bait/data/file"), "root's own").unwrap();
        let before = (bait(&ground), fs::read(ground.path("bait/data/file")).unwrap());
        let mut pairs = Vec::new();
        for home in ["home/alice", "persist/home/alice"] {
            hand_over(&ground.path(home));
            let (dir, link) = (ground.path(home).join("a"), ground.path(home).join("a.link"));
            fs::create_dir(&dir).unwrap();
            hand_over(&dir);
            symlink(ground.path("bait"), &link).unwrap();
            pairs.push((dir, link));
        }
        let data = ground.path("home/alice/a/data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("hers"), "hers").unwrap();
        hand_over(&data);
        let link = ground.path("home/alice/data.link");
        symlink(ground.path("bait/data"), &link).unwrap();
        pairs.push((data, link));
        let stop = AtomicBool::new(false);
        let (mut complete, mut stopped) = (0, 0);
        let swaps = thread::scope(|scope| {
            let swapper =
                scope.spawn(|| swap_now_and_then(&pairs, &stop, Duration::from_millis(8)));
            let ends = Ends(&stop);
            for round in 0..rounds() {
                if keep(&ground) {
                    complete += 1
                } else {
                    stopped += 1
                }
                undo(&ground);
                let after = (bait(&ground), fs::read(ground.path("bait/data/file")).unwrap());
                assert_eq!(after, before, "round {round}");
                let names = fs::read_dir(ground.path("bait/data")).unwrap().count();
                assert_eq!(names, 1, "round {round}");
                check_storage(&ground, round);
                clear(&ground);
            }
            drop(ends);
            swapper.join().unwrap()
        });
        println!("{} rounds, {swaps} swaps: {complete} went through, {stopped} did not", rounds());
        assert!(complete > 0 && stopped > 0, "{complete} {stopped}: nothing was tried");
    });
}

/// Unmounts what a round has mounted, wherever she has moved it to by now.
fn undo(ground: &Ground) {
    let root = ground.root().to_str().unwrap().to_string();
    let extra = || {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        table.lines().filter(|line| line.contains(&root)).count() > 1 + STORAGES.len()
    };
    while extra() {
        for dir in ["a", "a.link"] {
            let Some(dir) = open_hers(&ground.path("home/alice"), dir) else { continue };
            for name in ["data", "../data.link"] {
                let place = format!("/proc/thread-self/fd/{}/{name}", dir.as_raw_fd());
                let _ = umount2(place.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
            }
        }
    }
}

/// Empties storage, so that the next round copies again.
fn clear(ground: &Ground) {
    let hers = ground.path("persist/home/alice");
    for dir in ["a", "a.link"] {
        if let Some(kept) = open_hers(&hers, &format!("{dir}/data")) {
            let _ = unlinkat(&kept, "hers", AtFlags::empty());
        }
        if let Some(dir) = open_hers(&hers, dir) {
            let _ = unlinkat(&dir, "data", AtFlags::REMOVEDIR);
        }
    }
}

/// What came into storage is hers, and what is root's never did.
fn check_storage(ground: &Ground, round: usize) {
    for dir in ["a", "a.link"] {
        let hers = ground.path("persist/home/alice");
        let Some(kept) = open_hers(&hers, &format!("{dir}/data")) else { continue };
        let stolen = statat(&kept, "file", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        assert!(!stolen, "round {round}: root's file is in her storage");
    }
}
