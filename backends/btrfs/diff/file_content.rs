//! Compares what is in two files, and reads only what does not lie in the same place.

use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use dirfd::TreePath;
use dirfd::compare::{self, Failure, Side};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::stat::{Place, Stat, is_gone};

use crate::btrfs::tree_items::{FileExtent, Source, kind};
use crate::btrfs::tree_queries::Searcher;

/// How two files' contents relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Same,
    Differ,
    /// The newer one was deleted since it was found.
    NewerGone,
}

/// Both trees, for looking at files by their paths.
pub struct Files<'a> {
    older: LookupInOrder<'a>,
    newer: LookupInOrder<'a>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(older: BorrowedFd<'a>, newer: BorrowedFd<'a>) -> io::Result<Self> {
        Ok(Self { older: LookupInOrder::new(older)?, newer: LookupInOrder::new(newer)? })
    }

    /// Compares the regular files `name` in `dir`; each given as its tree, its inode and its size.
    pub(crate) fn contents(
        &mut self,
        dir: &TreePath,
        name: &[u8],
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
        let (was, is) = (Placement::of(older.0, older.1)?, Placement::of(newer.0, newer.1)?);
        let ranges = is.differing(&was, size);
        if ranges.is_empty() {
            return Ok(Contents::Same);
        }
        self.ask(dir, name, |older, newer| compare::content_differs_in(older, newer, &ranges))
    }

    /// Compares the targets of the symbolic links `name` in `dir`.
    pub(crate) fn link_targets(&mut self, dir: &TreePath, name: &[u8]) -> io::Result<Contents> {
        self.ask(dir, name, compare::targets_differ)
    }

    /// Looks at one file; `None` if it is gone.
    pub fn stat(&mut self, side: Side, dir: &TreePath, name: &[u8]) -> io::Result<Option<Stat>> {
        let tree = match side {
            Side::Older => &mut self.older,
            Side::Newer => &mut self.newer,
        };
        let name = CString::new(name)?;
        match tree.stat(dir.as_bytes(), &name) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask(
        &mut self,
        dir: &TreePath,
        name: &[u8],
        differ: impl FnOnce(Place<'_>, Place<'_>) -> Result<bool, Failure>,
    ) -> io::Result<Contents> {
        let name_c = CString::new(name)?;
        let older = Place { dir: self.older.open_dir(dir.as_bytes())?, name: &name_c };
        let newer = match self.newer.open_dir(dir.as_bytes()) {
            Ok(dir) => Place { dir, name: &name_c },
            Err(error) if is_gone(&error) => return Ok(Contents::NewerGone),
            Err(error) => return Err(error),
        };
        match differ(older, newer) {
            Ok(true) => Ok(Contents::Differ),
            Ok(false) => Ok(Contents::Same),
            Err(failure) if failure.side() == Side::Newer && failure.is_gone() => {
                Ok(Contents::NewerGone)
            }
            Err(failure) => Err(io::Error::other(failure.at(&dir.join(name)))),
        }
    }
}

// Where the bytes of a file lie: what provably comes from the same place need not be read.

/// A run of bytes of a file by where they lie; `None` reads as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    start: u64,
    end: u64,
    disk: Option<(u64, u64)>,
}

/// Where all of a file's bytes lie.
#[derive(Debug)]
pub enum Placement {
    /// In the tree, as they are.
    Inline(Vec<u8>),
    /// On disk, in order; what no run covers reads as zero.
    Runs(Vec<Run>),
    /// Packed into the tree, or partly there: only reading tells.
    Mixed,
}

impl Placement {
    /// Where the content of inode `ino` lies.
    pub fn of(search: &mut Searcher<'_>, ino: u64) -> io::Result<Self> {
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

    /// The ranges below `size` in which two contents may differ.
    pub fn differing(&self, other: &Self, size: u64) -> Vec<Range<u64>> {
        match (self, other) {
            (Self::Inline(a), Self::Inline(b)) if a == b => Vec::new(),
            (Self::Runs(a), Self::Runs(b)) => differing_ranges(a, b, size),
            _ => std::iter::once(0..size).collect(),
        }
    }
}

/// The ranges below `size` whose bytes do not provably come from the same place.
fn differing_ranges(a: &[Run], b: &[Run], size: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let (mut i, mut j, mut at) = (0, 0, 0);
    while at < size {
        while a.get(i).is_some_and(|run| run.end <= at) {
            i += 1;
        }
        while b.get(j).is_some_and(|run| run.end <= at) {
            j += 1;
        }
        let (place_a, end_a) = location_at(a.get(i), at, size);
        let (place_b, end_b) = location_at(b.get(j), at, size);
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
fn location_at(run: Option<&Run>, at: u64, size: u64) -> (Option<(u64, u64)>, u64) {
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
        assert_eq!(differing_ranges(&whole, &split, 20), []);
    }

    #[test]
    fn what_lies_elsewhere_is_to_be_read() {
        let a = [run(0, 8, Some((100, 0)))];
        let b = [run(0, 4, Some((100, 0))), run(4, 8, Some((200, 0)))];
        assert_eq!(differing_ranges(&a, &b, 8), [4..8]);
        assert_eq!(differing_ranges(&a, &b, 6), [4..6]);
        assert_eq!(differing_ranges(&a, &[], 10), [0..8]);
        assert_eq!(differing_ranges(&a, &[run(0, 8, Some((100, 8)))], 8), [0..8]);
        // An offset that cannot be, as only a broken disk has it.
        let pair = [run(0, 4, None), run(4, 8, None)];
        assert_eq!(differing_ranges(&pair, &[run(0, 8, Some((100, u64::MAX)))], 8).len(), 1);
    }
}
