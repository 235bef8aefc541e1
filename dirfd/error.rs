//! One shape for every failure: `cannot <do what> <to what>: <why>`, and the hint on its own line.

use std::{fmt, io};

use crate::TreePath;
use crate::cause::Cause;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure that names what was tried, on what, why it failed and, where known, the hint.
#[derive(Debug)]
pub struct Error {
    action: String,
    why: String,
    cause: Cause,
    hint: Option<String>,
    torn: bool,
}

impl Error {
    /// `action` completes "cannot …" and names its object: `open /dev/sda2`.
    pub fn new(action: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            action: action.into(),
            why: why.to_string(),
            cause: Cause::Other,
            hint: None,
            torn: false,
        }
    }

    /// The same for a failed system call; keeps its cause for those who must tell errors apart. What
    /// is denied to somebody else than root has a hint already.
    pub fn io(action: impl Into<String>, why: impl Into<io::Error>) -> Self {
        let why = why.into();
        let torn = Torn::is(&why);
        let denied =
            why.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root();
        let hint = match (torn, denied) {
            (true, _) => Some(HINT.to_string()),
            (false, true) => Some("run it as root".to_string()),
            (false, false) => None,
        };
        Self { cause: Cause::of(&why), torn, hint, ..Self::new(action, describe(&why)) }
    }

    /// Tells the reason in better words than the system's.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why the system call failed, if one did.
    pub fn cause(&self) -> Cause {
        self.cause
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
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
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
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

// What was seen of a tree whose directories were being moved, so that it never was as it was seen: noticed,
// and looked at again.

/// How often in all a tree is looked at.
const TRIES: u32 = 5;
/// What whoever sees it can do.
pub const HINT: &str = "run it again once nothing moves directories there";

/// A directory was found below itself, or in two places, or in none. In a tree that holds still each is in
/// one, so who notices it goes no further: a way down that leads back to itself would have no end.
#[derive(Debug)]
pub struct Torn {
    /// The directory, where its path is not told otherwise.
    at: Option<TreePath>,
}

impl Torn {
    /// The error of who is told the path by others.
    pub fn here() -> io::Error {
        io::Error::other(Self { at: None })
    }

    /// The error that tells the path of the directory.
    pub fn at(path: TreePath) -> io::Error {
        io::Error::other(Self { at: Some(path) })
    }

    /// Whether an error says that.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("directories were moved while they were read")?;
        self.at.as_ref().map_or(Ok(()), |path| write!(f, ", {path} among them"))
    }
}

impl std::error::Error for Torn {}

/// Looks at a tree until what is seen hangs together, a few times at the most.
pub fn look_until_whole<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        match look() {
            Err(error) if error.is_torn() => {}
            seen => return seen,
        }
    }
    look().map_err(|error| match error.is_torn() {
        true => error.each_of(TRIES),
        false => error,
    })
}

#[cfg(test)]
mod tests {
    use super::{Error, *};

    fn torn() -> Error {
        Error::io("look at /a", Torn::at(TreePath::root().join(b"b\n")))
    }

    #[test]
    fn what_hangs_together_in_the_end_is_taken() {
        let mut looks = 0;
        let seen = look_until_whole(|| {
            looks += 1;
            if looks < TRIES { Err(torn()) } else { Ok(looks) }
        });
        assert_eq!(seen.unwrap(), TRIES);
    }

    #[test]
    fn what_does_not_hold_still_is_told_and_other_errors_at_once() {
        let mut looks = 0;
        let seen = look_until_whole(|| {
            looks += 1;
            Err::<(), _>(torn())
        });
        assert_eq!(looks, TRIES);
        let text = "cannot look at /a: directories were moved while they were read, /b\\n among them, at \
                    each of 5 tries\n  hint: run it again once nothing moves directories there";
        assert_eq!(seen.unwrap_err().to_string(), text);
        looks = 0;
        let seen = look_until_whole(|| {
            looks += 1;
            Err::<(), _>(Error::new("look", "no"))
        });
        assert_eq!((looks, seen.unwrap_err().is_torn()), (1, false));
    }
}
