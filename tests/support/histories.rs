//! Runs random histories: a blank, a live tree that went its way since, and a judge who compares
//! the two.

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::apply::World;
use crate::base;
use crate::ground::Ground;
use crate::op::{Op, any_op};
use crate::oracle::{self, Row, Tree};
use crate::sandbox::{Sandbox, sync};

/// Histories between two mounts, so that deleted trees do not pile up.
const PER_MOUNT: usize = 250;

/// How live came from blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// Live is a snapshot of blank: the state after a rollback.
    CopyOfBlank,
    /// Blank is a snapshot of live: the state after `init`. Nested subvolumes are still there.
    OriginOfBlank,
    /// Live is a snapshot of a snapshot of blank: somebody put it back by hand.
    CopyOfACopy,
}

/// One history.
#[derive(Clone, Debug)]
pub struct History {
    /// How live came from blank.
    pub lineage: Lineage,
    /// What happened before blank was made, on top of the base tree; a part of it in the very
    /// transaction that blank was made in.
    pub before: Vec<Op>,
    /// What happened to live since.
    pub since: Vec<Op>,
}

impl fmt::Display for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:?}", self.lineage)?;
        for (title, ops) in [("before blank", &self.before), ("since", &self.since)] {
            writeln!(out, "{title}:")?;
            ops.iter().try_for_each(|op| writeln!(out, "  {op:?}"))?;
        }
        Ok(())
    }
}

/// Any history.
pub fn any_history() -> impl Strategy<Value = History> {
    let lineage = prop_oneof![
        3 => Just(Lineage::CopyOfBlank),
        3 => Just(Lineage::OriginOfBlank),
        1 => Just(Lineage::CopyOfACopy),
    ];
    // Half of them start from the base tree as it is, which is the faster case.
    let before = prop_oneof![Just(Vec::new()), vec(any_op(), 1..6)];
    let since = prop_oneof![4 => vec(any_op(), 0..8), 1 => vec(any_op(), 8..40)];
    (lineage, before, since).prop_map(|(lineage, before, since)| History { lineage, before, since })
}

/// The end of a history, ready to be compared.
pub struct Outcome<'a, G = Sandbox> {
    /// The file system with both trees.
    pub sandbox: &'a G,
    /// Where its top level is mounted. Blank is [`BLANK`] below it, live is [`LIVE`].
    pub top: &'a Path,
    /// What `diff` must answer.
    pub expected: &'a [Row],
}

/// The name of the blank tree in the file system.
pub const BLANK: &str = "blank";
/// The name of the live tree in the file system.
pub const LIVE: &str = "live";
/// The base tree that all others are copied from; nothing changes it.
const BASE: &str = "base";
/// What blank, or live, is copied from on the way.
const SEED: &str = "seed";

/// The number that decides all histories of a run: `BLANKROOT_SEED`, or another each time.
pub fn seed() -> u64 {
    match env::var("BLANKROOT_SEED") {
        Ok(text) => text.parse().expect("BLANKROOT_SEED is a number"),
        Err(_) => fresh_seed(),
    }
}

/// How many to run: `BLANKROOT_HISTORIES`, or `default`.
pub fn count(default: u32) -> u32 {
    match env::var("BLANKROOT_HISTORIES") {
        Ok(text) => text.parse().expect("BLANKROOT_HISTORIES is a number"),
        Err(_) => default,
    }
}

