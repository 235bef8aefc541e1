//! Turns what was asked of `restore` into a plan: finds the version, looks at its place, and refuses
//! what would be lost.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use dirfd::compare_trees::first_difference;
use dirfd::copy::temporary_copy::{difference, missing_locks};
use dirfd::path::shell_path;
use dirfd::stat::{Place, Stat, of_open};
use dirfd::{Error, FileType, Result, TreePath, atomic_file, directory_walker};
use rustix::fs::OFlags;

use crate::host::{Machine, is_not_found};
use crate::persist::create::{self, InodeAttributes};
use crate::persist::path_lookup::{Dentry, find_unnamed, look_up, refuse_locked};
use crate::persist::step::{ApplyStep, FileSpec, Owner};
use crate::restore::find_versions::{OldRoots, Version, describe_time};
use crate::restore::restore_plan::{RestorePlan, RestoreStep};

/// What was asked for.
pub struct RestoreRequest<'r> {
    /// The paths.
    pub paths: &'r [TreePath],
    /// The old root that has them, by name, if that was said.
    pub from: Option<&'r str>,
    /// The directory that they go to instead of their own places.
    pub to: Option<&'r TreePath>,
    /// What is there already may be set aside.
    pub overwrite: bool,
}

/// Plans it. All reasons against it are told together.
pub fn plan_restore(
    request: &RestoreRequest<'_>,
    machine: &Machine,
    old_roots: &OldRoots<'_>,
) -> Result<RestorePlan, Vec<Error>> {
    if let Some(dir) = request.to {
        expect_dir(machine, dir).map_err(|error| vec![error])?;
    }
    let mut planner = RestorePlanner {
        request,
        machine,
        old_roots,
        made: BTreeSet::new(),
        plan: RestorePlan::default(),
    };
    let mut paths: Vec<&TreePath> = request.paths.iter().collect();
    paths.sort_by_key(|path| path.depth());
    let refused: Vec<Error> =
        paths.into_iter().filter_map(|path| planner.plan_path(path).err()).collect();
    if refused.is_empty() { Ok(planner.plan) } else { Err(refused) }
}

/// The name that something gets that is set aside: `NAME.before-restore-1`.
pub(crate) fn set_aside_name(name: &OsStr, number: u32) -> Vec<u8> {
    // The longest number must fit into 255 bytes.
    let stem = name.as_bytes().get(..220).unwrap_or(name.as_bytes());
    [stem, SET_ASIDE, number.to_string().as_bytes()].concat()
}

const SET_ASIDE: &[u8] = b".before-restore-";

struct RestorePlanner<'p> {
    request: &'p RestoreRequest<'p>,
    machine: &'p Machine,
    old_roots: &'p OldRoots<'p>,
    /// Parents that a step makes.
    made: BTreeSet<TreePath>,
    plan: RestorePlan,
}

