//! Plans how kept paths get into storage, and how live leads to them again after a rollback: keep
//! list + what is there → steps. Pure, as all plans are.

use std::collections::BTreeSet;
use std::fmt;

use backends::TreePath;
use backends::path::Escaped;

use crate::config::EntryKind;
use crate::keep::KeepEntry;

/// What will be done for the keep list, in order. There may be nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepPlan {
    /// Executed one after the other; the first that fails ends the run.
    pub steps: Vec<KeepStep>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepStep {
    /// Copy a directory of live to its place in storage, and compare the two.
    Copy {
        /// The directory in live.
        path: TreePath,
        /// The storage, as seen on the machine.
        storage: TreePath,
        /// Where in the storage its data will be; nothing has that name yet.
        data: TreePath,
    },
    /// Make a link in live that leads to the data in storage.
    Link {
        /// Where the link will be; nothing has that name yet.
        path: TreePath,
        /// What it says.
        target: Vec<u8>,
    },
}

impl fmt::Display for KeepStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { path, storage, data } => {
                write!(f, "copy {path} to {storage}{data}, and compare the two")
            }
            Self::Link { path, target } => write!(f, "link {path} to {}", Escaped(target)),
        }
    }
}

/// Plans to bring kept paths into storage. `stored` are the paths whose data is there already.
///
/// The error completes "cannot keep …".
pub fn move_in(list: &[KeepEntry], stored: &BTreeSet<TreePath>) -> Result<KeepPlan, String> {
    let missing = list.iter().filter(|entry| !stored.contains(&entry.path));
    let steps = missing.map(|entry| match entry.kind {
        EntryKind::Dir => Ok(KeepStep::Copy {
            path: entry.path.clone(),
            storage: entry.storage.clone(),
            data: entry.data.clone(),
        }),
        EntryKind::File => Err(format!("{}: a single file cannot be moved yet", entry.path)),
    });
    Ok(KeepPlan { steps: steps.collect::<Result<_, _>>()? })
}

/// Plans to make live lead to storage. `there` are the kept paths that live has already.
pub fn lead_to(list: &[KeepEntry], there: &BTreeSet<TreePath>) -> KeepPlan {
    let missing = list.iter().filter(|entry| !there.contains(&entry.path));
    let link = |entry: &KeepEntry| KeepStep::Link {
        path: entry.path.clone(),
        target: relative(&entry.path, &entry.source()),
    };
    KeepPlan { steps: missing.map(link).collect() }
}

/// The way from the directory that holds `link` to `target`: so the link is right wherever live is
/// mounted. No directory on the way to `link` may be a link itself.
fn relative(link: &TreePath, target: &TreePath) -> Vec<u8> {
    let depth = link.as_bytes().iter().filter(|&&byte| byte == b'/').count();
    [b"../".repeat(depth).as_slice(), target.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::keep;

    fn entries(lists: &str) -> Vec<KeepEntry> {
        let text =
            format!("[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n{lists}");
        keep::list(&Config::parse(Path::new("f"), text.as_bytes()).unwrap())
    }

    fn shown(plan: &KeepPlan) -> Vec<String> {
        plan.steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_done_already_is_not_planned_again() {
        let list = entries("directories = [\"/var/lib/a b\", \"/srv\"]");
        let all = BTreeSet::new();
        assert_eq!(
            shown(&move_in(&list, &all).unwrap()),
            [
                "copy /srv to /persist/srv, and compare the two",
                "copy /var/lib/a b to /persist/var/lib/a b, and compare the two"
            ]
        );
        assert_eq!(
            shown(&lead_to(&list, &all)),
            ["link /srv to persist/srv", "link /var/lib/a b to ../../persist/var/lib/a b"]
        );
        let done: BTreeSet<TreePath> = list.iter().map(|entry| entry.path.clone()).collect();
        assert_eq!(move_in(&list, &done), Ok(KeepPlan::default()));
        assert_eq!(lead_to(&list, &done), KeepPlan::default());
    }

    #[test]
    fn a_single_file_is_refused_by_name() {
        let why = move_in(&entries("files = [\"/etc/machine-id\"]"), &BTreeSet::new());
        assert_eq!(why, Err("/etc/machine-id: a single file cannot be moved yet".to_string()));
    }
}
