//! The lock that every change needs. It is taken for moments (by an expiry after a boot, say), so who
//! finds it taken waits a little.
//!
//! Whoever can open a file can lock it, for ever. So what is locked is something that only we can open:
//! the directory of old roots, or a file of that kind.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dirfd::cause::Cause;
use dirfd::fault::change;
use dirfd::{Error, Result};
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, ResolveFlags, flock};
use rustix::io::Errno;

/// How long to wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lock cannot be awaited with a limit.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock of an open file. `action` completes "cannot …".
pub(crate) fn take(file: BorrowedFd<'_>, action: impl Fn() -> String) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(Error::io(action(), Errno::WOULDBLOCK)
            .because("another blankroot is at work on it")
            .hint("wait until it has ended and run the command again")),
        Err(error) => Err(Error::io(action(), error)),
    }
}

/// Takes the lock of an open directory, and closes that to everybody else first, if it is not.
pub(crate) fn take_private(dir: BorrowedFd<'_>, action: impl Fn() -> String) -> Result<()> {
    make_private(dir).map_err(|why| Error::io(action(), why))?;
    take(dir, action)
}

/// Sees to it that nobody but us (and root) can open it from now on.
fn make_private(dir: BorrowedFd<'_>) -> io::Result<()> {
    let found = fs::fstat(dir)?;
    let own = rustix::process::geteuid();
    if found.st_uid != own.as_raw() {
        change("lock: take over", || Ok(fs::fchown(dir, Some(own), None)?))?;
    }
    if found.st_mode & 0o077 != 0 {
        change("lock: close to others", || Ok(fs::fchmod(dir, Mode::RWXU)?))?;
    }
    Ok(())
}

/// A locked file that is there only while it is locked.
#[derive(Debug)]
pub struct FileLock {
    dir: OwnedFd,
    name: OsString,
    _file: OwnedFd,
}

impl FileLock {
    /// Makes the file `name` in `dir`, which nobody else can open, and takes its lock.
    pub fn take(dir: BorrowedFd<'_>, name: &OsStr, action: impl Fn() -> String) -> Result<Self> {
        let failed = |why: io::Error| Error::io(action(), why);
        loop {
            let file = open_or_make(dir, name).map_err(failed)?;
            let found = fs::fstat(&file).map_err(|why| failed(why.into()))?;
            let is_ours = found.st_uid == rustix::process::geteuid().as_raw();
            let is_file = fs::FileType::from_raw_mode(found.st_mode) == fs::FileType::RegularFile;
            if !is_ours || !is_file || found.st_mode & 0o077 != 0 {
                let why = format!("`{}` was put there by somebody else", name.display());
                return Err(Error::new(action(), why).hint("look at it, and remove it"));
            }
            take(file.as_fd(), &action)?;
            // Who had it before may have removed it in between.
            match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino) => {
                    let dir = dir.try_clone_to_owned().map_err(failed)?;
                    return Ok(Self { dir, name: name.to_os_string(), _file: file });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(why) => return Err(failed(why.into())),
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Best effort: what is left of it is locked and removed by the next one.
        let _ = change("lock: remove file", || {
            Ok(fs::unlinkat(&self.dir, self.name.as_os_str(), AtFlags::empty())?)
        });
    }
}

fn open_or_make(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let open = |more, mode| fs::openat2(dir, name, flags | more, mode, resolve);
    loop {
        match open(OFlags::empty(), Mode::empty()) {
            Err(Errno::NOENT) => {}
            opened => return Ok(opened?),
        }
        let make = || Ok(open(OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?);
        match change("lock: make file", make) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
}

/// Does what needs the lock, again while another has it; `waiting` is called at the first time.
pub fn patiently<T>(mut lock: impl FnMut() -> Result<T>, waiting: impl FnOnce()) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    let mut waiting = Some(waiting);
    loop {
        match lock() {
            Err(error) if is_taken(&error) && Instant::now() < until => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn is_taken(error: &Error) -> bool {
    error.cause() == Cause::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn action() -> String {
        "do it".to_string()
    }

    #[test]
    fn a_file_is_there_while_it_is_locked_and_a_second_one_has_to_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (opened, name) = (File::open(dir.path()).unwrap(), OsStr::new(".a b.lock"));
        let take = || FileLock::take(opened.as_fd(), name, action);
        let first = take().unwrap();
        let mode = dir.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(is_taken(&take().unwrap_err()));
        drop(first);
        assert!(!dir.path().join(name).exists());
        // What a power cut has left is taken over.
        drop(open_or_make(opened.as_fd(), name).unwrap());
        drop(take().unwrap());
        assert!(!dir.path().join(name).exists());
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (opened, name) = (File::open(dir.path()).unwrap(), OsStr::new("lock"));
        let path = dir.path().join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = FileLock::take(opened.as_fd(), name, action).unwrap_err().to_string();
        assert!(refused.starts_with("cannot do it: `lock` was put there by somebody"), "{refused}");
        std::fs::remove_file(&path).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(FileLock::take(opened.as_fd(), name, action).is_err());
        assert!(path.is_symlink() && !dir.path().join("elsewhere").exists());
    }
}
