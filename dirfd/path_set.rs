//! Many paths of one tree, kept compactly: each directory on the way to one of them is there once,
//! however many paths lead through it and however deep it is.

use std::ffi::{CStr, CString};

use crate::TreePath;

/// Stands for the tree's own root in [`PathId::dir`] and for "no parent" in [`Dir::parent`].
const ROOT: u32 = u32::MAX;

/// The paths that were written down.
#[derive(Debug, Default)]
pub struct Paths {
    names: Vec<u8>,
    dirs: Vec<Dir>,
}

/// One of the paths that were written down. Sorted, they are in the order in which their names were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathId {
    name: Name,
    dir: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    start: u64,
    len: u8,
}

#[derive(Debug)]
struct Dir {
    parent: u32,
    name: Name,
}

impl PathId {
    /// The tree's own root.
    pub const ROOT: Self = Self { dir: ROOT, name: Name { start: 0, len: 0 } };

    /// Whether both lie in the same directory.
    pub fn is_beside(self, other: Self) -> bool {
        self.dir == other.dir
    }
}

impl Paths {
    /// The path.
    pub fn path(&self, of: PathId) -> TreePath {
        let mut path = Vec::new();
        self.write_dir(of, &mut path);
        path.extend_from_slice(self.name(of));
        TreePath::from_clean(path)
    }

    /// The name at the path's end.
    pub fn name(&self, of: PathId) -> &[u8] {
        self.bytes(of.name)
    }

    /// Writes the directory that the path lies in, with a slash after each component.
    pub fn write_dir(&self, of: PathId, path: &mut Vec<u8>) {
        for name in self.dirs_of(of).iter().rev() {
            path.extend_from_slice(name);
            path.push(b'/');
        }
    }

    /// The components of the path, outermost first, as the kernel takes them.
    pub fn components(&self, of: PathId) -> Vec<CString> {
        let dirs = self.dirs_of(of);
        let names = dirs.into_iter().rev().chain([self.name(of)]);
        // What is written down was a name of a file.
        names.filter(|name| !name.is_empty()).filter_map(|name| CString::new(name).ok()).collect()
    }

    /// The names of the directories that lead to it, innermost first.
    fn dirs_of(&self, of: PathId) -> Vec<&[u8]> {
        // No recursion: directories nest deeper than a stack does.
        let parent = |dir: &&Dir| self.dirs.get(dir.parent as usize);
        let chain = std::iter::successors(self.dirs.get(of.dir as usize), |dir| parent(dir));
        chain.map(|dir| self.bytes(dir.name)).collect()
    }

    fn bytes(&self, name: Name) -> &[u8] {
        let start = name.start as usize;
        self.names.get(start..start + usize::from(name.len)).unwrap_or_default()
    }

    fn intern(&mut self, name: &[u8]) -> Name {
        let start = self.names.len() as u64;
        self.names.extend_from_slice(name);
        // A file name has at most 255 bytes (NAME_MAX).
        Name { start, len: name.len().min(255) as u8 }
    }
}

/// Where a descent through a tree is, and the paths that it has written down on its way.
#[derive(Debug, Default)]
pub struct Way {
    paths: Paths,
    /// The directories from the root down, each interned when the first path in it is written down.
    stack: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    dir: Option<u32>,
}

impl Way {
    /// Goes into the directory `name`.
    pub fn descend(&mut self, name: &[u8]) {
        self.stack.push(Level { name: name.to_vec(), dir: None });
    }

    /// How many directories lead to where it is.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// How many of them are the first ones of `dirs`, too.
    pub fn common_depth(&self, dirs: &[&[u8]]) -> usize {
        self.stack.iter().zip(dirs).take_while(|(level, dir)| level.name == **dir).count()
    }

    /// Leaves the directory again; `false` at the root.
    pub fn ascend(&mut self) -> bool {
        self.stack.pop().is_some()
    }

    /// Whether the current directory is the tree's root.
    pub fn is_at_root(&self) -> bool {
        self.stack.is_empty()
    }

    /// The path of the current directory.
    pub fn here(&self) -> TreePath {
        let names: Vec<&[u8]> = self.stack.iter().map(|level| level.name.as_slice()).collect();
        TreePath::from_clean(names.join(&b'/'))
    }

    /// The path of `name` in the current directory; that of the directory itself if it is empty.
    pub fn path_of(&self, name: &CStr) -> TreePath {
        if name.is_empty() { self.here() } else { self.here().join(name.to_bytes()) }
    }

    /// Writes down `name` in the current directory.
    pub fn record(&mut self, name: &[u8]) -> PathId {
        let dir = self.current_dir();
        PathId { dir, name: self.paths.intern(name) }
    }

