//! A digest as bytes: a line of JSON with the version of the format, what zstd made of the rest, and a checksum.
//! Pure.
//!
//! The rest is one more line of JSON, which says what the digest is of, and the paths in columns, in postcard's
//! encoding. Both are compressed together: of a boot that changed little, that line is a third. The checksum, 16 bytes
//! of BLAKE3 of all that is before it, is looked at first: a digest that was cut or in which a bit flipped is refused.

use std::io::{self, BufRead, BufReader, Read};

use dirfd::fingerprint::short_hash;
use dirfd::path::Escaped;
use serde::{Deserialize, Serialize};

use crate::evidence::digest::{Digest, DigestHeader};

const VERSION: u32 = 2;
const CHECKSUM: usize = 16;
/// The best of zstd's fast levels: nobody waits for a digest to be written, and who reads one takes as long.
const LEVEL: i32 = 9;
/// How much smaller zstd makes most columns: room for so much is made at once.
const USUAL_RATIO: usize = 4;
/// Maximum size in bytes of the line that says what a digest is of, uncompressed.
const MAX_HEADER: u64 = 64 << 20;
/// Maximum size in bytes of the columns, uncompressed.
const MAX_COLUMNS: u64 = 1 << 30;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct FirstLine {
    /// The version of this format.
    digest: u32,
}

impl Digest {
    /// The bytes of the digest; the error says why there are none.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let json = |e: serde_json::Error| e.to_string();
        let mut bytes = serde_json::to_vec(&FirstLine { digest: VERSION }).map_err(json)?;
        bytes.push(b'\n');
        let mut packed = serde_json::to_vec(self.header()).map_err(json)?;
        packed.push(b'\n');
        let packed = postcard::to_extend(self.columns(), packed).map_err(|e| e.to_string())?;
        bytes.extend(zstd::bulk::compress(&packed, LEVEL).map_err(|e| e.to_string())?);
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        Ok(bytes)
    }

    /// Reads a digest; the error says what is wrong with it, in one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let packed = packed_part(bytes)?;
        let mut columns = Vec::with_capacity(packed.len().saturating_mul(USUAL_RATIO));
        let mut unpacked = unpack(packed).map_err(|e| e.to_string())?;
        let header = read_header(&mut unpacked)?;
        unpacked.take(MAX_COLUMNS).read_to_end(&mut columns).map_err(|e| e.to_string())?;
        Self::decode_columns(header, &columns)
    }

    /// The same of columns that are not compressed.
    pub fn decode_columns(header: DigestHeader, columns: &[u8]) -> Result<Self, String> {
        let columns = postcard::from_bytes(columns)
            .map_err(|e| format!("its columns cannot be read: {e}"))?;
        Self::of_columns(header, columns)
            .ok_or_else(|| "its columns do not fit together".to_string())
    }
}

impl DigestHeader {
    /// Reads what a digest is of, and nothing of its paths; the error says what is wrong with it, in one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        read_header(&mut unpack(packed_part(bytes)?).map_err(|e| e.to_string())?)
    }
}

/// The part of a digest that is compressed; an error unless all of it is what was written, in this version.
fn packed_part(bytes: &[u8]) -> Result<&[u8], String> {
    let (content, found) = bytes.split_last_chunk::<CHECKSUM>().ok_or("it is cut short")?;
    if checksum(content) != *found {
        return Err("it is damaged: its checksum is another one".to_string());
    }
    let end = content.iter().position(|&b| b == b'\n').ok_or("it has no first line")?;
    let FirstLine { digest } = serde_json::from_slice(&content[..end]).map_err(quoted)?;
    if digest != VERSION {
        return Err(format!("it has version {digest}, and this program knows {VERSION}"));
    }
    Ok(&content[end + 1..])
}

fn unpack(packed: &[u8]) -> io::Result<impl BufRead> {
    Ok(BufReader::new(zstd::stream::read::Decoder::new(packed)?))
}

/// Reads what a digest is of, which comes first.
fn read_header(unpacked: &mut impl BufRead) -> Result<DigestHeader, String> {
    let mut line = Vec::new();
    unpacked.take(MAX_HEADER).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    serde_json::from_slice(&line).map_err(quoted)
}

/// The message may quote the text.
fn quoted(why: serde_json::Error) -> String {
    Escaped(why.to_string().as_bytes()).to_string()
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    short_hash(blake3::Hasher::new().update(content))
}

#[cfg(test)]
#[path = "digest_format_tests.rs"]
mod tests;