impl RestorePlanner<'_> {
    fn plan_path(&mut self, path: &TreePath) -> Result<()> {
        let action = format!("restore {path}");
        let Some(name) = path.name() else {
            return Err(Error::new(action, "it is the root itself").hint("name what is below it"));
        };
        let to = match self.request.to {
            Some(dir) => dir.join(name.as_bytes()),
            None => path.clone(),
        };
        if self.plan.places.contains(&to) {
            let why = format!("another path of these goes to {to}, too");
            return Err(Error::new(action, why).hint("restore one of them elsewhere"));
        }
        let outer = self.plan.places.iter().find(|place| to.is_within(place));
        if let Some(outer) = outer.filter(|_| self.request.to.is_none()) {
            self.plan.there.push(format!("{path} lies in {outer}, and comes with it"));
            return Ok(());
        }
        let version = self.version_of(path)?;
        // What lies on the way is looked at first: it says why nothing else can be.
        let present = look_up(self.machine, &to)?;
        self.plan_place(path, &to, &version, present)?;
        self.plan.places.push(to);
        Ok(())
    }

    fn version_of(&mut self, path: &TreePath) -> Result<Version> {
        if let Some(name) = self.request.from {
            return self.old_roots.version_of(name, path);
        }
        let (version, same) = self.old_roots.only_version_of(path)?;
        if let Some(oldest) = same.last() {
            let others = match same.len() {
                1 => format!("{oldest} has the same"),
                count => format!("{count} others have the same, {oldest} and later ones"),
            };
            self.plan.notes.push(format!("{path} is taken from {}; {others}", version.old_root));
        }
        Ok(version)
    }

    fn plan_place(
        &mut self,
        path: &TreePath,
        to: &TreePath,
        version: &Version,
        present: Option<Dentry>,
    ) -> Result<()> {
        let old = version.there.place();
        let Some(present) = present else {
            if let Some(unnamed) = self.find_unnamed_copy(to, old, path)? {
                let step = ApplyStep::Name { path: unnamed, source: to.clone() };
                self.plan.steps.push(RestoreStep::Prepare(step));
                return Ok(());
            }
            self.plan_parents(to, &version.old_root)?;
            self.expect_writable_dir(to)?;
            self.push_copy(path, to, version, None);
            return Ok(());
        };
        let Some(at) = self.difference_to(&version.there, &present, to, path)? else {
            let old_root = &version.old_root;
            self.plan
                .there
                .push(format!("{to} is there already, as the old root {old_root} has it"));
            return Ok(());
        };
        let action = || format!("restore {to}");
        if present.is_mount {
            let why = "something is mounted there, and what it shows differs from the old root's";
            return Err(Error::new(action(), why)
                .hint("name what lies in it, or restore it elsewhere with `--to DIR`"));
        }
        if let Some(locks) = missing_locks(old, present.place(), path)? {
            self.plan.steps.push(RestoreStep::Lock { to: to.clone(), locks });
            return Ok(());
        }
        if !self.request.overwrite {
            let (why, hint) = refusal(path, version, &present, &at);
            return Err(Error::new(action(), why).hint(hint));
        }
        self.expect_writable_dir(to)?;
        expect_movable(&present, to)?;
        let (copy, unused) = self.find_set_aside(&present, to, old, path)?;
        if let Some(copy) = copy {
            let found = look_up(self.machine, &copy)?;
            let locks = found.map(|found| missing_locks(old, found.place(), path));
            self.plan.steps.push(RestoreStep::Exchange { to: to.clone(), copy });
            if let Some(locks) = locks.transpose()?.flatten() {
                self.plan.steps.push(RestoreStep::Lock { to: to.clone(), locks });
            }
        } else if let Some(unnamed) = self.find_unnamed_copy(to, old, path)? {
            let step = ApplyStep::Name { path: unnamed, source: unused.clone() };
            self.plan.steps.push(RestoreStep::Prepare(step));
            self.plan.steps.push(RestoreStep::Exchange { to: to.clone(), copy: unused });
        } else {
            self.push_copy(path, to, version, Some(unused));
        }
        Ok(())
    }

    /// A path at which what is there differs from the old root's. What is mounted there is compared by its own
    /// root directory.
    fn difference_to(
        &self,
        old: &Dentry,
        present: &Dentry,
        to: &TreePath,
        path: &TreePath,
    ) -> Result<Option<TreePath>> {
        let are_dirs = [old, present]
            .iter()
            .all(|one| matches!(one.stat.facts.file_type, FileType::Dir | FileType::Subvolume));
        if !present.is_mount || !are_dirs {
            return difference(old.place(), present.place(), path);
        }
        let failed = |why| Error::io(format!("look at {to}"), why);
        let mounted = self.machine.open_at(to, OFlags::RDONLY | OFlags::DIRECTORY);
        let mounted = mounted.map_err(failed)?;
        let dir = directory_walker::open_dir(old.parent.as_fd(), &old.name).map_err(failed)?;
        let found = first_difference(dir.as_fd(), mounted.as_fd())?;
        Ok(found.map(|below| path.join_path(&below)))
    }

    fn push_copy(
        &mut self,
        path: &TreePath,
        to: &TreePath,
        version: &Version,
        set_aside: Option<TreePath>,
    ) {
        let (path, to) = (path.clone(), to.clone());
        if version.there.stat.facts.file_type == FileType::Subvolume {
            let note = format!("{path} was a subvolume of its own; {to} will be a plain directory");
            self.plan.notes.push(note);
        }
        let old_root = version.old_root.clone();
        self.plan.steps.push(RestoreStep::Copy { old_root, path, to, set_aside });
    }

    /// The whole copy that lacks its name, or waits for it, since an exchange without a call for it was cut short.
    fn find_unnamed_copy(
        &self,
        to: &TreePath,
        old: Place<'_>,
        path: &TreePath,
    ) -> Result<Option<TreePath>> {
        let failed = |why| Error::io(format!("look for what is to be {to}"), why);
        let Some(unnamed) = find_unnamed(self.machine, to).map_err(failed)? else {
            return Ok(None);
        };
        let Some(found) = look_up(self.machine, &unnamed)? else { return Ok(None) };
        Ok(difference(old, found.place(), path)?.is_none().then_some(unnamed))
    }

    /// What was set aside last, if it is the same as the old root's: an interrupted run has made it, and did
    /// not come to exchange the two. And the first name after all that are taken.
    fn find_set_aside(
        &self,
        present: &Dentry,
        to: &TreePath,
        old: Place<'_>,
        path: &TreePath,
    ) -> Result<(Option<TreePath>, TreePath)> {
        let failed = |why| Error::io(format!("list the directory of {to}"), why);
        let dir = directory_walker::open_dir(present.parent.as_fd(), c".").map_err(failed)?;
        let names = directory_walker::list_names(dir.as_fd()).map_err(failed)?;
        let start = set_aside_name(to.name().unwrap_or_default(), 0);
        let start = start.strip_suffix(b"0").unwrap_or(&start);
        let number = |name: &CString| {
            let digits = std::str::from_utf8(name.to_bytes().strip_prefix(start)?).ok()?;
            digits.parse::<u32>().ok().filter(|number| *number < atomic_file::ATTEMPTS)
        };
        let last = names.iter().filter_map(number).max().unwrap_or(0);
        let parent = to.parent().unwrap_or_default();
        let named = |number| parent.join(&set_aside_name(to.name().unwrap_or_default(), number));
        let unused = named(last + 1);
        let Some(found) = look_up(self.machine, &named(last))?.filter(|_| last > 0) else {
            return Ok((None, unused));
        };
        let is_copy = !found.is_mount
            && (difference(old, found.place(), path)?.is_none()
                || missing_locks(old, found.place(), path)?.is_some());
        Ok((is_copy.then(|| named(last)), unused))
    }

    /// Makes the parents that are missing as the old root has them.
    fn plan_parents(&mut self, to: &TreePath, old_root: &str) -> Result<()> {
        let mut missing = Vec::new();
        let mut parent = to.parent();
        while let Some(dir) = parent.filter(|dir| dir.depth() > 0 && !self.made.contains(dir)) {
            match self.machine.open_at(&dir, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => break,
                Err(why) if is_not_found(&why) => {}
                Err(why) => return Err(Error::io(format!("open {dir}"), why)),
            }
            parent = dir.parent();
            missing.push(dir);
        }
        let view = self.old_roots.view(old_root)?;
        for dir in missing.into_iter().rev() {
            let failed = |why| Error::io(format!("look at {dir} of the old root {old_root}"), why);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let opened =
                create::open_beneath(view.as_fd(), dir.as_path(), flags).map_err(failed)?;
            let Stat { facts, .. } = of_open(opened.as_fd()).map_err(failed)?;
            let attributes =
                InodeAttributes::of(opened.as_fd(), Some(opened.as_fd())).map_err(failed)?;
            let owner = Owner { uid: facts.uid, gid: facts.gid };
            let spec = FileSpec::Dir(owner, facts.mode);
            let step = ApplyStep::Make { path: dir.clone(), spec, attributes: Some(attributes) };
            self.plan.steps.push(RestoreStep::Prepare(step));
            self.made.insert(dir);
        }
        Ok(())
    }

    /// In a directory with one of these flags no name can be made or exchanged, by anybody.
    fn expect_writable_dir(&self, to: &TreePath) -> Result<()> {
        let parent = to.parent().unwrap_or_default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        // A parent that is not there yet is made by an earlier step.
        let Ok(dir) = self.machine.open_at(&parent, flags) else { return Ok(()) };
        refuse_locked(&dir, &format!("restore {to}"), ("", &parent))
    }
}

