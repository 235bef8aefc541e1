//! A user swaps what is being copied into or out of her directory: for a link, another directory, a
//! hard link, or by renaming another file onto a temporary name. Nothing outside is touched, no file
//! changes its owner, and the copy is whole and hers or is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use blankroot::config::{Config, edit};
use blankroot::host::Machine;
use blankroot::persist::keep_execute::KeepContext;
use blankroot::persist::list;
use blankroot::persist::plan::{Adopt, ApplyOptions};
use blankroot::persist::resolve::resolve_entries;
use blankroot::persist::unkeep_plan::{self, StoredDataAction};
use dirfd::TreePath;
use dirfd::copy::temporary_copy::Aside;
use dirfd::stat::Place;
use nix::mount::{MntFlags, umount2};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat_with};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;

use crate::ground::{Ground, as_root};
use crate::hostile::{ALICE, Ends, hand_over, rounds};
use blankroot::persist::unkeep_execute;

/// What she has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hers {
    BigFile,
    SmallFiles,
    Tree,
}

const ALL: [Hers; 3] = [Hers::BigFile, Hers::SmallFiles, Hers::Tree];

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As `keep` and `keep --from` copy, into storage.
    Copy,
    Adopt,
    MoveBack,
}

fn fill(data: Hers, at: &Path) {
    match data {
        Hers::BigFile => {
            fs::write(at, vec![7; 3 << 20]).unwrap();
            // As what is left of a mode that would be a danger on root's file.
            hand_over(at);
            fs::set_permissions(at, fs::Permissions::from_mode(0o4666)).unwrap();
        }
        Hers::SmallFiles => {
            fs::create_dir(at).unwrap();
            for number in 0..30 {
                let file = at.join(format!("{number}"));
                fs::write(&file, "hers").unwrap();
                hand_over(&file);
                fs::set_permissions(&file, fs::Permissions::from_mode(0o4777)).unwrap();
            }
            hand_over(at);
        }
        Hers::Tree => {
            let mut dir = at.to_path_buf();
            for _ in 0..5 {
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("file"), "hers").unwrap();
                symlink("/nowhere", dir.join("link")).unwrap();
                hand_over(&dir.join("file"));
                hand_over(&dir);
                fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
                dir = dir.join("deeper");
            }
        }
    }
}

/// Everything of root's on her file systems: path, owner, mode, names and content.
fn roots_own(ground: &Ground) -> Vec<(PathBuf, u32, u32, u64, Vec<u8>)> {
    let mut found = Vec::new();
    for top in ["bait", "persist/bait"] {
        for name in [".", "secret", "dir", "dir/file"] {
            let path = ground.path(top).join(name);
            let stat = path.symlink_metadata().unwrap();
            let content = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            // She links them.
            let names = if stat.is_file() { 0 } else { stat.nlink() };
            found.push((path, stat.uid(), stat.mode(), names, content));
        }
    }
    found
}

/// What she puts in the place of what lies in her directory under any name, for a moment.
fn swap(homes: &[PathBuf], stop: &AtomicBool) -> u64 {
    // This thread alone acts as her from now on (setfsuid(2)).
    setfsgid(Gid::from_raw(ALICE));
    setfsuid(Uid::from_raw(ALICE));
    let (mut swaps, mut at) = (0, 0usize);
    while !stop.load(Ordering::Relaxed) {
        at += 1;
        let home = &homes[at % homes.len()];
        let names = [".data.tmp-0", ".data.before-1", "data", ".blankroot.tmp-0", "data/file"];
        let name = names[(at / homes.len()) % names.len()];
        // A link, a directory, a hard link, another file, and a file of root's that lies in her own home.
        let bait = ["bait.link", "bait.dir", "bait.file", "roots"][at / 7 % 4];
        let (name, bait) = (home.join(name), home.join(bait));
        let both = RenameFlags::EXCHANGE;
        if renameat_with(CWD, &name, CWD, &bait, both).is_ok() {
            swaps += 1;
            for _ in 0..at % 50 {
                thread::yield_now();
            }
            let _ = renameat_with(CWD, &name, CWD, &bait, both);
        }
        // Where links are not protected this is root's own file.
        let _ =
            linkat(CWD, home.join("../../bait/secret"), CWD, home.join("hard"), AtFlags::empty());
        let _ = renameat_with(CWD, home.join("hard"), CWD, &name, both);
    }
    swaps
}

