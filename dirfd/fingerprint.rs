//! What a file holds, in 16 bytes: its content, its extended attributes and its flags, so that versions of it
//! in several trees are compared without reading any of them again.
//!
//! Owner, mode, size and link target are not part of it: they are told beside it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use blake3::Hasher;

use crate::inode_flags::InodeFlags;
use crate::stat::{Place, Stat};
use crate::{FileType, open_file, xattrs};

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// What is known of what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Nothing beside what its facts and its link target tell: a directory, an empty file.
    Nothing,
    /// The first 16 bytes of the BLAKE3 hash of all of it.
    Whole([u8; 16]),
    /// It was not read, since it is larger than what is read of one file.
    TooLarge,
    /// It could not be read, or changed while it was.
    Unreadable,
}

impl Content {
    /// Whether two files are known to hold the same. What was not read is the same as nothing, itself included.
    pub fn is_same_as(self, other: Self) -> bool {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::Whole(a), Self::Whole(b)) => a == b,
            _ => false,
        }
    }

    /// That of a whole that consists of these parts.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self::Whole(short_hash(&hasher))
    }

    /// Whether all of it was read.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Nothing | Self::Whole(_))
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// All but what it says if it is a link.
    pub content: Content,
    /// What it says if it is a link; else empty.
    pub target: Vec<u8>,
}

/// Reads what the file holds that `stat` tells of; nothing of a regular file with more than `limit` bytes.
/// `buffer` is used for reading, and may be the same for many files.
pub fn read_content(place: Place<'_>, stat: &Stat, limit: u64, buffer: &mut Vec<u8>) -> Content {
    if stat.facts.file_type == FileType::File && stat.facts.size > limit {
        return Content::TooLarge;
    }
    hash_content(place, stat, limit, buffer).unwrap_or(Content::Unreadable)
}

fn hash_content(
    place: Place<'_>,
    stat: &Stat,
    limit: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<Content> {
    let mut hasher = ContentHasher::default();
    let opened = open_file::open_expected(place, stat)?;
    let of = opened.as_fd();
    if !xattrs::has_none(of) {
        for (name, value) in xattrs::of_open(of)? {
            hasher.add_xattr(name.to_bytes(), &value);
        }
    }
    match stat.facts.file_type {
        FileType::File | FileType::Dir => {
            let flags = InodeFlags::of(of)?.and_then(InodeFlags::lasting);
            if let Some(flags) = flags {
                hasher.add_part(b'f', &flags);
            }
        }
        FileType::Block | FileType::Char => {
            let (major, minor) = stat.stands_for;
            let number = [major.to_le_bytes(), minor.to_le_bytes()].concat();
            hasher.add_part(b'd', &number);
        }
        FileType::Symlink | FileType::Fifo | FileType::Socket | FileType::Subvolume => {}
    }
    if stat.facts.file_type == FileType::File && stat.facts.size > 0 {
        hasher.start_bytes();
        let size = stat.facts.size.min(limit);
        let read = hash_file(&File::from(opened), size, &mut hasher.hasher, buffer)?;
        if read != stat.facts.size {
            return Ok(Content::Unreadable);
        }
    }
    Ok(hasher.finish())
}

/// Puts together what a file holds, in this order: extended attributes by their names, flags, the number of a
/// device, bytes.
#[derive(Debug, Default)]
pub struct ContentHasher {
    hasher: Hasher,
}

impl ContentHasher {
    /// Adds an extended attribute.
    pub fn add_xattr(&mut self, name: &[u8], value: &[u8]) {
        self.add_part(b'x', name);
        self.add_part(b'=', value);
    }

    /// Adds all bytes of a file that has some; nothing comes after them.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.start_bytes();
        self.hasher.update(bytes);
    }

    /// What the file holds.
    pub fn finish(self) -> Content {
        match self.hasher.count() {
            0 => Content::Nothing,
            _ => Content::Whole(short_hash(&self.hasher)),
        }
    }

    /// Each part begins with a letter and its length, so that no two files with other parts hash alike.
    fn add_part(&mut self, letter: u8, part: &[u8]) {
        self.hasher.update(&[letter]).update(&(part.len() as u64).to_le_bytes()).update(part);
    }

    fn start_bytes(&mut self) {
        self.hasher.update(b"c");
    }
}

/// Adds the first `size` bytes of a file, and returns how many there were.
fn hash_file(
    mut file: &File,
    size: u64,
    hasher: &mut Hasher,
    buffer: &mut Vec<u8>,
) -> io::Result<u64> {
    buffer.resize(CHUNK, 0);
    let mut total = 0;
    while total < size {
        let most = usize::try_from(size - total).unwrap_or(CHUNK).min(CHUNK);
        match file.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(len) => {
                hasher.update(&buffer[..len]);
                total += len as u64;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(total)
}

/// The first 16 bytes of the hash of what was added.
pub fn short_hash(hasher: &Hasher) -> [u8; 16] {
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn content(dir: &Path, name: &str) -> Content {
        let opened = fs::File::open(dir).unwrap();
        let name = CString::new(name).unwrap();
        let place = Place { dir: opened.as_fd(), name: &name };
        read_content(place, &place.stat().unwrap(), 1 << 20, &mut Vec::new())
    }

    #[test]
    fn the_same_bytes_under_two_names_are_the_same_and_other_bytes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "one"), ("b", "one"), ("c", "two"), ("empty", "")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let of = |name| content(dir.path(), name);
        assert!(of("a").is_same_as(of("b")));
        assert!(!of("a").is_same_as(of("c")));
        assert!(!of("a").is_same_as(of("empty")));
        assert!(of("a").is_whole() && of("empty").is_whole());
    }

    #[test]
    fn what_was_not_read_is_never_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let large = fs::File::create(dir.path().join("large")).unwrap();
        large.set_len((1 << 20) + 1).unwrap();
        assert_eq!(content(dir.path(), "large"), Content::TooLarge);
        for content in [Content::TooLarge, Content::Unreadable] {
            assert!(!content.is_same_as(content) && !content.is_whole());
        }
    }

    #[test]
    fn attributes_count_and_a_link_is_told_by_its_target_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), "one").unwrap();
        }
        symlink("a", dir.path().join("link")).unwrap();
        let set = rustix::fs::setxattr(
            dir.path().join("b"),
            c"user.note",
            b"1",
            rustix::fs::XattrFlags::empty(),
        );
        if set.is_ok() {
            assert!(!content(dir.path(), "a").is_same_as(content(dir.path(), "b")));
        }
        assert!(content(dir.path(), "link").is_whole());
    }

    #[test]
    fn who_took_the_name_meanwhile_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        let opened = fs::File::open(dir.path()).unwrap();
        let place = Place { dir: opened.as_fd(), name: c"a" };
        let stat = place.stat().unwrap();
        fs::remove_file(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        let found = read_content(place, &stat, 1 << 20, &mut Vec::new());
        assert_eq!(found, Content::Unreadable);
    }
}
