//! What a tree is made of, found without reading any content: which files, how much, and a mark that
//! is another one once anything in it was changed.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::boundary::Boundary;
use crate::directory_walker::{self, Descent, open_dir};
use crate::error::look_until_whole;
use crate::path_set::{PathId, Told, Way};
use crate::stat::{Place, Stat, is_gone};
use crate::{Error, FileType, Result, TreePath};

/// A file or a whole tree, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Census {
    /// The topmost file.
    pub top: Stat,
    /// The inode numbers of all of it; they are all on the device of `top`.
    inodes: HashSet<u64>,
    /// Names in it, the topmost one too.
    pub names: u64,
    /// Bytes of its regular files; each counts once, whatever its number of names.
    pub bytes: u64,
    /// The first name in it that something is mounted over.
    pub mounted_over: Option<TreePath>,
    /// The first subvolume in it.
    pub subvolume: Option<TreePath>,
    /// Files that have further names outside of it.
    pub linked_outside: Told<TreePath>,
    /// Of all that is below the topmost file.
    mark: u64,
}

impl Census {
    /// Looks at the file or tree that has this name. `shown` is its path, for messages.
    ///
    /// What vanishes meanwhile counts as not there; what is mounted inside and nested subvolumes are
    /// not looked into.
    pub fn take(place: Place<'_>, shown: &TreePath) -> Result<Self> {
        let failed = |why| Error::io(format!("look at {shown}"), why);
        let top = place.stat().map_err(failed)?;
        if top.facts.file_type != FileType::Dir {
            let mut census = Self::of_file(top);
            if top.links > 1 {
                census.linked_outside.push(|| shown.clone());
            }
            return Ok(census);
        }
        let root = open_dir(place.dir, place.name).map_err(failed)?;
        Self::of_dir(root.as_fd(), shown)
    }

    /// Of one file that is no directory.
    pub fn of_file(top: Stat) -> Self {
        let bytes = if top.facts.file_type == FileType::File { top.facts.size } else { 0 };
        Self { bytes, ..Self::start(top) }
    }

    /// Looks at the tree whose root directory is open.
    pub fn of_dir(root: BorrowedFd<'_>, shown: &TreePath) -> Result<Self> {
        look_until_whole(|| Self::of_dir_once(root, shown))
    }

    fn of_dir_once(root: BorrowedFd<'_>, shown: &TreePath) -> Result<Self> {
        let boundary =
            Boundary::of(root).map_err(|why| Error::io(format!("look at {shown}"), why))?;
        let census = Self::start(*boundary.root());
        let hasher = DefaultHasher::new();
        let (descent, way) = (Descent::new(root), Way::default());
        Walk { boundary, descent, way, hasher, linked: HashMap::new(), census }.run(shown)
    }

    /// Whether nothing was written, made, renamed, removed or given other attributes in between.
    pub fn is_unchanged_since(&self, earlier: &Self) -> bool {
        self.top.changed == earlier.top.changed && self.is_unchanged_but_renamed_since(earlier)
    }

    /// The same, if the topmost file may have got another name, which moves its time of change.
    pub fn is_unchanged_but_renamed_since(&self, earlier: &Self) -> bool {
        let top = |census: &Self| {
            let facts = census.top.facts;
            (facts.size, facts.mode, facts.mtime, facts.mtime_nanos, census.top.links)
        };
        self.mark == earlier.mark
            && self.top.is_same_file(&earlier.top)
            && top(self) == top(earlier)
    }

    /// Whether it has the file with this inode number on this device.
    pub fn has(&self, inode: u64, device: (u32, u32)) -> bool {
        device == self.top.device && self.inodes.contains(&inode)
    }

    /// Whether it is an empty directory or an empty file.
    pub fn is_empty(&self) -> bool {
        match self.top.facts.file_type {
            FileType::Dir => self.names == 1,
            FileType::File => self.bytes == 0,
            _ => false,
        }
    }

