//! Why a call failed, as far as anybody tells one reason from another.

use std::io;

use rustix::io::Errno;

/// The reason of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing has the name.
    NotFound,
    /// Something on the way, or at its end, is no directory.
    NotADirectory,
    /// It is a directory.
    IsADirectory,
    /// A symbolic link is on the way, or at its end.
    Link,
    /// It lies on another file system.
    OtherFileSystem,
    /// The mode forbids it.
    Denied,
    /// It takes a right that the process lacks, or a flag of the file forbids it to everybody.
    NotPermitted,
    /// Somebody uses it.
    Busy,
    /// It would have to wait: for a lock, or for data.
    WouldBlock,
    /// There is no room left, on the disk or within a quota.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The kernel has no such device, or no such type of file system.
    NoDevice,
    /// The file system does not know the call.
    Unsupported,
    /// The file system does not know the call, or these are no arguments of it.
    Invalid,
    /// It is more than fits.
    TooBig,
    /// Any other, or none of the system's.
    Other,
}

impl Cause {
    /// The reason of this error.
    pub fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOENT) => Self::NotFound,
            Some(Errno::NOTDIR) => Self::NotADirectory,
            Some(Errno::ISDIR) => Self::IsADirectory,
            Some(Errno::LOOP) => Self::Link,
            Some(Errno::XDEV) => Self::OtherFileSystem,
            Some(Errno::ACCESS) => Self::Denied,
            Some(Errno::PERM) => Self::NotPermitted,
            Some(Errno::BUSY) => Self::Busy,
            Some(Errno::WOULDBLOCK) => Self::WouldBlock,
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full,
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::NODEV) => Self::NoDevice,
            Some(Errno::NOTSUP) => Self::Unsupported,
            Some(Errno::INVAL) => Self::Invalid,
            Some(Errno::TOOBIG) => Self::TooBig,
            _ => Self::Other,
        }
    }

    /// Whether a path leads to nothing: nothing has it, and no link may be followed on the way to it.
    pub fn leads_nowhere(self) -> bool {
        matches!(self, Self::NotFound | Self::NotADirectory | Self::Link)
    }
}