/// The directory of `--to` is not made: a name that is misspelt would be made, too.
fn expect_dir(machine: &Machine, dir: &TreePath) -> Result<()> {
    let action = format!("restore to {dir}");
    if dir.depth() == 0 {
        return Ok(());
    }
    match look_up(machine, dir)? {
        Some(there) if there.stat.facts.file_type == FileType::Dir => Ok(()),
        Some(there) if there.stat.facts.file_type == FileType::Subvolume => Ok(()),
        Some(there) => {
            let why = format!("it is no directory, but of type {}", there.stat.facts.file_type);
            Err(Error::new(action, why).hint("name a directory"))
        }
        None => Err(Error::new(action, "there is no such directory")
            .hint(format!("make it first: mkdir -p {}", shell_path(dir)))),
    }
}

/// What has one of these flags cannot be renamed.
fn expect_movable(present: &Dentry, to: &TreePath) -> Result<()> {
    if !matches!(present.stat.facts.file_type, FileType::File | FileType::Dir) {
        return Ok(());
    }
    let opened = dirfd::open_file::open_expected(present.place(), &present.stat)
        .map_err(|why| Error::io(format!("open {to}"), why))?;
    refuse_locked(&opened, &format!("set {to} aside"), ("", to))
}

/// Why what is there is left alone, and the hint. `at` is a path at which the two differ.
fn refusal(
    path: &TreePath,
    version: &Version,
    present: &Dentry,
    at: &TreePath,
) -> (String, String) {
    let old = mtime_below(&version.there, path, at);
    let new = mtime_below(present, path, at);
    let old_root = &version.old_root;
    let newer = match (old, new) {
        (Some(old), Some(new)) => {
            let times = format!(
                "the present one was written {}, the old root's {}",
                describe_time(new.0),
                describe_time(old.0)
            );
            match old.cmp(&new) {
                std::cmp::Ordering::Less => format!("the present one is newer: {times}"),
                std::cmp::Ordering::Greater => format!("the old root's is newer: {times}"),
                std::cmp::Ordering::Equal => format!("neither is newer: {times}"),
            }
        }
        (None, _) => "only the present one has that".to_string(),
        (_, None) => "only the old root has that".to_string(),
    };
    let at = if at == path { String::new() } else { format!(" at {at}") };
    let why = format!("it is there, and differs from that of the old root {old_root}{at}; {newer}");
    let hint =
        "`--overwrite` sets the present one aside; `--to DIR` restores it elsewhere".to_string();
    (why, hint)
}

/// When something below a path that is there was written.
fn mtime_below(top: &Dentry, path: &TreePath, at: &TreePath) -> Option<(i64, u32)> {
    let facts = if at == path {
        top.stat.facts
    } else {
        let below = at.below(path)?;
        let dir = directory_walker::open_dir(top.parent.as_fd(), &top.name).ok()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let opened = create::open_beneath(dir.as_fd(), below.as_path(), flags).ok()?;
        of_open(opened.as_fd()).ok()?.facts
    };
    Some((facts.mtime, facts.mtime_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_set_aside_are_valid_however_long_the_name_is() {
        assert_eq!(set_aside_name(OsStr::new("a b"), 1), b"a b.before-restore-1");
        let long = [b'x'; 255];
        assert!(set_aside_name(OsStr::from_bytes(&long), u32::MAX).len() <= 255);
    }
}
