//! A digest as bytes: one line of JSON that says what it is of, the paths in compressed columns, and a checksum.
//! Pure.
//!
//! The columns are in postcard's encoding, and all of them go through zstd. The checksum, 16 bytes of BLAKE3 of
//! all that is before it, is looked at first: a digest that was cut or in which a bit flipped is refused.

use std::io::Read;

use dirfd::fingerprint::short_hash;
use dirfd::path::Escaped;
use serde::{Deserialize, Serialize};

use crate::evidence::digest::{Digest, DigestHeader};

const VERSION: u32 = 1;
const CHECKSUM: usize = 16;
/// The best of zstd's fast levels: nobody waits for a digest to be written, and who reads one takes as long.
const LEVEL: i32 = 9;
/// How much smaller zstd makes most columns: room for so much is made at once.
const USUAL_RATIO: usize = 4;
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

impl Digest {
    /// The bytes of the digest; the error says why there are none.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let first = FirstLine { digest: VERSION, header: self.header().clone() };
        let mut bytes = serde_json::to_vec(&first).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        let columns = postcard::to_stdvec(self.columns()).map_err(|e| e.to_string())?;
        bytes.extend(zstd::bulk::compress(&columns, LEVEL).map_err(|e| e.to_string())?);
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        Ok(bytes)
    }

    /// Reads a digest; the error says what is wrong with it, in one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (header, columns) = split(bytes)?;
        let mut unpacked = Vec::with_capacity(columns.len().saturating_mul(USUAL_RATIO));
        let decoder = zstd::stream::read::Decoder::new(columns).map_err(|e| e.to_string())?;
        decoder.take(MAX_COLUMNS).read_to_end(&mut unpacked).map_err(|e| e.to_string())?;
        Self::decode_columns(header, &unpacked)
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

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    short_hash(blake3::Hasher::new().update(content))
}

#[cfg(test)]
#[path = "digest_format_tests.rs"]
mod tests;
