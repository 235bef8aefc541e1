//! A way down into a tree, directory by directory, that neither follows links, nor crosses mounts,
//! nor needs more descriptors or stack the deeper the tree is.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags, RawDir, RawDirEntry, ResolveFlags};
use rustix::io::Errno;

use crate::error::Torn;
use crate::stat::{Identity, Place};

/// How many of the deepest directories stay open. Two descents fit into any descriptor limit.
const HELD: usize = 128;
/// Bytes of a path that one system call takes, with room to spare: `PATH_MAX` is 4096.
const PATH_BYTES: usize = 4000;

/// The directories from a tree's root down to the current one.
#[derive(Debug)]
pub struct Descent<'r> {
    root: BorrowedFd<'r>,
    levels: Vec<Level>,
    /// The identities of all levels: no directory is twice on one way down.
    on_way: HashSet<Identity>,
}

#[derive(Debug)]
struct Level {
    name: CString,
    /// Closed while the walk is far below, and opened again on the way back.
    fd: Option<OwnedFd>,
    identity: Identity,
}

impl<'r> Descent<'r> {
    /// Starts in the root directory of a tree.
    pub fn new(root: BorrowedFd<'r>) -> Self {
        Self { root, levels: Vec::new(), on_way: HashSet::new() }
    }

    /// Goes into a directory of the current one. `EXDEV` if something is mounted over it, `ENOTDIR`
    /// or `ELOOP` if it is no directory; `Torn` if it is on the way already: whoever moves directories
    /// into each other while they are walked would lead the walk down without end.
    pub fn enter(&mut self, name: &CStr) -> io::Result<()> {
        let fd = open_dir(self.current()?, name)?;
        let identity = Place { dir: fd.as_fd(), name: c"." }.stat()?.identity();
        if self.on_way.contains(&identity) {
            return Err(Torn::here());
        }
        self.push(Level { name: name.to_owned(), fd: Some(fd), identity });
        Ok(())
    }

    /// Goes into a directory of which it is known what it is, and opens it only when something in it is
    /// looked at.
    pub fn enter_unopened(&mut self, name: &CStr, identity: Identity) {
        self.push(Level { name: name.to_owned(), fd: None, identity });
    }

    fn push(&mut self, level: Level) {
        self.on_way.insert(level.identity);
        self.levels.push(level);
        if let Some(above) = self.levels.len().checked_sub(HELD + 1) {
            self.levels[above].fd = None;
        }
    }

    /// Goes back to the directory above.
    pub fn leave(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.on_way.remove(&level.identity);
        }
    }

    /// The current directory, open for reading. `ENOENT` or `ESTALE` if it had to be opened again
    /// and its way leads elsewhere by now.
    pub fn current(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.levels.last().is_some_and(|level| level.fd.is_none()) {
            self.reopen()?;
        }
        let fd = self.levels.last().and_then(|level| level.fd.as_ref());
        Ok(fd.map_or(self.root, AsFd::as_fd))
    }

    /// Opens the current directory again from the nearest one that is open, and the ones right above
    /// it too, since the walk is on its way up.
    fn reopen(&mut self) -> io::Result<()> {
        let closed = self.levels.iter().rposition(|l| l.fd.is_some()).map_or(0, |at| at + 1);
        let first_kept = self.levels.len().saturating_sub(HELD / 2).max(closed);
        let skipped: Vec<&CStr> =
            self.levels[closed..first_kept].iter().map(|level| level.name.as_c_str()).collect();
        let mut above = open_path(self.open_above(closed), &skipped)?;
        for at in first_kept..self.levels.len() {
            let from = above.as_ref().map_or(self.open_above(at), AsFd::as_fd);
            let fd = open_dir(from, &self.levels[at].name)?;
            let found = Place { dir: fd.as_fd(), name: c"." }.stat()?;
            if found.identity() != self.levels[at].identity {
                return Err(Errno::STALE.into());
            }
            self.levels[at].fd = Some(fd);
            above = None;
        }
        Ok(())
    }

    fn open_above(&self, at: usize) -> BorrowedFd<'_> {
        let above = at.checked_sub(1).and_then(|above| self.levels[above].fd.as_ref());
        above.map_or(self.root, AsFd::as_fd)
    }
}

