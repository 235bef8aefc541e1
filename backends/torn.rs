//! What was seen of a tree whose directories were being moved, so that it never was as it was seen: noticed,
//! and looked at again.

use std::fmt;
use std::io;

use crate::error::Result;
use crate::path::TreePath;

/// How often in all a tree is looked at.
const TRIES: u32 = 5;
/// What whoever sees it can do.
pub const MEND: &str = "run it again once nothing moves directories there";

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
    #[cfg(any(test, feature = "btrfs"))]
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
    use super::*;
    use crate::error::Error;

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
                    each of 5 tries\n  mend: run it again once nothing moves directories there";
        assert_eq!(seen.unwrap_err().to_string(), text);
        looks = 0;
        let seen = look_until_whole(|| {
            looks += 1;
            Err::<(), _>(Error::new("look", "no"))
        });
        assert_eq!((looks, seen.unwrap_err().is_torn()), (1, false));
    }
}
