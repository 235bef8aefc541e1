//! The steps of `apply`, in the words that `--dry-run` prints.

use std::fmt;

use dirfd::TreePath;
use dirfd::path::Escaped;
use dirfd::stat::{Identity, Moment, SET_ID, Stat};

use crate::persist::create::InodeAttributes;
use crate::persist::mount_options::MountOptions;

/// An owner by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As in stat(2).
    pub(crate) uid: u32,
    /// As in stat(2).
    pub(crate) gid: u32,
}

/// What an empty file or directory, or a link, is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSpec {
    /// An empty directory.
    Dir(Owner, u16),
    /// An empty file.
    File(Owner, u16),
    /// A symbolic link.
    Link {
        /// What it says.
        target: Vec<u8>,
        /// The data that it leads to.
        source: TreePath,
    },
}

/// Identifies what may be removed: it must not have changed since it was probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    /// As in stat(2).
    pub(crate) inode: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// Time of the last change of its content: seconds and nanoseconds.
    pub(crate) modified: (i64, u32),
}

impl FileFingerprint {
    /// What was looked at.
    pub(crate) fn of(stat: &Stat) -> Self {
        let facts = &stat.facts;
        Self { inode: stat.inode, size: facts.size, modified: (facts.mtime, facts.mtime_nanos) }
    }
}

/// What gets another owner or mode: it must be what was looked at, and not another that has come to
/// its name since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedFile {
    /// Which file it is; `None` if it is a copy that the steps before make.
    pub(crate) file: Option<(Identity, Option<Moment>)>,
    /// The owner that it has.
    pub(crate) owner: Owner,
    /// The mode that it has.
    pub(crate) mode: u16,
}

impl ExpectedFile {
    /// What was looked at.
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { file: Some((stat.identity(), stat.born)), ..Self::copy_of(stat) }
    }

    /// A copy of what was looked at.
    pub(crate) fn copy_of(stat: &Stat) -> Self {
        let facts = &stat.facts;
        let owner = Owner { uid: facts.uid, gid: facts.gid };
        Self { file: None, owner, mode: facts.mode }
    }

    /// Whether this is what was looked at, as it was then.
    pub(crate) fn matches(&self, stat: &Stat) -> bool {
        match self.file {
            Some(_) => *self == Self::of(stat),
            // A copy may lack set-user-ID bits, which some mounts do not grant.
            None => {
                let Self { file: _, owner, mode } = Self::copy_of(stat);
                owner == self.owner && mode & !SET_ID == self.mode & !SET_ID
            }
        }
    }
}

/// One step. Every path is on the machine, below its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyStep {
    /// Make what is not there.
    Make {
        /// Nothing has this name yet.
        path: TreePath,
        /// What it will be.
        spec: FileSpec,
        /// What else it has of the one that it is made after.
        attributes: Option<InodeAttributes>,
    },
    /// Give a declared owner, a declared mode, or both.
    Enforce {
        /// What has another one.
        path: TreePath,
        /// What was found there.
        found: ExpectedFile,
        /// The owner to be.
        owner: Option<Owner>,
        /// The mode to be.
        mode: Option<u16>,
    },
    /// Finish an exchange that was cut short: what is whole gets the name that nothing has.
    Name {
        /// The name that it has.
        path: TreePath,
        /// The name that it was to get, in storage.
        source: TreePath,
    },
    /// Copy what live has into storage, and compare the two.
    Adopt {
        /// What live has.
        path: TreePath,
        /// Its place in storage.
        source: TreePath,
        /// Whether storage has something there, which then gets a name of a leftover.
        sets_aside: bool,
    },
    /// Exchange what holds nothing that would be lost for something else, and leave it beside.
    Replace {
        /// What is in the way.
        path: TreePath,
        /// What will be there instead.
        spec: FileSpec,
        /// What is in the way and can go, since blank or storage has it too, or it is empty; anything
        /// else stays beside it.
        removable: Option<FileFingerprint>,
    },
    /// Remove a link that leads to the data already, to make room for a mount.
    Unlink {
        /// Path of the link.
        path: TreePath,
        /// What it says.
        target: Vec<u8>,
        /// The data that it leads to.
        source: TreePath,
    },
    /// Mount data in storage over an empty place.
    Bind {
        /// Path of the data in storage.
        source: TreePath,
        /// Path on the machine.
        path: TreePath,
        /// What the mount allows.
        options: MountOptions,
    },
    /// Mount data in storage where a link leads to it already.
    Cover {
        /// Path of the link.
        link: TreePath,
        /// What it says.
        target: Vec<u8>,
        /// The empty place that is made for the mount.
        spec: FileSpec,
        /// Path of the data in storage.
        source: TreePath,
        /// The place of the link, as it is seen by then.
        path: TreePath,
        /// What the mount allows.
        options: MountOptions,
    },
    /// Note on data in storage that it is to be linked, since its program replaces what is mounted.
    Remember {
        /// Path of the data in storage.
        source: TreePath,
        /// Path on the machine.
        path: TreePath,
    },
    /// Change what a mount allows.
    SetOptions {
        /// Where it is mounted.
        path: TreePath,
        /// What it is to allow.
        options: MountOptions,
    },
}

