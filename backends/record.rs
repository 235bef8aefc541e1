//! The record beside each old root: written before the swap, made true by the swap itself.
//!
//! `<old>/<name>.json` says which tree `<old>/<name>` holds once live was set aside there. While the
//! tree under that name has another identity, it is the fresh copy that was never swapped in. So
//! one comparison tells every state of an interrupted rollback, and nothing has to be written after
//! the swap.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use dirfd::atomic_file::{self, create_record_before_commit, replace_record};
use dirfd::cause::Cause;
use dirfd::error::describe;
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreeName, directory_walker};
use rustix::fs::{self, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{TreeId, hold, kinship};

const SUFFIX: &[u8] = b".json";
/// What is written beside a record, by `old_root_files`.
pub(crate) const DIGEST: &[u8] = b".digest";
pub(crate) const LIFE: &[u8] = b".life";
const VERSION: u32 = 1;

/// What is known about an old root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this format.
    pub version: u32,
    /// The name of the old root in the directory of old roots: counter and boot id.
    pub name: String,
    /// The boot that set it aside.
    pub boot_id: String,
    /// The wall clock then; a label only, since an initrd's clock may be wrong.
    pub time: DateTime<Utc>,
    /// The tree that was live and is the old root now.
    pub live: TreeId,
    /// The name that it had as live, as it is shown: another system may have its old roots here, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_name: Option<String>,
    /// The blank that took its place.
    pub blank: TreeId,
    /// The tree beside it that is being deleted, once that was begun in more than one step: what is
    /// there of it by now is no whole tree any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarding: Option<TreeId>,
}

impl Record {
    /// A record for the next old root, under a name that none of `taken` has.
    pub fn next(
        taken: &[OsString],
        boot_id: &str,
        time: DateTime<Utc>,
        live: TreeId,
        blank: TreeId,
    ) -> Self {
        let last = taken.iter().filter_map(|name| counter(name)).max().unwrap_or(0);
        let boot: String = boot_id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        let name = format!("{:06}-{boot}", last.saturating_add(1));
        let boot_id = boot_id.to_string();
        Self {
            version: VERSION,
            name,
            boot_id,
            time,
            live,
            live_name: None,
            blank,
            discarding: None,
        }
    }

    /// The same, for who had this name as live.
    pub fn of(self, live: &TreeName) -> Self {
        Self { live_name: Some(live.to_string()), ..self }
    }

    /// Reads a record; the error says what is wrong with the text, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let record: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if record.version != VERSION {
            return Err(format!("it has version {}, and this program knows 1", record.version));
        }
        if counter(OsStr::new(&record.name)).is_none() || record.name.contains('/') {
            let name = Escaped(record.name.as_bytes());
            return Err(format!("`{name}` is no name of an old root"));
        }
        Ok(record)
    }

    fn file_name(&self) -> OsString {
        file_name(&self.name)
    }
}

/// The name of the file that has the record of the old root `name`.
pub fn file_name(name: impl AsRef<OsStr>) -> OsString {
    let mut file = name.as_ref().to_os_string();
    file.push(OsStr::from_bytes(SUFFIX));
    file
}

/// Whether a file of this name is one of those that are written of an old root beside its record.
fn is_beside_record(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let of_ours = |stem: &[u8]| counter(OsStr::from_bytes(stem)).is_some();
    name.strip_suffix(DIGEST).is_some_and(of_ours) || name.ends_with(LIFE)
}

/// The number that a name of ours starts with.
fn counter(name: &OsStr) -> Option<u64> {
    let (number, _) = name.to_str()?.split_once('-')?;
    // A foreign name with an absurd number must not use up all names.
    number.parse().ok().filter(|number| *number < u64::from(u32::MAX))
}

/// The names in the directory of old roots, by what they are.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those of records, the oldest first by their own count.
    pub records: Vec<OsString>,
    /// Every entry that is no record.
    pub entries: Vec<OsString>,
    /// Entries with temporary names, which a power cut left.
    pub leftovers: Vec<OsString>,
    /// Whether there is a hold.
    pub has_hold: bool,
    /// Whether it is written down which blank live belongs to.
    pub has_adoption: bool,
}

impl Listing {
    /// Lists `old`, the open directory of old roots.
    pub fn of(old: BorrowedFd<'_>) -> Result<Self> {
        let mut listing = Self::default();
        let names = directory_walker::list_names(old)
            .map_err(|e| Error::io("list the directory of old roots", e))?;
        for name in names {
            let name = OsStr::from_bytes(name.to_bytes()).to_os_string();
            match stem(&name) {
                None if name == hold::NAME => listing.has_hold = true,
                None if name == kinship::NAME => listing.has_adoption = true,
                None if is_beside_record(&name) => {}
                None if atomic_file::stem(&name).is_some() => listing.leftovers.push(name),
                None => listing.entries.push(name),
                Some(_) => listing.records.push(name),
            }
        }
        listing.records.sort_by(|a, b| (counter(a), a).cmp(&(counter(b), b)));
        Ok(listing)
    }

