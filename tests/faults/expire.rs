//! The same for `expire`: live and blank are untouched, old roots that are left are whole, and the
//! next run deletes what is left to delete.

use std::fs;
use std::path::Path;

use backends::{Survey, TreeId, Unfinished};
use blankroot::boot::execute_steps;
use blankroot::boot::expire_plan;
use blankroot::config::rollback_options::Retention;
use chrono::{TimeDelta, Utc};
use dirfd::fault::{Fault, run_with};
use support::oracle;
use support::sandbox::on_btrfs;

use crate::stage::{Stage, Variant, lock};
use crate::{ENOSPC, ERRNOS, check_disk, cut_everywhere, small_disk};

/// Every change that `expire` makes of two old roots, a record alone and a fresh copy, in order.
const EXPIRE: [&str; 18] = [
    "btrfs: sync before survey",
    // An old root with a subvolume inside is marked first.
    "btrfs: sync before survey",
    "file: create",
    "file: write",
    "file: sync",
    "file: rename",
    "file: sync directory",
    "btrfs: destroy subvolume",
    "btrfs: destroy subvolume",
    "record: unlink",
    "btrfs: sync before survey",
    "btrfs: destroy subvolume",
    "record: unlink",
    "btrfs: sync before survey",
    "record: unlink",
    "btrfs: sync before survey",
    "btrfs: destroy subvolume",
    "record: unlink",
];
/// The positions of the mark, which a full disk must not make a failure.
const MARK: std::ops::Range<usize> = 2..7;

/// A root with a past: three old roots, of which the newest stays, and what two crashes left.
struct Past {
    stage: Stage,
    live: oracle::Tree,
    blank: oracle::Tree,
    /// From the oldest on, the first with a subvolume inside.
    old_roots: Vec<(TreeId, oracle::Tree)>,
}

impl Past {
    fn build(top: &Path, device: &Path) -> Self {
        let mut stage = Stage::build(top, device, Variant::Nested);
        let live = stage.path(&stage.layout.live);
        for life in ["second", "third", "fourth"] {
            stage.roll_back().unwrap();
            stage.boot(device);
            fs::write(live.join(life), "precious").unwrap();
        }
        for (crash, position) in [("file: unlink temporary", 6), ("btrfs: snapshot", 7)] {
            let fault = Some(Fault::CutAfterNth(position));
            let (_, passed) = run_with(fault, None, || stage.roll_back());
            assert_eq!(passed[position], crash);
        }
        support::sandbox::sync(&stage.dir);
        let old_roots = stage.survey().old_roots;
        let old_roots = old_roots.iter().map(|o| (o.tree.id.clone(), stage.walk(&o.tree.name)));
        Self {
            live: stage.walk(&stage.layout.live),
            blank: stage.walk(&stage.layout.blank),
            old_roots: old_roots.collect(),
            stage,
        }
    }

    /// What the command does in a hundred days.
    fn expire(&self) -> Result<(), String> {
        let backend = self.stage.backend();
        let mut locked = lock(&backend).map_err(|e| e.to_string())?;
        let survey = locked.survey().map_err(|e| e.to_string())?;
        let rules = Retention { at_least: 1, ..Retention::default() };
        let plan =
            expire_plan::plan_expiry(&survey, rules, Utc::now() + TimeDelta::days(100)).unwrap();
        let mut ended = Ok(());
        execute_steps::execute_expiry(&plan, &mut locked, |_, result| {
            if let Err(error) = result {
                ended = Err(error.to_string());
            }
        });
        ended
    }

    fn same(&self, expected: &oracle::Tree, name: &dirfd::TreeName, what: &str) {
        let rows = oracle::changes(expected, &self.stage.walk(name));
        assert!(rows.is_empty(), "{what}: `{name}` has another content: {rows:?}");
    }

