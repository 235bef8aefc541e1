//! What a path holds in live and in blank: text, bytes, metadata, and how the two differ. Reads a bounded part, follows
//! no link, and opens nothing but directories and regular files.

use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use chrono::{DateTime, Local};
use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::stat::{Moment, Place, Stat};
use dirfd::xattrs::{get_xattr, list_xattrs};
use dirfd::{FileType, TreePath};
use rustix::fs::{Dir, OFlags};

use crate::persist::create::open_beneath;
use crate::ui::figures::{format_count, format_local_time, format_size};

/// Bytes that are read of a file.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// Names that are read of a directory.
const MAX_NAMES: usize = 1_000;
/// Bytes that are shown of an extended attribute.
const MAX_VALUE: usize = 64;

/// What the two trees have at one path.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) live: Option<FoundFile>,
    pub(crate) blank: Option<FoundFile>,
}

/// What one tree has there.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) stat: Stat,
    /// Names with values.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) content: FoundContent,
}

/// What it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoundContent {
    /// The first bytes.
    Bytes(Vec<u8>),
    /// The first names, sorted, and whether there are more.
    Names(Vec<FoundName>, bool),
    Target(Vec<u8>),
    /// A device, a socket or a fifo, which nobody opens to look.
    Nothing,
}

/// A name in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundName {
    pub(crate) name: Vec<u8>,
    pub(crate) file_type: FileType,
    pub(crate) size: u64,
}

/// Looks at a path of both trees.
pub(crate) fn look_inside(
    live: BorrowedFd<'_>,
    blank: Option<BorrowedFd<'_>>,
    path: &TreePath,
) -> dirfd::Result<Inside> {
    let failed = |why| dirfd::Error::io(format!("look inside {path}"), why);
    let live = look_in_tree(live, path).map_err(failed)?;
    let blank = blank.map(|blank| look_in_tree(blank, path)).transpose().map_err(failed)?;
    Ok(Inside { live, blank: blank.flatten() })
}

fn look_in_tree(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Option<FoundFile>> {
    let parent = path.parent().unwrap_or_default();
    let parent = open_beneath(tree, parent.as_path(), OFlags::PATH | OFlags::DIRECTORY);
    let name = path.name().map_or(&b"."[..], |name| name.as_encoded_bytes());
    let name = CString::new(name)?;
    let looked = parent.and_then(|parent| look_at(Place { dir: parent.as_fd(), name: &name }));
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(why) if Cause::of(&why).leads_nowhere() => Ok(None),
        Err(why) => Err(why),
    }
}

fn look_at(place: Place<'_>) -> io::Result<FoundFile> {
    let stat = place.stat()?;
    let content = match stat.facts.file_type {
        FileType::File => FoundContent::Bytes(read_beginning(&place.open_file()?)?),
        FileType::Dir | FileType::Subvolume => read_names(place)?,
        FileType::Symlink => FoundContent::Target(place.link_target()?.unwrap_or_default()),
        FileType::Fifo | FileType::Socket | FileType::Block | FileType::Char => {
            FoundContent::Nothing
        }
    };
    let xattrs = list_xattrs(place)?.into_iter();
    let xattrs = xattrs.map(|name| {
        let mut value = get_xattr(place, &name)?.unwrap_or_default();
        value.truncate(MAX_VALUE);
        Ok((name.into_bytes(), value))
    });
    let xattrs = xattrs.collect::<io::Result<Vec<_>>>()?;
    Ok(FoundFile { stat, xattrs, content })
}

fn read_beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut content = vec![0; MAX_BYTES];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    content.truncate(filled);
    Ok(content)
}