impl ApplyStep {
    /// The path that the step changes.
    pub fn path(&self) -> &TreePath {
        match self {
            Self::Make { path, .. }
            | Self::Enforce { path, .. }
            | Self::Replace { path, .. }
            | Self::Unlink { path, .. }
            | Self::Bind { path, .. }
            | Self::Cover { path, .. }
            | Self::SetOptions { path, .. } => path,
            Self::Name { source, .. }
            | Self::Adopt { source, .. }
            | Self::Remember { source, .. } => source,
        }
    }

    /// Every path that must be as planned before the step makes sense. Nothing that shows data may
    /// give way before what shows it next has all of it.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &TreePath> {
        let other = match self {
            Self::Bind { source, .. }
            | Self::Cover { source, .. }
            | Self::Unlink { source, .. }
            | Self::Make { spec: FileSpec::Link { source, .. }, .. }
            | Self::Replace { spec: FileSpec::Link { source, .. }, .. } => Some(source),
            Self::Adopt { path, .. } => Some(path),
            _ => None,
        };
        [self.path()].into_iter().chain(other)
    }
}

impl fmt::Display for FileSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, Owner { uid, gid }, mode) = match self {
            Self::Dir(owner, mode) => ("directory", owner, mode),
            Self::File(owner, mode) => ("empty file", owner, mode),
            Self::Link { target, .. } => return write!(f, "link to {}", Escaped(target)),
        };
        write!(f, "{kind} ({uid}:{gid}, {mode:04o})")
    }
}

impl fmt::Display for ApplyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { path, spec, attributes } => {
                write!(f, "make {path}: {spec}")?;
                let xattrs = attributes.iter().flat_map(|attributes| &attributes.xattrs);
                for (at, (name, _)) in xattrs.enumerate() {
                    let before = if at == 0 { " with" } else { "," };
                    write!(f, "{before} {}", Escaped(name.to_bytes()))?;
                }
                Ok(())
            }
            Self::Enforce { path, owner, mode, .. } => match (owner, mode) {
                (Some(Owner { uid, gid }), Some(mode)) => {
                    write!(f, "give {path} to {uid}:{gid}, with mode {mode:04o}")
                }
                (Some(Owner { uid, gid }), None) => write!(f, "give {path} to {uid}:{gid}"),
                (None, Some(mode)) => write!(f, "set the mode of {path} to {mode:04o}"),
                (None, None) => write!(f, "leave {path} as it is"),
            },
            Self::Name { path, source } => {
                write!(f, "give {path}, which an interrupted run has left, its name {source}")
            }
            Self::Adopt { path, source, sets_aside } => {
                write!(f, "copy {path} to {source}, and compare the two")?;
                if *sets_aside {
                    write!(f, "; what is there stays beside it, as a leftover")?;
                }
                Ok(())
            }
            Self::Replace { path, spec, removable: None } => {
                write!(f, "put in the place of {path}: {spec}; what is there stays beside it")
            }
            Self::Replace { path, spec, removable: Some(_) } => {
                write!(f, "put in the place of {path}: {spec}")
            }
            Self::Unlink { path, target, .. } => {
                write!(f, "remove the link {path} to {}", Escaped(target))
            }
            Self::Bind { source, path, .. } => write!(f, "mount {source} at {path}"),
            Self::Cover { source, path, .. } => {
                write!(f, "mount {source} at {path}, in the place of the link to it")
            }
            Self::Remember { path, .. } => {
                write!(f, "remember that {path} is a link, which its program replaces")
            }
            Self::SetOptions { path, .. } => {
                write!(f, "change the options of the mount at {path} to those declared")
            }
        }
    }
}
