//! Does the steps of `keep`, one after the other, and decides nothing but whether live has to be
//! copied once more.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use dirfd::copy::private_directory;
use dirfd::copy::temporary_copy::Aside;
use dirfd::directory_walker::open_dir;
use dirfd::fault::change;
use dirfd::manifest::Census;
use dirfd::path_set::Told;
use dirfd::stat::{Place, of_open};
use dirfd::{Error, FileType, Result, TreePath, open_files};
use rustix::fs::{self, AtFlags, Mode, OFlags, unlinkat};
use rustix::io::Errno;

use crate::config::lock_and_write::rewrite_config;
use crate::host::Machine;
use crate::persist::create;
use crate::persist::execute::{self, ApplyOutcome};
use crate::persist::keep_plan::{KeepPlan, KeepStep, MovedPath, RefusedPath};
use crate::persist::mounting;
use crate::persist::path_lookup::{Dentry, look_up};
use crate::persist::plan::ApplyPlan;
use crate::persist::step::ApplyStep;

/// Maximum number of copies while live changes.
pub(crate) const MAX_COPIES: u32 = 4;

/// What the steps are done on.
pub struct KeepContext<'w> {
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
pub struct KeepReport {
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
    /// The steps of `apply` that took effect, as a plan and its outcome.
    pub(crate) applied: ApplyPlan,
}

impl KeepReport {
    /// What became of `applied`: all of it took effect.
    pub(crate) fn outcome(&self) -> ApplyOutcome {
        ApplyOutcome { done: (0..self.applied.steps.len()).collect(), ..ApplyOutcome::default() }
    }
}

/// A run that did not come to its end.
#[derive(Debug)]
pub struct KeepStopped {
    /// Why.
    pub(crate) error: Error,
    /// What is true now, and what to do next.
    pub(crate) state: &'static str,
    /// What there is to tell of it all the same.
    pub(crate) kept: KeepReport,
}

impl fmt::Display for KeepStopped {
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
pub fn execute_keep(
    plan: &KeepPlan,
    context: &KeepContext<'_>,
    progress: &mut dyn FnMut(u64, u64),
    mut done: impl FnMut(&KeepStep),
) -> Result<KeepReport, Box<KeepStopped>> {
    let mut run = KeepRun::new(plan, context, progress);
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
            return Err(Box::new(KeepStopped { error, state, kept: run.kept }));
        }
        stored |= stores;
        done(step);
    }
    Ok(run.kept)
}

/// Does only what looks and changes nothing: what `keep` would refuse when it starts. Returns notes.
pub(crate) fn check_before_keep(
    plan: &KeepPlan,
    context: &KeepContext<'_>,
) -> Result<Vec<String>, Vec<RefusedPath>> {
    let mut silent = |_, _| {};
    let mut run = KeepRun::new(plan, context, &mut silent);
    let checks = plan.steps.iter().filter(|step| matches!(step, KeepStep::CheckUnused(_)));
    let refused = checks.filter_map(|step| {
        let error = run.step(step).err()?;
        Some(RefusedPath { path: plan.path_of_step(step).cloned(), error })
    });
    let refused: Vec<RefusedPath> = refused.collect();
    if refused.is_empty() { Ok(run.kept.notes) } else { Err(refused) }
}

/// Opens a directory, so that names in it can be made durable.
pub(crate) fn open_dir_of(context: &KeepContext<'_>, dir: &TreePath) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    create::open_beneath(context.machine.base_of(dir), dir.as_path(), flags)
        .map_err(|why| Error::io(format!("open {dir}"), why))
}

pub(crate) fn check_unused(
    context: &KeepContext<'_>,
    action: &str,
    there: &Dentry,
    census: &Census,
) -> Result<Option<String>> {
    let proc = File::open("/proc").map_err(|why| Error::io("open /proc", why))?;
    let path = there.kernel_path().map_err(|why| Error::io("read /proc", why))?;
    open_files::find_users(proc.as_fd(), census, &path)?.refuse(action, context.even_if_unseen)
}

pub(crate) fn name_of(path: &TreePath) -> Result<CString> {
    let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    CString::new(name).map_err(|why| Error::new(format!("name {path}"), why))
}

pub(crate) fn keeps_changing(path: &TreePath) -> Error {
    let why = "it was changed each time that it was copied";
    Error::new(format!("keep {path}"), why).hint("stop what writes there, and run this again")
}

/// One run of a plan: does each kind of step.
pub(crate) struct KeepRun<'r> {
    plan: &'r KeepPlan,
    context: &'r KeepContext<'r>,
    moved: Vec<MovedPath>,
    /// What there is to tell so far.
    pub(crate) kept: KeepReport,
    progress: &'r mut dyn FnMut(u64, u64),
}

