//! The old roots, open for reading, and which of them have a path.

use std::cell::OnceCell;
use std::os::fd::AsFd;

use backends::{OldRoot, Tree, View};
use chrono::{DateTime, Local};
use dirfd::copy::temporary_copy::difference;
use dirfd::path::shell_path;
use dirfd::{Error, FileType, Result, TreePath};

use crate::persist::path_lookup::{Dentry, look_up_in_tree};
use crate::restore::choose_version::{Choice, choose_version};
use crate::restore::name_old_root::{OldRootLabel, find_old_root, no_old_roots};
use crate::ui::figures::{count_noun, format_local_time, format_size};

/// Opens a tree for reading.
pub type OpenView<'o> = &'o dyn Fn(&Tree) -> Result<View>;

/// All old roots, the oldest first; each is opened when it is first asked for.
pub struct OldRoots<'o> {
    found: Vec<(OldRootLabel, Tree, OnceCell<View>)>,
    open: OpenView<'o>,
}

/// A path of an old root.
#[derive(Debug)]
pub(crate) struct Version {
    /// The old root.
    pub(crate) old_root: String,
    /// What has the path there.
    pub(crate) there: Dentry,
}

impl<'o> OldRoots<'o> {
    /// Those that a survey found.
    pub fn new(old_roots: Vec<OldRoot>, open: OpenView<'o>) -> Self {
        let found = old_roots
            .into_iter()
            .map(|old_root| (OldRootLabel::of(&old_root), old_root.tree, OnceCell::new()));
        Self { found: found.collect(), open }
    }

    /// The name of the one that `asked` means.
    pub fn find(&self, asked: &str) -> Result<String> {
        let labels: Vec<OldRootLabel> = self.labels().cloned().collect();
        Ok(labels[find_old_root(asked, &labels)?].name.clone())
    }

    /// What they are called by, the oldest first.
    pub(crate) fn labels(&self) -> impl DoubleEndedIterator<Item = &OldRootLabel> {
        self.found.iter().map(|(label, ..)| label)
    }

    /// The root directory of the one of this name.
    pub(crate) fn view(&self, name: &str) -> Result<&View> {
        let found = self.found.iter().position(|(label, ..)| label.name == name);
        let none = || Error::new(format!("open the old root {name}"), "it is not there any more");
        self.view_at(found.ok_or_else(none)?)
    }

    /// What the one of this name has at `path`, if anything.
    pub(crate) fn look_up(&self, name: &str, path: &TreePath) -> Result<Option<Dentry>> {
        look_up_in_tree(self.view(name)?.as_fd(), path, &format!("the old root {name}"))
    }

    /// What the one of this name has at `path`.
    pub(crate) fn version_of(&self, name: &str, path: &TreePath) -> Result<Version> {
        match self.look_up(name, path)? {
            Some(there) => Ok(Version { old_root: name.to_string(), there }),
            None => {
                let why = format!("the old root {name} does not have it");
                let having = self.having(path)?;
                let error = Error::new(format!("restore {path}"), why);
                Err(match having.last() {
                    Some((at, _)) => error.hint(format!("{} has it", self.found[*at].0.name)),
                    None => error.hint("no old root has it: see whether it is spelt like this"),
                })
            }
        }
    }

    /// The only version of `path` that there is, and the other old roots that have it.
    pub(crate) fn only_version_of(&self, path: &TreePath) -> Result<(Version, Vec<String>)> {
        let action = || format!("restore {path}");
        if self.found.is_empty() {
            return Err(no_old_roots(action()));
        }
        let mut having = self.having(path)?;
        let positions: Vec<usize> = having.iter().map(|(at, _)| *at).collect();
        let place = |at| having.iter().find(|(other, _)| *other == at).map(|(_, one)| one.place());
        let are_same = |a, b| match (place(a), place(b)) {
            (Some(a), Some(b)) => Ok(difference(a, b, path)?.is_none()),
            _ => Ok::<_, Error>(false),
        };
        match choose_version(&positions, are_same)? {
            Choice::Only { same, .. } => {
                let others = same.iter().map(|at| self.found[*at].0.name.clone()).collect();
                match having.pop() {
                    Some((at, there)) => {
                        let old_root = self.found[at].0.name.clone();
                        Ok((Version { old_root, there }, others))
                    }
                    None => Err(not_found(action(), self.found.len())),
                }
            }
            Choice::Nowhere => Err(not_found(action(), self.found.len())),
            Choice::Several => {
                let lines = having.iter().rev().map(|(at, there)| self.describe(*at, there, path));
                let lines = lines.collect::<Result<String>>()?;
                let youngest = positions.last().map_or("", |at| &self.found[*at].0.name);
                let hint = format!(
                    "say which with `--from`, as `blankroot restore --from {youngest} {}`",
                    shell_path(path)
                );
                let why = format!("old roots have it in several versions:{lines}");
                Err(Error::new(action(), why).hint(hint))
            }
        }
    }

    fn view_at(&self, at: usize) -> Result<&View> {
        let (_, tree, view) = &self.found[at];
        if let Some(view) = view.get() {
            return Ok(view);
        }
        let opened = (self.open)(tree)?;
        Ok(view.get_or_init(|| opened))
    }

    /// Those that have the path, by their positions.
    fn having(&self, path: &TreePath) -> Result<Vec<(usize, Dentry)>> {
        let mut having = Vec::new();
        for (at, (label, ..)) in self.found.iter().enumerate() {
            having.extend(self.look_up(&label.name, path)?.map(|there| (at, there)));
        }
        Ok(having)
    }

    /// A line that tells a version from the others.
    fn describe(&self, at: usize, there: &Dentry, path: &TreePath) -> Result<String> {
        let facts = &there.stat.facts;
        let what = match facts.file_type {
            FileType::File => format!("file of {}", format_size(facts.size)),
            FileType::Dir => {
                let census = there.census(path)?;
                let names = count_noun(census.names.saturating_sub(1), "name", "names");
                format!("directory with {names}, {}", format_size(census.bytes))
            }
            other => other.word().to_string(),
        };
        let changed = describe_time(facts.mtime);
        Ok(format!("\n    {}: {what}, written {changed}", self.found[at].0))
    }
}

/// A point in time by its seconds since 1970.
pub(crate) fn describe_time(seconds: i64) -> String {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => format_local_time(time, &Local::now()),
        None => "at a time that cannot be".to_string(),
    }
}

fn not_found(action: String, old_roots: usize) -> Error {
    let count = u64::try_from(old_roots).unwrap_or(u64::MAX);
    let why = format!("none of {} has it", count_noun(count, "old root", "old roots"));
    Error::new(action, why).hint("see whether it is spelt like this; `blankroot status` lists them")
}
