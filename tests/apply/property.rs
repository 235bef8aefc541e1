//! For random keep lists and random trees: plan, apply, plan gives an empty plan, and every byte that
//! was there is still there.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use blankroot::persist::plan::{Adopt, ApplyOptions, ApplyPlan};
use dirfd::TreePath;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestRng, TestRunner};

use crate::ground::{Ground, as_root, config};

/// Lists to try; those with contradictions are refused by the configuration.
const CASES: u32 = 3000;
const PATHS: [&str; 14] = [
    "a",
    "a/b",
    "a/b/c",
    "a/b/c d",
    "a/x",
    "var/lib",
    "var/lib/private/s",
    "var/lib/private",
    "var/log",
    "e/ö",
    "e/f/g",
    "etc/machine-id",
    "etc/ssh/ssh_host_x_key",
    "root/r",
];
const HOME_PATHS: [&str; 7] =
    [".ssh", ".config/kdeglobals", "Firefox/.mozilla", ".local/share/x", ".local", "p/q", "p"];
const OPTIONS: [&str; 16] = [
    "how = \"symlink\"",
    "how = \"bind\"",
    "mode = \"0700\"",
    "mode = \"u=rwx,g=rx,o=\"",
    "user = \"colord\"",
    "group = 44",
    "create = true",
    "create = false",
    "in_initrd = true",
    "parent = { mode = \"0711\" }",
    "parent = { user = \"colord\", mode = \"0750\" }",
    "options = [\"noexec\", \"nosuid\"]",
    "options = [\"ro\"]",
    "hide_mounts = true",
    "enable = false",
    "allow_trash = true",
];

/// One entry: in which list, which path, which options.
#[derive(Clone, Debug)]
struct Listed {
    storage: usize,
    home: bool,
    file: bool,
    path: usize,
    options: Vec<usize>,
}

/// Something that is there before: where, and what.
#[derive(Clone, Debug)]
struct There {
    storage: Option<usize>,
    home: bool,
    path: usize,
    what: u8,
}

fn listed() -> impl Strategy<Value = Listed> {
    let options = prop::collection::vec(0..OPTIONS.len(), 0..3);
    (0..2usize, any::<bool>(), any::<bool>(), 0..PATHS.len(), options).prop_map(
        |(storage, home, file, path, options)| Listed { storage, home, file, path, options },
    )
}

fn there() -> impl Strategy<Value = There> {
    let storage = prop_oneof![Just(None), Just(Some(0)), Just(Some(1))];
    (storage, any::<bool>(), 0..PATHS.len(), 0..7u8).prop_map(|(storage, home, path, what)| There {
        storage,
        home,
        path,
        what,
    })
}

fn text(list: &[Listed]) -> String {
    let mut seen = HashSet::new();
    let list: Vec<Listed> =
        list.iter().filter(|one| seen.insert((one.home, one.path))).cloned().collect();
    let mut text = String::new();
    for (at, storage) in crate::ground::STORAGES.iter().enumerate() {
        text += &format!("[[storage]]\npath = \"/{storage}\"\n");
        for home in [false, true] {
            if home {
                text += "[storage.users.alice]\n";
            }
            for (file, key) in [(false, "directories"), (true, "files")] {
                let of = |one: &&Listed| (one.storage, one.home, one.file) == (at, home, file);
                let entries: Vec<String> = list.iter().filter(of).map(entry).collect();
                text += &format!("{key} = [{}]\n", entries.join(", "));
            }
        }
    }
    text
}

fn entry(one: &Listed) -> String {
    let path = if one.home {
        HOME_PATHS[one.path % HOME_PATHS.len()].to_string()
    } else {
        format!("/{}", PATHS[one.path])
    };
    let mut keys: Vec<&str> = Vec::new();
    let mut options = format!("path = \"{path}\"");
    if one.home && path.starts_with("Firefox") {
        options += ", strip_prefix = true";
    }
    for option in one.options.iter().map(|&at| OPTIONS[at]) {
        let key = option.split(' ').next().unwrap();
        if !keys.contains(&key) {
            keys.push(key);
            options += &format!(", {option}");
        }
    }
    format!("{{ {options} }}")
}

fn make(root: &Path, there: &There, number: usize) {
    let content = format!("content {number}");
    let mut path = root.to_path_buf();
    if let Some(storage) = there.storage {
        path.push(crate::ground::STORAGES[storage]);
    }
    if there.home {
        path.push("home/alice");
        path.push(HOME_PATHS[there.path % HOME_PATHS.len()]);
    } else {
        path.push(PATHS[there.path]);
    }
    // What is in the way stays: the tree is as random as it comes.
    let _ = fs::create_dir_all(path.parent().unwrap());
    let _ = match there.what {
        0 => fs::create_dir(&path),
        1 => fs::create_dir(&path).and_then(|()| fs::write(path.join("data"), &content)),
        2 => fs::write(&path, ""),
        3 => fs::write(&path, &content),
        4 => symlink("/nowhere", &path),
        5 => fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o711))),
        _ => fs::write(&path, &content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600))),
    };
}

/// What all files hold, wherever they are.
fn contents(dir: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            found.extend(contents(&path));
        } else if kind.is_file() && path.metadata().unwrap().len() > 0 {
            found.insert(fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn after_any_list_on_any_tree_the_second_plan_is_empty_and_nothing_is_lost() {
    as_root(|| {
        let seed = support::histories::seed();
        println!("seed: {seed}");
        let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let runs = Runs { cases: CASES, failure_persistence: None, ..Runs::default() };
        let strategy = (
            prop::collection::vec(listed(), 0..12),
            prop::collection::vec(there(), 0..12),
            prop_oneof![Just(Adopt::Nothing), Just(Adopt::Replaced), Just(Adopt::Everything)],
        );
        let used = Cell::new(0);
        let mut runner = TestRunner::new_with_rng(runs, rng);
        let result = runner.run(&strategy, |(list, tree, adopt)| {
            let Some(config) = config(&text(&list)) else { return Ok(()) };
            used.set(used.get() + 1);
            let ground = Ground::new();
            for (number, there) in tree.iter().enumerate() {
                make(ground.root(), there, number);
            }
            let before = contents(ground.root());
            let (plan, outcome, left) =
                ground.apply(&config, ApplyOptions { adopt, mounts: true, early: false });
            prop_assert!(
                outcome.is_complete(),
                "{plan}\n{:?} {:?}",
                outcome.failed,
                outcome.not_tried
            );
            prop_assert!(left.steps.is_empty(), "done:\n{plan}\nleft:\n{left}");
            ground.unmount_all();
            let after = contents(ground.root());
            prop_assert!(before.is_subset(&after), "lost:\n{plan}\n{before:?}\n{after:?}");
            let refused = |plan: &ApplyPlan| -> Vec<TreePath> {
                plan.refusals.iter().map(|refusal| refusal.path.clone()).collect()
            };
            prop_assert_eq!(refused(&left), refused(&plan));
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        println!("{} lists without contradictions", used.get());
        assert!(used.get() > CASES / 4, "too few lists were tried");
    });
}
