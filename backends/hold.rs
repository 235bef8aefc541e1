//! The hold: a file beside the old roots that says that the next boot is not to be rolled back.
//!
//! The rollback that meets it writes its own boot into it and does nothing. In a later boot it is used
//! up. So it holds for one boot, however often a rollback runs in that boot and whenever the power goes.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, unlinkat};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, describe};
use crate::fault::change;
use crate::file;
use crate::path::Escaped;

/// Its name in the directory of old roots.
pub const NAME: &str = "hold";
const VERSION: u32 = 1;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The version of this format: 1.
    pub version: u32,
    /// The boot in which it was set.
    pub set_in: String,
    /// When, by a clock that may have been wrong.
    pub time: DateTime<Utc>,
    /// The boot that it holds for, once that has come.
    pub used_by: Option<String>,
}

/// What a survey found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A hold.
    By(Hold),
    /// A file of its name that cannot be read, and why.
    Unreadable(String),
}

impl Hold {
    /// A hold that was set now, in the boot `set_in`.
    pub fn new(set_in: impl Into<String>, time: DateTime<Utc>) -> Self {
        Self { version: VERSION, set_in: set_in.into(), time, used_by: None }
    }

    /// Whether it holds for the boot `boot`: the first one after that in which it was set.
    pub fn is_for(&self, boot: &str) -> bool {
        self.used_by.as_deref().map_or(self.set_in != boot, |used_by| used_by == boot)
    }

    /// Reads its text; the error says what is wrong with it, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let hold: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if hold.version != VERSION {
            return Err(format!("it has version {}, and this program knows 1", hold.version));
        }
        Ok(hold)
    }
}

/// Reads the hold in `old`, the open directory of old roots, whose listing has its name.
pub(crate) fn read(old: BorrowedFd<'_>) -> Held {
    let text = file::read_record(old, Path::new(NAME)).map_err(|e| describe(&e));
    text.and_then(|text| Hold::parse(&text)).map_or_else(Held::Unreadable, Held::By)
}

/// Writes it, in place of an older one; durable when this returns.
pub(crate) fn write(old: BorrowedFd<'_>, hold: &Hold) -> Result<()> {
    let action = "write the hold";
    let text = serde_json::to_vec_pretty(hold).map_err(|e| Error::new(action, e))?;
    file::replace_record(old, OsStr::new(NAME), &text).map_err(|e| Error::io(action, e))
}

/// Removes it. It may come back if the power goes soon: used up it says so, and to release it again
/// loses nothing.
pub(crate) fn remove(old: BorrowedFd<'_>) -> Result<()> {
    change("hold: unlink", || Ok(unlinkat(old, NAME, AtFlags::empty())?))
        .and_then(|()| change("hold: sync directory", || Ok(rustix::fs::fsync(old)?)))
        .map_err(|e| Error::io("remove the hold", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_for_the_first_boot_after_its_own_and_no_other() {
        let hold = Hold::new("a", DateTime::UNIX_EPOCH);
        assert!(!hold.is_for("a") && hold.is_for("b"));
        let used = Hold { used_by: Some("b".into()), ..hold };
        assert!(used.is_for("b") && !used.is_for("a") && !used.is_for("c"));
    }

    #[test]
    fn it_survives_its_own_text_and_refuses_others() {
        let hold = Hold::new("a", DateTime::UNIX_EPOCH);
        let text = serde_json::to_vec(&hold).unwrap();
        assert_eq!(Hold::parse(&text), Ok(hold));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"version\":1}"] {
            let why = Hold::parse(bad).unwrap_err();
            assert!(why.lines().count() <= 1, "{why}");
        }
    }
}