/// Runs `count` histories and lets `judge` compare each; the first that it rejects is made as
/// short as it can be and told in full.
pub fn run<G: Ground>(
    sandbox: &mut G,
    seed: u64,
    count: u32,
    judge: impl Fn(&Outcome<'_, G>) -> Result<(), String>,
) {
    println!("{count} histories; repeat them with BLANKROOT_SEED={seed}");
    let started = Instant::now();
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 4000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let stage = RefCell::new(Stage::new(sandbox));
    let outcome = TestRunner::new_with_rng(config, rng(seed)).run(&any_history(), |history| {
        stage.borrow_mut().play(&history, &judge).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {
            let each = started.elapsed().as_secs_f64() * 1000.0 / f64::from(count.max(1));
            println!("{count} histories, {each:.1} ms each");
        }
        Err(TestError::Fail(why, history)) => {
            panic!("BLANKROOT_SEED={seed} failed; as short as it gets:\n{history}\n{why}")
        }
        Err(other) => panic!("BLANKROOT_SEED={seed}: {other}"),
    }
}

/// The first `count` histories of `seed`.
pub fn sample(seed: u64, count: u32) -> impl Iterator<Item = History> {
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
    (0..count).map(move |_| any_history().new_tree(&mut runner).unwrap().current())
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// The file system on which histories are played one after the other.
pub struct Stage<'a, G = Sandbox> {
    sandbox: &'a mut G,
    /// What is in a blank that is the base tree unchanged.
    base: Rc<Tree>,
    played: usize,
}

impl<'a, G: Ground> Stage<'a, G> {
    /// Prepares the base tree.
    pub fn new(sandbox: &'a mut G) -> Self {
        let path = sandbox.top().join(BASE);
        if !path.exists() {
            sandbox.create(BASE);
            base::fill(&path);
            sandbox.nest(BASE);
        }
        sync(sandbox.top());
        let base = Rc::new(Self::read_copy(sandbox));
        Self { sandbox, base, played: 0 }
    }

    /// Plays one history, has it judged, and removes its trees again.
    pub fn play(
        &mut self,
        history: &History,
        judge: impl Fn(&Outcome<'_, G>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.set_up(history);
        self.apply_all(LIVE, &history.since);
        let top = self.sandbox.top().to_path_buf();
        let blank = if history.before.is_empty() && history.lineage != Lineage::OriginOfBlank {
            Rc::clone(&self.base)
        } else {
            Rc::new(oracle::walk(&top.join(BLANK)))
        };
        let expected = oracle::changes(&blank, &oracle::walk(&top.join(LIVE)));
        let verdict = judge(&Outcome { sandbox: self.sandbox, top: &top, expected: &expected });
        self.clear();
        verdict
    }

    /// Makes blank and live as they are before anything happened to live.
    pub fn set_up(&mut self, history: &History) {
        self.clear();
        match history.lineage {
            Lineage::OriginOfBlank => {
                self.sandbox.copy(BASE, LIVE, false);
                self.sandbox.nest(LIVE);
                self.apply_all(LIVE, &history.before);
                self.sandbox.copy(LIVE, BLANK, true);
            }
            Lineage::CopyOfBlank | Lineage::CopyOfACopy => {
                if history.before.is_empty() {
                    self.sandbox.copy(BASE, BLANK, true);
                } else {
                    self.sandbox.copy(BASE, SEED, false);
                    self.apply_all(SEED, &history.before);
                    self.sandbox.copy(SEED, BLANK, true);
                    self.sandbox.delete(SEED);
                }
                if history.lineage == Lineage::CopyOfACopy {
                    self.sandbox.copy(BLANK, SEED, false);
                    self.sandbox.copy(SEED, LIVE, false);
                } else {
                    self.sandbox.copy(BLANK, LIVE, false);
                }
            }
        }
    }

    /// Carries out one operation on live and tells whether it took effect.
    pub fn apply_to_live(&mut self, op: Op) -> bool {
        self.world(LIVE).apply(op)
    }

    /// The file system.
    pub fn sandbox(&self) -> &G {
        self.sandbox
    }

    fn apply_all(&mut self, tree: &str, ops: &[Op]) {
        let mut world = self.world(tree);
        for op in ops {
            world.apply(*op);
        }
    }

    fn world(&mut self, tree: &str) -> World<'_> {
        let top = self.sandbox.top().to_path_buf();
        let blank = Some(top.join(BLANK)).filter(|path| path.exists());
        World::new(self.sandbox, top.join(tree), blank)
    }

    fn clear(&mut self) {
        for name in [LIVE, BLANK, SEED] {
            self.sandbox.delete(name);
        }
        self.played += 1;
        if self.played.is_multiple_of(PER_MOUNT) {
            // The kernel's cleaner lags behind; a mount waits for it.
            self.sandbox.remount();
        }
    }

    fn read_copy(sandbox: &mut G) -> Tree {
        sandbox.copy(BASE, BLANK, true);
        let tree = oracle::walk(&sandbox.top().join(BLANK));
        sandbox.delete(BLANK);
        sync(sandbox.top());
        tree
    }
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64 >> 10)
}
