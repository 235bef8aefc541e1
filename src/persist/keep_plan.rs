//! Plans to keep paths: the data goes to storage first, then the configuration learns of it, and then
//! it is mounted over the original. A power cut in between loses nothing (docs/decisions/0010).

use std::collections::BTreeSet;
use std::fmt;

use dirfd::manifest::Census;
use dirfd::path::Escaped;
use dirfd::{Error, TreePath};

use crate::persist::plan::ApplyPlan;
use crate::persist::resolve::ResolvedEntry;
use crate::persist::step::ApplyStep;
use crate::steps::write_numbered;

/// One path that is going to be kept.
#[derive(Clone, Debug)]
pub(crate) struct MovedPath {
    /// Where it is on the machine.
    pub(crate) path: TreePath,
    /// Where its data goes.
    pub(crate) source: TreePath,
    /// What live has there, if anything.
    pub(crate) census: Option<Census>,
    /// Whether that is what goes into storage, or is there already.
    pub(crate) from_live: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepStep {
    /// Make sure that nobody has anything of it open.
    CheckUnused(TreePath),
    /// Something in storage: parents, what it had before, the copy.
    Store(ApplyStep),
    /// Copy what an old root has.
    CopyFrom {
        /// The old root.
        old_root: String,
        /// The path in it.
        path: TreePath,
        /// Where the copy goes.
        source: TreePath,
    },
    /// Write the new configuration.
    WriteConfig {
        /// The lines that are new.
        lines: Vec<String>,
    },
    /// Make sure that live is what was copied, else copy it again.
    Confirm(TreePath),
    /// Something in live: the mount, or the link.
    Cover(ApplyStep),
}

/// What will be done, in order.
#[derive(Clone, Debug, Default)]
pub struct KeepPlan {
    /// The first that fails ends the run.
    pub(crate) steps: Vec<KeepStep>,
    /// The paths that it is about.
    pub(crate) moved: Vec<MovedPath>,
    /// The configuration as it is, and as it will be.
    pub(crate) config: Option<(String, String)>,
    /// What is done already.
    pub(crate) there: Vec<String>,
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
}

/// Why a path cannot be kept.
#[derive(Debug)]
pub struct RefusedPath {
    /// The path; `None` where the reason stands against all that were asked for.
    pub path: Option<TreePath>,
    /// The reason.
    pub error: Error,
}

impl RefusedPath {
    pub(crate) fn new(path: &TreePath, error: Error) -> Self {
        Self { path: Some(path.clone()), error }
    }

    /// Of a reason that is no single path's.
    pub(crate) fn all(error: Error) -> Vec<Self> {
        vec![Self { path: None, error }]
    }
}

/// What is known of one path when the steps are put in order.
pub(crate) struct PathSituation<'s> {
    /// What is to be kept, and its data.
    pub(crate) moved: MovedPath,
    /// Its entry, in its place.
    pub(crate) resolved: &'s ResolvedEntry,
    /// The old root that has the data, by name.
    pub(crate) old_root: Option<&'s str>,
    /// Storage has an empty directory, which the old root's takes the place of.
    pub(crate) fills_empty_dir: bool,
    /// What storage had before may be set aside.
    pub(crate) adopt: bool,
}

