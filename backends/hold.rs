//! The hold: a file beside the old roots that says that the next boot is not to be rolled back.
//!
//! The rollback that meets it writes its own boot into it and does nothing. In a later boot it is used
//! up. So it holds for one boot, however often a rollback runs in that boot and whenever the power goes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use chrono::{DateTime, Utc};
use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreeName, atomic_file};
use rustix::fs::{AtFlags, unlinkat};
use serde::{Deserialize, Serialize};

/// Its name in the directory of old roots.
pub const NAME: &str = "hold";
const VERSION: u32 = 2;

/// What is written down of one system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The boot in which it was set.
    pub set_in: String,
    /// When, by a clock that may have been wrong.
    pub time: DateTime<Utc>,
    /// The boot that it holds for, once that has come.
    pub used_by: Option<String>,
}

/// The content of the file: a hold for each system that has one, by the name of its live. More than one may
/// have its old roots here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// The version of this format: 2.
    version: u32,
    holds: BTreeMap<String, Hold>,
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
        Self { set_in: set_in.into(), time, used_by: None }
    }

    /// Whether it holds for the boot `boot`: the first one after that in which it was set.
    pub fn is_for(&self, boot: &str) -> bool {
        self.used_by.as_deref().map_or(self.set_in != boot, |used_by| used_by == boot)
    }
}

impl Holds {
    /// Reads its text; the error says what is wrong with it, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let holds: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if holds.version != VERSION {
            return Err(format!("it has version {}, and this program knows 2", holds.version));
        }
        Ok(holds)
    }

    fn read(old: BorrowedFd<'_>) -> Result<Self, String> {
        let text = atomic_file::read_record(old, Path::new(NAME)).map_err(|e| describe(&e))?;
        Self::parse(&text)
    }

    fn write(&self, old: BorrowedFd<'_>, action: &str) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(action, e))?;
        atomic_file::replace_record(old, OsStr::new(NAME), &text).map_err(|e| Error::io(action, e))
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self { version: VERSION, holds: BTreeMap::new() }
    }
}

/// Reads the hold of the system with this live in `old`, the open directory of old roots, whose listing has
/// the file's name.
pub(crate) fn read(old: BorrowedFd<'_>, live: &TreeName) -> Option<Held> {
    match Holds::read(old) {
        Ok(mut found) => found.holds.remove(&live.to_string()).map(Held::By),
        Err(why) => Some(Held::Unreadable(why)),
    }
}

/// Writes it, in place of an older one, or of what cannot be read; durable when this returns.
pub(crate) fn write(old: BorrowedFd<'_>, live: &TreeName, hold: &Hold) -> Result<()> {
    let mut holds = Holds::read(old).unwrap_or_default();
    holds.holds.insert(live.to_string(), hold.clone());
    holds.write(old, "write the hold")
}

/// Removes it. It may come back if the power goes soon: used up it says so, and to release it again
/// loses nothing.
pub(crate) fn remove(old: BorrowedFd<'_>, live: &TreeName) -> Result<()> {
    let action = "remove the hold";
    if let Ok(mut holds) = Holds::read(old) {
        holds.holds.remove(&live.to_string());
        if !holds.holds.is_empty() {
            return holds.write(old, action);
        }
    }
    change("hold: unlink", || Ok(unlinkat(old, NAME, AtFlags::empty())?))
        .and_then(|()| change("hold: sync directory", || Ok(rustix::fs::fsync(old)?)))
        .map_err(|e| Error::io(action, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn it_holds_for_the_first_boot_after_its_own_and_no_other() {
        let hold = Hold::new("a", DateTime::UNIX_EPOCH);
        assert!(!hold.is_for("a") && hold.is_for("b"));
        let used = Hold { used_by: Some("b".into()), ..hold };
        assert!(used.is_for("b") && !used.is_for("a") && !used.is_for("c"));
    }

    #[test]
    fn each_system_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::fs::File::open(dir.path()).unwrap();
        let old = old.as_fd();
        let [one, other] = ["ROOT/one", "ROOT/other"].map(|name| TreeName::new(name).unwrap());
        let [first, second] = ["a", "b"].map(|boot| Hold::new(boot, DateTime::UNIX_EPOCH));
        write(old, &one, &first).unwrap();
        assert_eq!(read(old, &other), None);
        write(old, &other, &second).unwrap();
        assert_eq!(read(old, &one), Some(Held::By(first)));
        remove(old, &one).unwrap();
        assert_eq!((read(old, &one), read(old, &other)), (None, Some(Held::By(second))));
        remove(old, &other).unwrap();
        assert!(!dir.path().join(NAME).exists());
        assert!(remove(old, &other).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_everybodys_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::fs::File::open(dir.path()).unwrap();
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        let live = TreeName::new("root").unwrap();
        assert!(matches!(read(old.as_fd(), &live), Some(Held::Unreadable(_))));
        remove(old.as_fd(), &live).unwrap();
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn it_survives_its_own_text_and_refuses_others() {
        let mut holds = Holds::default();
        holds.holds.insert("root".into(), Hold::new("a", DateTime::UNIX_EPOCH));
        let text = serde_json::to_vec(&holds).unwrap();
        assert_eq!(Holds::parse(&text), Ok(holds));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"version\":1}"] {
            let why = Holds::parse(bad).unwrap_err();
            assert!(why.lines().count() <= 1, "{why}");
        }
    }
}