impl<'r> KeepRun<'r> {
    /// Starts it.
    pub(crate) fn new(
        plan: &'r KeepPlan,
        context: &'r KeepContext<'r>,
        progress: &'r mut dyn FnMut(u64, u64),
    ) -> Self {
        Self { plan, context, moved: plan.moved.clone(), kept: KeepReport::default(), progress }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, step: &KeepStep) -> Result<()> {
        match step {
            KeepStep::CheckUnused(path) => self.check_unused(path),
            KeepStep::Store(step) => self.apply(step),
            KeepStep::CopyFrom { path, source, .. } => self.copy_from(path, source),
            KeepStep::WriteConfig { .. } => match &self.plan.config {
                Some((before, after)) => rewrite_config(self.context.config, before, after),
                None => Ok(()),
            },
            KeepStep::Confirm(path) => self.confirm(path),
            KeepStep::Cover(step @ ApplyStep::Bind { path, source, .. }) => {
                match self.moved.iter().find(|one| one.from_live && one.source == *source) {
                    Some(_) => self.bind(step, path, source),
                    None => self.apply(step),
                }
            }
            KeepStep::Cover(step) => self.apply(step),
        }
    }

    fn apply(&mut self, step: &ApplyStep) -> Result<()> {
        let outcome =
            execute::apply_steps(std::slice::from_ref(step), self.context.machine, self.progress);
        for (from, to) in &outcome.set_aside {
            self.kept.notes.push(format!("what {from} had before is {to} by now"));
        }
        self.kept.notes.extend(outcome.notes);
        match outcome.failed.into_iter().next() {
            Some((_, error)) => Err(error),
            None => {
                self.kept.applied.steps.push(step.clone());
                Ok(())
            }
        }
    }

    fn check_unused(&mut self, path: &TreePath) -> Result<()> {
        let Some(there) = look_up(self.context.machine, path)? else { return Ok(()) };
        let census = there.census(path)?;
        let note = check_unused(self.context, &format!("keep {path}"), &there, &census)?;
        self.note(note);
        Ok(())
    }

