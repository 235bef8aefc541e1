//! What differs between two trees, kept compactly: a row is tens of bytes, so that half a million
//! changes fit in memory, and paths share their directories.

use std::fmt;

use crate::path::TreePath;

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Only the newer tree has it.
    Added,
    /// Only the older tree has it.
    Removed,
    /// Other content, link target or device number.
    Modified,
    /// Other owner, mode, extended attributes or ACL; the same content.
    Metadata,
    /// Another file type.
    Replaced,
}

impl ChangeKind {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Modified => "modified",
            Self::Metadata => "metadata",
            Self::Replaced => "replaced",
        }
    }
}

/// The type of a file; a nested subvolume, or the stub that a snapshot leaves of one, is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A nested subvolume.
    Subvolume,
}

impl FileType {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Block => "block",
            Self::Char => "char",
            Self::Subvolume => "subvolume",
        }
    }

    /// From the type bits of `st_mode` (`inode(7)`); `None` for a type that Linux does not have.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Dir,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o060_000 => Self::Block,
            0o020_000 => Self::Char,
            _ => return None,
        })
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What `lstat` tells of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its type.
    pub file_type: FileType,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at the most.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes, as `st_size`; 0 for a subvolume.
    pub size: u64,
    /// Seconds since 1970 of the last change of content.
    pub mtime: i64,
    /// Nanoseconds to add to `mtime`.
    pub mtime_nanos: u32,
}

/// One difference. `facts` are those of the newer tree; of the older where it was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path in both trees.
    pub path: TreePath,
    /// How it differs.
    pub kind: ChangeKind,
    /// What the file is.
    pub facts: Facts,
}

/// Stands for the tree's own root in [`Row::dir`] and for "no parent" in [`Dir::parent`].
const ROOT: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Name {
    start: u64,
    len: u8,
}

#[derive(Debug)]
struct Dir {
    parent: u32,
    name: Name,
}

#[derive(Debug)]
struct Row {
    dir: u32,
    name: Name,
    kind: ChangeKind,
    facts: Facts,
}

/// All differences between two trees, sorted by path bytes.
///
/// Invariant: sorted, each path once. Built by a [`ChangesWriter`] alone.
#[derive(Debug, Default)]
pub struct Changes {
    names: Vec<u8>,
    dirs: Vec<Dir>,
    rows: Vec<Row>,
}

impl Changes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the trees are the same.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Each change in order. Allocates one path at a time.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Change> + '_ {
        self.rows.iter().map(|row| {
            let mut path = Vec::new();
            self.write_path(row, &mut path);
            Change { path: TreePath::from_clean(path), kind: row.kind, facts: row.facts }
        })
    }

    fn write_path(&self, row: &Row, path: &mut Vec<u8>) {
        self.write_dir(row.dir, path);
        path.extend_from_slice(self.name(row.name));
    }

    /// Writes the directory with a slash after each component, outermost first. A tree may be
    /// deeper than a thread's stack, so this does not recurse.
    fn write_dir(&self, mut dir: u32, path: &mut Vec<u8>) {
        let mut names = Vec::new();
        while let Some(found) = self.dirs.get(dir as usize) {
            names.push(found.name);
            dir = found.parent;
        }
        for name in names.into_iter().rev() {
            path.extend_from_slice(self.name(name));
            path.push(b'/');
        }
    }

    fn name(&self, name: Name) -> &[u8] {
        let start = name.start as usize;
        self.names.get(start..start + usize::from(name.len)).unwrap_or_default()
    }
}

/// Builds [`Changes`] during a descent through both trees.
///
/// The order that the caller keeps: within a directory, a row has the key `name` and the descent
/// into it the key `name/`, and keys ascend by bytes (so `a`, then `a-b`, then what is in `a`). That
/// is the order of whole paths.
#[derive(Debug, Default)]
pub struct ChangesWriter {
    changes: Changes,
    /// The directories from the root down, each interned when its first row is written.
    stack: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    dir: Option<u32>,
}

impl ChangesWriter {
    /// Starts at the tree's root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes into the directory `name`.
    pub fn descend(&mut self, name: &[u8]) {
        self.stack.push(Level { name: name.to_vec(), dir: None });
    }

    /// Leaves the directory again.
    pub fn ascend(&mut self) {
        self.stack.pop();
    }

    /// Writes a row for the tree's root itself; before any other.
    pub fn record_root(&mut self, kind: ChangeKind, facts: Facts) {
        self.changes.rows.push(Row { dir: ROOT, name: Name { start: 0, len: 0 }, kind, facts });
    }

    /// Writes a row for `name` in the current directory.
    pub fn record(&mut self, name: &[u8], kind: ChangeKind, facts: Facts) {
        let dir = self.current_dir();
        let name = self.intern(name);
        self.changes.rows.push(Row { dir, name, kind, facts });
    }

    /// The path of the current directory.
    pub fn current_path(&self) -> TreePath {
        let names: Vec<&[u8]> = self.stack.iter().map(|level| level.name.as_slice()).collect();
        TreePath::from_clean(names.join(&b'/'))
    }

    /// The finished changes.
    pub fn finish(self) -> Changes {
        debug_assert!(
            self.changes.iter().is_sorted_by(|a, b| a.path < b.path),
            "rows were written out of order"
        );
        self.changes
    }

    fn current_dir(&mut self) -> u32 {
        let interned = self.stack.iter().rposition(|level| level.dir.is_some());
        let mut parent = interned.and_then(|at| self.stack[at].dir).unwrap_or(ROOT);
        for at in interned.map_or(0, |at| at + 1)..self.stack.len() {
            let own = std::mem::take(&mut self.stack[at].name);
            let name = self.intern(&own);
            self.changes.dirs.push(Dir { parent, name });
            parent = (self.changes.dirs.len() - 1) as u32;
            self.stack[at] = Level { name: own, dir: Some(parent) };
        }
        parent
    }

    fn intern(&mut self, name: &[u8]) -> Name {
        let start = self.changes.names.len() as u64;
        self.changes.names.extend_from_slice(name);
        // A file name has at most 255 bytes (NAME_MAX).
        Name { start, len: name.len().min(255) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        file_type: FileType::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 1,
        mtime: 0,
        mtime_nanos: 0,
    };

    #[test]
    fn rows_come_back_with_their_whole_paths() {
        let mut writer = ChangesWriter::new();
        writer.record_root(ChangeKind::Metadata, FACTS);
        writer.record(b"a", ChangeKind::Added, FACTS);
        writer.record(b"a-b", ChangeKind::Added, FACTS);
        writer.descend(b"a");
        writer.descend(b"b");
        writer.record(b"c", ChangeKind::Removed, FACTS);
        assert_eq!(writer.current_path().to_string(), "/a/b");
        writer.ascend();
        writer.record(b"z", ChangeKind::Added, FACTS);
        writer.ascend();
        let paths: Vec<_> = writer.finish().iter().map(|c| c.path.to_string()).collect();
        assert_eq!(paths, ["/", "/a", "/a-b", "/a/b/c", "/a/z"]);
    }

    #[test]
    fn a_row_stays_small() {
        assert!(size_of::<Row>() <= 72, "{}", size_of::<Row>());
    }
}
