//! What a directory or file has beside its owner and mode: extended attributes, access control lists
//! among them, and flags.

use std::io;
use std::os::fd::BorrowedFd;

use backends::inode_flags::InodeFlags;
use backends::xattrs::{self, Values};

/// All that there is to tell of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Extended attributes.
    pub xattrs: Values,
    /// Flags; `None` where they cannot be told. Without those that keep everybody from writing (`+i`,
    /// `+a`): they protect the bare place of a mount, not the data that is mounted there.
    pub flags: Option<InodeFlags>,
}

impl Attributes {
    /// Of something that is open for its path, and for reading if that is allowed: flags are told of
    /// nothing else.
    pub fn of(path: BorrowedFd<'_>, reading: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let flags = reading.map(InodeFlags::of).transpose()?.flatten();
        Ok(Self { xattrs: xattrs::of_open(path)?, flags: flags.map(InodeFlags::without_locks) })
    }

    /// The same without what says who gets in, where a declared mode does.
    pub fn without_access_lists(mut self) -> Self {
        self.xattrs.retain(|(name, _)| !is_access_list(name.to_bytes()));
        self
    }

    /// The same without what root alone can give.
    pub fn for_anybody(mut self) -> Self {
        self.xattrs.retain(|(name, _)| is_access_list(name.to_bytes()));
        self
    }

    /// Gives them to something that was made a moment ago and has no name yet.
    pub fn give(&self, made: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(flags) = self.flags {
            // Where it is made there may be no such flags: it can do without.
            flags.give(made)?;
        }
        xattrs::set_on_open(made, &self.xattrs)
    }
}

fn is_access_list(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}
