//! The rows of a digest, each fact of all of them together, so that what is alike lies side by side; in memory as
//! on disk. Pure.
//!
//! Paths are front-coded: each tells how many bytes it shares with the one before it.

use std::ffi::CStr;

use dirfd::fingerprint::Content;
use dirfd::path::check_components;
use dirfd::{ChangeKind, Facts, FileType};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// One path of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestRow<'d> {
    /// As in [`TreePath::as_bytes`](dirfd::TreePath::as_bytes).
    pub path: &'d [u8],
    /// How it differed.
    pub kind: ChangeKind,
    /// What it was; what blank has, if it was removed. Without the fraction of a second of its time.
    pub facts: Facts,
    /// What it held; nothing, if it was removed.
    pub content: Content,
    /// What it said, if it was a link; else empty.
    pub target: &'d [u8],
}

/// The rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DigestColumns {
    /// How many bytes each path has in common with the one before it.
    shared: Vec<u16>,
    /// What it has beyond them, each with a NUL byte at its end.
    suffixes: ByteBuf,
    /// Change and file type: their places in `KINDS` and `TYPES`.
    kinds: ByteBuf,
    types: ByteBuf,
    modes: Vec<u16>,
    uids: Vec<u32>,
    gids: Vec<u32>,
    sizes: Vec<u64>,
    /// Seconds, each less the one before it.
    mtimes: Vec<i64>,
    /// What is known of what it held: the place in `STATES`.
    states: ByteBuf,
    /// 16 bytes for each that was read.
    hashes: ByteBuf,
    /// What each link said, with a NUL byte at its end.
    targets: ByteBuf,
}

const KINDS: [ChangeKind; 5] = [
    ChangeKind::Added,
    ChangeKind::Removed,
    ChangeKind::Modified,
    ChangeKind::Metadata,
    ChangeKind::Replaced,
];
const TYPES: [FileType; 8] = [
    FileType::File,
    FileType::Dir,
    FileType::Symlink,
    FileType::Fifo,
    FileType::Socket,
    FileType::Block,
    FileType::Char,
    FileType::Subvolume,
];
const NOTHING: u8 = 0;
const WHOLE: u8 = 1;
const TOO_LARGE: u8 = 2;
const UNREADABLE: u8 = 3;
const HASH: usize = 16;

impl DigestColumns {
    /// Whether each column has a value for each of so many rows and nothing beyond, and the paths ascend.
    pub(crate) fn fit(&self, rows: usize) -> bool {
        let columns = [
            self.shared.len(),
            self.kinds.len(),
            self.types.len(),
            self.modes.len(),
            self.uids.len(),
            self.gids.len(),
            self.sizes.len(),
            self.mtimes.len(),
            self.states.len(),
        ];
        if columns.iter().any(|len| *len != rows) {
            return false;
        }
        let mut cursor = self.cursor();
        let is_whole = self.shared.iter().all(|shared| cursor.next_ascends(usize::from(*shared)));
        let rest = [cursor.suffixes, cursor.hashes, cursor.targets];
        is_whole && rest.iter().all(|rest| rest.is_empty())
    }

    /// The rows from the first on.
    pub(crate) fn cursor(&self) -> ColumnsCursor<'_> {
        ColumnsCursor {
            columns: self,
            next: 0,
            path: Vec::new(),
            mtime: 0,
            suffixes: &self.suffixes,
            hashes: &self.hashes,
            targets: &self.targets,
        }
    }
}

/// Adds row after row; their paths ascend.
#[derive(Debug, Default)]
pub(crate) struct ColumnsWriter {
    columns: DigestColumns,
    before: Vec<u8>,
    mtime: i64,
}

