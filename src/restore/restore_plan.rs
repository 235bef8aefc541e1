//! What a `restore` will do, as data: what `--dry-run` prints and a run executes.

use std::fmt;

use dirfd::TreePath;
use dirfd::inode_flags::flag_letters;
use rustix::fs::IFlags;

use crate::persist::step::ApplyStep;
use crate::steps::write_numbered;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreStep {
    /// Make a parent as the old root has it, or give its name to what is whole and lacks it.
    Prepare(ApplyStep),
    /// Copy a path of an old root, and give the copy its name once it is whole and durable.
    Copy {
        /// The old root.
        old_root: String,
        /// The path in it.
        path: TreePath,
        /// Where the copy goes.
        to: TreePath,
        /// The name that what is there gets; `None` where nothing is.
        set_aside: Option<TreePath>,
    },
    /// Exchange what is there with the whole copy that an interrupted run has made beside it.
    Exchange {
        /// Where the copy goes, and the present one comes from.
        to: TreePath,
        /// Where the copy is, and the present one goes.
        copy: TreePath,
    },
    /// Give a copy the flags that forbid changes to it, which it gets last.
    Lock {
        /// The copy, which is in its place.
        to: TreePath,
        /// The flags.
        locks: IFlags,
    },
}

/// What will be done, in order.
#[derive(Clone, Debug, Default)]
pub struct RestorePlan {
    /// The first that fails ends the run.
    pub(crate) steps: Vec<RestoreStep>,
    /// All places that it is about, those with nothing to do among them.
    pub(crate) places: Vec<TreePath>,
    /// What is done already.
    pub(crate) there: Vec<String>,
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
}

impl fmt::Display for RestoreStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(step) => write!(f, "{step}"),
            Self::Copy { old_root, path, to, set_aside } => {
                write!(f, "restore {path} of the old root {old_root}")?;
                if path != to {
                    write!(f, " as {to}")?;
                }
                match set_aside {
                    Some(aside) => write!(f, ", and set the present one aside as {aside}"),
                    None => Ok(()),
                }
            }
            Self::Exchange { to, copy } => {
                write!(
                    f,
                    "exchange {to} with {copy}, the copy that an interrupted run has made, so that the \
                     present one is set aside"
                )
            }
            Self::Lock { to, locks } => {
                let letters = flag_letters(*locks);
                write!(
                    f,
                    "give {to} the flags +{letters}, to which an interrupted run did not come"
                )
            }
        }
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_numbered(f, &self.steps)
    }
}
