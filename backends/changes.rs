//! What differs between two trees, kept compactly: a row is tens of bytes, so that half a million
//! changes fit in memory, and paths share their directories.

use std::os::unix::ffi::OsStrExt;

use crate::path::TreePath;

pub use crate::file_type::FileType;

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

    /// Shows each change in order to `visit`, with its path as in [`TreePath::as_bytes`]: one buffer
    /// for all paths, so that half a million rows cost no allocation each. Stops at an error.
    pub fn for_each<E>(
        &self,
        mut visit: impl FnMut(&[u8], ChangeKind, &Facts) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut path = Vec::new();
        // Neighbours mostly share their directory: it stays in the buffer.
        let (mut dir, mut dir_len) = (ROOT, 0);
        for row in &self.rows {
            if row.dir == dir {
                path.truncate(dir_len);
            } else {
                path.clear();
                self.write_dir(row.dir, &mut path);
                (dir, dir_len) = (row.dir, path.len());
            }
            path.extend_from_slice(self.name(row.name));
            visit(&path, row.kind, &row.facts)?;
        }
        Ok(())
    }

    /// The same with more rows; of two for one path the one that is there stays.
    pub fn with(self, more: Vec<Change>) -> Self {
        if more.is_empty() {
            return self;
        }
        let mut rows: Vec<Change> = self.iter().chain(more).collect();
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows.dedup_by(|later, first| later.path == first.path);
        let mut writer = ChangesWriter::new();
        for Change { path, kind, facts } in rows {
            let Some(name) = path.name() else {
                writer.record_root(kind, facts);
                continue;
            };
            let parent = path.parent().unwrap_or_default();
            while !parent.is_within(&writer.current_path()) {
                writer.ascend();
            }
            let below = parent.below(&writer.current_path()).unwrap_or_default();
            for name in below.as_bytes().split(|&b| b == b'/').filter(|name| !name.is_empty()) {
                writer.descend(name);
            }
            writer.record(name.as_bytes(), kind, facts);
        }
        writer.finish()
    }

    fn write_path(&self, row: &Row, path: &mut Vec<u8>) {
        self.write_dir(row.dir, path);
        path.extend_from_slice(self.name(row.name));
    }

    /// Writes the directory with a slash after each component, outermost first.
    fn write_dir(&self, dir: u32, path: &mut Vec<u8>) {
        // No recursion: directories nest deeper than a stack does.
        let parent = |dir: &&Dir| self.dirs.get(dir.parent as usize);
        let chain: Vec<&Dir> =
            std::iter::successors(self.dirs.get(dir as usize), |dir| parent(dir)).collect();
        for dir in chain.iter().rev() {
            path.extend_from_slice(self.name(dir.name));
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

    /// Whether no row was written yet.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
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
    fn a_visitor_sees_the_same_rows_as_the_iterator() {
        let mut writer = ChangesWriter::new();
        writer.record_root(ChangeKind::Metadata, FACTS);
        writer.record(b"a", ChangeKind::Added, FACTS);
        writer.descend(b"a");
        writer.record(b"b\n", ChangeKind::Removed, FACTS);
        writer.record(b"c", ChangeKind::Modified, Facts { size: 7, ..FACTS });
        writer.ascend();
        writer.record(b"z", ChangeKind::Added, FACTS);
        let changes = writer.finish();
        let mut seen = Vec::new();
        let all = changes.for_each(|path, kind, facts| {
            seen.push(Change { path: TreePath::from_clean(path.to_vec()), kind, facts: *facts });
            Ok::<(), ()>(())
        });
        assert!(all.is_ok() && seen == changes.iter().collect::<Vec<_>>(), "{seen:?}");

        let mut count = 0;
        let stopped = changes.for_each(|_, _, _| {
            count += 1;
            if count == 2 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((stopped, count), (Err("enough"), 2));
    }

    #[test]
    fn ten_thousand_nested_directories_do_not_overflow_the_stack() {
        let mut writer = ChangesWriter::new();
        for _ in 0..10_000 {
            writer.descend(b"d");
        }
        writer.record(b"x", ChangeKind::Added, FACTS);
        let path = writer.finish().iter().next().unwrap().path;
        assert_eq!(path.as_bytes().len(), 20_001);
    }

    #[test]
    fn a_row_stays_small() {
        assert!(size_of::<Row>() <= 72, "{}", size_of::<Row>());
    }
}