fn remove_all(path: &Path) {
    let Ok(stat) = path.symlink_metadata() else { return };
    if stat.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            remove_all(&entry.unwrap().path());
        }
        fs::remove_dir(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

/// Both homes, with her data in the one that it is copied from, and what she would like root to touch.
fn prepare(ground: &Ground, data: Hers, way: Way) {
    for home in HOMES {
        let home = ground.path(home);
        remove_all(&home);
        fs::create_dir_all(&home).unwrap();
        hand_over(&home);
        symlink(ground.path("bait/secret"), home.join("bait.link")).unwrap();
        fs::create_dir(home.join("bait.dir")).unwrap();
        fs::write(home.join("bait.file"), "another").unwrap();
        hand_over(&home.join("bait.dir"));
        hand_over(&home.join("bait.file"));
        // As `sudo` leaves one in a home; its owner alone may read it, and she may rename it.
        fs::write(home.join("roots"), "root's secret").unwrap();
        fs::set_permissions(home.join("roots"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let from = if way == Way::MoveBack { HOMES[1] } else { HOMES[0] };
    fill(data, &ground.path(from).join("data"));
    if way == Way::MoveBack {
        // As the place of a mount.
        let place = ground.path(HOMES[0]).join("data");
        if data == Hers::BigFile {
            fs::write(&place, "").unwrap()
        } else {
            fs::create_dir(&place).unwrap()
        }
        hand_over(&place);
    }
}

const HOMES: [&str; 2] = ["home/alice", "persist/home/alice"];
const TEXT: &str = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n";

fn config(ground: &Ground, data: Hers) -> (Config, String) {
    let list = if data == Hers::BigFile { "files" } else { "directories" };
    let text = format!("{TEXT}{list} = [\"/home/alice/data\"]\n");
    let file = ground.path("etc/blankroot.toml");
    fs::write(&file, &text).unwrap();
    (Config::load(&file).unwrap(), text)
}

fn path() -> TreePath {
    TreePath::parse(b"/home/alice/data").unwrap()
}

/// Copies once; whether it came to its end.
fn copy(ground: &Ground, data: Hers, way: Way) -> bool {
    let (config, text) = config(ground, data);
    match way {
        Way::Copy => {
            let shown = path();
            let open = |path: &str| File::open(ground.path(path)).unwrap();
            let (from, to, base) = (open(HOMES[0]), open(HOMES[1]), open("persist"));
            let name = CString::new("data").unwrap();
            let from = Place { dir: from.as_fd(), name: &name };
            let to = Place { dir: to.as_fd(), name: &name };
            let made = Aside::make(from, to, base.as_fd(), (&shown, &shown), &mut |_, _| {});
            made.and_then(Aside::name).is_ok()
        }
        Way::Adopt => {
            let asked = ApplyOptions { adopt: Adopt::Everything, mounts: true, early: false };
            let (plan, outcome) = ground.apply_once(&config, asked);
            outcome.is_complete() && plan.refusals.is_empty()
        }
        Way::MoveBack => {
            let machine = Machine::open(ground.root()).unwrap();
            let list = list::keep_list(&config);
            let arranged = resolve_entries(&list);
            let after = edit::remove_entry(&text, &path()).unwrap();
            let Ok(now) = unkeep_plan::probe_live(&machine, &arranged[0]) else { return false };
            let plan = unkeep_plan::plan_unkeep(
                &arranged[0],
                &list,
                StoredDataAction::MoveBack,
                now,
                true,
                (&text, &after),
            );
            let Ok(plan) = plan else { return false };
            let file = ground.path("etc/blankroot.toml");
            let world = KeepContext {
                machine: &machine,
                config: &file,
                old_root: None,
                even_if_unseen: true,
            };
            unkeep_execute::execute_unkeep(&plan, &world, (&text, &after), &mut |_, _| {}, |_| {})
                .is_ok()
        }
    }
}

/// What her homes have by now: nothing of hers has become root's, nothing of root's hers.
fn check_owners(ground: &Ground, what: &str) {
    fn look(path: &Path, what: &str) {
        let Ok(stat) = path.symlink_metadata() else { return };
        if stat.is_dir() {
            // What cannot be opened by her is a directory of ours in which a copy was built.
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                look(&entry.path(), what);
            }
            return;
        }
        if !stat.is_file() {
            return;
        }
        let content = fs::read(path).unwrap_or_default();
        let secret = content.starts_with(b"root's");
        assert!(!secret || stat.uid() == 0, "{what}: {path:?} of root is another's");
        assert!(!secret || stat.mode() & 0o7777 == 0o600, "{what}: {path:?} {:o}", stat.mode());
        let hers = content.starts_with(b"hers") || content.first() == Some(&7);
        assert!(!hers || stat.uid() == ALICE, "{what}: {path:?} of hers is root's");
    }
    for home in HOMES {
        look(&ground.path(home), what);
    }
}

fn swapped_while(way: Way) {
    as_root(|| {
        let ground = Ground::new();
        for top in ["bait", "persist/bait"] {
            fs::create_dir_all(ground.path(top).join("dir")).unwrap();
            fs::write(ground.path(top).join("dir/file"), "root's own").unwrap();
            fs::write(ground.path(top).join("secret"), "root's secret").unwrap();
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(ground.path(top).join("secret"), private).unwrap();
        }
        let before = roots_own(&ground);
        let (mut complete, mut stopped, mut swaps) = (0, 0, 0);
        for data in ALL {
            for round in 0..rounds() / ALL.len() {
                let what = format!("{way:?} {data:?}, round {round}");
                prepare(&ground, data, way);
                // Every eighth round is hers to lose: else nothing tells that a copy can succeed.
                let stop = AtomicBool::new(round % 8 == 0);
                let done = thread::scope(|scope| {
                    let homes = HOMES.map(|home| ground.path(home));
                    // A thread starts in the namespace of the one that starts it.
                    let stop = &stop;
                    let swapper = scope.spawn(move || swap(&homes, stop));
                    let ends = Ends(stop);
                    let done = copy(&ground, data, way);
                    drop(ends);
                    swaps += swapper.join().unwrap();
                    done
                });
                if done {
                    complete += 1
                } else {
                    stopped += 1
                }
                let place = ground.path(HOMES[0]).join("data");
                let place = place.to_str().unwrap();
                while umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
                ground.unmount_all();
                assert_eq!(roots_own(&ground), before, "{what}");
                check_owners(&ground, &what);
            }
        }
        println!("{way:?}: {swaps} swaps: {complete} went through, {stopped} did not");
        assert!(complete > 0 && swaps > 0, "{complete} {stopped} {swaps}: nothing was tried");
    });
}

#[test]
fn a_user_who_swaps_what_is_copied_into_storage_gets_nothing() {
    swapped_while(Way::Copy);
}

#[test]
fn a_user_who_swaps_what_is_adopted_gets_nothing() {
    swapped_while(Way::Adopt);
}

#[test]
fn a_user_who_swaps_what_is_moved_back_gets_nothing() {
    swapped_while(Way::MoveBack);
}