/// Opens a directory for reading without passing any link or mount.
pub fn open_dir(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let open = |flags| open_beneath(dir, path, flags | OFlags::RDONLY);
    match open(OFlags::NOATIME) {
        // Only the owner and root may ask for that.
        Err(Errno::PERM) => Ok(open(OFlags::empty())?),
        opened => Ok(opened?),
    }
}

/// Opens the directory that lies below `from` by these names, however long the path is; `None` if
/// there are no names.
pub fn open_path(from: BorrowedFd<'_>, names: &[&CStr]) -> io::Result<Option<OwnedFd>> {
    let mut reached: Option<OwnedFd> = None;
    let mut path = Vec::new();
    for (at, name) in names.iter().enumerate() {
        path.extend_from_slice(name.to_bytes());
        let next = names.get(at + 1).map_or(PATH_BYTES, |next| next.count_bytes());
        if path.len() + 1 + next < PATH_BYTES {
            path.push(b'/');
            continue;
        }
        let whole = CString::new(std::mem::take(&mut path))?;
        let above = reached.as_ref().map_or(from, AsFd::as_fd);
        reached = Some(open_beneath(above, &whole, OFlags::PATH)?);
    }
    Ok(reached)
}

/// A file at the end of a way that may be longer than a path can be: its directory is open.
#[derive(Debug)]
pub struct Reached<'r> {
    from: BorrowedFd<'r>,
    dir: Option<OwnedFd>,
    name: CString,
}

impl<'r> Reached<'r> {
    /// Opens the directory of what lies below `from` by these names; `EISDIR` if there are none.
    pub fn open(from: BorrowedFd<'r>, mut way: Vec<CString>) -> io::Result<Self> {
        let Some(name) = way.pop() else { return Err(Errno::ISDIR.into()) };
        let dirs: Vec<&CStr> = way.iter().map(CString::as_c_str).collect();
        Ok(Self { from, dir: open_path(from, &dirs)?, name })
    }

    /// The file.
    pub fn place(&self) -> Place<'_> {
        Place { dir: self.dir.as_ref().map_or(self.from, AsFd::as_fd), name: &self.name }
    }
}

/// One name in a directory, and what the directory says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: CString,
    /// The inode that it leads to; of what is mounted over it, that below.
    pub inode: u64,
    /// Whether that is a directory; `None` where the file system does not tell.
    pub is_dir: Option<bool>,
}

/// The names in a directory, sorted by bytes.
pub fn list_names(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = list_directory(dir, |entry| entry.file_name().to_owned())?;
    names.sort_unstable();
    // What is made again while it is listed may be listed twice.
    names.dedup();
    Ok(names)
}

/// The entries of a directory, sorted by the bytes of their names.
pub fn list_entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut entries = list_directory(dir, |entry| Entry {
        name: entry.file_name().to_owned(),
        inode: entry.ino(),
        is_dir: match entry.file_type() {
            FileType::Unknown => None,
            known => Some(known == FileType::Directory),
        },
    })?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    Ok(entries)
}

fn list_directory<T>(
    dir: BorrowedFd<'_>,
    take: impl Fn(&RawDirEntry<'_>) -> T,
) -> io::Result<Vec<T>> {
    // Opened anew, since reading moves the offset that all duplicates of a descriptor share.
    let own = open_dir(dir, c".")?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(own, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            found.push(take(&entry));
        }
    }
    Ok(found)
}

fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    fs::openat2(dir, path, flags, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[expect(clippy::disallowed_methods, reason = "somebody else does this to the tree")]
    fn rename(root: &Path, from: &str, to: &str) {
        std::fs::rename(root.join(from), root.join(to)).unwrap();
    }

    #[test]
    fn directories_that_are_moved_into_each_other_do_not_lead_on_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let mut descent = Descent::new(root.as_fd());
        descent.enter(c"a").unwrap();
        descent.enter(c"b").unwrap();
        rename(dir.path(), "a/b", "b");
        rename(dir.path(), "a", "b/a");
        assert!(Torn::is(&descent.enter(c"a").unwrap_err()));
        // On another way down it is no circle.
        descent.leave();
        descent.leave();
        descent.enter(c"b").unwrap();
        descent.enter(c"a").unwrap();
    }
}