    fn check_safe(&self, what: &str) -> Survey {
        let survey = self.stage.survey();
        self.same(&self.live, &survey.live.tree().unwrap().name, what);
        self.same(&self.blank, &survey.blank.tree().unwrap().name, what);
        assert!(survey.blank.tree().unwrap().read_only, "{what}: blank is writable");
        for old in &survey.old_roots {
            let known = self.old_roots.iter().position(|(id, _)| *id == old.tree.id).unwrap();
            self.same(&self.old_roots[known].1, &old.tree.name, what);
            let nested = self.stage.path(&old.tree.name).join("nested/inside");
            assert!(known > 0 || nested.exists(), "{what}: a part of an old root is gone");
        }
        let newest = survey.old_roots.last().map(|old| &old.tree.id);
        assert_eq!(newest, self.old_roots.last().map(|(id, _)| id), "{what}: the newest is gone");
        for left in &survey.unfinished {
            let documented = !matches!(
                left,
                Unfinished::DefaultLeftBehind(_)
                    | Unfinished::Foreign(_)
                    | Unfinished::UnreadableRecord { .. }
            );
            assert!(documented, "{what}: left {left:?}");
        }
        survey
    }

    fn check_converged(&self, what: &str) {
        let survey = self.check_safe(what);
        assert_eq!(survey.old_roots.len(), 1, "{what}");
        // A temporary file is named, and never touched.
        let known = |left: &Unfinished| matches!(left, Unfinished::Leftover(_));
        assert!(survey.unfinished.iter().all(known), "{what}: left {:?}", survey.unfinished);
        let (_, passed) = run_with(None, None, || self.expire());
        assert_eq!(passed, ["btrfs: sync before survey"], "{what}: there is more to do");
    }
}

#[test]
fn expire_passes_exactly_the_points_that_are_named_here() {
    on_btrfs(|sandbox| {
        let past = Past::build(sandbox.top(), sandbox.throwaway().device());
        let survey = past.check_safe("before");
        assert_eq!((survey.old_roots.len(), survey.unfinished.len()), (3, 2), "{survey:?}");
        let (result, passed) = run_with(None, None, || past.expire());
        result.unwrap();
        assert_eq!(passed, EXPIRE);
        past.check_converged("expire");
    });
}

#[test]
fn any_call_of_expire_may_fail_or_be_the_last_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        for (position, point) in EXPIRE.iter().enumerate() {
            let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
            let fails = ERRNOS.map(|errno| Fault::FailNth(position, errno));
            for fault in cuts.into_iter().chain(fails) {
                let what = format!("expire, {fault:?} ({point})");
                let past = Past::build(sandbox.top(), sandbox.throwaway().device());
                let (result, _) = run_with(Some(fault), None, || past.expire());
                let full = fault == Fault::FailNth(position, ENOSPC) && MARK.contains(&position);
                assert_eq!(result.is_ok(), full, "{what}: {result:?}");
                past.check_safe(&what);
                past.expire().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
                past.check_converged(&what);
            }
        }
    });
}

#[test]
fn what_fails_for_one_old_root_stops_no_other() {
    on_btrfs(|sandbox| {
        let past = Past::build(sandbox.top(), sandbox.throwaway().device());
        let first = EXPIRE.iter().position(|point| *point == "btrfs: destroy subvolume").unwrap();
        let fault = Some(Fault::FailNth(first, 5));
        let (result, _) = run_with(fault, None, || past.expire());
        assert!(result.is_err());
        let survey = past.check_safe("the first cannot be deleted");
        assert_eq!(survey.old_roots.len(), 1);
        let [Unfinished::HalfDeleted { tree, .. }] = &survey.unfinished[..] else {
            panic!("{:?}", survey.unfinished);
        };
        assert_eq!(tree.id, past.old_roots[0].0);
    });
}

#[test]
fn the_power_may_go_after_any_change_of_expire_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        let dir = tempfile::tempdir().unwrap();
        let throwaway = small_disk();
        let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
        let mut past = Past::build(dir.path(), throwaway.device());
        let cuts = cut_everywhere(throwaway, || past.expire());
        mount.unmount().unwrap();
        let points: Vec<_> = cuts.iter().skip(1).map(|(point, _)| *point).collect();
        assert_eq!(points, EXPIRE);
        for (number, (point, cut)) in cuts.into_iter().enumerate() {
            let what = format!("expire, power cut after {number}: {point}");
            let throwaway = cut.attach().unwrap();
            check_disk(throwaway.device(), &what);
            let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
            past.stage.boot(throwaway.device());
            past.check_safe(&what);
            past.expire().unwrap_or_else(|error| panic!("{what}: {error}"));
            past.check_converged(&what);
            mount.unmount().unwrap();
        }
    });
}