fn read_names(place: Place<'_>) -> io::Result<FoundContent> {
    let (mut names, mut is_cut) = (Vec::new(), false);
    let path = TreePath::from_clean(place.name.to_bytes().to_vec());
    let dir = open_beneath(place.dir, path.as_path(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        is_cut = names.len() == MAX_NAMES;
        if is_cut {
            break;
        }
        // What vanished meanwhile is not there.
        let Ok(stat) = (Place { dir: dir.as_fd(), name }).stat() else { continue };
        let (file_type, size) = (stat.facts.file_type, stat.facts.size);
        names.push(FoundName { name: name.to_bytes().to_vec(), file_type, size });
    }
    names.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(FoundContent::Names(names, is_cut))
}

impl Inside {
    /// What live has; what blank has of what is gone.
    pub(crate) fn either(&self) -> Option<&FoundFile> {
        self.live.as_ref().or(self.blank.as_ref())
    }
}

impl FoundFile {
    /// Whether it is a file of bytes that are no text.
    pub(crate) fn is_binary(&self) -> bool {
        match &self.content {
            FoundContent::Bytes(bytes) => {
                // The last character may be cut.
                let is_text =
                    std::str::from_utf8(bytes).is_err_and(|why| why.error_len().is_some());
                is_text || bytes.contains(&0)
            }
            _ => false,
        }
    }

    /// Of a file of which more is there than was read.
    pub(crate) fn is_cut(&self) -> bool {
        match &self.content {
            FoundContent::Bytes(bytes) => (bytes.len() as u64) < self.stat.facts.size,
            FoundContent::Names(_, is_cut) => *is_cut,
            FoundContent::Target(_) | FoundContent::Nothing => false,
        }
    }

    /// The text in lines that can be shown: tabs are blanks, and what would steer a terminal is escaped.
    pub(crate) fn text_lines(&self) -> Vec<String> {
        match &self.content {
            FoundContent::Bytes(bytes) => {
                let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                bytes.split(|&byte| byte == b'\n').map(shown_line).collect()
            }
            FoundContent::Names(names, _) => names.iter().map(FoundName::line).collect(),
            FoundContent::Target(target) => vec![format!("-> {}", Escaped(target))],
            FoundContent::Nothing => Vec::new(),
        }
    }

    /// Each fact with its label.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let (stat, facts) = (&self.stat, &self.stat.facts);
        let time = |moment: Moment| {
            let time = DateTime::from_timestamp(moment.0, moment.1);
            time.map_or_else(
                || "unknown".to_string(),
                |time| format_local_time(time, &Local::now()),
            )
        };
        let size = match facts.size {
            0..1024 => format_size(facts.size),
            size => format!("{}, {} bytes", format_size(size), format_count(size)),
        };
        let fact = |label: &str, value: &dyn Display| (label.to_string(), value.to_string());
        let mut all = vec![
            fact("type", &facts.file_type.word()),
            fact("mode", &format_args!("{:04o}", facts.mode)),
            fact("owner", &format_args!("{}:{}", facts.uid, facts.gid)),
            fact("size", &size),
            fact("links", &stat.links),
            fact("modified", &time((facts.mtime, facts.mtime_nanos))),
            fact("changed", &time(stat.changed)),
        ];
        all.extend(stat.born.map(|born| fact("made", &time(born))));
        if matches!(facts.file_type, FileType::Block | FileType::Char) {
            let (major, minor) = stat.stands_for;
            all.push(fact("device", &format_args!("{major}:{minor}")));
        }
        let xattrs = self.xattrs.iter();
        all.extend(
            xattrs.map(|(name, value)| (Escaped(name).to_string(), Escaped(value).to_string())),
        );
        all
    }
}

impl FoundName {
    fn line(&self) -> String {
        let size = match self.file_type {
            FileType::File => format_size(self.size),
            _ => String::new(),
        };
        let slash = if self.file_type == FileType::Dir { "/" } else { "" };
        format!("{:<9}  {size:>10}  {}{slash}", self.file_type.word(), Escaped(&self.name))
    }
}

/// Where a line of text goes on after a tab.
const TAB_WIDTH: usize = 8;

fn shown_line(line: &[u8]) -> String {
    let mut shown = String::new();
    for (at, part) in line.split(|&byte| byte == b'\t').enumerate() {
        if at > 0 {
            let used = shown.chars().count();
            shown.extend(std::iter::repeat_n(' ', TAB_WIDTH - used % TAB_WIDTH));
        }
        shown.push_str(&format!("{:#}", Escaped(part)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let opened = File::open(dir.path()).unwrap();
        (dir, opened)
    }

    fn look(tree: &File, path: &str) -> io::Result<Option<FoundFile>> {
        look_in_tree(tree.as_fd(), &TreePath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn nothing_outside_is_reached_and_nothing_that_blocks_is_opened() {
        let (dir, tree) = tree();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "outside").unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = look(&tree, "link").unwrap().unwrap();
        assert!(matches!(&link.content, FoundContent::Target(to) if to.starts_with(b"/")));
        assert!(!matches!(look(&tree, "link/secret"), Ok(Some(_))));
        let fifo = look(&tree, "fifo").unwrap().unwrap();
        assert!(matches!(fifo.content, FoundContent::Nothing));
        assert!(look(&tree, "nowhere").unwrap().is_none());
        assert!(look(&tree, "fifo/below").unwrap().is_none());
    }

    #[test]
    fn a_bounded_part_is_read_and_what_is_cut_says_so() {
        let (dir, tree) = tree();
        File::create(dir.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
        let huge = look(&tree, "huge").unwrap().unwrap();
        assert!(huge.is_cut() && huge.is_binary());
        fs::create_dir(dir.path().join("dir")).unwrap();
        for number in 0..=MAX_NAMES {
            fs::write(dir.path().join(format!("dir/{number}")), "").unwrap();
        }
        let many = look(&tree, "dir").unwrap().unwrap();
        assert_eq!((many.text_lines().len(), many.is_cut()), (MAX_NAMES, true));
        // A character that is cut does not make text binary.
        fs::write(dir.path().join("text"), "é".repeat(MAX_BYTES)).unwrap();
        fs::write(dir.path().join("odd"), [&b"x"[..], "é".repeat(MAX_BYTES).as_bytes()].concat())
            .unwrap();
        for name in ["text", "odd"] {
            let text = look(&tree, name).unwrap().unwrap();
            assert!(text.is_cut() && !text.is_binary(), "{name}");
        }
    }

    #[test]
    fn text_steers_no_terminal() {
        let (dir, tree) = tree();
        let hostile = "a\tb\\n\n\x1b[31mred\r\n\u{202e}evil\n\n";
        fs::write(dir.path().join("text"), hostile).unwrap();
        let text = look(&tree, "text").unwrap().unwrap();
        let expected = ["a       b\\n", "\\u{1b}[31mred\\r", "\\u{202e}evil", ""];
        assert_eq!(text.text_lines(), expected);
        let facts = text.facts();
        assert!(facts.contains(&("type".to_string(), "file".to_string())), "{facts:?}");
    }
}
