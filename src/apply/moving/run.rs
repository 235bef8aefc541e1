//! Does each kind of step of a `keep`.

use std::os::fd::{AsFd, OwnedFd};

use backends::census::Census;
use backends::copy::aside::Aside;
use backends::copy::private_dir;
use backends::fault::change;
use backends::stat::Place;
use backends::told::Told;
use backends::{Error, Result, TreePath};
use rustix::fs::{AtFlags, OFlags, unlinkat};
use rustix::io::Errno;

use super::hidden::Hidden;
use super::{
    Kept, TRIES, World, changes_all_the_time, check_unused, name_of, open_dir_of, unmount,
    write_config,
};
use crate::apply::persist;
use crate::host::beneath;
use crate::moving::keep::{KeepPlan, KeepStep, Moved};
use crate::moving::look::{There, look};
use crate::plan::apply::ApplyStep;

/// One run of a plan.
pub struct Run<'r> {
    plan: &'r KeepPlan,
    world: &'r World<'r>,
    moved: Vec<Moved>,
    /// What there is to tell so far.
    pub kept: Kept,
    progress: &'r mut dyn FnMut(u64, u64),
}

impl<'r> Run<'r> {
    /// Starts it.
    pub fn new(
        plan: &'r KeepPlan,
        world: &'r World<'r>,
        progress: &'r mut dyn FnMut(u64, u64),
    ) -> Self {
        Self { plan, world, moved: plan.moved.clone(), kept: Kept::default(), progress }
    }

    /// Does one step.
    pub fn step(&mut self, step: &KeepStep) -> Result<()> {
        match step {
            KeepStep::CheckUnused(path) => self.check_unused(path),
            KeepStep::Store(step) => self.apply(step),
            KeepStep::CopyFrom { path, source, .. } => self.copy_from(path, source),
            KeepStep::WriteConfig { .. } => match &self.plan.config {
                Some((before, after)) => write_config(self.world.config, before, after),
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
        let outcome = persist::apply(std::slice::from_ref(step), self.world.machine, self.progress);
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
        let Some(there) = look(self.world.machine, path)? else { return Ok(()) };
        let census = there.census(path)?;
        let note = check_unused(self.world, &format!("keep {path}"), &there, &census)?;
        self.note(note);
        Ok(())
    }

    fn copy_from(&mut self, path: &TreePath, source: &TreePath) -> Result<()> {
        let failed = |why| Error::io(format!("copy {path} of the old root"), why);
        let Some(old_root) = self.world.old_root else {
            return Err(Error::new(format!("copy {path}"), "the old root is not open"));
        };
        let parent = path.parent().unwrap_or_default();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = beneath::open(old_root, parent.as_path(), flags).map_err(failed)?;
        let name = name_of(path)?;
        let to = self.open_parent(source)?;
        let from = Place { dir: parent.as_fd(), name: &name };
        let to_name = name_of(source)?;
        let to = Place { dir: to.as_fd(), name: &to_name };
        let base = self.world.machine.base_of(source);
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
        self.kept.notes.extend(persist::notes_of(&copied));
        Ok(())
    }

    /// Copies live again for as long as it is another than what was copied.
    fn confirm(&mut self, path: &TreePath) -> Result<()> {
        for _ in 0..TRIES {
            let there = self.expect_there(path)?;
            let census = there.census(path)?;
            let before = self.census_of(path);
            if before.is_some_and(|before| census.is_unchanged_since(&before)) {
                let note = check_unused(self.world, &format!("keep {path}"), &there, &census)?;
                self.note(note);
                return self.tell_of_copy(path);
            }
            self.copy_again(path, &there, census)?;
        }
        Err(changes_all_the_time(path))
    }

    fn copy_again(&mut self, path: &TreePath, there: &There, census: Census) -> Result<()> {
        let Some(one) = self.moved.iter_mut().find(|one| one.path == *path) else { return Ok(()) };
        one.census = Some(census);
        let source = one.source.clone();
        let (parent, name) = (self.open_parent(&source)?, name_of(&source)?);
        let to = Place { dir: parent.as_fd(), name: &name };
        let failed = |why| Error::io(format!("look at {source}"), why);
        let old = to.stat().map_err(failed)?;
        let base = self.world.machine.base_of(&source);
        let copy = Aside::make(there.place(), to, base, (path, &source), self.progress)?;
        let copy = copy.expect_whole()?;
        // What live had until a moment ago, and has no longer.
        let copied = copy.replace(&old)?;
        self.kept.notes.extend(persist::notes_of(&copied));
        Ok(())
    }

    /// Mounts, and then looks once more at what is hidden now: nobody can have opened it since.
    fn bind(&mut self, step: &ApplyStep, path: &TreePath, source: &TreePath) -> Result<()> {
        let declared = self.moved.iter().find(|one| one.source == *source);
        let declared = declared.map_or_else(|| path.clone(), |one| one.path.clone());
        for _ in 0..TRIES {
            let hidden = Hidden::open(&self.expect_there(path)?, path)?;
            self.apply(step)?;
            let census = hidden.census(path)?;
            let before = self.census_of(&declared);
            let used = check_unused(self.world, &format!("keep {path}"), &hidden.there, &census);
            if used.is_ok() && before.is_some_and(|before| census.is_unchanged_since(&before)) {
                return Ok(());
            }
            self.kept.applied.steps.pop();
            unmount::unmount(hidden.there.place())
                .map_err(|why| Error::io(format!("unmount {path} again"), why))?;
            used?;
            self.confirm(&declared)?;
        }
        Err(changes_all_the_time(path))
    }

    /// Adds what was not said yet.
    fn note(&mut self, note: Option<String>) {
        let notes = &mut self.kept.notes;
        notes.extend(note.filter(|note| !notes.contains(note)));
    }

    fn expect_there(&self, path: &TreePath) -> Result<There> {
        look(self.world.machine, path)?
            .ok_or_else(|| Error::new(format!("keep {path}"), "it vanished meanwhile"))
    }

    fn census_of(&self, path: &TreePath) -> Option<Census> {
        self.moved.iter().find(|one| one.path == *path).and_then(|one| one.census.clone())
    }

    fn open_parent(&self, path: &TreePath) -> Result<OwnedFd> {
        open_dir_of(self.world, &path.parent().unwrap_or_default())
    }

    fn tell_of_copy(&mut self, path: &TreePath) -> Result<()> {
        let Some(one) = self.moved.iter().find(|one| one.path == *path) else { return Ok(()) };
        let linked = one.census.as_ref().map(|census| census.linked_outside.clone());
        let parent = self.open_parent(&one.source)?;
        private_dir::remove_left_behind(parent.as_fd(), self.world.machine.base_of(&one.source))?;
        self.tell_of_links(&linked.unwrap_or_default());
        Ok(())
    }

    fn tell_of_links(&mut self, linked: &Told<TreePath>) {
        self.kept.notes.extend(linked.lines(|path| {
            format!("{path} has another name outside; the copy in storage is a file of its own")
        }));
    }
}
