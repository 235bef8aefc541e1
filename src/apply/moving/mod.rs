//! Does the steps of `keep`, one after the other, and decides nothing but whether live has to be
//! copied once more.

mod config;
mod hidden;
mod run;
mod unkeep;
mod unmount;

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use backends::census::Census;
use backends::{Error, Result, TreePath, in_use};
use rustix::fs::OFlags;

use crate::apply::persist::Outcome;
use crate::host::{Machine, beneath};
use crate::moving::keep::{KeepPlan, KeepStep};
use crate::moving::look::There;
use crate::plan::apply::ApplyPlan;

pub use config::{lock_config, write_config};
pub use unkeep::{Unkept, check_before_unkeep, unkeep};

use run::Run;

/// So often live is copied once more because it was changed meanwhile.
const TRIES: u32 = 4;

/// What the steps are done on.
pub struct World<'w> {
    /// The machine.
    pub machine: &'w Machine,
    /// The configuration's file.
    pub config: &'w Path,
    /// The root directory of the old root that data is taken from.
    pub old_root: Option<BorrowedFd<'w>>,
    /// Go on although some process could not be looked at.
    pub even_if_unseen: bool,
}

/// What there is to tell of a run.
#[derive(Debug, Default)]
pub struct Kept {
    /// What the owner may want to know.
    pub notes: Vec<String>,
    /// The steps of `apply` that took effect, as a plan and its outcome.
    pub applied: ApplyPlan,
}

impl Kept {
    /// What became of `applied`: all of it took effect.
    pub fn outcome(&self) -> Outcome {
        Outcome { done: (0..self.applied.steps.len()).collect(), ..Outcome::default() }
    }
}

/// A run that did not come to its end.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub error: Error,
    /// What is true now, and what to do next.
    pub state: &'static str,
    /// What there is to tell of it all the same.
    pub kept: Kept,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  state: {}", self.error, self.state)
    }
}

const UNTOUCHED: &str = "live and the configuration are as they were";
const STORED: &str = "live and the configuration are as they were; what is copied already stays in \
                      storage, and the next run goes on from there";
const WRITING: &str = "live is as it was and storage has the data; the next run goes on from there";
const DECLARED: &str = "storage has the data and the configuration the entry, but live is not in its \
                        place yet; the next run goes on from there";

/// Does the steps of a plan; `done` hears of each that took effect, `progress` of names and bytes
/// that are copied.
pub fn keep(
    plan: &KeepPlan,
    world: &World<'_>,
    progress: &mut dyn FnMut(u64, u64),
    mut done: impl FnMut(&KeepStep),
) -> Result<Kept, Box<Stopped>> {
    let mut run = Run::new(plan, world, progress);
    let mut stored = false;
    for step in &plan.steps {
        let stores = matches!(step, KeepStep::Store(_) | KeepStep::CopyFrom { .. });
        if let Err(error) = run.step(step) {
            let state = match step {
                KeepStep::CheckUnused(_) => UNTOUCHED,
                KeepStep::Store(_) | KeepStep::CopyFrom { .. } if !stored => UNTOUCHED,
                KeepStep::Store(_) | KeepStep::CopyFrom { .. } => STORED,
                // The new text may be in its place although making that durable failed.
                KeepStep::WriteConfig { .. } => WRITING,
                KeepStep::Confirm(_) | KeepStep::Cover(_) => DECLARED,
            };
            return Err(Box::new(Stopped { error, state, kept: run.kept }));
        }
        stored |= stores;
        done(step);
    }
    Ok(run.kept)
}

/// Does only what looks and changes nothing: what `keep` would refuse when it starts. Returns notes.
pub fn check_before_keep(plan: &KeepPlan, world: &World<'_>) -> Result<Vec<String>> {
    let mut silent = |_, _| {};
    let mut run = Run::new(plan, world, &mut silent);
    for step in plan.steps.iter().filter(|step| matches!(step, KeepStep::CheckUnused(_))) {
        run.step(step)?;
    }
    Ok(run.kept.notes)
}

/// Opens a directory, so that names in it can be made durable.
fn open_dir_of(world: &World<'_>, dir: &TreePath) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    beneath::open(world.machine.base_of(dir), dir.as_path(), flags)
        .map_err(|why| Error::io(format!("open {dir}"), why))
}

fn check_unused(
    world: &World<'_>,
    action: &str,
    there: &There,
    census: &Census,
) -> Result<Option<String>> {
    let proc = File::open("/proc").map_err(|why| Error::io("open /proc", why))?;
    let path = there.kernel_path().map_err(|why| Error::io("read /proc", why))?;
    in_use::find(proc.as_fd(), census, &path)?.refuse(action, world.even_if_unseen)
}

fn name_of(path: &TreePath) -> Result<CString> {
    let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    CString::new(name).map_err(|why| Error::new(format!("name {path}"), why))
}

fn changes_all_the_time(path: &TreePath) -> Error {
    let why = "it was changed each time that it was copied";
    Error::new(format!("keep {path}"), why).mend("stop what writes there, and run this again")
}