impl ColumnsWriter {
    pub(crate) fn push(&mut self, row: &DigestRow<'_>) {
        let columns = &mut self.columns;
        let shared = self.before.iter().zip(row.path).take_while(|(a, b)| a == b).count();
        let shared = shared.min(usize::from(u16::MAX));
        columns.shared.push(shared as u16);
        columns.suffixes.extend_from_slice(&row.path[shared..]);
        columns.suffixes.push(0);
        self.before.clear();
        self.before.extend_from_slice(row.path);
        columns.kinds.push(place_in(&KINDS, &row.kind));
        columns.types.push(place_in(&TYPES, &row.facts.file_type));
        columns.modes.push(row.facts.mode);
        columns.uids.push(row.facts.uid);
        columns.gids.push(row.facts.gid);
        columns.sizes.push(row.facts.size);
        columns.mtimes.push(row.facts.mtime.wrapping_sub(self.mtime));
        self.mtime = row.facts.mtime;
        columns.states.push(match row.content {
            Content::Nothing => NOTHING,
            Content::Whole(hash) => {
                columns.hashes.extend_from_slice(&hash);
                WHOLE
            }
            Content::TooLarge => TOO_LARGE,
            Content::Unreadable => UNREADABLE,
        });
        if row.facts.file_type == FileType::Symlink {
            columns.targets.extend_from_slice(row.target);
            columns.targets.push(0);
        }
    }

    pub(crate) fn finish(self) -> DigestColumns {
        self.columns
    }
}

/// The place of a value; one that is in no place gets a number that no reader takes.
fn place_in<T: PartialEq>(known: &[T], value: &T) -> u8 {
    known.iter().position(|one| one == value).map_or(u8::MAX, |place| place as u8)
}

/// A place among the rows, which moves on from one to the next.
#[derive(Debug)]
pub(crate) struct ColumnsCursor<'c> {
    columns: &'c DigestColumns,
    next: usize,
    path: Vec<u8>,
    mtime: i64,
    // What was not told yet.
    suffixes: &'c [u8],
    hashes: &'c [u8],
    targets: &'c [u8],
}

impl ColumnsCursor<'_> {
    /// The next row; `None` after the last, and of columns that do not fit.
    pub(crate) fn next_row(&mut self) -> Option<DigestRow<'_>> {
        let (at, columns) = (self.next, self.columns);
        self.path.truncate(usize::from(*columns.shared.get(at)?));
        self.path.extend_from_slice(take_text(&mut self.suffixes)?);
        self.mtime = self.mtime.wrapping_add(*columns.mtimes.get(at)?);
        let facts = Facts {
            file_type: *TYPES.get(usize::from(*columns.types.get(at)?))?,
            mode: *columns.modes.get(at)?,
            uid: *columns.uids.get(at)?,
            gid: *columns.gids.get(at)?,
            size: *columns.sizes.get(at)?,
            mtime: self.mtime,
            mtime_nanos: 0,
        };
        let kind = *KINDS.get(usize::from(*columns.kinds.get(at)?))?;
        let content = match *columns.states.get(at)? {
            NOTHING => Content::Nothing,
            WHOLE => {
                let (hash, rest) = self.hashes.split_first_chunk::<HASH>()?;
                self.hashes = rest;
                Content::Whole(*hash)
            }
            TOO_LARGE => Content::TooLarge,
            UNREADABLE => Content::Unreadable,
            _ => return None,
        };
        let target = match facts.file_type {
            FileType::Symlink => take_text(&mut self.targets)?,
            _ => &[],
        };
        self.next += 1;
        Some(DigestRow { path: &self.path, kind, facts, content, target })
    }

    /// Moves on, and says whether there is a next row, whose path, which shares so many bytes with this one, is a
    /// path and comes after it.
    fn next_ascends(&mut self, shared: usize) -> bool {
        let (is_first, len) = (self.next == 0, self.path.len());
        let was = self.path.get(shared).copied();
        // The components before this one were looked at with the path before.
        let same = &self.path[..shared.min(len)];
        let start = same.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let Some(DigestRow { path, .. }) = self.next_row() else { return false };
        let ascends = match was {
            Some(was) => path.get(shared) > Some(&was),
            None => shared == len && (path.len() > len || is_first),
        };
        ascends && (path.is_empty() || check_components(&path[start..]).is_ok())
    }
}

/// Takes the next part of a column of texts, each of which has a NUL byte at its end.
fn take_text<'c>(column: &mut &'c [u8]) -> Option<&'c [u8]> {
    let text = CStr::from_bytes_until_nul(column).ok()?.to_bytes();
    *column = &column[text.len() + 1..];
    Some(text)
}

#[cfg(test)]
#[path = "digest_columns_tests.rs"]
mod tests;
