//! Which entries are mounts at boot, decided without a look at storage, which may not be mounted yet.

use crate::config::{EntryKind, How};
use crate::keep::KeepEntry;
use crate::known::Known;

/// What a boot makes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A bind mount, since the list or what is known of the path says so.
    Bind,
    /// A bind mount, unless there is no data in storage or a link there already: nothing was said.
    BindIfThere,
    /// A link, which is not systemd's to make.
    Link,
}

impl Way {
    /// Decides for one entry.
    pub fn of(entry: &KeepEntry) -> Self {
        let known = || entry.known().and_then(Known::how);
        match entry.how.or_else(known) {
            Some(How::Bind) => Self::Bind,
            Some(How::Symlink) => Self::Link,
            None => Self::BindIfThere,
        }
    }
}

/// Whether the initrd has set the entry up before any unit of the root runs.
pub fn in_initrd(entry: &KeepEntry) -> bool {
    let known = || entry.known().is_some_and(|known| known.early);
    entry.in_initrd.unwrap_or_else(known)
}

/// The condition that finds data of this kind.
pub fn condition(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Dir => "ConditionPathIsDirectory",
        EntryKind::File => "ConditionPathExists",
    }
}
