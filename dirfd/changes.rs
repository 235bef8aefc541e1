//! What differs between two trees, kept compactly: a row is tens of bytes, so that half a million
//! changes fit in memory, and paths share their directories.

use std::cmp::Ordering;
use std::ffi::CString;
use std::num::NonZero;

use crate::path_set::{PathId, Paths, Way};
use crate::{FileType, TreePath};

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
    /// Each one, in the order of all output.
    pub const ALL: [Self; 5] =
        [Self::Added, Self::Modified, Self::Metadata, Self::Replaced, Self::Removed];

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

#[derive(Debug)]
struct Row {
    path: PathId,
    kind: ChangeKind,
    facts: Facts,
    inode: InodeNumber,
}

/// The number of an inode, where whoever compared came across it; no inode has the number 0.
pub type InodeNumber = Option<NonZero<u64>>;

/// All differences between two trees, sorted by path bytes.
///
/// Invariant: sorted, each path once. Built by a [`ChangesWriter`] alone.
#[derive(Debug, Default)]
pub struct Changes {
    paths: Paths,
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
            let path = self.paths.path(row.path);
            Change { path, kind: row.kind, facts: row.facts }
        })
    }

    /// Shows each change in order to `visit`, with its path as in [`TreePath::as_bytes`]: one buffer
    /// for all paths, so that half a million rows cost no allocation each. Stops at an error.
    pub fn for_each<E>(
        &self,
        mut visit: impl FnMut(&[u8], ChangeKind, &Facts) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = self.cursor();
        while let Some((path, kind, facts)) = cursor.next_row() {
            visit(path, kind, facts)?;
        }
        Ok(())
    }

    /// The same for who goes through two lists side by side.
    pub fn cursor(&self) -> ChangesCursor<'_> {
        let (path, last) = (Vec::new(), PathId::ROOT);
        ChangesCursor { changes: self, next: 0, path, last, dir_len: 0 }
    }

    /// Leaves out all but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
    }

    /// The same with more rows; of two for one path the one that is there stays.
    pub fn with(self, more: Vec<Change>) -> Self {
        if more.is_empty() {
            return self;
        }
        let own = self.iter().zip(self.rows.iter().map(|row| row.inode));
        let mut rows: Vec<_> = own.chain(more.into_iter().map(|row| (row, None))).collect();
        rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        rows.dedup_by(|(later, _), (first, _)| later.path == first.path);
        let mut writer = ChangesWriter::new();
        for (Change { path, kind, facts }, inode) in rows {
            writer.record_path(path.as_bytes(), kind, facts);
            writer.set_inode(inode);
        }
        writer.finish()
    }
}

/// A place in [`Changes`], which moves on from row to row.
#[derive(Debug)]
pub struct ChangesCursor<'c> {
    changes: &'c Changes,
    next: usize,
    path: Vec<u8>,
    last: PathId,
    dir_len: usize,
}

impl<'c> ChangesCursor<'c> {
    /// The next row: its path as in [`TreePath::as_bytes`], how it differs, and what it is.
    pub fn next_row(&mut self) -> Option<(&[u8], ChangeKind, &'c Facts)> {
        let row = self.changes.rows.get(self.next)?;
        self.next += 1;
        // Neighbours mostly share their directory: it stays in the buffer.
        if row.path.is_beside(self.last) {
            self.path.truncate(self.dir_len);
        } else {
            self.path.clear();
            self.changes.paths.write_dir(row.path, &mut self.path);
            self.dir_len = self.path.len();
        }
        self.last = row.path;
        self.path.extend_from_slice(self.changes.paths.name(row.path));
        Some((&self.path, row.kind, &row.facts))
    }

    /// The inode of the row that was told last, in the tree that the facts are of.
    pub fn inode(&self) -> InodeNumber {
        self.changes.rows.get(self.next.checked_sub(1)?)?.inode
    }
}

/// Builds [`Changes`] during a descent through both trees.
///
/// The order that the caller keeps: within a directory, a row has the key `name` and the descent
/// into it the key `name/`, and keys ascend by bytes (so `a`, then `a-b`, then what is in `a`). That
/// is the order of whole paths.
#[derive(Debug, Default)]
pub struct ChangesWriter {
    way: Way,
    rows: Vec<Row>,
    /// The current directory, where a whole path led there.
    dir: Option<Vec<u8>>,
}

impl ChangesWriter {
    /// Starts at the tree's root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes into the directory `name`.
    pub fn descend(&mut self, name: &[u8]) {
        self.dir = None;
        self.way.descend(name);
    }

    /// Leaves the directory again.
    pub fn ascend(&mut self) {
        self.dir = None;
        self.way.ascend();
    }

    /// Writes a row for the tree's root itself; before any other.
    pub fn record_root(&mut self, kind: ChangeKind, facts: Facts) {
        self.rows.push(Row { path: PathId::ROOT, kind, facts, inode: None });
    }

