//! The lock that every change needs. It is taken for moments (by an expiry after a boot, say), so who
//! finds it taken waits a little.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

use crate::{Error, Result};

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
            .mend("wait until it has ended and run the command again")),
        Err(error) => Err(Error::io(action(), error)),
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
    error.errno() == Some(Errno::WOULDBLOCK.raw_os_error())
}
