//! What is done for evidence once the system is up, by the unit that expires: this boot is written down, and the
//! digests that are missing are made.
//!
//! A digest is a cache. One that is missing, damaged, of another version, of another tree or of another blank is
//! made anew, and never believed.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use backends::old_root_files::{OpenFile, read_digest};
use backends::{Backend, Life, OldRoot, Survey, Tree, kinship};
use chrono::Utc;
use dirfd::error::describe;
use dirfd::open_files;
use dirfd::process_unit::Unit;
use dirfd::{Error, Result};

use crate::boot::facts;
use crate::config::Config;
use crate::evidence::digest::DigestHeader;
use crate::evidence::make_digest::make_digest;
use crate::host::HostRoot;
use crate::ui;
use crate::ui::progress::ProgressCounter;

/// Maximum number of open files that are written down: a machine with more has few units for them.
const MAX_OPEN: usize = 2000;

/// An old root whose digest is to be made.
#[derive(Debug)]
pub(crate) struct MissingDigest {
    old_root: OldRoot,
    /// Why; the text completes "its digest …".
    why: String,
}

impl fmt::Display for MissingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make the digest of {}: {}", self.old_root.tree.name, self.why)
    }
}

/// The old roots that have no digest against the blank of today, the youngest first.
pub(crate) fn find_missing(
    old_dir: BorrowedFd<'_>,
    survey: &Survey,
    blank: &Tree,
) -> Vec<MissingDigest> {
    let own = kinship::own_old_roots(survey).into_iter().rev();
    let missing = own.filter_map(|old_root| {
        let why = why_missing(old_dir, old_root, blank)?;
        Some(MissingDigest { old_root: old_root.clone(), why })
    });
    missing.collect()
}

fn why_missing(old_dir: BorrowedFd<'_>, old_root: &OldRoot, blank: &Tree) -> Option<String> {
    let bytes = match read_digest(old_dir, old_root) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Some("there is none".to_string()),
        Err(why) => return Some(format!("it cannot be read: {}", describe(&why))),
    };
    match DigestHeader::decode(&bytes) {
        Ok(header) if header.tree != old_root.tree.id => Some("it is of another tree".to_string()),
        Ok(header) if header.blank != blank.id => Some("it is of another blank".to_string()),
        Ok(_) => None,
        Err(why) => Some(why),
    }
}

/// What would be done for evidence, for people.
pub(crate) fn print_plan(backend: &dyn Backend, survey: &Survey) -> Result<()> {
    if let (Some(old_dir), Some(blank)) = (backend.old_dir()?, survey.blank.tree()) {
        for missing in find_missing(old_dir.as_fd(), survey, blank) {
            ui::print_text(&format!("{missing}\n"));
        }
    }
    Ok(())
}

/// Writes down that this boot came, then makes each digest that is missing. The lock is held for writing alone:
/// reading takes long, and who changes trees meanwhile comes first. Problems are reported; whether all of it was
/// done is returned.
pub(crate) fn run(config: &Config, root: &Path) -> Result<bool> {
    let backend = config.open_backend(root)?;
    let survey = backend.survey_without_mounts()?;
    let (Some(live), Some(blank)) = (survey.live.tree(), survey.blank.tree()) else {
        return Ok(true);
    };
    let mut all_done = report(write_life(config, root, live));
    let Some(old_dir) = backend.old_dir()? else { return Ok(all_done) };
    let missing = find_missing(old_dir.as_fd(), &survey, blank);
    for MissingDigest { old_root, .. } in &missing {
        let done = write_digest(config, root, backend.as_ref(), (blank, old_root), old_dir.as_fd());
        all_done &= report(done.map(|done| ui::print_text(&format!("{done}\n"))));
    }
    Ok(all_done)
}

fn report(done: Result<()>) -> bool {
    match done {
        Ok(()) => true,
        Err(error) => {
            ui::report_problem(&error);
            false
        }
    }
}

fn write_digest(
    config: &Config,
    root: &Path,
    backend: &dyn Backend,
    (blank, old_root): (&Tree, &OldRoot),
    old_dir: BorrowedFd<'_>,
) -> Result<String> {
    let name = &old_root.tree.name;
    // A life that cannot be read tells nothing; the digest is of use without.
    let life = Life::read(old_dir, &old_root.tree.id).ok().flatten();
    let progress = ProgressCounter::of_names("making a digest");
    let digest = make_digest(backend, blank, &old_root.tree, life, &|count| progress.set(count))?;
    drop(progress);
    let action = || format!("write the digest of {name}");
    let bytes = digest.encode().map_err(|why| Error::new(action(), why))?;
    let write = |locked: &mut backends::LockedBackend<'_>| locked.write_digest(old_root, &bytes);
    config.with_lock(root, ui::report_waiting, write)?;
    let (paths, size) = (digest.header().paths, bytes.len());
    Ok(format!("done: make the digest of {name}: {paths} paths, {size} bytes"))
}

/// Adds this boot, and what units have open now, to what is known of live.
fn write_life(config: &Config, root: &Path, live: &Tree) -> Result<()> {
    let host = HostRoot::open(root)?;
    let (boot, open) = (facts::boot_id(&host)?, files_open_now(&host)?);
    config.with_lock(root, ui::report_waiting, |locked| {
        let known = match locked.old_dir()? {
            // One that cannot be read is begun anew.
            Some(old_dir) => Life::read(old_dir.as_fd(), &live.id).unwrap_or_default(),
            None => None,
        };
        let mut life = known.unwrap_or_else(|| Life::of(live.id.clone()));
        life.add_boot(&boot, Utc::now());
        life.add_open(open);
        life.open.truncate(MAX_OPEN);
        locked.write_life(live, &life)
    })
}

/// The files of the root that units have open to write to.
fn files_open_now(host: &HostRoot) -> Result<BTreeSet<OpenFile>> {
    let action = "find out which units have files open";
    let failed = |why| Error::io(action, why);
    let device = dirfd::stat::of_open(host.as_fd()).map_err(failed)?.device;
    let proc = host.dir("proc").map_err(failed)?;
    let written = open_files::find_written(proc.as_fd(), device);
    Ok(written.into_iter().filter_map(|(path, unit)| open_file(&path, &unit)).collect())
}

fn open_file(path: &[u8], unit: &Unit) -> Option<OpenFile> {
    let path = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?.to_string();
    Some(OpenFile { path, unit: unit.to_string() })
}
