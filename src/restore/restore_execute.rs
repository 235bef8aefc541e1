//! Does the steps of `restore`, one after the other, and decides nothing.

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use dirfd::copy::Copied;
use dirfd::copy::private_directory;
use dirfd::copy::temporary_copy::{Aside, lock};
use dirfd::fault::change;
use dirfd::stat::{Place, of_open};
use dirfd::{Error, Result, TreePath, atomic_file};
use rustix::fs::{IFlags, OFlags};

use crate::host::{Machine, is_not_found};
use crate::persist::create;
use crate::persist::execute;
use crate::restore::find_versions::OldRoots;
use crate::restore::restore_plan::{RestorePlan, RestoreStep};

/// A run that did not come to its end.
#[derive(Debug)]
pub struct RestoreStopped {
    /// Why.
    pub(crate) error: Error,
    /// What there is to tell all the same.
    pub(crate) notes: Vec<String>,
}

impl fmt::Display for RestoreStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  state: {STATE}", self.error)
    }
}

const STATE: &str = "nothing is lost: each path is either as it was or restored; the same command goes on \
                     from there";

/// Does the steps of a plan; `done` hears of each that took effect, `progress` of names and bytes that are
/// copied. Returns notes.
pub fn execute_restore(
    plan: &RestorePlan,
    machine: &Machine,
    old_roots: &OldRoots<'_>,
    progress: &mut dyn FnMut(u64, u64),
    mut done: impl FnMut(&RestoreStep),
) -> Result<Vec<String>, Box<RestoreStopped>> {
    let mut run = RestoreRun { machine, old_roots, progress, notes: Vec::new() };
    let mut work = || {
        for place in &plan.places {
            run.remove_left_behind(place)?;
        }
        for step in &plan.steps {
            run.execute(step)?;
            done(step);
        }
        Ok(())
    };
    match work() {
        Ok(()) => Ok(run.notes),
        Err(error) => Err(Box::new(RestoreStopped { error, notes: run.notes })),
    }
}

struct RestoreRun<'r> {
    machine: &'r Machine,
    old_roots: &'r OldRoots<'r>,
    progress: &'r mut dyn FnMut(u64, u64),
    notes: Vec<String>,
}

impl RestoreRun<'_> {
    /// Removes what interrupted copies for this place have left.
    fn remove_left_behind(&self, place: &TreePath) -> Result<()> {
        let mut parent = place.parent();
        while let Some(dir) = parent {
            match self.open_dir(&dir) {
                Ok(opened) => {
                    let base = self.machine.base_of(place);
                    return private_directory::remove_left_behind(opened.as_fd(), base);
                }
                Err(why) if is_not_found(&why) => parent = dir.parent(),
                Err(why) => return Err(Error::io(format!("open {dir}"), why)),
            }
        }
        Ok(())
    }

    fn open_dir(&self, dir: &TreePath) -> std::io::Result<OwnedFd> {
        self.machine.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn execute(&mut self, step: &RestoreStep) -> Result<()> {
        match step {
            RestoreStep::Prepare(step) => {
                let step = std::slice::from_ref(step);
                let outcome = execute::apply_steps(step, self.machine, self.progress);
                outcome.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
            }
            RestoreStep::Copy { old_root, path, to, set_aside } => {
                self.copy(old_root, path, to, set_aside.as_ref())
            }
            RestoreStep::Exchange { to, copy } => self.exchange(to, copy),
            RestoreStep::Lock { to, locks } => self.lock(to, *locks),
        }
    }

    fn copy(
        &mut self,
        old_root: &str,
        path: &TreePath,
        to: &TreePath,
        set_aside: Option<&TreePath>,
    ) -> Result<()> {
        let version = self.old_roots.version_of(old_root, path)?;
        let parent = to.parent().unwrap_or_default();
        let dir = self.open_dir(&parent).map_err(|why| Error::io(format!("open {parent}"), why))?;
        let name = name_of(to)?;
        let place = Place { dir: dir.as_fd(), name: &name };
        let base = self.machine.base_of(to);
        let copy = Aside::make_of_what_stays(
            version.there.place(),
            place,
            base,
            (path, to),
            self.progress,
        )
        .map_err(|why| execute::with_space_hint(why, &parent))?;
        let copied = match set_aside {
            None => copy.name()?,
            Some(aside) => set_present_aside(copy, to, aside)?,
        };
        self.tell_of(&copied, old_root);
        Ok(())
    }

    /// The two names are exchanged at once: at no moment has nothing the name.
    fn exchange(&self, to: &TreePath, copy: &TreePath) -> Result<()> {
        let failed = |why| Error::io(format!("exchange {to} with {copy}"), why);
        let dir = self.open_dir(&to.parent().unwrap_or_default()).map_err(failed)?;
        let (name, copy_name) = (name_of(to)?, name_of(copy)?);
        let place = |name| Place { dir: dir.as_fd(), name };
        atomic_file::exchange("restore: exchange", place(&copy_name), place(&name))
            .and_then(|()| change("restore: sync directory", || create::sync_dir(dir.as_fd())))
            .map_err(failed)
    }

    fn lock(&self, to: &TreePath, locks: IFlags) -> Result<()> {
        let failed = |why| Error::io(format!("set the flags of {to}"), why);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let expected = self.machine.open_at(to, flags).and_then(|there| of_open(there.as_fd()));
        let (expected, name) = (expected.map_err(failed)?, name_of(to)?);
        let dir = self.open_dir(&to.parent().unwrap_or_default()).map_err(failed)?;
        lock(Place { dir: dir.as_fd(), name: &name }, &expected, locks).map_err(failed)?;
        change("restore: sync directory", || create::sync_dir(dir.as_fd())).map_err(failed)
    }

    fn tell_of(&mut self, copied: &Copied, old_root: &str) {
        let notes = &mut self.notes;
        notes.extend(copied.left_out.lines(|path| {
            format!(
                "{path} is a subvolume of its own in the old root {old_root}: what is in it is not \
                 restored with what is around it; name it by itself, with `--overwrite`"
            )
        }));
        notes.extend(copied.linked_outside.lines(|path| {
            format!("{path} has another name outside; what is restored is a file of its own")
        }));
        notes.extend(execute::notes_of_copy(copied));
    }
}

/// Gives the copy the name of what is there, which gets the name `aside`, by one exchange.
fn set_present_aside(copy: Aside, to: &TreePath, aside: &TreePath) -> Result<Copied> {
    let failed = |why| Error::io(format!("put the copy in the place of {to}"), why);
    let name = to.name().unwrap_or_default();
    let beside = OsString::from_vec(aside.name().unwrap_or_default().as_encoded_bytes().to_vec());
    match create::exchange_setting_aside(copy.place(), copy.dir(), name, [beside]) {
        Ok(_) => {
            change("restore: sync directory", || create::sync_dir(copy.dir())).map_err(failed)?;
            copy.finish()
        }
        Err(why) => {
            // Best effort: nobody else can enter the directory that it is in.
            let _ = copy.discard();
            Err(failed(why))
        }
    }
}

fn name_of(path: &TreePath) -> Result<CString> {
    let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    CString::new(name).map_err(|why| Error::new(format!("name {path}"), why))
}
