//! The steps of a rollback, in the words that `--dry-run` prints.

use std::fmt;

use backends::{Hold, Record, Tree, TreeName};

/// What a rollback will do, in order. It may be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Executed one after the other; the first that fails ends the run.
    pub steps: Vec<Step>,
    /// Live is an untouched copy of blank, so nothing has to be copied or swapped.
    pub already_fresh: bool,
    /// Live stays as it is for this boot, as this says.
    pub held: Option<Hold>,
}

impl Plan {
    /// Whether the plan changes the file system, and not only the stamp.
    pub fn changes_disk(&self) -> bool {
        self.steps.iter().any(|step| *step != Step::Stamp)
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this boot into the hold, so that it holds for no later one.
    UseHold(Hold),
    /// Remove a hold that an earlier boot has used.
    RemoveHold,
    /// Make a fresh copy of blank under the record's name.
    Prepare {
        /// The tree to copy.
        blank: Tree,
        /// What will be true of that name once the copy is swapped with live.
        record: Record,
        /// Where the copy will be.
        aside: TreeName,
    },
    /// Exchange live and the copy.
    Swap {
        /// The tree that is live until then.
        live: Tree,
        /// Where the copy is, and the old root will be.
        aside: TreeName,
    },
    /// Put live back to blank in place.
    Revert {
        /// The tree that is live.
        live: Tree,
        /// What it is to be.
        blank: Tree,
    },
    /// Let mounts that name no tree lead to what is live by now.
    MoveDefault {
        /// The name of live.
        live: TreeName,
    },
    /// Write down for this boot that the rollback was done.
    Stamp,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UseHold(_) => {
                f.write_str("write this boot into the hold, which is used up by that")
            }
            Self::RemoveHold => f.write_str("remove the hold, which an earlier boot has used up"),
            Self::Prepare { blank, aside, .. } => {
                write!(f, "make a fresh copy of `{}` as `{aside}`", blank.name)
            }
            Self::Swap { live, aside } => write!(
                f,
                "exchange `{live}` and `{aside}`: the copy becomes live, and live the old root",
                live = live.name
            ),
            Self::Revert { live, blank } => write!(
                f,
                "put `{}` back to `{}` in place: nothing that was written since is left",
                live.name, blank.name
            ),
            Self::MoveDefault { live } => {
                write!(f, "let mounts that name no tree lead to `{live}`")
            }
            Self::Stamp => f.write_str("write the stamp of this boot"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_some() {
            writeln!(f, "live stays as it is: this boot is held")?;
        }
        if self.already_fresh {
            writeln!(f, "live is a fresh copy of blank already")?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", at + 1)?;
        }
        Ok(())
    }
}
