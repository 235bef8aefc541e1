//! A directory that only root can enter, in which a copy is built: whoever controls the directory that
//! the copy is for can neither look into it nor swap what is in it before it has its name.
//!
//! It lies at the top of the tree that the copy is for, so that a rename leads out of it. A crash
//! leaves it there. A mark that root alone can set tells that it is ours, with its name, owner and mode,
//! and nothing in it is anybody's only copy, so that the next command that copies removes it. Where the
//! file system takes no such marks, it stays.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::directory_walker::{self, open_dir};
use crate::fault::change;
use crate::open_file::check_made;
use crate::remove::remove_tree;
use crate::stat::{Place, Stat, of_open};
use crate::{Error, Facts, FileType, Result, atomic_file, xattrs};

/// What it is a temporary name of.
const NAME: &str = "blankroot";
/// Whoever can delete its name could do so each time.
const TRIES: u32 = 16;
/// No path is deeper while nobody moves directories to keep this from its end.
const DEPTH: u32 = 1 << 16;

/// One of them, empty but for what its owner makes in it.
#[derive(Debug)]
pub struct PrivateDir {
    top: OwnedFd,
    name: CString,
    /// Locked for as long as it is open.
    dir: OwnedFd,
}

impl PrivateDir {
    /// Makes one from which things can be renamed into the directory `to`, which lies in `base`: in
    /// `base`, or in the root directory of the mount or subvolume that `to` is in.
    pub fn make(to: BorrowedFd<'_>, base: BorrowedFd<'_>) -> io::Result<Self> {
        let top = top_of(to, base)?;
        for _ in 0..TRIES {
            let name = atomic_file::unused(top.as_fd(), OsStr::new(NAME))?;
            let name = CString::new(name.as_bytes())?;
            let made = change("copy: make private directory", || {
                Ok(fs::mkdirat(&top, name.as_c_str(), Mode::RWXU)?)
            });
            match made {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            match lock(top.as_fd(), &name)? {
                Some(dir) => {
                    let made = Self { top, name, dir };
                    if let Err(why) = made.prepare() {
                        // Best effort: if it is empty, the next command removes it.
                        let _ = made.remove();
                        return Err(why);
                    }
                    return Ok(made);
                }
                // Somebody took it for one that a crash had left.
                None => continue,
            }
        }
        Err(Errno::AGAIN.into())
    }

    fn prepare(&self) -> io::Result<()> {
        // No call both makes and opens it, and another one of root's could have its name by now.
        if !is_empty(self.as_fd())? {
            return Err(io::Error::other("somebody else changed it at the same moment"));
        }
        // What a parent hands down would be handed on to all that is made in it.
        xattrs::set_on_open(self.as_fd(), &xattrs::Values::new())?;
        fs::fchmod(&self.dir, Mode::RWXU)?;
        xattrs::mark_as_private(self.as_fd())
    }

    /// Removes it; it must be empty.
    pub fn remove(self) -> io::Result<()> {
        let place = Place { dir: self.top.as_fd(), name: &self.name };
        if !place.stat()?.is_same_file(&of_open(self.dir.as_fd())?) {
            return Err(Errno::STALE.into());
        }
        change("copy: remove private directory", || {
            Ok(fs::unlinkat(&self.top, self.name.as_c_str(), AtFlags::REMOVEDIR)?)
        })
    }
}

impl AsFd for PrivateDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Whether a name, and what the kernel tells of what has it, are those of such a directory.
pub fn is_one(name: &[u8], facts: &Facts) -> bool {
    let (file_type, uid, mode) = (facts.file_type, facts.uid, facts.mode);
    (file_type, uid, mode & 0o777) == (FileType::Dir, 0, 0o700) && has_its_name(name)
}

/// Whether a name is one that such a directory gets.
pub fn has_its_name(name: &[u8]) -> bool {
    atomic_file::stem(OsStr::from_bytes(name)).is_some_and(|stem| stem == NAME)
}

/// Removes those that crashes have left where [`PrivateDir::make`] makes one for `to`. One that is in
/// use stays.
pub fn remove_left_behind(to: BorrowedFd<'_>, base: BorrowedFd<'_>) -> Result<()> {
    let failed = |why| Error::io("look for what interrupted copies left", why);
    let top = top_of(to, base).map_err(failed)?;
    let readable = open_dir(top.as_fd(), c".").map_err(failed)?;
    for name in directory_walker::list_names(readable.as_fd()).map_err(failed)? {
        if !has_its_name(name.to_bytes()) {
            continue;
        }
        // What is not ours is left alone, whatever its name.
        let Ok(Some(dir)) = lock(top.as_fd(), &name) else { continue };
        if xattrs::is_marked_as_private(dir.as_fd()).map_err(failed)? {
            let stat = of_open(dir.as_fd()).map_err(failed)?;
            remove_tree(top.as_fd(), &name, &stat)?;
            continue;
        }
        // Without a mark an empty one goes, which whoever could give it that name could remove, too.
        let remove = || Ok(fs::unlinkat(&top, name.as_c_str(), AtFlags::REMOVEDIR)?);
        match change("copy: remove private directory", remove) {
            Err(why) if why.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => removed.map_err(failed)?,
        }
    }
    Ok(())
}

/// Opens one, looks whether it is ours, and locks it; `None` if another process has it, or has removed
/// it. Nobody else can open it, and so nobody else can lock it.
fn lock(top: BorrowedFd<'_>, name: &CString) -> io::Result<Option<OwnedFd>> {
    let dir = match open_dir(top, name) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    check_made(dir.as_fd(), FileType::Dir)?;
    // A default access control list may have taken rights away from its owner, too.
    if of_open(dir.as_fd())?.facts.mode & 0o077 != 0 {
        return Err(io::Error::other("somebody else changed it at the same moment"));
    }
    match fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    match (Place { dir: top, name }).stat() {
        Ok(now) if now.is_same_file(&of_open(dir.as_fd())?) => Ok(Some(dir)),
        Ok(_) => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

fn is_empty(dir: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(directory_walker::list_names(dir)?.is_empty())
}

/// Goes up from `to` as far as `base`, and no further than a rename leads.
fn top_of(to: BorrowedFd<'_>, base: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = of_open(base)?;
    let mut top = fs::openat(to, c".", flags, Mode::empty())?;
    for _ in 0..DEPTH {
        let here = of_open(top.as_fd())?;
        let above = fs::openat(&top, c"..", flags | OFlags::NOFOLLOW, Mode::empty())?;
        if here.is_same_file(&base) || !is_one_tree(&here, &of_open(above.as_fd())?) {
            return Ok(top);
        }
        top = above;
    }
    Err(Errno::AGAIN.into())
}

/// A subvolume has a device of its own; the root directory is its own parent.
fn is_one_tree(here: &Stat, above: &Stat) -> bool {
    !here.is_same_file(above) && (here.mount, here.device) == (above.mount, above.device)
}