    /// Writes a row for `name` in the current directory.
    pub fn record(&mut self, name: &[u8], kind: ChangeKind, facts: Facts) {
        let path = self.way.record(name);
        self.rows.push(Row { path, kind, facts, inode: None });
    }

    /// Says which inode the last row is of, in the tree that its facts are of.
    pub fn set_inode(&mut self, inode: InodeNumber) {
        if let Some(row) = self.rows.last_mut() {
            row.inode = inode;
        }
    }

    /// Writes a row for a whole path, as in [`TreePath::as_bytes`], which must come after all that were
    /// written by the order of their bytes.
    pub fn record_path(&mut self, path: &[u8], kind: ChangeKind, facts: Facts) {
        if path.is_empty() {
            return self.record_root(kind, facts);
        }
        let (dirs, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&[][..], path),
        };
        // Neighbours mostly share their directory.
        if self.dir.as_deref() != Some(dirs) {
            self.go_to(dirs);
            self.dir = Some(dirs.to_vec());
        }
        self.record(name, kind, facts);
    }

    fn go_to(&mut self, dir: &[u8]) {
        let dirs: Vec<&[u8]> = dir.split(|&b| b == b'/').filter(|dir| !dir.is_empty()).collect();
        let shared = self.way.common_depth(&dirs);
        while self.way.depth() > shared {
            self.way.ascend();
        }
        dirs[shared..].iter().for_each(|dir| self.way.descend(dir));
    }

    /// Whether no row was written yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The path of the current directory.
    pub fn current_path(&self) -> TreePath {
        self.way.here()
    }

    /// The finished changes.
    pub fn finish(self) -> Changes {
        let changes = Changes { paths: self.way.into_paths(), rows: self.rows };
        debug_assert!(
            changes.iter().is_sorted_by(|a, b| a.path < b.path),
            "rows were written out of order"
        );
        changes
    }
}

// The order of a descent: rows of a directory and what is below them, sorted as whole paths are.

/// The order of two rows, or of going into what is below one where the second is true.
pub fn compare(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let slash = |descends: bool| descends.then_some(&b'/');
    a.0.iter().chain(slash(a.1)).cmp(b.0.iter().chain(slash(b.1)))
}

/// The directories that a walk has passed by name and must still go into.
///
/// In the order of whole paths, `a` comes first, then `a-b`, then what is in `a`: going into a
/// directory has the key `a/`, and other names may lie between `a` and `a/`. So each directory waits
/// until the next name is greater than its key.
///
/// Names arrive in ascending order. Whatever waits is a prefix of what was pushed later, so the last
/// one pushed always has the smallest key, and a stack is enough.
#[derive(Debug)]
pub struct Waiting<T> {
    stack: Vec<(CString, T)>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { stack: Vec::new() }
    }
}

impl<T> Waiting<T> {
    /// Adds a directory, after its own row was written.
    pub fn push(&mut self, name: CString, what: T) {
        self.stack.push((name, what));
    }

    /// The directory to go into before the row `next` is written; `None` for `next` stands for the
    /// directory's end.
    pub fn pop_before(&mut self, next: Option<&[u8]>) -> Option<(CString, T)> {
        let (name, _) = self.stack.last()?;
        let is_due =
            next.is_none_or(|next| compare((name.to_bytes(), true), (next, false)).is_lt());
        if is_due { self.stack.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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

    fn order_of(names: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut waiting = Waiting::default();
        let mut keys = Vec::new();
        let go_into = |waiting: &mut Waiting<()>, next: Option<&[u8]>| {
            let mut due = Vec::new();
            while let Some((name, ())) = waiting.pop_before(next) {
                due.push([name.to_bytes(), b"/"].concat());
            }
            due
        };
        for name in names {
            keys.extend(go_into(&mut waiting, Some(name)));
            keys.push(name.to_vec());
            waiting.push(CString::new(*name).unwrap(), ());
        }
        keys.extend(go_into(&mut waiting, None));
        keys
    }

    #[test]
    fn a_directory_waits_for_the_names_between_its_name_and_its_content() {
        let keys = order_of(&[b"a", b"a-", b"a-b", b"a0", b"b"]);
        let expected: [&[u8]; 10] =
            [b"a", b"a-", b"a-/", b"a-b", b"a-b/", b"a/", b"a0", b"a0/", b"b", b"b/"];
        assert_eq!(keys, expected);
    }

    proptest! {
        #[test]
        fn keys_ascend_whatever_the_names(
            names in prop::collection::btree_set("[a!.\u{7f}-]{1,4}", 0..40)
        ) {
            let names: BTreeSet<Vec<u8>> = names.into_iter().map(String::into_bytes).collect();
            let keys = order_of(&names.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(keys.len(), names.len() * 2);
            prop_assert!(keys.is_sorted());
        }
    }
}
