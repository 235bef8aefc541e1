//! The entries of an fstab (fstab(5)) that mount the root; pure in its input.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

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
    /// Its mount options, unescaped; empty if it has none.
    pub options: Vec<u8>,
}

impl RootEntry {
    /// The number by which it names the subvolume to mount, if it does.
    pub fn subvolid(&self) -> Option<&[u8]> {
        option(&self.options, b"subvolid")
    }
}

/// Every entry that mounts the root. Lines that are no entries are left out, as mount(8) does.
pub fn root_entries(text: &[u8]) -> Vec<RootEntry> {
    let numbered = text.split(|&b| b == b'\n').enumerate();
    numbered.filter_map(|(at, line)| root_entry(at + 1, line)).collect()
}

/// The text of the fstab in a tree; empty if it has none.
pub fn read(tree: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = fs::openat2(tree, "etc/fstab", flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let mut text = Vec::new();
    match opened.map_err(io::Error::from) {
        Ok(file) => std::fs::File::from(file).read_to_end(&mut text)?,
        Err(error) if is_not_found(&error) => 0,
        Err(error) => return Err(error),
    };
    Ok(text)
}

fn root_entry(line: usize, text: &[u8]) -> Option<RootEntry> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let mut fields = text.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
    let device = fields.next()?;
    if device.starts_with(b"#") {
        return None;
    }
    let mount_point = unescape(fields.next()?);
    if mount_point.is_empty() || mount_point.iter().any(|&b| b != b'/') {
        return None;
    }
    let options = fields.nth(1).map(|options| unescape(options).into_owned()).unwrap_or_default();
    Some(RootEntry { line, text: text.to_vec(), options })
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
            prop_assert!(root_entries(&bytes).iter().all(|e| (1..=lines).contains(&e.line)));
        }
    }
}
