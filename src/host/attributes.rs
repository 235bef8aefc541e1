//! What a directory or file has beside its owner and mode: extended attributes, access control lists
//! among them, and flags.

use std::io;
use std::os::fd::BorrowedFd;

use backends::fault::change;
use backends::xattrs::{self, Values};
use rustix::fs::{self, IFlags};
use rustix::io::Errno;

/// The flags that what is made in a directory's place has, too. Those that keep everybody from
/// writing (`+i`, `+a`) protect the bare place of a mount, not the data that is mounted there.
const FLAGS: IFlags = IFlags::NOCOW
    .union(IFlags::COMPRESSED)
    // `FS_NOCOMP_FL` (linux/fs.h), the `m` of chattr(1).
    .union(IFlags::from_bits_retain(0x400))
    .union(IFlags::SYNC)
    .union(IFlags::DIRSYNC)
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME);

/// All that there is to tell of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Extended attributes.
    pub xattrs: Values,
    /// Flags; `None` where they cannot be told.
    pub flags: Option<IFlags>,
}

impl Attributes {
    /// Of something that is open for its path, and for reading if that is allowed: flags are told of
    /// nothing else.
    pub fn of(path: BorrowedFd<'_>, reading: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let flags = match reading.map(fs::ioctl_getflags) {
            Some(Ok(flags)) => Some(flags & FLAGS),
            None => None,
            Some(Err(why)) if has_none(why) => None,
            Some(Err(why)) => return Err(why.into()),
        };
        Ok(Self { xattrs: xattrs::of_open(path)?, flags })
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
        xattrs::set_on_open(made, &self.xattrs)?;
        let Some(wanted) = self.flags else { return Ok(()) };
        let there = match fs::ioctl_getflags(made) {
            Ok(flags) => flags,
            // Where it is made there are no flags: it can do without.
            Err(why) if has_none(why) => return Ok(()),
            Err(why) => return Err(why.into()),
        };
        if there & FLAGS == wanted {
            return Ok(());
        }
        match change("apply: set flags", || {
            Ok(fs::ioctl_setflags(made, (there & !FLAGS) | wanted)?)
        }) {
            Err(why) if Errno::from_io_error(&why).is_some_and(has_none) => Ok(()),
            done => done,
        }
    }
}

fn is_access_list(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}

/// Whether a file system has no flags, or not this one.
fn has_none(why: Errno) -> bool {
    matches!(why, Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL)
}
