//! The ledger: all records in `<storage>/.blankroot/records.jsonl`, one line each, the youngest last.
//!
//! A line is added at the end. Whoever is cut off while adding leaves a line that is no record; it is passed over, and
//! the next one begins on a line of its own. Where the file would become too large, the oldest lines go, each as a
//! whole, and what stays takes its place in one call.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use backends::lock::{FileLock, patiently};
use dirfd::fault::change;
use dirfd::stat::of_open;
use dirfd::{Error, FileType, Result, TreePath, atomic_file};
use rustix::fs::{self, Mode, OFlags, openat};

use crate::audit::audit_record::Record;
use crate::host::HostRoot;
use crate::persist::own_directory::{
    failed_to_write, make_own_directory, open_own_directory, remove_unfinished,
};

const NAME: &str = "records.jsonl";
const LOCK: &str = ".records.lock";
const MODE: u32 = 0o600;
/// Maximum size in bytes of what is read of a ledger: its end.
const MAX_READ: u64 = 64 << 20;

/// When a line is safe from a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it was added.
    AtOnce,
    /// When the file system writes by itself, after half a minute at most: to wait for the disk takes as long as the rest of
    /// an audit, and the next one tells the same.
    Soon,
}

/// Adds a line; whoever else does so meanwhile waits. At most `most` bytes stay.
pub fn append(
    host: &HostRoot,
    storage: &TreePath,
    line: &[u8],
    most: u64,
    durability: Durability,
) -> Result<()> {
    let action = || format!("write a record into {storage}");
    let failed = |why: io::Error| failed_to_write(action(), storage, why);
    let dir = make_own_directory(host, storage).map_err(failed)?;
    if line.len() as u64 >= most {
        let why = format!("it has {} bytes, and at most {most} stay", line.len() + 1);
        return Err(Error::new(action(), why).hint("raise `max_record_bytes` in [audit]"));
    }
    let lock = || FileLock::take(dir.as_fd(), OsStr::new(LOCK), action);
    let _lock = patiently(lock, || {})?;
    append_to(dir.as_fd(), line, most, durability).map_err(failed)
}

fn append_to(
    dir: BorrowedFd<'_>,
    line: &[u8],
    most: u64,
    durability: Durability,
) -> io::Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    let file = open(dir, flags)?;
    let length = of_open(file.as_fd())?.facts.size;
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if !ends_a_line(&file, length)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    let added = bytes.len() as u64;
    if length.saturating_add(added) > most {
        // What is dropped is a quarter at least, so that most records are added and not copied.
        let room = (most - most / 4).saturating_sub(added).min(MAX_READ);
        let mut kept = read_end(&file, length, room)?;
        kept.extend_from_slice(&bytes);
        remove_unfinished(dir, |name| name == NAME)?;
        return atomic_file::replace(dir, OsStr::new(NAME), &kept, MODE);
    }
    let written = change("records: append", || file.write_all_at(&bytes, length));
    if let Err(why) = written {
        // Best effort: half a line is passed over by whoever reads.
        let _ = change("records: cut back", || Ok(fs::ftruncate(&file, length)?));
        return Err(why);
    }
    match durability {
        Durability::AtOnce => change("records: sync", || Ok(fs::fdatasync(&file)?)),
        Durability::Soon => Ok(()),
    }
}

/// All whole records, the oldest first; none where there is no ledger.
pub(crate) fn read_records(host: &HostRoot, storage: &TreePath) -> Result<Vec<Record>> {
    let read = || -> io::Result<Vec<u8>> {
        let Some(dir) = open_own_directory(host, storage)? else { return Ok(Vec::new()) };
        let file = match open(dir.as_fd(), OFlags::RDONLY) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(why),
        };
        read_end(&file, of_open(file.as_fd())?.facts.size, MAX_READ)
    };
    let bytes = read().map_err(|why| Error::io(format!("read the records in {storage}"), why))?;
    Ok(bytes.split(|&b| b == b'\n').filter_map(Record::parse).collect())
}

fn open(dir: BorrowedFd<'_>, flags: OFlags) -> io::Result<File> {
    // A pipe in its place must not keep anybody waiting.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened =
        change("records: open", || Ok(openat(dir, NAME, flags, Mode::from_raw_mode(MODE))?))?;
    match of_open(opened.as_fd())?.facts.file_type {
        FileType::File => Ok(File::from(opened)),
        _ => Err(io::Error::other(format!("{NAME} is not a plain file"))),
    }
}

fn ends_a_line(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

/// The whole lines in the last `most` bytes.
fn read_end(file: &File, length: u64, most: u64) -> io::Result<Vec<u8>> {
    let start = length.saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(usize::MAX)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            // It became shorter meanwhile.
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    bytes.truncate(filled);
    if start > 0 {
        let cut = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..cut);
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
