//! Programs are told of the mounts of all entries, whatever became of one of them.

use std::fs;

use blankroot::host::{HostRoot, Machine};
use blankroot::persist::persistence::announce_mounts;
use blankroot::persist::plan::{Adopt, ApplyOptions};

use crate::ground::{Ground, as_root, config};

#[expect(clippy::disallowed_methods, reason = "somebody else does this")]
fn rename(ground: &Ground, from: &str, to: &str) {
    fs::rename(ground.path(from), ground.path(to)).unwrap();
}

#[test]
fn a_mount_that_was_moved_away_keeps_no_other_from_its_options() {
    as_root(|| {
        let ground = Ground::new();
        let lists = "[[storage]]\npath = \"/persist\"\ndirectories = [{ path = \"/a/gone\", \
                     hide_mounts = true }, { path = \"/b/there\", hide_mounts = true }]";
        let asked = ApplyOptions { adopt: Adopt::Nothing, mounts: true, early: false };
        let (plan, outcome) = ground.apply_once(&config(lists).unwrap(), asked);
        assert!(outcome.is_complete() && plan.refusals.is_empty(), "{outcome:?}");
        rename(&ground, "a", "elsewhere");
        let machine = Machine::open(ground.root()).unwrap();
        let host = HostRoot::open(ground.root()).unwrap();
        announce_mounts(&plan, &outcome, &machine, &host).unwrap();
        let table = fs::read_to_string(ground.path("run/mount/utab")).unwrap();
        assert!(table.contains("/b/there") && !table.contains("gone"), "{table}");
    });
}
