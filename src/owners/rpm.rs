//! The header of a package as rpm keeps it in its database. Pure.
//!
//! A header is the number of its entries and the length of its data (both 32 bits, big endian), the entries (tag,
//! type, offset, count), and the data (`docs/manual/format_header.md` and `lib/header.c` of rpm). In a database the
//! eight bytes of magic that stand before it in a file are not there.

/// Files of the database in a tree, the ones to be read first: Fedora has it beside the system's image, where the
/// old place is a link to it.
pub const DATABASES: [&str; 2] = ["usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"];
/// The database in formats that are not read: of Berkeley DB, and of rpm's own `ndb`.
pub const OTHER_DATABASES: [&str; 4] = [
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
];

/// What rpm itself allows (`hdrchkTags`, `hdrchkData`).
const MAX_ENTRIES: u32 = 0xffff;
const MAX_DATA: u32 = 0x0fff_ffff;
const ENTRY: usize = 16;

// `include/rpm/rpmtag.h`.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const FILE_STATES: u32 = 1029;
const FILE_FLAGS: u32 = 1037;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
/// Scripts around installation and removal, of the package and of the transaction.
const SCRIPTS: [u32; 6] = [1023, 1024, 1025, 1026, 1151, 1152];

// Types of an entry.
const CHAR: u32 = 1;
const INT8: u32 = 2;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// `RPMFILE_GHOST`, `include/rpm/rpmfiles.h`.
const GHOST: u32 = 1 << 6;
/// `RPMFILE_STATE_NORMAL`; others were replaced by another package's file, or not installed.
const NORMAL: u8 = 0;

/// A header, within its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    entries: &'a [u8],
    data: &'a [u8],
}

/// One file that a package lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedFile<'a> {
    /// Without leading slash.
    pub path: &'a [u8],
    /// The package owns it and did not bring it.
    pub is_ghost: bool,
}

impl<'a> Header<'a> {
    /// Checks the bounds; the error completes "cannot read a header: ".
    pub fn parse(blob: &'a [u8]) -> Result<Self, &'static str> {
        let entry_count = number_at(blob, 0).ok_or("it has no length")?;
        let data_length = number_at(blob, 4).ok_or("it has no length")?;
        if entry_count > MAX_ENTRIES || data_length > MAX_DATA {
            return Err("it is longer than rpm allows");
        }
        let (entry_bytes, data_bytes) = (entry_count as usize * ENTRY, data_length as usize);
        let rest = blob.get(8..).ok_or("it has no length")?;
        let (entries, data) =
            rest.split_at_checked(entry_bytes).ok_or("its entries are cut off")?;
        let data = data.get(..data_bytes).ok_or("its data is cut off")?;
        Ok(Self { entries, data })
    }

    /// The name of the package.
    pub fn name(&self) -> Option<&'a [u8]> {
        self.string(NAME).filter(|name| !name.is_empty())
    }

    /// `[EPOCH:]VERSION-RELEASE`.
    pub fn version(&self) -> Vec<u8> {
        let epoch = self.numbers(EPOCH).next().map(|epoch| format!("{epoch}:"));
        let (version, release) =
            (self.string(VERSION).unwrap_or_default(), self.string(RELEASE).unwrap_or_default());
        [epoch.unwrap_or_default().as_bytes(), version, b"-", release].concat()
    }

    /// The texts of its scripts.
    pub fn scripts(&self) -> impl Iterator<Item = &'a [u8]> {
        SCRIPTS.into_iter().filter_map(|tag| self.string(tag))
    }

    /// Calls `see` with each file that is there for this package, or would be if it were made.
    pub fn for_each_file(&self, mut see: impl FnMut(ListedFile<'_>)) {
        let dirs: Vec<&[u8]> = self.strings(DIR_NAMES).collect();
        let mut dir_indexes = self.numbers(DIR_INDEXES);
        let mut flags = self.numbers(FILE_FLAGS);
        let mut states = self.bytes(FILE_STATES).iter();
        let mut path = Vec::new();
        for name in self.strings(BASE_NAMES) {
            let (index, flags) = (dir_indexes.next(), flags.next().unwrap_or(0));
            let state = states.next().copied().unwrap_or(NORMAL);
            let Some(dir) = index.and_then(|index| dirs.get(index as usize)) else { return };
            if state != NORMAL {
                continue;
            }
            path.clear();
            path.extend_from_slice(dir.strip_prefix(b"/").unwrap_or(dir));
            path.extend_from_slice(name);
            if !path.is_empty() {
                see(ListedFile { path: &path, is_ghost: flags & GHOST != 0 });
            }
        }
    }

    /// Type, data from its offset on, and count of an entry. What was changed when the package was installed
    /// stands behind what the package was built with, and counts.
    fn entry(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let found =
            self.entries.chunks_exact(ENTRY).rfind(|entry| number_at(entry, 0) == Some(tag))?;
        let (kind, count) = (number_at(found, 4)?, number_at(found, 12)? as usize);
        let data = self.data.get(number_at(found, 8)? as usize..)?;
        Some((kind, data, count))
    }

    fn string(&self, tag: u32) -> Option<&'a [u8]> {
        let (kind, data, _) = self.entry(tag)?;
        if !matches!(kind, STRING | STRING_ARRAY | I18N_STRING) {
            return None;
        }
        data.iter().position(|&b| b == 0).map(|end| &data[..end])
    }

    fn strings(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> {
        let found = self.entry(tag).filter(|(kind, _, _)| *kind == STRING_ARRAY);
        let (mut data, count) = found.map_or((&[][..], 0), |(_, data, count)| (data, count));
        (0..count).map_while(move |_| {
            let end = data.iter().position(|&b| b == 0)?;
            let string = &data[..end];
            data = &data[end + 1..];
            Some(string)
        })
    }

    fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'a> {
        let found = self.entry(tag).filter(|(kind, _, _)| *kind == INT32);
        let (data, count) = found.map_or((&[][..], 0), |(_, data, count)| (data, count));
        data.chunks_exact(4).take(count).filter_map(|chunk| number_at(chunk, 0))
    }

    fn bytes(&self, tag: u32) -> &'a [u8] {
        let found = self.entry(tag).filter(|(kind, _, _)| matches!(*kind, CHAR | INT8));
        found.and_then(|(_, data, count)| data.get(..count)).unwrap_or_default()
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
#[path = "rpm_tests.rs"]
mod tests;
