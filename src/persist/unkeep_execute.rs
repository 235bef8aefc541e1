//! Does the steps of `unkeep`: storage loses its copy last, when live has a whole one and nothing
//! leads to storage's any more.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use dirfd::atomic_file::rename_noreplace;
use dirfd::cause::Cause;
use dirfd::copy::private_directory::{self, PrivateDir};
use dirfd::copy::temporary_copy::{self, Aside};
use dirfd::fault::change;
use dirfd::manifest::Census;
use dirfd::remove::{remove_alone, remove_if_same};
use dirfd::stat::Place;
use dirfd::{Error, Result, TreePath};
use rustix::fs::IFlags;

use crate::config::lock_and_write::rewrite_config;
use crate::persist::create;
use crate::persist::execute::notes_of_copy;
use crate::persist::keep_execute::{
    KeepContext, KeepReport, KeepStopped, MAX_COPIES, check_unused, keeps_changing, name_of,
    open_dir_of,
};
use crate::persist::mounting;
use crate::persist::path_lookup::{Dentry, look_up};
use crate::persist::plan_target::is_link_to;
use crate::persist::unkeep_plan::{UnkeepPlan, UnkeepStep};

const LEAVES: &str = "nothing was changed";
const UNMOUNTED: &str = "storage has the data, and it is still on the keep list; run this again, or \
                         `blankroot apply` to see it in its place again";
const UNDECLARED: &str =
    "it is kept no more; live has the data, and storage a copy that nothing needs";

/// What there is to tell of a run.
#[derive(Debug, Default)]
pub struct UnkeepReport {
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
}

/// Does the steps of a plan, with the configuration as it is and as it will be; `done` hears of each
/// that took effect.
pub fn execute_unkeep(
    plan: &UnkeepPlan,
    context: &KeepContext<'_>,
    config: (&str, &str),
    progress: &mut dyn FnMut(u64, u64),
    mut done: impl FnMut(&UnkeepStep),
) -> Result<UnkeepReport, Box<KeepStopped>> {
    let mut state = LEAVES;
    let mut run =
        UnkeepRun { context, copy: None, copied: None, told: UnkeepReport::default(), progress };
    for step in &plan.steps {
        let result = match step {
            UnkeepStep::CheckUnused(source) => run.check_unused(source),
            UnkeepStep::CopyBack { source, path } => run.copy_back(source, path),
            UnkeepStep::Unmount(path) => run.unmount(path),
            UnkeepStep::PutBack { source, path } => run.put_back(source, path),
            UnkeepStep::Unlink { path, target } => run.unlink(path, target),
            UnkeepStep::WriteConfig { .. } => rewrite_config(context.config, config.0, config.1),
            UnkeepStep::RemoveStored(source) => run.remove_stored(source),
        };
        if let Err(error) = result {
            // Best effort: the copy has a temporary name, which nobody takes for anything else.
            let _ = run.copy.take().map(Aside::discard);
            return Err(Box::new(KeepStopped { error, state, kept: KeepReport::default() }));
        }
        state = match step {
            UnkeepStep::Unmount(_) | UnkeepStep::Unlink { .. } | UnkeepStep::PutBack { .. } => {
                UNMOUNTED
            }
            UnkeepStep::WriteConfig { .. } => UNDECLARED,
            _ => state,
        };
        done(step);
    }
    run.told.notes.extend(plan.notes.iter().cloned());
    Ok(run.told)
}

/// Does only what looks and changes nothing: what `unkeep` would refuse when it starts. Returns notes.
pub(crate) fn check_before_unkeep(
    plan: &UnkeepPlan,
    context: &KeepContext<'_>,
) -> Result<Vec<String>> {
    let progress = &mut |_, _| {};
    let mut run =
        UnkeepRun { context, copy: None, copied: None, told: UnkeepReport::default(), progress };
    for step in &plan.steps {
        if let UnkeepStep::CheckUnused(source) = step {
            run.check_unused(source)?;
        }
    }
    Ok(run.told.notes)
}

