//! The same for `init`: configuration and blank are whole or absent, live is as it was, and the next
//! run completes what is missing.

use std::fs;
use std::path::{Path, PathBuf};

use backends::{Backend, Origin, Unfinished};
use blankroot::boot::execute_steps;
use blankroot::boot::init_plan::{self, ConfigFile, InitSituation, WantedBlank};
use blankroot::config::rollback_options::Strategy;
use dirfd::fault::{Fault, run_with};
use support::oracle;
use support::sandbox::on_btrfs;

use crate::stage::{Fresh, fill, lock};
use crate::{ERRNOS, check_disk, cut_everywhere, small_disk};

/// Every change that `init` makes for a blank of live.
const LIVE: [&str; 12] = [
    // For the lock, which it carries.
    "btrfs: make old dir",
    "btrfs: sync before survey",
    "file: create",
    "file: write",
    "file: sync",
    "file: link",
    "file: unlink temporary",
    "file: sync directory",
    "btrfs: make old dir",
    "btrfs: snapshot",
    "btrfs: sync",
    "btrfs: list stubs",
];

/// Every change that `init --empty` makes.
const EMPTY: [&str; 20] = [
    "btrfs: make old dir",
    "btrfs: sync before survey",
    "file: create",
    "file: write",
    "file: sync",
    "file: link",
    "file: unlink temporary",
    "file: sync directory",
    "btrfs: make old dir",
    "btrfs: create subvolume",
    "btrfs: chmod subvolume",
    "btrfs: make read-only",
    // Whose blank it is.
    "file: create",
    "file: write",
    "file: sync",
    "file: rename",
    "file: sync directory",
    "btrfs: name subvolume",
    "btrfs: sync",
    "btrfs: list stubs",
];

const KINDS: [(Origin, &[&str]); 2] = [(Origin::Live, &LIVE), (Origin::Empty, &EMPTY)];
const CONFIG: &str = "etc/blankroot.toml";
const TEXT: &str = "# the configuration, which init only writes\n";

/// A root without blank, and what it held before.
struct Setup {
    fresh: Fresh,
    origin: Origin,
    before: oracle::Tree,
}

impl Setup {
    fn build(top: &Path, device: &Path, origin: Origin) -> Self {
        let fresh = Fresh::build(top, device, fill);
        let before = fresh.walk(&fresh.layout.live);
        Self { fresh, origin, before }
    }

    fn config(&self) -> PathBuf {
        self.fresh.path(&self.fresh.layout.live).join(CONFIG)
    }

    /// What the command does after it has parsed its arguments.
    fn run(&self) -> Result<(), String> {
        let path = self.config();
        let config = if path.exists() {
            ConfigFile::There { path, blank_line: None }
        } else {
            ConfigFile::New { path, text: TEXT.into() }
        };
        let backend = self.fresh.backend();
        let mut locked = lock(&backend).map_err(|e| e.to_string())?;
        let survey = locked.survey().map_err(|e| e.to_string())?;
        let situation = InitSituation {
            config: &config,
            layout: Some(&self.fresh.layout),
            strategy: Strategy::SetAside,
            survey: &survey,
            abilities: backend.abilities(),
            against: &[],
            how_to_make_read_only: None,
            remake_initrd: None,
        };
        let plan = init_plan::plan_init(&WantedBlank::New(self.origin), situation)
            .map_err(|refusals| format!("refused: {refusals:?}"))?;
        execute_steps::execute_init(&plan.steps, &mut locked, |_| {}).map_err(|e| e.to_string())
    }

