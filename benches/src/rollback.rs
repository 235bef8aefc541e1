//! `rollback` of a small and of a large tree, and the bare system calls that it cannot do without.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use dirfd::private_namespace::PrivateNamespace;
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use support::kernel::{create_subvolume, snapshot};
use support::needed_calls::{self, Trees};

use crate::field::Field;
use crate::host::Host;
use crate::measure::{Measured, median};
use crate::table::{FORMER, Row};
use crate::tree::{self, Shape};
use crate::{Options, Result, say};

const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
/// A rollback takes milliseconds, and what the disk under it takes varies: more rounds than usual.
const ROUNDS_FOR_EACH: usize = 5;
/// How much longer than the calls that it needs a rollback may take.
const LIMIT: f64 = 1.5;
/// The same against the calls that change the trees, without those that it is safe by.
const LIMIT_ALONE: f64 = 2.0;
/// What counts as the same time.
const NOISE: f64 = 1.25;

const LIVE: &str = "live";
const BLANK: &str = "blank";

/// Times of one tree, in seconds.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    former: Vec<f64>,
    needed: Vec<f64>,
    bare: Vec<f64>,
}

impl Times {
    /// What the command adds to the calls that it needs, round by round.
    fn added(&self) -> f64 {
        median(self.ours.iter().zip(&self.needed).map(|(ours, needed)| ours - needed))
    }
}

/// Measures both sizes in turns.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<Vec<Row>> {
    let stages = [SMALL, LARGE].map(|files| Stage::new(options, namespace, files));
    let [small, large] = stages;
    let (mut small, mut large) = (small?, large?);
    say("rollback and its bare system calls");
    for stage in [&mut small, &mut large] {
        stage.round(&mut Times::default())?;
    }
    let (mut of_small, mut of_large) = (Times::default(), Times::default());
    for _ in 0..options.rounds * ROUNDS_FOR_EACH {
        for (stage, times) in [(&mut small, &mut of_small), (&mut large, &mut of_large)] {
            stage.round(times)?;
        }
    }
    Ok(rows(of_small, of_large))
}

fn rows(of_small: Times, of_large: Times) -> Vec<Row> {
    let added = [&of_small, &of_large].map(Times::added);
    let [small, large] =
        [of_small, of_large].map(|t| [t.ours, t.needed, t.bare, t.former].map(median));
    let mut rows = Vec::new();
    for (at, name, limit) in [
        (1, "mount, record, snapshot, exchange and sync", LIMIT),
        (2, "snapshot, exchange and sync alone", LIMIT_ALONE),
    ] {
        rows.push(Row::times("rollback of 10,000 files", small[0], (name, small[at]), limit));
        rows.push(Row::times("rollback of 1,000,000 files", large[0], (name, large[at]), limit));
    }
    if large[3].is_finite() {
        let (what, former) = ("rollback of 1,000,000 files", (FORMER.0, large[3]));
        rows.push(Row::times(what, large[0], former, FORMER.1));
    }
    let what = "what rollback adds to its calls in 1,000,000 files";
    rows.push(Row::times(what, added[1], ("in 10,000 files", added[0]), NOISE));
    let (what, peer) = ("rollback of 1,000,000 files", "of 10,000 files");
    rows.push(Row::times(what, large[0], (peer, small[0]), NOISE));
    rows
}

/// A file system with a live tree that is rolled back again and again.
struct Stage<'n> {
    // Goes first.
    host: Host,
    field: Field<'n>,
    command: Measured,
    former: Option<Measured>,
    runs: usize,
}

impl<'n> Stage<'n> {
    fn new(options: &Options, namespace: &'n PrivateNamespace, files: usize) -> Result<Self> {
        let shape = Shape::of(files);
        say(&format!("making a tree of {} names", shape.names()));
        let mut field = Field::new(namespace)?;
        create_subvolume(&field.tree("start"))?;
        tree::build(&field.tree("start"), shape)?;
        field.snapshot("start", BLANK, true)?;
        field.snapshot(BLANK, LIVE, false)?;
        // For the bare calls, apart from what ours keeps its records of.
        fs::create_dir(field.tree("bare"))?;
        field.remount()?;
        let host = Host::new(&field, namespace)?;
        let config = field.config(LIVE, BLANK)?;
        let args =
            [Path::new("rollback"), "--config".as_ref(), &config, "--host".as_ref(), host.path()];
        let command = Measured::new(&options.blankroot, args);
        let former = options.former.as_ref().map(|former| command.by(former));
        Ok(Self { host, field, command, former, runs: 0 })
    }

    /// A live tree that was written to since blank, on a clean file system, in another boot.
    fn use_live(&mut self) -> Result<()> {
        self.runs += 1;
        fs::write(self.field.tree(LIVE).join("used"), format!("{}\n", self.runs))?;
        self.host.boot(self.runs)?;
        self.field.sync()
    }

    /// Each once.
    fn round(&mut self, times: &mut Times) -> Result<()> {
        times.ours.push(self.whole(&self.command.clone())?);
        if let Some(former) = self.former.clone() {
            times.former.push(self.whole(&former)?);
        }
        times.needed.push(self.needed()?);
        times.bare.push(self.bare()?);
        Ok(())
    }

    /// The whole command.
    fn whole(&mut self, command: &Measured) -> Result<f64> {
        self.use_live()?;
        let run = command.run()?;
        if self.field.tree(LIVE).join("used").exists() {
            return Err("rollback ended well, but live is no fresh copy of blank".into());
        }
        Ok(run.time.as_secs_f64())
    }

    /// What a rollback needs that keeps our promises, in this process.
    fn needed(&mut self) -> Result<f64> {
        self.use_live()?;
        let aside = format!("bare/{}", self.runs);
        let trees = Trees { live: LIVE, blank: BLANK, aside: &aside };
        Ok(needed_calls::roll_back(self.field.device(), trees)?.as_secs_f64())
    }

    /// What changes the trees, and nothing else.
    fn bare(&mut self) -> Result<f64> {
        self.use_live()?;
        let (blank, live) = (self.field.tree(BLANK), self.field.tree(LIVE));
        let aside = self.field.tree("bare").join(self.runs.to_string());
        let started = Instant::now();
        snapshot(&blank, &aside, false)?;
        renameat_with(CWD, &aside, CWD, &live, RenameFlags::EXCHANGE)?;
        syncfs(File::open(&live)?)?;
        Ok(started.elapsed().as_secs_f64())
    }
}
