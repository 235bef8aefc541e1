//! A temporary directory that is removed when the process ends, by a signal too.

use dirfd::path::Escaped;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::{Error, Result};
use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

/// What a terminal, a service manager or a closing session sends.
const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What the thread that works and the one that waits for signals have in common.
#[derive(Debug)]
pub struct Shared {
    dir: Mutex<Option<TempDir>>,
    /// A signal has come.
    ending: AtomicBool,
}

impl Shared {
    /// Waits for a turn, forever if a signal has come: a lock alone could be taken again and again
    /// by the one who has it.
    pub fn hold(&self) -> MutexGuard<'_, Option<TempDir>> {
        loop {
            let held = self.lock();
            if !self.ending.load(Ordering::Acquire) {
                return held;
            }
            drop(held);
            thread::park();
        }
    }

    /// A panic elsewhere does not make the directory any less in need of removal.
    fn lock(&self) -> MutexGuard<'_, Option<TempDir>> {
        self.dir.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process as a shell reports a death by `signal`.
    fn end(&self, signal: Signal) -> ! {
        self.ending.store(true, Ordering::Release);
        let mut held = self.lock();
        let path = held.as_ref().map(|dir| dir.path().to_path_buf()).unwrap_or_default();
        if let Err(error) = remove(&mut held, &path) {
            // Nobody is left to tell that standard error is closed.
            let _ = writeln!(io::stderr(), "blankroot: {error}");
        }
        std::process::exit(128 + signal as i32)
    }
}

/// The directory. Whoever works in it holds it, so that a signal does not remove it halfway through
/// what is being made.
#[derive(Debug)]
pub struct DoomedDir {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl DoomedDir {
    /// Makes it in `parent`. From now on signals are dealt with here: to be called before any other
    /// thread starts, since threads inherit what they leave to this one.
    pub fn new(parent: &Path) -> Result<Self> {
        let signals: SigSet = SIGNALS.into_iter().collect();
        signals.thread_block().map_err(|e| Error::io("put off signals", e))?;
        let made = change("stage: make temporary directory", || {
            tempfile::Builder::new().prefix("demo-").tempdir_in(parent)
        });
        let made = made.map_err(|e| {
            Error::io(format!("make a directory in {}", Escaped::of_path(parent)), e)
        })?;
        let path = made.path().to_path_buf();
        let shared = Arc::new(Shared { dir: Mutex::new(Some(made)), ending: false.into() });
        let watched = Arc::clone(&shared);
        let watch = move || {
            if let Ok(signal) = signals.wait() {
                watched.end(signal);
            }
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(watch)
            .map_err(|e| Error::io("start the thread that waits for signals", e))?;
        Ok(Self { shared, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lock that whoever works in it takes.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Removes it now.
    pub fn close(self) -> Result<()> {
        remove(&mut self.shared.hold(), &self.path)
    }
}

impl Drop for DoomedDir {
    fn drop(&mut self) {
        // Best effort, after a failure that was told already. The watching thread has the directory
        // too, so that it would not go by itself.
        let _ = remove(&mut self.shared.hold(), &self.path);
    }
}

fn remove(dir: &mut Option<TempDir>, path: &Path) -> Result<()> {
    let Some(dir) = dir.take() else { return Ok(()) };
    change("stage: remove temporary directory", || dir.close()).map_err(|e| {
        Error::new(format!("remove {}", Escaped::of_path(path)), describe(&e))
            .hint("remove it by hand")
    })
}