struct UnkeepRun<'r> {
    context: &'r KeepContext<'r>,
    copy: Option<Aside>,
    /// What storage had when it was copied, or looked at.
    copied: Option<Census>,
    told: UnkeepReport,
    progress: &'r mut dyn FnMut(u64, u64),
}

impl UnkeepRun<'_> {
    fn expect(&self, path: &TreePath) -> Result<Dentry> {
        look_up(self.context.machine, path)?
            .ok_or_else(|| Error::new(format!("stop keeping {path}"), "it vanished meanwhile"))
    }

    fn check_unused(&mut self, source: &TreePath) -> Result<()> {
        let there = self.expect(source)?;
        let census = there.census(source)?;
        let note = check_unused(self.context, &format!("stop keeping {source}"), &there, &census)?;
        self.told.notes.extend(note);
        self.copied = Some(census);
        Ok(())
    }

    fn copy_back(&mut self, source: &TreePath, path: &TreePath) -> Result<()> {
        let there = self.expect(source)?;
        self.copied = Some(there.census(source)?);
        let holder = path.parent().unwrap_or_default();
        let dir = open_dir_of(self.context, &holder)?;
        let name = name_of(path)?;
        let to = Place { dir: dir.as_fd(), name: &name };
        let base = self.context.machine.base_of(path);
        private_directory::remove_left_behind(to.dir, base)?;
        let copy = Aside::make(there.place(), to, base, (source, path), self.progress)?;
        self.copy = Some(copy.expect_whole()?);
        Ok(())
    }

    fn unmount(&mut self, path: &TreePath) -> Result<()> {
        let there = self.expect(path)?;
        mounting::unmount_place(there.place()).map_err(|why| {
            let busy = Cause::of(&why) == Cause::Busy;
            let error = Error::io(format!("unmount {path}"), why);
            if busy {
                error.hint(format!("see who uses it with `fuser -vm {path}`"))
            } else {
                error
            }
        })
    }

    fn put_back(&mut self, source: &TreePath, path: &TreePath) -> Result<()> {
        self.confirm(source, path)?;
        let Some(copy) = self.copy.take() else {
            return Err(Error::new(format!("put {path} back"), "there is no copy"));
        };
        let Some(there) = look_up(self.context.machine, path)? else {
            self.told.notes.extend(notes_of_copy(&copy.name()?));
            return Ok(());
        };
        let failed = |why| Error::io(format!("put the copy in the place of {path}"), why);
        let name = OsStr::from_bytes(there.name.to_bytes());
        // What the mount hid may have flags that forbid giving it another name.
        temporary_copy::unlock(there.place(), &there.stat).map_err(failed)?;
        let old = match create::exchange_with_backup(copy.place(), copy.dir(), name) {
            Ok(old) => old,
            Err(why) => {
                // Best effort: nobody else can enter the directory that it is in.
                let _ = copy.discard();
                return Err(failed(why));
            }
        };
        let seen = self.see_to_old(source, path, &copy, &old);
        let copied = copy.finish();
        seen?;
        self.told.notes.extend(notes_of_copy(&copied?));
        Ok(())
    }

    /// Removes what live had before, if that is nothing, or a link to the data.
    fn see_to_old(
        &mut self,
        source: &TreePath,
        path: &TreePath,
        copy: &Aside,
        old: &OsStr,
    ) -> Result<()> {
        let failed = |why| Error::io(format!("see to what {path} had before"), why);
        change("move: sync live", || create::sync_dir(copy.dir()))
            .map_err(|why| Error::io(format!("put the copy in the place of {path}"), why))?;
        let name = CString::new(old.as_bytes()).map_err(|why| failed(why.into()))?;
        let place = Place { dir: copy.dir(), name: &name };
        let stat = place.stat().map_err(failed)?;
        let target = place.link_target().map_err(failed)?;
        let is_own = target.is_some_and(|target| is_link_to(source, path, &target));
        if is_own || Census::take(place, path)?.is_empty() {
            return remove_alone(place, &stat);
        }
        let aside = path.parent().unwrap_or_default().join(old.as_bytes());
        self.told.notes.push(format!("what {path} had before is {aside} by now"));
        Ok(())
    }

    /// Nobody can have written through the mount since it is gone.
    fn confirm(&mut self, source: &TreePath, path: &TreePath) -> Result<()> {
        for _ in 0..MAX_COPIES {
            let there = self.expect(source)?;
            let census = there.census(source)?;
            if self.copied.as_ref().is_some_and(|copied| census.is_unchanged_since(copied)) {
                check_unused(self.context, &format!("stop keeping {source}"), &there, &census)?;
                return Ok(());
            }
            if let Some(copy) = self.copy.take() {
                copy.discard()?;
            }
            self.copy_back(source, path)?;
        }
        Err(keeps_changing(source))
    }

    fn unlink(&mut self, path: &TreePath, target: &[u8]) -> Result<()> {
        let there = self.expect(path)?;
        let name = OsStr::from_bytes(there.name.to_bytes());
        create::remove_link(there.parent.as_fd(), name, target)
            .map_err(|why| Error::io(format!("remove the link {path}"), why))
    }

    /// Moves it where nobody else can enter first: so a half of it is never taken for the whole, and
    /// nobody moves into it what would be removed with it.
    fn remove_stored(&mut self, source: &TreePath) -> Result<()> {
        let there = self.expect(source)?;
        let census = there.census(source)?;
        if !self.copied.as_ref().is_some_and(|copied| census.is_unchanged_since(copied)) {
            return Err(changed_meanwhile(source));
        }
        let failed = |why| Error::io(format!("remove {source}"), why);
        let base = self.context.machine.base_of(source);
        // It loses its name before it is looked at once more: nobody can open it by then.
        let private = PrivateDir::make(there.parent.as_fd(), base).map_err(failed)?;
        let doomed = Place { dir: private.as_fd(), name: &there.name };
        let removed =
            temporary_copy::unlock(there.place(), &there.stat).map_err(failed).and_then(|locks| {
                let renamed =
                    change("move: rename doomed", || rename_noreplace(there.place(), doomed));
                let unchanged = renamed
                    .map_err(failed)
                    .and_then(|()| self.expect_unchanged(source, &there, doomed, &census));
                if let Err(why) = unchanged {
                    let back = Self::put_stored_back(source, &there, doomed, locks);
                    // That tells more than why it was to go back.
                    return Err(back.err().unwrap_or(why));
                }
                remove_if_same(doomed, &there.stat)
            });
        // The private directory goes whatever happened; why the data stayed is told first.
        let tidied = private.remove().map_err(failed);
        removed?;
        tidied?;
        change("move: sync storage", || create::sync_dir(there.parent.as_fd())).map_err(failed)
    }

    /// Gives what is not removed after all its name, if it has lost that, and its flags.
    fn put_stored_back(
        source: &TreePath,
        there: &Dentry,
        doomed: Place<'_>,
        locks: IFlags,
    ) -> Result<()> {
        let failed = |why| Error::io(format!("put {source} back"), why);
        if doomed.stat().is_ok() {
            let back = change("move: put back", || rename_noreplace(doomed, there.place()));
            back.map_err(failed)?;
        }
        // Another file has its name by now, or its file system has turned read-only: neither is told in the
        // place of the reason.
        let _ = temporary_copy::lock(there.place(), &there.stat, locks);
        Ok(())
    }

    /// An error if somebody has changed or uses what is to be removed, which nobody finds any more.
    fn expect_unchanged(
        &self,
        source: &TreePath,
        there: &Dentry,
        doomed: Place<'_>,
        before: &Census,
    ) -> Result<()> {
        let census = Census::take(doomed, source)?;
        if !census.is_unchanged_but_renamed_since(before) {
            return Err(changed_meanwhile(source));
        }
        check_unused(self.context, &format!("remove {source}"), there, &census).map(drop)
    }
}

fn changed_meanwhile(source: &TreePath) -> Error {
    Error::new(format!("remove {source}"), "it was changed meanwhile")
        .hint("compare it with live, and remove it by hand")
}