    fn copy_from(&mut self, path: &TreePath, source: &TreePath) -> Result<()> {
        let failed = |why| Error::io(format!("copy {path} of the old root"), why);
        let Some(old_root) = self.context.old_root else {
            return Err(Error::new(format!("copy {path}"), "the old root is not open"));
        };
        let parent = path.parent().unwrap_or_default();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = create::open_beneath(old_root, parent.as_path(), flags).map_err(failed)?;
        let name = name_of(path)?;
        let to = self.open_parent(source)?;
        let from = Place { dir: parent.as_fd(), name: &name };
        let to_name = name_of(source)?;
        let to = Place { dir: to.as_fd(), name: &to_name };
        let base = self.context.machine.base_of(source);
        let copy = Aside::make_from_view(from, to, base, (path, source), self.progress)?;
        let copy = copy.expect_whole()?;
        // An empty directory is nothing that could be lost; one that is filled by now stays.
        change("keep: remove empty directory", || {
            match unlinkat(to.dir, to.name, AtFlags::REMOVEDIR) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
                removed => Ok(removed?),
            }
        })
        .map_err(|why| Error::io(format!("remove the empty directory {source}"), why))?;
        let copied = copy.name()?;
        self.tell_of_links(&copied.linked_outside);
        self.kept.notes.extend(execute::notes_of_copy(&copied));
        Ok(())
    }

    /// Copies live again for as long as it is another than what was copied.
    fn confirm(&mut self, path: &TreePath) -> Result<()> {
        for _ in 0..MAX_COPIES {
            let there = self.expect_there(path)?;
            let census = there.census(path)?;
            let before = self.census_of(path);
            if before.is_some_and(|before| census.is_unchanged_since(&before)) {
                let note = check_unused(self.context, &format!("keep {path}"), &there, &census)?;
                self.note(note);
                return self.tell_of_copy(path);
            }
            self.copy_again(path, &there, census)?;
        }
        Err(keeps_changing(path))
    }

    fn copy_again(&mut self, path: &TreePath, there: &Dentry, census: Census) -> Result<()> {
        let Some(one) = self.moved.iter_mut().find(|one| one.path == *path) else { return Ok(()) };
        one.census = Some(census);
        let source = one.source.clone();
        let (parent, name) = (self.open_parent(&source)?, name_of(&source)?);
        let to = Place { dir: parent.as_fd(), name: &name };
        let failed = |why| Error::io(format!("look at {source}"), why);
        let old = to.stat().map_err(failed)?;
        let base = self.context.machine.base_of(&source);
        let copy = Aside::make(there.place(), to, base, (path, &source), self.progress)?;
        let copy = copy.expect_whole()?;
        // What live had until a moment ago, and has no longer.
        let copied = copy.replace(&old)?;
        self.kept.notes.extend(execute::notes_of_copy(&copied));
        Ok(())
    }

    /// Mounts, and then looks once more at what is hidden now: nobody can have opened it since.
    fn bind(&mut self, step: &ApplyStep, path: &TreePath, source: &TreePath) -> Result<()> {
        let declared = self.moved.iter().find(|one| one.source == *source);
        let declared = declared.map_or_else(|| path.clone(), |one| one.path.clone());
        for _ in 0..MAX_COPIES {
            let hidden = HiddenFile::open(&self.expect_there(path)?, path)?;
            self.apply(step)?;
            let census = hidden.census(path)?;
            let before = self.census_of(&declared);
            let used = check_unused(self.context, &format!("keep {path}"), &hidden.there, &census);
            if used.is_ok() && before.is_some_and(|before| census.is_unchanged_since(&before)) {
                return Ok(());
            }
            self.kept.applied.steps.pop();
            mounting::unmount_place(hidden.there.place())
                .map_err(|why| Error::io(format!("unmount {path} again"), why))?;
            used?;
            self.confirm(&declared)?;
        }
        Err(keeps_changing(path))
    }

    /// Adds what was not said yet.
    fn note(&mut self, note: Option<String>) {
        let notes = &mut self.kept.notes;
        notes.extend(note.filter(|note| !notes.contains(note)));
    }

    fn expect_there(&self, path: &TreePath) -> Result<Dentry> {
        look_up(self.context.machine, path)?
            .ok_or_else(|| Error::new(format!("keep {path}"), "it vanished meanwhile"))
    }

    fn census_of(&self, path: &TreePath) -> Option<Census> {
        self.moved.iter().find(|one| one.path == *path).and_then(|one| one.census.clone())
    }

    fn open_parent(&self, path: &TreePath) -> Result<OwnedFd> {
        open_dir_of(self.context, &path.parent().unwrap_or_default())
    }

    fn tell_of_copy(&mut self, path: &TreePath) -> Result<()> {
        let Some(one) = self.moved.iter().find(|one| one.path == *path) else { return Ok(()) };
        let linked = one.census.as_ref().map(|census| census.linked_outside.clone());
        let parent = self.open_parent(&one.source)?;
        private_directory::remove_left_behind(
            parent.as_fd(),
            self.context.machine.base_of(&one.source),
        )?;
        self.tell_of_links(&linked.unwrap_or_default());
        Ok(())
    }

    fn tell_of_links(&mut self, linked: &Told<TreePath>) {
        self.kept.notes.extend(linked.lines(|path| {
            format!("{path} has another name outside; the copy in storage is a file of its own")
        }));
    }
}

/// What a mount is about to hide, held open: so that it can be looked at once more when nobody can open it
/// any longer.
pub(crate) struct HiddenFile {
    /// Where it is.
    pub(crate) there: Dentry,
    dir: Option<OwnedFd>,
    file: Option<OwnedFd>,
}

impl HiddenFile {
    /// Opens it.
    pub(crate) fn open(there: &Dentry, path: &TreePath) -> Result<Self> {
        let failed = |why| Error::io(format!("open {path}"), why);
        let parent = there.parent.try_clone().map_err(failed)?;
        let (mut dir, mut file) = (None, None);
        if there.stat.facts.file_type == FileType::Dir {
            dir = Some(open_dir(there.parent.as_fd(), &there.name).map_err(failed)?);
        } else {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = fs::openat(&there.parent, there.name.as_c_str(), flags, Mode::empty());
            file = Some(opened.map_err(|why| failed(why.into()))?);
        }
        let there = Dentry { parent, name: there.name.clone(), ..*there };
        Ok(Self { there, dir, file })
    }

    /// What it is made of, by now.
    pub(crate) fn census(&self, path: &TreePath) -> Result<Census> {
        match (&self.dir, &self.file) {
            (Some(dir), _) => Census::of_dir(dir.as_fd(), path),
            (None, Some(file)) => of_open(file.as_fd())
                .map(Census::of_file)
                .map_err(|why| Error::io(format!("look at {path}"), why)),
            (None, None) => Err(Error::new(format!("look at {path}"), "it is not open")),
        }
    }
}
