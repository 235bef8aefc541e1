//! In the guest: what a pool held before a scenario, and what must still be there whatever happened.

use std::collections::BTreeMap;
use std::fs;

use backends::zfs::Zfs;
use backends::{Backend, Layout, Survey, Unfinished};
use dirfd::TreeName;
use rustix::mount::MountFlags;
use support::oracle;

use super::USED;
use super::pool::{self, BLANK, Dataset, LIVE, OLD, TOP};
use crate::power_cuts::ground::INIT;
use crate::power_cuts::known::same;

/// A dataset or a snapshot, and all that is in it.
#[derive(Debug)]
struct Held {
    guid: String,
    tree: oracle::Tree,
}

/// Everything that must not be lost.
#[derive(Debug)]
pub struct Known {
    blank: Held,
    /// The live that was lived in.
    live: Held,
    /// Former ones.
    old_roots: Vec<Held>,
}

impl Known {
    /// What the pool holds now.
    pub fn here() -> Self {
        let list = pool::list();
        let held = |each: &Dataset| Held { guid: each.guid.clone(), tree: pool::walk(&each.name) };
        let known = Self {
            blank: held(named(&list, BLANK)),
            live: held(named(&list, LIVE)),
            old_roots: old_roots(&list).map(held).collect(),
        };
        assert!(!known.old_roots.is_empty(), "there is no old root: {list:?}");
        known
    }

    /// Each is there, whatever its name; and live was replaced if the command has said so.
    pub fn check_cut(&self, is_done: bool) {
        let list = pool::list();
        for held in self.roots().chain([&self.blank]) {
            let is_it = |each: &Dataset| each.guid == held.guid;
            assert!(list.iter().any(is_it), "{} is lost: {list:?}", held.guid);
        }
        if is_done {
            assert_ne!(
                named(&list, LIVE).guid,
                self.live.guid,
                "a rollback that ended well is lost"
            );
        }
    }

    /// The rollback is complete.
    pub fn check_converged(&self) {
        let list = pool::list();
        let (live, blank) = (named(&list, LIVE), named(&list, BLANK));
        assert_eq!(blank.guid, self.blank.guid, "blank is another snapshot");
        same(&self.blank.tree, &pool::walk(BLANK), "blank", &[]);
        let is_known = |each: &Dataset| self.roots().any(|held| held.guid == each.guid);
        assert!(!is_known(live), "live was not replaced");
        let tree = pool::walk(LIVE);
        assert!(tree.contains_key(INIT.as_bytes()), "live cannot be booted");
        same(&self.blank.tree, &tree, "live", &[]);
        let records = records();
        for held in self.roots() {
            let found = old_roots(&list).find(|each| each.guid == held.guid);
            let found = found.unwrap_or_else(|| panic!("no old root is {}: {list:?}", held.guid));
            let record = records.get(&found.name);
            assert_eq!(record, Some(&held.guid), "the record of {}", found.name);
            same(&held.tree, &pool::walk(&found.name), &found.name, &[]);
        }
        for left in survey().unfinished {
            // What was cut off between being made and being told what it is `expire` never deletes, where
            // nothing tells that nobody has written to it; `status` names it.
            let is_explained = match &left {
                Unfinished::Foreign(name) => records.contains_key(&format!("{TOP}/{name}")),
                Unfinished::RecordOnly(_)
                | Unfinished::FreshCopy { .. }
                | Unfinished::Leftover(_) => true,
                _ => false,
            };
            assert!(is_explained, "nobody knows what is left: {left:?}");
        }
        // Copies that were never live, and the one that the boot used before the power went.
        for other in old_roots(&list).filter(|each| !is_known(each)) {
            assert!(records.contains_key(&other.name), "{} has no record", other.name);
            same(&self.blank.tree, &pool::walk(&other.name), &other.name, &[USED]);
        }
    }

    fn roots(&self) -> impl Iterator<Item = &Held> {
        self.old_roots.iter().chain([&self.live])
    }
}

/// What the backend finds.
fn survey() -> Survey {
    let name = |name: &str| TreeName::new(name).unwrap();
    let layout = Layout { live: name("root"), blank: name("root@blank"), old: name("old-roots") };
    Zfs::open(TOP, layout).unwrap().survey().unwrap()
}

fn named<'l>(list: &'l [Dataset], name: &str) -> &'l Dataset {
    let found = list.iter().find(|each| each.name == name);
    found.unwrap_or_else(|| panic!("there is no {name}: {list:?}"))
}

/// What is directly below the dataset of old roots.
fn old_roots(list: &[Dataset]) -> impl Iterator<Item = &Dataset> {
    let is_one = |each: &&Dataset| {
        each.name.rsplit_once('/').is_some_and(|(above, last)| above == OLD && !last.contains('@'))
    };
    list.iter().filter(is_one)
}

/// By the whole name of each old root, the tree that its record names.
fn records() -> BTreeMap<String, String> {
    pool::mounted(OLD, MountFlags::RDONLY, |dir| {
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            let file = entry.file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(".json") else { continue };
            let text = fs::read(entry.path()).unwrap();
            let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let live = record["live"].as_str().expect("a record names a tree");
            records.insert(format!("{OLD}/{name}"), live.to_string());
        }
        records
    })
}
