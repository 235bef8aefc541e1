//! A temporary directory that is removed when the process ends, by a signal too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

use crate::error::{Error, Result, describe};
use crate::fault::change;

use super::shown;

/// What a terminal, a service manager or a closing session sends.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The directory. Whoever works in it holds it, so that a signal does not remove it halfway through
/// what is being made.
#[derive(Debug)]
pub struct DoomedDir {
    dir: Arc<Mutex<Option<TempDir>>>,
    path: PathBuf,
}

impl DoomedDir {
    /// Makes it in `parent`. From now on signals are dealt with here: to be called before any other
    /// thread starts, since threads inherit what they leave to this one.
    pub fn new(parent: &Path) -> Result<Self> {
        let signals: SigSet = SIGNALS.into_iter().collect();
        signals.thread_block().map_err(|e| Error::io("put off signals", e))?;
        let made = change("stage: make temporary directory", || {
            tempfile::Builder::new().prefix("blankroot-").tempdir_in(parent)
        });
        let made =
            made.map_err(|e| Error::io(format!("make a directory in {}", shown(parent)), e))?;
        let path = made.path().to_path_buf();
        let dir = Arc::new(Mutex::new(Some(made)));
        let watched = Arc::clone(&dir);
        let watch = move || {
            if let Ok(signal) = signals.wait() {
                end(&watched, signal);
            }
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(watch)
            .map_err(|e| Error::io("start the thread that waits for signals", e))?;
        Ok(Self { dir, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn hold(&self) -> MutexGuard<'_, Option<TempDir>> {
        hold(&self.dir)
    }

    /// Removes it now.
    pub fn close(self) -> Result<()> {
        remove(&mut self.hold(), &self.path)
    }
}

impl Drop for DoomedDir {
    fn drop(&mut self) {
        // Best effort, after a failure that was told already. The watching thread has the directory
        // too, so that it would not go by itself.
        let _ = remove(&mut self.hold(), &self.path);
    }
}

/// A panic elsewhere does not make the directory any less in need of removal.
fn hold(dir: &Mutex<Option<TempDir>>) -> MutexGuard<'_, Option<TempDir>> {
    dir.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(dir: &mut Option<TempDir>, path: &Path) -> Result<()> {
    let Some(dir) = dir.take() else { return Ok(()) };
    change("stage: remove temporary directory", || dir.close()).map_err(|e| {
        Error::new(format!("remove {}", shown(path)), describe(&e)).mend("remove it by hand")
    })
}

/// Ends the process as a shell reports a death by `signal`.
fn end(dir: &Mutex<Option<TempDir>>, signal: Signal) -> ! {
    let mut held = hold(dir);
    let path = held.as_ref().map(|dir| dir.path().to_path_buf()).unwrap_or_default();
    if let Err(error) = remove(&mut held, &path) {
        eprintln!("blankroot: {error}");
    }
    std::process::exit(128 + signal as i32)
}
