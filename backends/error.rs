//! One shape for every failure: `cannot <do what> <to what>: <why>`, and the mend on its own line.

use std::fmt;
use std::io;

use crate::torn::{self, Torn};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure that names what was tried, on what, why it failed and, where known, the mend.
#[derive(Debug)]
pub struct Error {
    action: String,
    why: String,
    errno: Option<i32>,
    mend: Option<String>,
    torn: bool,
}

impl Error {
    /// `action` completes "cannot …" and names its object: `open /dev/sda2`.
    pub fn new(action: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { action: action.into(), why: why.to_string(), errno: None, mend: None, torn: false }
    }

    /// The same for a failed system call; keeps its errno for those who must tell errors apart. What
    /// is denied to somebody else than root has a mend already.
    pub fn io(action: impl Into<String>, why: impl Into<io::Error>) -> Self {
        let why = why.into();
        let torn = Torn::is(&why);
        let denied =
            why.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root();
        let mend = match (torn, denied) {
            (true, _) => Some(torn::MEND.to_string()),
            (false, true) => Some("run it as root".to_string()),
            (false, false) => None,
        };
        Self { errno: why.raw_os_error(), torn, mend, ..Self::new(action, describe(&why)) }
    }

    /// Tells the reason in better words than the system's.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// The errno of the system call that failed, if one did.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// Whether what was looked at was being moved meanwhile; another look may find it whole.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Says that so many tries ended in the same way.
    pub(crate) fn each_of(mut self, tries: u32) -> Self {
        self.why = format!("{}, at each of {tries} tries", self.why);
        self
    }

    /// What the reader can do about it, if that is known.
    pub fn mend_text(&self) -> Option<&str> {
        self.mend.as_deref()
    }
}

/// An I/O error in words, without the "(os error N)" that helps nobody.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.action, self.why)?;
        match &self.mend {
            Some(mend) => write!(f, "\n  mend: {mend}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
