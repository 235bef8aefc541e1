//! A user swaps what she controls for links and other directories, in a loop, while root applies:
//! nothing outside the storage and the target is ever touched.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use blankroot::config::Config;
use blankroot::persist::create;
use blankroot::persist::plan::{Adopt, ApplyOptions};
use nix::mount::{MntFlags, umount2};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, renameat_with, unlinkat};

use crate::ground::{Ground, as_root, config};

pub const ALICE: u32 = 1000;

/// How often root applies, keeps or copies while she swaps: 300 times, or as `BLANKROOT_HOSTILE_ROUNDS`
/// says.
pub fn rounds() -> usize {
    match std::env::var("BLANKROOT_HOSTILE_ROUNDS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 300,
    }
}

fn kept() -> Config {
    config(
        r#"
        [[storage]]
        path = "/persist"
        [storage.users.alice]
        directories = [
          { path = "a/b/bound", mode = "0711", user = "alice" },
          { path = "a/linked", how = "symlink" },
        ]
        files = [{ path = "a/b/file", create = true, mode = "0640", user = "alice" }]
        "#,
    )
    .unwrap()
}

/// What nobody may touch: where she would like root to be led.
pub fn bait(ground: &Ground) -> Vec<(String, u32, u32, Vec<u8>)> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(ground.path("bait")).unwrap() {
        let path = entry.unwrap().path();
        let stat = path.symlink_metadata().unwrap();
        let content = if stat.is_file() { fs::read(&path).unwrap() } else { names(&path) };
        seen.push((path.display().to_string(), stat.uid(), stat.mode(), content));
    }
    seen.sort();
    seen
}

fn names(dir: &Path) -> Vec<u8> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.flat_map(|name| name.into_encoded_bytes()).collect()
}

pub fn hand_over(path: &Path) {
    chown(path, Some(ALICE), Some(ALICE)).unwrap();
}

/// Exchanges a directory of hers for a link to the bait and back, at moments that fall anywhere in a round: hundreds of exchanges in each
/// would have every round refused by its first look. `longest_pause` is about what a round takes.
pub fn swap_now_and_then(
    pairs: &[(PathBuf, PathBuf)],
    stop: &AtomicBool,
    longest_pause: Duration,
) -> u64 {
    // This thread alone acts as her from now on (setfsuid(2)).
    setfsgid(Gid::from_raw(ALICE));
    setfsuid(Uid::from_raw(ALICE));
    let (mut swaps, mut state) = (0, 0x9e37_79b9_7f4a_7c15u64);
    while !stop.load(Ordering::Relaxed) {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (one, other) = &pairs[(state >> 32) as usize % pairs.len()];
        let exchange = || renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok();
        // What is a mount point at that moment cannot be renamed.
        if exchange() {
            thread::sleep(Duration::from_micros(state % 200));
            while !exchange() && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            swaps += 2;
        }
        thread::sleep(longest_pause.mul_f64((state % 1000) as f64 / 1000.0));
    }
    swaps
}

/// Ends the swapping even if a round fails.
pub struct Ends<'s>(pub &'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_user_who_swaps_parents_for_links_leads_nothing_elsewhere() {
    as_root(|| {
        let ground = Ground::new();
        let config = kept();
        for dir in ["bait/b", "bait/bound", "bait/linked", "home/alice", "persist/home/alice"] {
            fs::create_dir_all(ground.path(dir)).unwrap();
        }
        fs::write(ground.path("bait/file"), "root's own").unwrap();
        fs::write(ground.path("bait/b/file"), "root's own").unwrap();
        let before = bait(&ground);
        let mut pairs = Vec::new();
        for home in ["home/alice", "persist/home/alice"] {
            hand_over(&ground.path(home));
            for (name, target) in [("a", "bait"), ("x", "bait")] {
                let dir = ground.path(home).join(name);
                fs::create_dir_all(dir.join("b")).unwrap();
                hand_over(&dir);
                hand_over(&dir.join("b"));
                let link = ground.path(home).join(format!("{name}.link"));
                symlink(ground.path(target), &link).unwrap();
                pairs.push((dir.clone(), link));
            }
            let inner = ground.path(home).join("a/b");
            let link = ground.path(home).join("b.link");
            symlink(ground.path("bait/b"), &link).unwrap();
            pairs.push((inner, link));
        }
        let stop = AtomicBool::new(false);
        let (mut complete, mut stopped) = (0, 0);
        let swaps = thread::scope(|scope| {
            // A thread starts in the namespace of the one that starts it.
            let swapper =
                scope.spawn(|| swap_now_and_then(&pairs, &stop, Duration::from_millis(1)));
            let ends = Ends(&stop);
            for round in 0..rounds() {
                let (plan, outcome) = ground.apply_once(
                    &config,
                    ApplyOptions { adopt: Adopt::Nothing, mounts: true, early: false },
                );
                if outcome.is_complete() && plan.refusals.is_empty() {
                    complete += 1;
                } else {
                    stopped += 1;
                }
                undo(&ground, round);
                assert_eq!(bait(&ground), before, "round {round}");
            }
            drop(ends);
            swapper.join().unwrap()
        });
        println!("{} rounds, {swaps} swaps: {complete} went through, {stopped} did not", rounds());
        assert!(complete > 0 && stopped > 0, "{complete} {stopped}: nothing was tried");
    });
}

/// Unmounts and removes what a round made, so that the next one makes it again. She may have moved
/// it meanwhile; what is not found is there for the next rounds to find.
fn undo(ground: &Ground, round: usize) {
    for home in ["home/alice", "persist/home/alice"] {
        for dir in ["a", "a.link", "x", "x.link", "a/b", "a.link/b", "x/b", "x.link/b", "b.link"] {
            let Some(dir) = open_hers(&ground.path(home), dir) else { continue };
            for name in ["bound", "file", "linked"] {
                let place = format!("/proc/thread-self/fd/{}/{name}", dir.as_raw_fd());
                while umount2(place.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                    .is_ok()
                {}
                let _ = unlinkat(&dir, name, AtFlags::empty());
                let _ = unlinkat(&dir, name, AtFlags::REMOVEDIR);
            }
        }
    }
    if round.is_multiple_of(500) {
        ground.unmount_all();
    }
}

/// A directory of hers, never one that a link leads to.
pub fn open_hers(home: &Path, dir: &str) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let home = rustix::fs::open(home, flags, Mode::empty()).unwrap();
    create::open_beneath(home.as_fd(), Path::new(dir), flags).ok()
}
