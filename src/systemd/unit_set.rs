//! What the generator writes, as data: units, what starts them, and the names that several of them share.

use dirfd::TreePath;

/// Makes sources and targets, so that mounts find them.
pub(crate) const PREPARE: &str = "blankroot-prepare.service";
/// Does what is not a mount or was not mounted, and tells what failed.
pub(crate) const APPLY: &str = "blankroot-apply.service";
/// Adopts at shutdown.
pub(crate) const ADOPT: &str = "blankroot-adopt.service";
/// Writes down at shutdown what the boot made, where the root starts empty.
pub(crate) const DIGEST: &str = "blankroot-digest.service";
/// Restores the root, in the initrd.
pub(crate) const ROLLBACK: &str = "blankroot-rollback.service";
/// Completes what a rollback that was interrupted had begun, in the initrd, before it looks for a root.
pub(crate) const FINISH: &str = "blankroot-finish.service";
/// Puts early kept paths in their places, in the initrd.
pub(crate) const IN_INITRD: &str = "blankroot-in-initrd.service";
/// The directory below the root in which a file with a mount unit's name keeps that unit from
/// mounting: its target has data that the mount would hide.
pub(crate) const HELD: &str = "run/blankroot/held";
/// The directory below the root in which a file with a mount unit's name says that this boot has
/// linked the path although nothing says so.
pub(crate) const LINKED: &str = "run/blankroot/linked";

/// One file of a unit directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, relative to the directory.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// All that the generator writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Unit files and drop-ins, in the order in which they are written.
    pub files: Vec<Unit>,
    /// What starts them.
    pub(crate) links: Vec<Link>,
    /// Mounts that no unit can express; `apply` makes them after all others.
    pub left: Vec<Left>,
    /// Mounts that are fstab's.
    pub(crate) by_fstab: Vec<Left>,
}

/// What makes the boot start a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The directory `OTHER.wants` or `OTHER.requires`.
    pub(crate) dir: &'static str,
    /// The unit that `OTHER` needs.
    pub(crate) unit: String,
}

/// A mount without a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it belongs.
    pub path: TreePath,
    /// Why it has no unit.
    pub(crate) why: String,
}
