//! Reads a log of all that was written to a disk, in the format of Linux's dm-log-writes, which QEMU's
//! `blklogwrites` writes too.
//!
//! The log is made of sectors: a super block, then for each entry one sector that describes it and the
//! sectors that were written. All numbers are little-endian (`drivers/md/dm-log-writes.c` of Linux,
//! `block/blklogwrites.c` of QEMU). QEMU logs what has ended, in that order.

use dirfd::{Error, Result};

#[cfg(test)]
mod tests;

/// `WRITE_LOG_MAGIC`.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// `WRITE_LOG_VERSION`.
const VERSION: u64 = 1;
/// The sizes of a sector that QEMU takes.
const SECTORS: std::ops::RangeInclusive<usize> = 512..=1 << 23;
/// What an entry's own sector begins with: where, how much, flags, length of the text of a mark.
const HEADER: usize = 32;

const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;
/// Linux tells which writes were of metadata; that changes nothing here.
const METADATA: u64 = 1 << 4;

/// All that was written, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<'l> {
    /// Bytes of one sector.
    pub sector: usize,
    /// What happened.
    pub entries: Vec<Entry<'l>>,
}

/// One thing that happened to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'l> {
    /// Before it, everything that the log has up to here was made durable.
    pub flush: bool,
    /// It is durable itself when it has ended.
    pub durable: bool,
    /// What it changed.
    pub change: Change<'l>,
}

/// What an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'l> {
    /// Nothing: it is a flush.
    Nothing,
    /// These bytes were written at this offset.
    Write(u64, &'l [u8]),
    /// This many bytes from this offset on are not needed any more.
    Discard(u64, u64),
    /// Somebody marked this moment.
    Mark(&'l [u8]),
}

impl<'l> Log<'l> {
    /// Reads a whole log. What lies behind the last entry that the super block tells of is ignored: it
    /// was not complete when that was written.
    pub fn parse(bytes: &'l [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let super_block = reader.take(SECTORS.start() >> 4, "the super block")?;
        expect("magic number", number(super_block, 0), MAGIC)?;
        expect("version", number(super_block, 8), VERSION)?;
        let count = number(super_block, 16);
        let sector = number(super_block, 24) & u64::from(u32::MAX);
        let sector = usize::try_from(sector).unwrap_or(0);
        if !sector.is_power_of_two() || !SECTORS.contains(&sector) {
            return Err(unreadable(format!("its sectors have {sector} bytes")));
        }
        reader.at = sector;
        let mut entries = Vec::new();
        for index in 0..count {
            let entry = entry(&mut reader, sector);
            entries.push(entry.map_err(|why| unreadable(format!("entry {index}: {why}")))?);
        }
        Ok(Self { sector, entries })
    }
}

fn entry<'l>(reader: &mut Reader<'l>, sector: usize) -> Result<Entry<'l>, String> {
    let own = reader.take(sector, "its description").map_err(|why| why.to_string())?;
    let [at, count, flags, text] = [0, 8, 16, 24].map(|offset| number(own, offset));
    let known = FLUSH | FUA | DISCARD | MARK | METADATA;
    if flags & !known != 0 {
        return Err(format!(
            "it has the flags {flags:#x}, of which {:#x} are unknown",
            flags & !known
        ));
    }
    let bytes = |sectors: u64| sectors.checked_mul(sector as u64).ok_or("it lies beyond any disk");
    let (at, length) = (bytes(at)?, bytes(count)?);
    at.checked_add(length).ok_or("it lies beyond any disk")?;
    let change = if flags & MARK != 0 {
        let text = usize::try_from(text).ok().and_then(|length| own[HEADER..].get(..length));
        Change::Mark(text.ok_or("its text is longer than its sector")?)
    } else if flags & DISCARD != 0 {
        Change::Discard(at, length)
    } else if length == 0 {
        Change::Nothing
    } else {
        let length = usize::try_from(length).map_err(|_| "it lies beyond any disk")?;
        Change::Write(at, reader.take(length, "what it wrote").map_err(|why| why.to_string())?)
    };
    Ok(Entry { flush: flags & FLUSH != 0, durable: flags & FUA != 0, change })
}

/// Goes through the log from its start to its end.
struct Reader<'l> {
    bytes: &'l [u8],
    at: usize,
}

impl<'l> Reader<'l> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'l [u8]> {
        let end = self.at.checked_add(length);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let found = found.ok_or_else(|| {
            let (at, all) = (self.at, self.bytes.len());
            Error::new(
                format!("read {what}"),
                format!("it takes {length} bytes from byte {at} on, and the log has {all}"),
            )
        })?;
        self.at += length;
        Ok(found)
    }
}

/// The number at `offset` of a slice that is longer.
fn number(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(number)
}

fn expect(what: &str, found: u64, wanted: u64) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(unreadable(format!("its {what} is {found:#x}, and not {wanted:#x}")))
}

fn unreadable(why: String) -> Error {
    Error::new("read a log of writes", why)
}
