//! The entries of an fstab (fstab(5)): those that mount the root, and all that mount something
//! somewhere; pure in its input.

use std::borrow::Cow;
use std::io;
use std::os::fd::BorrowedFd;

use backends::TreePath;
use backends::file;
use backends::mountinfo::unescape;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};

use super::command_line::option;
use crate::host::is_not_found;

/// An entry whose mount point is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootEntry {
    /// The number of its line, from 1.
    pub line: usize,
    /// The whole line as it stands there, without its newline.
    pub text: Vec<u8>,
    /// What is mounted, unescaped.
    pub source: Vec<u8>,
    /// The file system's type, unescaped; empty if it does not say.
    pub fs_type: Vec<u8>,
    /// Its mount options, unescaped; empty if it has none.
    pub options: Vec<u8>,
}

impl RootEntry {
    /// The number by which it names the subvolume to mount, if it does.
    pub fn subvolid(&self) -> Option<&[u8]> {
        option(&self.options, b"subvolid")
    }
}

/// An entry that mounts something. All of its fields are unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its line, from 1.
    pub line: usize,
    /// What is mounted: a device, `LABEL=…` and the like, or whatever the type calls a source.
    pub source: Vec<u8>,
    /// Where it is mounted.
    pub point: TreePath,
    /// The file system's type; empty if it does not say.
    pub fs_type: Vec<u8>,
    /// Its mount options; empty if it has none.
    pub options: Vec<u8>,
}

/// Every entry that has a mount point. Swap has none, and a path that goes upwards is none.
pub fn entries(text: &[u8]) -> Vec<Entry> {
    let entry = |(line, text)| {
        let Fields { source, point, mut rest } = fields(text)?;
        let point = point.starts_with(b"/").then(|| TreePath::parse(&point).ok())??;
        let mut next = || rest.next().map(|field| unescape(field).into_owned()).unwrap_or_default();
        let source = unescape(source).into_owned();
        Some(Entry { line, source, point, fs_type: next(), options: next() })
    };
    numbered(text).filter_map(entry).collect()
}

/// Every entry that mounts the root. Lines that are no entries are left out, as mount(8) does.
pub fn root_entries(text: &[u8]) -> Vec<RootEntry> {
    numbered(text).filter_map(|(line, text)| root_entry(line, text)).collect()
}

/// The text of the fstab in a tree; empty if it has none.
pub fn read(tree: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    Ok(read_in(tree, "etc/fstab")?.unwrap_or_default())
}

/// The text of a file of the system's own in a tree, if it is there. Links lead nowhere else.
pub fn read_in(tree: BorrowedFd<'_>, path: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = fs::openat2(tree, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    match opened.map_err(io::Error::from) {
        Ok(opened) => file::read_open(opened.into(), file::MAX_SYSTEM).map(Some),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lines with their numbers, without what Windows ends them with.
fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&b| b == b'\n').enumerate();
    lines.map(|(at, line)| (at + 1, line.strip_suffix(b"\r").unwrap_or(line)))
}

/// A line that is an entry: its source and mount point, and the fields after them, still escaped.
struct Fields<'l, R> {
    source: &'l [u8],
    point: Cow<'l, [u8]>,
    rest: R,
}

fn fields(line: &[u8]) -> Option<Fields<'_, impl Iterator<Item = &[u8]>>> {
    let mut fields = line.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
    let source = fields.next().filter(|source| !source.starts_with(b"#"))?;
    Some(Fields { source, point: unescape(fields.next()?), rest: fields })
}

fn root_entry(line: usize, text: &[u8]) -> Option<RootEntry> {
    let Fields { source, point, mut rest } = fields(text)?;
    if point.is_empty() || point.iter().any(|&b| b != b'/') {
        return None;
    }
    let mut next = || rest.next().map(|field| unescape(field).into_owned()).unwrap_or_default();
    let (source, fs_type) = (unescape(source).into_owned(), next());
    Some(RootEntry { line, text: text.to_vec(), source, fs_type, options: next() })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_entries_of_the_root_are_found() {
        let text = b"# / is here\n\nUUID=x / btrfs rw,subvolid=256 0 0\n\
            \t/dev/sdb\t/\\040\text4\tdefaults\nLABEL=os  /  btrfs  subvol=a\\040b\nx\n/dev/c //";
        let found: Vec<_> = root_entries(text)
            .into_iter()
            .map(|e| (e.line, e.subvolid().map(<[u8]>::to_vec), e.options))
            .collect();
        let expected = [
            (3, Some(b"256".to_vec()), b"rw,subvolid=256".to_vec()),
            (5, None, b"subvol=a b".to_vec()),
            (7, None, Vec::new()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_entry_with_a_mount_point_is_found_with_its_fields() {
        let text = b"# /persist is here\nUUID=x /persist btrfs subvol=a\\040b,nofail 0 0\r\n\
            LABEL=my\\040os\t//srv/./data/\nx none swap sw\nx /a/../b ext4\nx relative ext4\n\
            tmpfs / tmpfs size=1G";
        let found: Vec<String> = entries(text)
            .iter()
            .map(|e| {
                let text = String::from_utf8_lossy;
                let (source, fs_type) = (text(&e.source), text(&e.fs_type));
                format!("{} {source} {} {fs_type} {}", e.line, e.point, text(&e.options))
            })
            .collect();
        let expected = [
            "2 UUID=x /persist btrfs subvol=a b,nofail",
            "3 LABEL=my os /srv/data  ",
            "7 tmpfs / tmpfs size=1G",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tree_without_an_fstab_has_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let tree = std::fs::File::open(dir.path()).unwrap();
        assert_eq!(read(tree.as_fd()).unwrap(), b"");
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/nix/fstab", dir.path().join("etc/fstab")).unwrap();
        assert_eq!(read(tree.as_fd()).unwrap(), b"");
        std::fs::create_dir(dir.path().join("nix")).unwrap();
        std::fs::write(dir.path().join("nix/fstab"), "x / btrfs").unwrap();
        assert_eq!(read(tree.as_fd()).unwrap(), b"x / btrfs");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let lines = bytes.split(|&b| b == b'\n').count();
            let (roots, all) = (root_entries(&bytes), entries(&bytes));
            prop_assert!(roots.iter().all(|e| (1..=lines).contains(&e.line)));
            // What mounts the root is an entry like any other.
            let at_root: Vec<usize> =
                all.iter().filter(|e| e.point.depth() == 0).map(|e| e.line).collect();
            prop_assert!(roots.iter().all(|root| at_root.contains(&root.line)));
        }
    }
}