impl KeepPlan {
    /// Plans for these paths. `apply` is the plan for the whole new keep list.
    pub(crate) fn new(
        situations: Vec<PathSituation<'_>>,
        apply: &ApplyPlan,
        config: Option<(String, String)>,
    ) -> Result<Self, Vec<RefusedPath>> {
        let (mut plan, mut refused) = (Self::default(), vec![]);
        let (mut check, mut store, mut confirm, mut cover) = (vec![], vec![], vec![], vec![]);
        let mut made = BTreeSet::new();
        for situation in situations {
            let PathSituation { mut moved, resolved, old_root, fills_empty_dir, adopt } = situation;
            if let Some(refusal) = apply.refusals.iter().find(|one| one.path == moved.path) {
                let action = format!("keep {}", moved.path);
                let error = Error::new(action, &refusal.why).hint(refusal.hint.clone());
                refused.push(RefusedPath::new(&moved.path, error));
                continue;
            }
            let own = apply.steps.iter().filter(|step| is_step_of(step, resolved));
            let own: Vec<&ApplyStep> = own.collect();
            let sets_aside =
                own.iter().any(|step| matches!(step, ApplyStep::Adopt { sets_aside: true, .. }));
            // What storage had would stay beside the copy: that has to be asked for.
            if sets_aside && !adopt {
                refused.push(RefusedPath::new(&moved.path, both_have_data(&moved)));
                continue;
            }
            let before = store.len() + cover.len();
            if let Some(name) = old_root.filter(|_| fills_empty_dir) {
                store.push(copy_from(name, &moved.path, &moved.source));
            }
            for step in own {
                // Two paths may need the same parent: one of them makes it.
                if !made.insert(step.to_string()) {
                    continue;
                }
                let sorted = sort_step(step, &mut moved, resolved, old_root);
                if matches!(sorted, KeepStep::Cover(_)) { &mut cover } else { &mut store }
                    .push(sorted);
            }
            if store.len() + cover.len() == before && config.is_none() {
                let line = resolved.entry.place.line;
                plan.there.push(format!("{} is kept already (line {line})", moved.path));
                continue;
            }
            if moved.census.is_some() {
                check.push(KeepStep::CheckUnused(moved.path.clone()));
            }
            if moved.from_live {
                confirm.push(KeepStep::Confirm(moved.path.clone()));
            }
            plan.moved.push(moved);
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let write = config
            .as_ref()
            .map(|(before, after)| KeepStep::WriteConfig { lines: added_lines(before, after) });
        // The order loses nothing at a power cut: data, then configuration, then what covers live.
        plan.steps = [check, store, write.into_iter().collect(), confirm, cover].concat();
        plan.config = config;
        Ok(plan)
    }

    /// The path of those that were asked for on whose behalf a step is done.
    pub(crate) fn path_of_step(&self, step: &KeepStep) -> Option<&TreePath> {
        let place = match step {
            KeepStep::CheckUnused(path) | KeepStep::Confirm(path) => path,
            KeepStep::CopyFrom { source, .. } => source,
            KeepStep::Store(step) | KeepStep::Cover(step) => step.path(),
            KeepStep::WriteConfig { .. } => return None,
        };
        // Parents are made for the first that needs them.
        let needs = |one: &&MovedPath| one.path.is_within(place) || one.source.is_within(place);
        self.moved.iter().find(needs).map(|one| &one.path)
    }
}

/// Which side a step of `apply` is on, and what an old root changes about it.
fn sort_step(
    step: &ApplyStep,
    moved: &mut MovedPath,
    one: &ResolvedEntry,
    old_root: Option<&str>,
) -> KeepStep {
    match (step, old_root) {
        (ApplyStep::Adopt { source, .. }, Some(name)) => copy_from(name, &moved.path, source),
        (ApplyStep::Make { path, .. }, Some(name)) if *path == moved.source => {
            copy_from(name, &moved.path, path)
        }
        (ApplyStep::Adopt { .. }, None) => {
            moved.from_live = true;
            KeepStep::Store(step.clone())
        }
        _ if step.path().is_within(&one.entry.storage) => KeepStep::Store(step.clone()),
        _ => KeepStep::Cover(step.clone()),
    }
}

/// Whether a step is needed for one entry. Parents are made for any entry that needs them.
fn is_step_of(step: &ApplyStep, one: &ResolvedEntry) -> bool {
    let path = step.path();
    let sides = [&one.source, &one.made_at, &one.seen_at];
    let makes = matches!(step, ApplyStep::Make { .. });
    sides.into_iter().any(|side| path == side || (makes && side.is_within(path)))
}

fn copy_from(old_root: &str, path: &TreePath, source: &TreePath) -> KeepStep {
    let old_root = old_root.to_string();
    KeepStep::CopyFrom { old_root, path: path.clone(), source: source.clone() }
}

fn both_have_data(moved: &MovedPath) -> Error {
    let (path, source) = (&moved.path, &moved.source);
    let why = format!("{path} has data, and {source} in storage has other data");
    Error::new(format!("keep {path}"), why).hint(format!(
        "compare the two; `--adopt` takes {path} and leaves what storage has beside it"
    ))
}

/// The lines that only `after` has, as the shortest difference between the two has them.
pub fn added_lines(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // An edit changes few lines in the middle, so that the table below stays small.
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    // For what is left of both: how many lines they have in common, in order.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, line) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            common[i][j] = match line == other {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut added) = (0, Vec::new());
    for (j, line) in new.iter().enumerate() {
        while i < old.len() && old[i] != *line && common[i + 1][j] == common[i][j] {
            i += 1;
        }
        if i < old.len() && old[i] == *line {
            i += 1;
        } else {
            added.push((*line).to_string());
        }
    }
    added.retain(|line| !line.trim().is_empty());
    added
}

/// A line of the configuration, for people: as it stands there, without what would steer a terminal.
pub(crate) fn escape_line(line: &str) -> String {
    format!("{:#}", Escaped(line.as_bytes()))
}

impl fmt::Display for RefusedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Display for KeepStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckUnused(path) => write!(f, "see that nobody uses {path}"),
            Self::Store(step) | Self::Cover(step) => write!(f, "{step}"),
            Self::CopyFrom { old_root, path, source } => {
                write!(f, "copy {path} of the old root {old_root} to {source}, and compare the two")
            }
            Self::WriteConfig { lines } => {
                write!(f, "write to the configuration:")?;
                lines.iter().try_for_each(|line| write!(f, "\n   + {}", escape_line(line)))
            }
            Self::Confirm(path) => {
                write!(f, "see that {path} is still what was copied, else copy it again")
            }
        }
    }
}

impl fmt::Display for KeepPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_numbered(f, &self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_are_told_are_those_that_come_or_go() {
        let list = "files = [\n  \"/a\",\n  \"/b\",\n  \"/c\",\n]\n";
        let without = "files = [\n  \"/b\",\n  \"/c\",\n]\n";
        assert_eq!(added_lines(without, list), ["  \"/a\","]);
        assert_eq!(added_lines(list, without), [""; 0]);
        assert_eq!(added_lines("a\nb\nc\nd", "a\nx\nc\n\ny\nd"), ["x", "y"]);
        assert_eq!(added_lines("a\nx\nc\ny\nd", "c\na\nd\nc"), ["a", "c"]);
        assert_eq!(added_lines("", "a\nb"), ["a", "b"]);
        assert_eq!(added_lines("a\nb", ""), [""; 0]);
    }
}