    fn check_safe(&self, what: &str) {
        let survey = self.fresh.backend().survey().unwrap();
        let live = survey.live.tree().unwrap_or_else(|| panic!("{what}: live is missing"));
        let now = self.fresh.walk(&live.name);
        for row in oracle::changes(&self.before, &now) {
            let path = String::from_utf8_lossy(&row.path).into_owned();
            let temporary = path.starts_with("etc/.blankroot.toml.tmp-");
            assert!(path == CONFIG || temporary, "{what}: live has another content: {row:?}");
        }
        if let Some(config) = now.get(CONFIG.as_bytes()) {
            assert_eq!(config.content, TEXT.as_bytes(), "{what}: the configuration is not whole");
        }
        if let Some(blank) = survey.blank.tree() {
            assert!(blank.read_only, "{what}: blank is writable");
            let held = self.fresh.walk(&blank.name);
            match self.origin {
                Origin::Live => {
                    let rows = oracle::changes(&held, &now);
                    assert!(rows.is_empty(), "{what}: blank differs from live: {rows:?}");
                }
                Origin::Empty => {
                    assert_eq!(held.len(), 1, "{what}: blank is not empty");
                    let mode = held.values().next().unwrap().facts.mode;
                    assert_eq!(mode, 0o755, "{what}: the mode of blank");
                }
            }
        }
    }

    fn check_converged(&self, what: &str) {
        self.check_safe(what);
        let survey = self.fresh.backend().survey().unwrap();
        assert!(survey.blank.tree().is_some(), "{what}: there is no blank");
        assert!(survey.has_old_dir, "{what}: there is no directory of old roots");
        // What an interrupted `--empty` had begun is named, and never touched.
        let known = |left: &Unfinished| matches!(left, Unfinished::Leftover(_));
        assert!(survey.unfinished.iter().all(known), "{what}: left {:?}", survey.unfinished);
        assert!(self.config().exists(), "{what}: there is no configuration");
    }
}

#[test]
fn init_passes_exactly_the_points_that_are_named_here() {
    on_btrfs(|sandbox| {
        for (origin, table) in KINDS {
            let setup = Setup::build(sandbox.top(), sandbox.throwaway().device(), origin);
            let (result, passed) = run_with(None, None, || setup.run());
            result.unwrap();
            assert_eq!(passed, table, "{origin:?}");
            setup.check_converged("init");
        }
    });
}

#[test]
fn any_call_of_init_may_fail_or_be_the_last_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        for (origin, table) in KINDS {
            for (position, point) in table.iter().enumerate() {
                let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
                let fails = ERRNOS.map(|errno| Fault::FailNth(position, errno));
                for fault in cuts.into_iter().chain(fails) {
                    let what = format!("init {origin:?}, {fault:?} ({point})");
                    let setup = Setup::build(sandbox.top(), sandbox.throwaway().device(), origin);
                    let (result, _) = run_with(Some(fault), None, || setup.run());
                    assert!(result.is_err(), "{what}: nobody noticed");
                    setup.check_safe(&what);
                    setup.run().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
                    setup.check_converged(&what);
                }
            }
        }
    });
}

/// The number of the cut after `point`; number 0 is the one before everything.
fn point_of(table: &[&str], point: &str) -> usize {
    1 + table.iter().position(|at| *at == point).unwrap()
}

#[test]
fn the_power_may_go_after_any_change_of_init_and_the_next_run_converges() {
    on_btrfs(|sandbox| {
        for (origin, table) in KINDS {
            let dir = tempfile::tempdir().unwrap();
            let throwaway = small_disk();
            let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
            let mut setup = Setup::build(dir.path(), throwaway.device(), origin);
            let cuts = cut_everywhere(throwaway, || setup.run());
            mount.unmount().unwrap();
            let points: Vec<_> = cuts.iter().skip(1).map(|(point, _)| *point).collect();
            assert_eq!(points, table, "{origin:?}");
            for (number, (point, cut)) in cuts.into_iter().enumerate() {
                let what = format!("init {origin:?}, power cut after {number}: {point}");
                let throwaway = cut.attach().unwrap();
                check_disk(throwaway.device(), &what);
                let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
                setup.fresh.device = throwaway.device().to_path_buf();
                setup.check_safe(&what);
                // From "file: sync directory" on the configuration is promised to be durable.
                let durable = point_of(table, "file: sync directory");
                assert!(
                    number < durable || fs::exists(setup.config()).unwrap(),
                    "{what}: it is lost"
                );
                setup.run().unwrap_or_else(|error| panic!("{what}: {error}"));
                setup.check_converged(&what);
                mount.unmount().unwrap();
            }
        }
    });
}
