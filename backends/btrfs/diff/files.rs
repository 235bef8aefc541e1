//! Compares what is in two files: by where their bytes lie, and by reading only where that differs.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::{Errno, pread};

use crate::TreePath;
use crate::btrfs::items::{FileExtent, Source, kind};
use crate::btrfs::search::Searcher;

/// How two files' contents relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    Same,
    Differ,
    /// The newer one was deleted since it was found.
    NewerGone,
}

/// The roots of both trees, for opening files below them.
pub struct Files<'a> {
    older: BorrowedFd<'a>,
    newer: BorrowedFd<'a>,
    buffers: [Vec<u8>; 2],
}

/// A run of bytes of a file by where they lie; `None` reads as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u64,
    end: u64,
    disk: Option<(u64, u64)>,
}

/// Where all of a file's bytes lie.
#[derive(Debug)]
enum Placement {
    /// In the tree, as they are.
    Inline(Vec<u8>),
    /// On disk, in order; what no run covers reads as zero.
    Runs(Vec<Run>),
    /// Packed into the tree, or partly there: only reading tells.
    Mixed,
}

const CHUNK: usize = 128 * 1024;

impl<'a> Files<'a> {
    pub fn new(older: BorrowedFd<'a>, newer: BorrowedFd<'a>) -> Self {
        Self { older, newer, buffers: [Vec::new(), Vec::new()] }
    }

    /// Compares the regular files at `path`; each given as its tree, its inode and its size.
    pub fn contents(
        &mut self,
        path: &TreePath,
        newer: (&mut Searcher<'_>, u64, u64),
        older: (&mut Searcher<'_>, u64, u64),
    ) -> io::Result<Contents> {
        let size = newer.2;
        if size != older.2 {
            return Ok(Contents::Differ);
        }
        if size == 0 {
            return Ok(Contents::Same);
        }
        let ranges = match (placement(newer.0, newer.1)?, placement(older.0, older.1)?) {
            (Placement::Inline(a), Placement::Inline(b)) if a.len() == b.len() => {
                return Ok(if a == b { Contents::Same } else { Contents::Differ });
            }
            (Placement::Runs(a), Placement::Runs(b)) => differing(&a, &b, size),
            _ => vec![0..size],
        };
        self.compare_bytes(path, &ranges)
    }

    /// Compares the targets of the symbolic links at `path`.
    pub fn link_targets(&mut self, path: &TreePath) -> io::Result<Contents> {
        let older = readlinkat(self.older, path.as_path(), Vec::new())?;
        match readlinkat(self.newer, path.as_path(), Vec::new()) {
            Ok(newer) if newer == older => Ok(Contents::Same),
            Ok(_) => Ok(Contents::Differ),
            Err(Errno::NOENT | Errno::INVAL) => Ok(Contents::NewerGone),
            Err(error) => Err(error.into()),
        }
    }

    fn compare_bytes(&mut self, path: &TreePath, ranges: &[Range<u64>]) -> io::Result<Contents> {
        if ranges.is_empty() {
            return Ok(Contents::Same);
        }
        let older = open(self.older, path)?;
        let newer = match open(self.newer, path) {
            Ok(newer) => newer,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(Contents::NewerGone),
            Err(error) => return Err(error.into()),
        };
        let [a, b] = &mut self.buffers;
        a.resize(CHUNK, 0);
        b.resize(CHUNK, 0);
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(CHUNK as u64) as usize;
                let (a, b) = (&mut a[..len], &mut b[..len]);
                let (read_a, read_b) = (read_full(&newer, a, at)?, read_full(&older, b, at)?);
                if a[..read_a] != b[..read_b] {
                    return Ok(Contents::Differ);
                }
                if read_a < len {
                    break;
                }
                at += len as u64;
            }
        }
        Ok(Contents::Same)
    }
}

fn open(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root, path.as_path(), flags, Mode::empty(), resolve)
}

fn read_full(file: &OwnedFd, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match pread(file, &mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

fn placement(search: &mut Searcher<'_>, ino: u64) -> io::Result<Placement> {
    let mut runs = Vec::new();
    let mut inline = None;
    search.each_of(ino, kind::EXTENT_DATA, |item| {
        if let Some(extent) = FileExtent::parse(item.key.offset, item.data) {
            let (start, end) = (extent.start, extent.start.saturating_add(extent.len));
            match extent.source {
                Source::Zero => runs.push(Run { start, end, disk: None }),
                Source::Disk { address, offset } => {
                    runs.push(Run { start, end, disk: Some((address, offset)) });
                }
                Source::Inline(bytes) => inline = Some(Placement::Inline(bytes.to_vec())),
                Source::Packed(_) => inline = Some(Placement::Mixed),
            }
        }
    })?;
    Ok(match inline {
        Some(inline) if runs.is_empty() => inline,
        Some(_) => Placement::Mixed,
        None => Placement::Runs(runs),
    })
}

/// The ranges below `size` whose bytes do not provably come from the same place.
fn differing(a: &[Run], b: &[Run], size: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let (mut i, mut j, mut at) = (0, 0, 0);
    while at < size {
        while a.get(i).is_some_and(|run| run.end <= at) {
            i += 1;
        }
        while b.get(j).is_some_and(|run| run.end <= at) {
            j += 1;
        }
        let (place_a, end_a) = place(a.get(i), at, size);
        let (place_b, end_b) = place(b.get(j), at, size);
        let end = end_a.min(end_b);
        if place_a != place_b {
            match ranges.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => ranges.push(at..end),
            }
        }
        at = end;
    }
    ranges
}

/// Where the byte at `at` lies, and up to where the answer goes on in the same way.
fn place(run: Option<&Run>, at: u64, size: u64) -> (Option<(u64, u64)>, u64) {
    match run {
        Some(run) if run.start > at => (None, run.start.min(size)),
        Some(run) => {
            let disk =
                run.disk.map(|(address, offset)| (address, offset.saturating_add(at - run.start)));
            (disk, run.end.min(size))
        }
        None => (None, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64, disk: Option<(u64, u64)>) -> Run {
        Run { start, end, disk }
    }

    #[test]
    fn a_split_extent_and_a_hole_are_the_same_bytes() {
        let whole = [run(0, 8, Some((100, 0))), run(8, 16, None)];
        let split = [run(0, 4, Some((100, 0))), run(4, 8, Some((100, 4)))];
        assert_eq!(differing(&whole, &split, 20), []);
    }

    #[test]
    fn what_lies_elsewhere_is_to_be_read() {
        let a = [run(0, 8, Some((100, 0)))];
        let b = [run(0, 4, Some((100, 0))), run(4, 8, Some((200, 0)))];
        assert_eq!(differing(&a, &b, 8), [4..8]);
        assert_eq!(differing(&a, &b, 6), [4..6]);
        assert_eq!(differing(&a, &[], 10), [0..8]);
        assert_eq!(differing(&a, &[run(0, 8, Some((100, 8)))], 8), [0..8]);
        // An offset that cannot be, as only a broken disk has it.
        let halves = [run(0, 4, None), run(4, 8, None)];
        assert_eq!(differing(&halves, &[run(0, 8, Some((100, u64::MAX)))], 8).len(), 1);
    }
}
