//! A digest as bytes: one line of JSON that says what it is of, the paths in compressed columns, and a checksum.
//! Pure.
//!
//! Paths are front-coded: each tells how many bytes it shares with the one before it. Columns of numbers and
//! hashes follow, in postcard's encoding, and all of it goes through zstd. The checksum, 16 bytes of BLAKE3 of
//! all that is before it, is looked at first: a digest that was cut or in which a bit flipped is refused.

use std::io::Read;

use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::{Content, short_hash};
use dirfd::path::{Escaped, check_components};
use dirfd::{ChangeKind, Facts, FileType};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::evidence::digest::{Digest, DigestHeader};

const VERSION: u32 = 1;
const CHECKSUM: usize = 16;
/// The best of zstd's fast levels: nobody waits for a digest to be written, and who reads one takes as long.
const LEVEL: i32 = 9;
/// Maximum size of the columns in bytes, before compression.
const MAX_COLUMNS: u64 = 1 << 30;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct FirstLine {
    /// The version of this format.
    digest: u32,
    #[serde(flatten)]
    header: DigestHeader,
}

/// The rows, each fact of all of them together: what is alike lies side by side.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Columns {
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

impl Digest {
    /// The bytes of the digest; the error says why there are none.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let first = FirstLine { digest: VERSION, header: self.header().clone() };
        let mut bytes = serde_json::to_vec(&first).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        let columns = self.columns()?;
        let columns = postcard::to_stdvec(&columns).map_err(|e| e.to_string())?;
        bytes.extend(zstd::bulk::compress(&columns, LEVEL).map_err(|e| e.to_string())?);
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        Ok(bytes)
    }

    fn columns(&self) -> Result<Columns, String> {
        let mut columns = Columns::default();
        let (mut before, mut mtime) = (Vec::new(), 0_i64);
        let mut rows = self.cursor();
        while let Some(row) = rows.next_row() {
            let shared = before.iter().zip(row.path).take_while(|(a, b)| a == b).count();
            let shared = shared.min(usize::from(u16::MAX));
            columns.shared.push(shared as u16);
            columns.suffixes.extend_from_slice(&row.path[shared..]);
            columns.suffixes.push(0);
            before.clear();
            before.extend_from_slice(row.path);
            columns.kinds.push(place_in(&KINDS, &row.kind)?);
            columns.types.push(place_in(&TYPES, &row.facts.file_type)?);
            columns.modes.push(row.facts.mode);
            columns.uids.push(row.facts.uid);
            columns.gids.push(row.facts.gid);
            columns.sizes.push(row.facts.size);
            columns.mtimes.push(row.facts.mtime.wrapping_sub(mtime));
            mtime = row.facts.mtime;
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
        Ok(columns)
    }

    /// Reads a digest; the error says what is wrong with it, in one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (header, columns) = split(bytes)?;
        let mut unpacked = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(columns).map_err(|e| e.to_string())?;
        decoder.take(MAX_COLUMNS).read_to_end(&mut unpacked).map_err(|e| e.to_string())?;
        Self::decode_columns(header, &unpacked)
    }

    /// The same of columns that are not compressed.
    pub fn decode_columns(header: DigestHeader, columns: &[u8]) -> Result<Self, String> {
        let columns: Columns = postcard::from_bytes(columns)
            .map_err(|e| format!("its columns cannot be read: {e}"))?;
        columns.into_digest(header).ok_or_else(|| "its columns do not fit together".to_string())
    }
}

impl DigestHeader {
    /// Reads what a digest is of, and nothing of its paths; the error says what is wrong with it, in one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        Ok(split(bytes)?.0)
    }
}

/// What a digest is of, and its compressed columns; an error unless all of it is what was written.
fn split(bytes: &[u8]) -> Result<(DigestHeader, &[u8]), String> {
    let (content, found) = bytes.split_last_chunk::<CHECKSUM>().ok_or("it is cut short")?;
    if checksum(content) != *found {
        return Err("it is damaged: its checksum is another one".to_string());
    }
    let end = content.iter().position(|&b| b == b'\n').ok_or("it has no first line")?;
    // The message may quote the text.
    let quoted = |e: serde_json::Error| Escaped(e.to_string().as_bytes()).to_string();
    #[derive(Deserialize)]
    struct Version {
        digest: u32,
    }
    let Version { digest } = serde_json::from_slice(&content[..end]).map_err(quoted)?;
    if digest != VERSION {
        return Err(format!("it has version {digest}, and this program knows {VERSION}"));
    }
    let first: FirstLine = serde_json::from_slice(&content[..end]).map_err(quoted)?;
    Ok((first.header, &content[end + 1..]))
}

impl Columns {
    /// `None` unless each column has a value for each path, and the paths ascend.
    fn into_digest(self, header: DigestHeader) -> Option<Digest> {
        let rows = header.paths;
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
            return None;
        }
        let mut writer = ChangesWriter::new();
        let (mut contents, mut all_targets) = (Vec::new(), Vec::new());
        let (mut hashes, mut targets) = (self.hashes.chunks_exact(CHECKSUM), texts(&self.targets));
        let mut suffixes = texts(&self.suffixes);
        let (mut path, mut mtime) = (Vec::new(), 0_i64);
        for row in 0..rows {
            let (shared, suffix) = (usize::from(self.shared[row]), suffixes.next()?);
            let ascends = match path.get(shared) {
                Some(was) => suffix.first() > Some(was),
                None => shared == path.len() && (!suffix.is_empty() || row == 0),
            };
            path.truncate(shared);
            path.extend_from_slice(suffix);
            if !ascends || !(path.is_empty() || check_components(&path).is_ok()) {
                return None;
            }
            mtime = mtime.wrapping_add(self.mtimes[row]);
            let facts = Facts {
                file_type: *TYPES.get(usize::from(self.types[row]))?,
                mode: self.modes[row],
                uid: self.uids[row],
                gid: self.gids[row],
                size: self.sizes[row],
                mtime,
                mtime_nanos: 0,
            };
            let kind = *KINDS.get(usize::from(self.kinds[row]))?;
            writer.record_path(&path, kind, facts);
            contents.push(match self.states[row] {
                NOTHING => Content::Nothing,
                WHOLE => Content::Whole(hashes.next()?.try_into().ok()?),
                TOO_LARGE => Content::TooLarge,
                UNREADABLE => Content::Unreadable,
                _ => return None,
            });
            let target = match facts.file_type {
                FileType::Symlink => targets.next()?,
                _ => &[],
            };
            all_targets.push(Box::from(target));
        }
        Digest::new(header, writer.finish(), contents, all_targets)
    }
}

/// The parts of a column of texts, each of which has a NUL byte at its end.
fn texts(column: &[u8]) -> impl Iterator<Item = &[u8]> {
    column.split_inclusive(|&b| b == 0).map_while(|text| text.strip_suffix(b"\0"))
}

fn place_in<T: PartialEq>(known: &[T], value: &T) -> Result<u8, String> {
    let place = known.iter().position(|one| one == value);
    place.map(|place| place as u8).ok_or_else(|| "it is of a kind without a number".to_string())
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    short_hash(blake3::Hasher::new().update(content))
}

#[cfg(test)]
#[path = "digest_format_tests.rs"]
mod tests;
