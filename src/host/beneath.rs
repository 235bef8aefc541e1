//! Opening below a root where somebody else may control a parent: no link is followed, and nothing
//! above the root is reached, whatever is renamed meanwhile.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens `path` below `root`. A link on the way is `ELOOP`; one at the end too, unless `flags` have
/// `PATH` and `NOFOLLOW`.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..32 {
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // A rename anywhere meanwhile makes the kernel ask for another try (openat2(2)).
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}