    /// Adds trees that are called by these names and are no entries of the directory.
    pub fn add(&mut self, names: impl IntoIterator<Item = OsString>) {
        for name in names {
            let list = match atomic_file::stem(&name) {
                Some(_) => &mut self.leftovers,
                None => &mut self.entries,
            };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        self.entries.sort();
        self.leftovers.sort();
    }
}

/// What the directory of old roots holds, by name.
#[derive(Debug, Default)]
pub struct Records {
    /// The records that could be read, by name.
    pub readable: Vec<Record>,
    /// Names of the others, each with what is wrong.
    pub unreadable: Vec<(OsString, String)>,
    /// Every entry that is no record.
    pub entries: Vec<OsString>,
}

impl Records {
    /// Reads all records in `old`, the open directory of old roots.
    pub fn read(old: BorrowedFd<'_>) -> Result<Self> {
        let listing = Listing::of(old)?;
        let mut records = Self { entries: listing.entries, ..Self::default() };
        for name in listing.records {
            match read_one(old, &name) {
                Ok(record) => records.readable.push(record),
                Err(why) => records.unreadable.push((name, why)),
            }
        }
        records.readable.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Every name that a new old root must not take.
    pub fn taken(&self) -> Vec<OsString> {
        let records = self.readable.iter().map(|record| OsString::from(&record.name));
        let others = self.unreadable.iter().map(|(name, _)| name.clone());
        self.entries.iter().cloned().chain(records).chain(others).collect()
    }
}

/// Writes `record` into `old`; fails if its name is taken. Making the copy, which comes next, makes
/// its name durable; `settle` sees to it that its content then is, as [`create_record_before_commit`]
/// tells.
pub fn write(
    old: BorrowedFd<'_>,
    record: &Record,
    settle: impl Fn(&File) -> io::Result<()>,
) -> Result<()> {
    let action = || format!("write the record of the old root {}", record.name);
    let text = serde_json::to_vec_pretty(record).map_err(|e| Error::new(action(), e))?;
    create_record_before_commit(old, &record.file_name(), &text, settle)
        .map_err(|e| Error::io(action(), e))
}

/// Whether a record in `old` says that `live` is to be set aside under `name`. One that cannot be
/// read says nothing.
pub fn says(old: BorrowedFd<'_>, name: &OsStr, live: &TreeId) -> bool {
    read_one(old, &file_name(name)).is_ok_and(|record| record.live == *live)
}

/// Writes down that `tree`, which lies beside `record`, is being deleted: whatever happens from here
/// on, half of it is never taken for the whole, and the next one who deletes goes on with it.
pub fn mark(old: BorrowedFd<'_>, record: &Record, tree: &TreeId) -> Result<()> {
    let action = || format!("mark the old root {} as being deleted", record.name);
    let marked = Record { discarding: Some(tree.clone()), ..record.clone() };
    let text = serde_json::to_vec_pretty(&marked).map_err(|e| Error::new(action(), e))?;
    match replace_record(old, &record.file_name(), &text) {
        // Only deleting makes room again, and it must not wait for room. Without the mark, half of
        // it passes for an old root until the next run, which finds it as old as this one did.
        Err(why) if Cause::of(&why) == Cause::Full => Ok(()),
        marked => marked.map_err(|e| Error::io(action(), e)),
    }
}

/// What a record says, in an attribute, of the copy that is made for it and written to: by us alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyMark {
    /// The copy.
    pub copy: TreeId,
    /// The last transaction that wrote to it; `None` while it is not complete.
    pub complete: Option<u64>,
}

const MARK: &CStr = c"trusted.blankroot.copy";

/// Writes the mark. It needs no sync: no transaction commits later ones without it.
pub fn mark_copy(old: BorrowedFd<'_>, name: &OsStr, mark: &CopyMark) -> io::Result<()> {
    let text = match mark.complete {
        Some(transaction) => format!("{} {transaction}", mark.copy),
        None => format!("{} -", mark.copy),
    };
    let record = open(old, name)?;
    dirfd::fault::change("record: mark copy", || {
        Ok(fs::fsetxattr(&record, MARK, text.as_bytes(), XattrFlags::empty())?)
    })
}

/// Reads the mark of the record of `name`; `None` where there is none, or none that says anything.
pub fn copy_mark(old: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<CopyMark>> {
    let mut text = [0; 128];
    let found = open(old, name).and_then(|record| Ok(fs::fgetxattr(&record, MARK, &mut text)?));
    let len =
        match found.map_err(|error| (error.raw_os_error().map(Errno::from_raw_os_error), error)) {
            Ok(len) => len,
            Err((Some(Errno::NODATA | Errno::NOTSUP | Errno::NOENT | Errno::RANGE), _)) => {
                return Ok(None);
            }
            Err((_, error)) => return Err(error),
        };
    let text = std::str::from_utf8(text.get(..len).unwrap_or_default());
    let Some((copy, at)) = text.ok().and_then(|text| text.split_once(' ')) else { return Ok(None) };
    let complete = match at {
        "-" => None,
        number => match number.parse() {
            Ok(transaction) => Some(transaction),
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(CopyMark { copy: TreeId::new(copy), complete }))
}

fn open(old: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let file = file_name(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(fs::openat(old, file.as_os_str(), flags, Mode::empty())?)
}

/// Removes the record of an old root that is gone.
pub fn remove(old: BorrowedFd<'_>, record: &Record) -> Result<()> {
    dirfd::fault::change("record: unlink", || {
        Ok(fs::unlinkat(old, record.file_name(), fs::AtFlags::empty())?)
    })
    .map_err(|e| Error::io(format!("remove the record of the old root {}", record.name), e))
}

/// The name of the old root that a record with this file name belongs to.
pub fn stem(file: &OsStr) -> Option<&OsStr> {
    file.as_bytes().strip_suffix(SUFFIX).map(OsStr::from_bytes)
}

/// Reads the record in the file `name`; the error says what is wrong with it, in one line.
pub fn read_one(old: BorrowedFd<'_>, name: &OsStr) -> Result<Record, String> {
    let text = atomic_file::read_record(old, Path::new(name)).map_err(|e| describe(&e))?;
    let record = Record::parse(&text)?;
    if Some(OsStr::new(&record.name)) != stem(name) {
        return Err(format!("it is the record of {}", Escaped(record.name.as_bytes())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(taken: &[&str]) -> Record {
        let taken: Vec<OsString> = taken.iter().map(Into::into).collect();
        let boot = "3f2a1c9e-7a01-4b6e-9d0a-000000000000";
        let time = DateTime::from_timestamp(0, 0).unwrap();
        Record::next(&taken, boot, time, TreeId::new("a"), TreeId::new("b"))
    }

    #[test]
    fn names_count_up_and_skip_what_is_not_ours() {
        assert_eq!(sample(&[]).name, "000001-3f2a1c9e");
        assert_eq!(sample(&["000009-aaaa", "notes", "000002-3f2a1c9e"]).name, "000010-3f2a1c9e");
    }

    #[test]
    fn a_record_survives_its_own_text_and_refuses_others() {
        let record = sample(&[]);
        let text = serde_json::to_vec(&record).unwrap();
        assert_eq!(Record::parse(&text), Ok(record));
        for bad in [&b""[..], b"{}", b"\xff", b"[1]"] {
            assert!(Record::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_beside_a_record_is_told_from_names_of_others() {
        for (name, is_beside) in [
            ("000001-3f2a1c9e.digest", true),
            ("5.life", true),
            ("notes.digest", false),
            ("000001-3f2a1c9e", false),
        ] {
            assert_eq!(is_beside_record(OsStr::new(name)), is_beside, "{name}");
        }
    }

    #[test]
    fn a_record_without_a_mark_is_what_it_always_was_and_one_with_it_survives_its_own_text() {
        let record = sample(&[]);
        assert!(!serde_json::to_string(&record).unwrap().contains("discarding"));
        let marked = Record { discarding: Some(TreeId::new("a")), ..record };
        assert_eq!(Record::parse(&serde_json::to_vec(&marked).unwrap()), Ok(marked));
    }

    #[test]
    fn what_is_wrong_with_a_record_is_told_in_one_line() {
        let text = String::from_utf8(serde_json::to_vec(&sample(&[])).unwrap()).unwrap();
        let why = |from: &str, to: &str| Record::parse(text.replace(from, to).as_bytes());
        let expected = "`a\\nb` is no name of an old root".to_string();
        assert_eq!(why("000001-3f2a1c9e", "a\\nb"), Err(expected));
        let quoted = why("\"blank\"", "\"bl\\nank\"").unwrap_err();
        assert!(quoted.starts_with("unknown field `bl\\nank`"), "{quoted}");
    }
}
