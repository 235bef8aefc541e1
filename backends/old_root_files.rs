//! What is written of a tree beside the record of its old root, and goes with it: its digest, and its life.
//!
//! `<old>/<name>.digest` says what differed from blank in the old root `<name>`: a cache, whose bytes are
//! the caller's. `<old>/<identity>.life` says of a tree, from when it is live on, in which boots it was and
//! which units had files open in it. Neither is needed for a rollback, and neither is ever believed of
//! another tree than it names.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file, directory_walker};
use rustix::fs::{AtFlags, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::record::{self, DIGEST, LIFE, Record};
use crate::{OldRoot, TreeId};

const VERSION: u32 = 1;
/// Both are for root alone, as the files are that they tell of.
const MODE: u32 = 0o600;
/// Maximum size of a digest in bytes: half a million paths take a quarter of it.
pub const MAX_DIGEST: u64 = 64 << 20;

/// What is known of a tree that is live, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// The version of this format: 1.
    version: u32,
    /// The tree.
    pub tree: TreeId,
    /// The boots in which it was live, as far as they came to the end of booting; the oldest first.
    pub boots: Vec<Boot>,
    /// The files in it that services had open, when somebody looked.
    pub open: Vec<OpenFile>,
}

/// A boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Its id, as in `/proc/sys/kernel/random/boot_id`.
    pub id: String,
    /// When it was written down.
    pub time: DateTime<Utc>,
}

/// A file that a unit had open to write to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenFile {
    /// Its path in the tree, without a leading slash; what is not UTF-8 is left out.
    pub path: String,
    /// The unit of the system, or of a user's manager.
    pub unit: String,
}

impl Life {
    /// That of a tree of which nothing is known yet.
    pub fn of(tree: TreeId) -> Self {
        Self { version: VERSION, tree, boots: Vec::new(), open: Vec::new() }
    }

    /// Adds a boot, unless it was written down already.
    pub fn add_boot(&mut self, id: &str, time: DateTime<Utc>) {
        if self.boots.iter().all(|boot| boot.id != id) {
            self.boots.push(Boot { id: id.to_string(), time });
        }
    }

    /// Adds files that are open now.
    pub fn add_open(&mut self, open: impl IntoIterator<Item = OpenFile>) {
        self.open.extend(open);
        self.open.sort();
        self.open.dedup();
    }

    /// Reads its text; the error says what is wrong with it, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let life: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if life.version != VERSION {
            return Err(format!("it has version {}, and this program knows 1", life.version));
        }
        Ok(life)
    }

    /// What is written down of `tree` in the open directory of old roots; the error says what is wrong with
    /// it, in one line.
    pub fn read(old: BorrowedFd<'_>, tree: &TreeId) -> Result<Option<Self>, String> {
        let text = match atomic_file::read(old, Path::new(&life_name(tree))) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(describe(&why)),
        };
        let life = Self::parse(&text)?;
        Ok(Some(life).filter(|life| life.tree == *tree))
    }

    pub(crate) fn write(&self, old: BorrowedFd<'_>) -> Result<()> {
        let action = "write down what is known of the life of live";
        let text = serde_json::to_vec(self).map_err(|e| Error::new(action, e))?;
        atomic_file::replace(old, &life_name(&self.tree), &text, MODE)
            .map_err(|e| Error::io(action, e))
    }
}

/// Whether there is any digest in the open directory of old roots: if not, nobody has to look at old roots for
/// theirs.
pub fn has_digests(old: BorrowedFd<'_>) -> Result<bool> {
    let names = directory_walker::list_names(old)
        .map_err(|e| Error::io("list the directory of old roots", e))?;
    Ok(names.iter().any(|name| name.to_bytes().ends_with(DIGEST)))
}

/// The bytes of the digest of `old_root`, which lies in the open directory of old roots; `None` if there is
/// none.
pub fn read_digest(old: BorrowedFd<'_>, old_root: &OldRoot) -> io::Result<Option<Vec<u8>>> {
    let name = digest_name(&old_root.record);
    match atomic_file::read_up_to(old, Path::new(&name), MAX_DIGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

pub(crate) fn write_digest(old: BorrowedFd<'_>, record: &Record, digest: &[u8]) -> Result<()> {
    atomic_file::replace(old, &digest_name(record), digest, MODE)
        .map_err(|e| Error::io(format!("write the digest of the old root {}", record.name), e))
}

/// Removes both of an old root that is gone, then its record.
pub(crate) fn remove_with_record(old: BorrowedFd<'_>, record: &Record) -> Result<()> {
    for name in [digest_name(record), life_name(&record.live)] {
        // Most have none, and what is not there is no change.
        if statat(old, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).err() == Some(Errno::NOENT) {
            continue;
        }
        change("old root's files: unlink", || {
            Ok(unlinkat(old, name.as_os_str(), AtFlags::empty())?)
        })
        .map_err(|e| Error::io(format!("remove {}", Escaped(name.as_bytes())), e))?;
    }
    record::remove(old, record)
}

fn digest_name(record: &Record) -> OsString {
    with_suffix(&record.name, DIGEST)
}

/// An identity is a file name: a UUID, a number, or an inode and a time.
fn life_name(tree: &TreeId) -> OsString {
    with_suffix(&tree.as_str().replace('/', "_"), LIFE)
}

fn with_suffix(stem: &str, suffix: &[u8]) -> OsString {
    let mut name = OsString::from(stem);
    name.push(OsStr::from_bytes(suffix));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_life_survives_its_own_text_and_is_believed_of_its_own_tree_alone() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::fs::File::open(dir.path()).unwrap();
        let tree = TreeId::new("257@1.000000001");
        let mut life = Life::of(tree.clone());
        life.add_boot("a", DateTime::UNIX_EPOCH);
        life.add_boot("a", DateTime::UNIX_EPOCH);
        let open = OpenFile { path: "var/lib/db".into(), unit: "db.service".into() };
        life.add_open([open.clone(), open]);
        assert_eq!((life.boots.len(), life.open.len()), (1, 1));
        assert_eq!(Life::read(old.as_fd(), &tree), Ok(None));
        life.write(old.as_fd()).unwrap();
        assert_eq!(Life::read(old.as_fd(), &tree), Ok(Some(life)));
        let other = TreeId::new("other");
        std::fs::copy(dir.path().join(life_name(&tree)), dir.path().join(life_name(&other)))
            .unwrap();
        assert_eq!(Life::read(old.as_fd(), &other), Ok(None));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"version\":1}"] {
            assert!(Life::parse(bad).is_err_and(|why| why.lines().count() <= 1));
        }
    }
}