    fn start(top: Stat) -> Self {
        let inodes = HashSet::from([top.inode]);
        let (mounted_over, subvolume) = (None, None);
        let linked_outside = Told::default();
        Self { top, inodes, names: 1, bytes: 0, mounted_over, subvolume, linked_outside, mark: 0 }
    }
}

/// Whatever is written to a file or a directory moves its time of change, which nobody can set back.
fn hash_mark(hasher: &mut DefaultHasher, name: &CStr, stat: &Stat) {
    name.hash(hasher);
    (stat.inode, stat.changed, stat.facts.size, stat.facts.mode).hash(hasher);
    (stat.facts.mtime, stat.facts.mtime_nanos, stat.links).hash(hasher);
}

struct Walk<'r> {
    boundary: Boundary,
    descent: Descent<'r>,
    way: Way,
    hasher: DefaultHasher,
    /// Files with several names: the first one, and how many were not met yet.
    linked: HashMap<u64, (PathId, u32)>,
    census: Census,
}

impl Walk<'_> {
    fn run(mut self, shown: &TreePath) -> Result<Census> {
        let failed = |way: &Way, name: &CStr, why| {
            Error::io(format!("look at {}", shown.join_path(&way.path_of(name))), why)
        };
        let names = self.list().map_err(|why| failed(&self.way, c"", why))?;
        let mut frames = vec![names];
        while let Some(names) = frames.last_mut() {
            let Some(name) = names.pop() else {
                frames.pop();
                self.descent.leave();
                self.way.ascend();
                // Where a directory ends is part of what it is.
                self.hasher.write_u8(0);
                continue;
            };
            match self.look(&name, shown) {
                Ok(true) => {
                    frames.push(self.list().map_err(|why| failed(&self.way, &name, why))?);
                    self.way.descend(name.to_bytes());
                }
                Ok(false) => {}
                Err(why) if is_gone(&why) => {}
                Err(why) => return Err(failed(&self.way, &name, why)),
            }
        }
        self.census.mark = self.hasher.finish();
        let outside = self.linked.into_values().filter(|(_, missing)| *missing > 0);
        let outside = outside.map(|(file, _)| file).collect();
        self.census.linked_outside = Told::of(outside, self.way.paths(), shown);
        Ok(self.census)
    }

    fn list(&mut self) -> io::Result<Vec<CString>> {
        match self.descent.current().and_then(directory_walker::list_names) {
            Err(why) if is_gone(&why) => Ok(Vec::new()),
            names => names,
        }
    }

    /// Counts one name; goes into what is a directory and says so.
    fn look(&mut self, name: &CStr, shown: &TreePath) -> io::Result<bool> {
        let place = Place { dir: self.descent.current()?, name };
        let stat = self.boundary.stat(place)?;
        hash_mark(&mut self.hasher, name, &stat);
        self.census.names += 1;
        if self.boundary.is_beyond_mount(&stat) {
            self.census
                .mounted_over
                .get_or_insert_with(|| shown.join_path(&self.way.path_of(name)));
            return Ok(false);
        }
        if stat.facts.file_type == FileType::Subvolume {
            if stat.has_names {
                self.census
                    .subvolume
                    .get_or_insert_with(|| shown.join_path(&self.way.path_of(name)));
            }
            return Ok(false);
        }
        let first = self.census.inodes.insert(stat.inode);
        if first && stat.facts.file_type == FileType::File {
            self.census.bytes += stat.facts.size;
        }
        if stat.facts.file_type != FileType::Dir {
            if stat.links > 1 {
                let first = || (self.way.record(name.to_bytes()), stat.links);
                let (_, missing) = self.linked.entry(stat.inode).or_insert_with(first);
                *missing = missing.saturating_sub(1);
            }
            return Ok(false);
        }
        self.descent.enter(name)?;
        Ok(true)
    }
}