    /// Writes down the current directory.
    pub fn record_here(&mut self) -> PathId {
        let dir = self.current_dir();
        match self.paths.dirs.get(dir as usize) {
            Some(own) => PathId { dir: own.parent, name: own.name },
            None => PathId::ROOT,
        }
    }

    /// The paths that were written down so far.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The paths that were written down.
    pub fn into_paths(self) -> Paths {
        self.paths
    }

    fn current_dir(&mut self) -> u32 {
        let interned = self.stack.iter().rposition(|level| level.dir.is_some());
        let mut parent = interned.and_then(|at| self.stack[at].dir).unwrap_or(ROOT);
        for at in interned.map_or(0, |at| at + 1)..self.stack.len() {
            let own = std::mem::take(&mut self.stack[at].name);
            let name = self.paths.intern(&own);
            self.paths.dirs.push(Dir { parent, name });
            parent = (self.paths.dirs.len() - 1) as u32;
            self.stack[at] = Level { name: own, dir: Some(parent) };
        }
        parent
    }
}

// What there is to tell of many files: a user can have any number of them, and nobody reads them all.

/// The first few of a list, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    first: Vec<T>,
    count: usize,
}

/// So many are kept.
const FIRST: usize = 20;

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { first: Vec::new(), count: 0 }
    }
}

impl<T> Told<T> {
    /// Adds one, which is made only if it is among the first.
    pub fn push(&mut self, one: impl FnOnce() -> T) {
        if self.first.len() < FIRST {
            self.first.push(one());
        }
        self.count += 1;
    }

    /// Adds those of another list.
    pub fn extend(&mut self, other: Self) {
        let more = other.more();
        for one in other.first {
            self.push(|| one);
        }
        self.count += more;
    }

    /// The first few.
    pub fn first(&self) -> &[T] {
        &self.first
    }

    /// How many there are beside the first few.
    pub fn more(&self) -> usize {
        self.count - self.first.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A line for each of the first few, and one that counts the others.
    pub fn lines(&self, line: impl Fn(&T) -> String) -> impl Iterator<Item = String> {
        let others = match self.more() {
            0 => None,
            1 => Some("the same is true of 1 more file".to_string()),
            more => Some(format!("the same is true of {more} more files")),
        };
        self.first.iter().map(line).chain(others)
    }
}

impl Told<TreePath> {
    /// Files of a tree, in the order in which they were met. `shown` is the path of the tree.
    pub fn of(mut files: Vec<PathId>, paths: &Paths, shown: &TreePath) -> Self {
        files.sort_unstable();
        let mut told = Self::default();
        for file in files {
            told.push(|| shown.join_path(&paths.path(file)));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_whole_whenever_they_were_written_down() {
        let mut way = Way::default();
        way.descend(b"a");
        way.descend(b"b");
        let here = way.record_here();
        let file = way.record(b"c\xff");
        assert!(way.ascend());
        let later = way.record(b"z");
        assert!(way.ascend() && way.is_at_root() && !way.ascend());
        let root = way.record_here();
        let paths = way.into_paths();
        let shown = [here, file, later, root].map(|id| paths.path(id).to_string());
        assert_eq!(shown, ["/a/b", "/a/b/c\\xff", "/a/z", "/"]);
        assert_eq!(paths.components(file), [c"a".to_owned(), c"b".to_owned(), c"c\xff".to_owned()]);
        assert_eq!(paths.components(root), Vec::<CString>::new());
        assert!(!file.is_beside(later) && here.is_beside(later));
    }

    #[test]
    fn many_names_below_many_directories_take_no_more_than_both_together() {
        let mut way = Way::default();
        (0..1000).for_each(|_| way.descend(&[b'd'; 200]));
        let ids: Vec<PathId> = (0..1000).map(|_| way.record(&[b'n'; 200])).collect();
        let paths = way.into_paths();
        assert_eq!(paths.names.len(), 400_000);
        assert_eq!(paths.path(ids[999]).depth(), 1001);
    }

    #[test]
    fn the_first_few_are_told_and_the_others_counted() {
        let mut told = Told::default();
        (0..21).for_each(|number| told.push(|| number));
        let mut others = Told::default();
        (0..FIRST + 5).for_each(|_| others.push(|| 7));
        let lines: Vec<String> = told.lines(|one| format!("{one} is odd")).collect();
        assert_eq!((lines[19].as_str(), lines.len()), ("19 is odd", 21));
        assert_eq!(lines[20], "the same is true of 1 more file");
        told.extend(others);
        assert_eq!((told.len(), told.more(), told.is_empty()), (46, 26, false));
    }
}
