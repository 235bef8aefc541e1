//! Knows what `diff` must answer: reads both trees whole and compares everything, with none of the
//! code that it judges.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use dirfd::path::Escaped;
use dirfd::{ChangeKind, Changes, Facts, FileType};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};

/// `BTRFS_SUPER_MAGIC` of `linux/magic.h`.
const BTRFS: u64 = 0x9123_683e;
/// The inode of every subvolume's root (`BTRFS_FIRST_FREE_OBJECTID`, `linux/btrfs_tree.h`).
const SUBVOLUME: u64 = 256;
/// The inode of what a snapshot leaves of a nested one (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const STUB: u64 = 2;

/// All of one file that a comparison could ask for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What `lstat` tells.
    pub facts: Facts,
    /// The device number of a block or character device, else 0.
    pub rdev: u64,
    /// The bytes of a regular file, the target of a symbolic link, something for a subvolume that holds
    /// anything, else nothing.
    pub content: Vec<u8>,
    /// All extended attributes, ACLs and capabilities among them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The inode flags of a regular file or directory, where the file system has them.
    pub flags: u32,
    /// Inode number and change time, which are never a difference but show that something happened.
    pub inode: (u64, i64, u64),
}

/// A whole tree by path, relative to its root, which is the empty path.
pub type Tree = BTreeMap<Vec<u8>, Entry>;

/// One row of the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Relative to the root, without a leading slash.
    pub path: Vec<u8>,
    /// How it differs.
    pub kind: ChangeKind,
    /// Of the newer tree; of the older where it was removed.
    pub facts: Facts,
}

/// Reads the tree below `root`. What is in nested subvolumes is not part of it.
pub fn walk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let dir = open_dir(fs::CWD, root);
    let stat = fs::fstat(&dir).unwrap();
    let entry = Entry {
        facts: facts(&stat, FileType::Dir),
        rdev: 0,
        content: Vec::new(),
        xattrs: xattrs(&in_dir(dir.as_fd(), b".")),
        flags: flags(dir.as_fd()),
        inode: inode(&stat),
    };
    tree.insert(Vec::new(), entry);
    walk_dir(&dir, stat.st_dev, &[], &mut tree);
    tree
}

/// Reads one file.
pub fn entry_at(path: &Path) -> Entry {
    let (parent, name) = (path.parent().unwrap(), path.file_name().unwrap());
    let dir = open_dir(fs::CWD, parent);
    let dev = fs::fstat(&dir).unwrap().st_dev;
    let stat = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    entry(dir.as_fd(), name.as_encoded_bytes(), &stat, dev)
}

/// The expected changes, sorted by path bytes.
pub fn changes(from: &Tree, to: &Tree) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |path: &[u8], kind, entry: &Entry| {
        rows.push(Row { path: path.to_vec(), kind, facts: entry.facts });
    };
    for (path, old) in from {
        match to.get(path) {
            None => add(path, ChangeKind::Removed, old),
            Some(new) => {
                if let Some(kind) = compare(old, new) {
                    add(path, kind, new);
                }
            }
        }
    }
    for (path, new) in to.iter().filter(|(path, _)| !from.contains_key(*path)) {
        add(path, ChangeKind::Added, new);
    }
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    rows
}

/// The rows of the production answer.
pub fn rows(changes: &Changes) -> Vec<Row> {
    let row =
        |c: dirfd::Change| Row { path: c.path.as_bytes().to_vec(), kind: c.kind, facts: c.facts };
    changes.iter().map(row).collect()
}

/// What is wrong with `found`, one line a row; `None` if it is exact, order included.
pub fn difference(expected: &[Row], found: &[Row]) -> Option<String> {
    let same = |a: &Row, b: &Row| a.path == b.path && a.kind == b.kind && same_facts(a, b);
    if expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| same(a, b)) {
        return None;
    }
    let mut text = String::new();
    for row in expected.iter().filter(|row| !found.iter().any(|other| same(row, other))) {
        writeln!(text, "  missing:  {row:?}").unwrap();
    }
    for row in found.iter().filter(|row| !expected.iter().any(|other| same(row, other))) {
        writeln!(text, "  too much: {row:?}").unwrap();
    }
    if text.is_empty() {
        text.push_str("  the rows are right, but out of order or doubled\n");
    }
    Some(text)
}

/// A subvolume's stub takes its times from whatever the kernel read last.
fn same_facts(a: &Row, b: &Row) -> bool {
    let timeless = |row: &Row| Facts { mtime: 0, mtime_nanos: 0, ..row.facts };
    let subvolume = a.facts.file_type == FileType::Subvolume;
    a.facts == b.facts || (subvolume && timeless(a) == timeless(b))
}

impl fmt::Debug for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { file_type, mode, uid, gid, size, mtime, mtime_nanos } = self.facts;
        let (kind, path) = (self.kind.word(), Escaped(&self.path));
        write!(out, "{kind:8} /{path} ({file_type} {mode:04o} {uid}:{gid} {size} bytes, ")?;
        write!(out, "mtime {mtime}.{mtime_nanos:09})")
    }
}

fn compare(old: &Entry, new: &Entry) -> Option<ChangeKind> {
    let (a, b) = (&old.facts, &new.facts);
    if a.file_type != b.file_type {
        let is_dir = |facts: &Facts| matches!(facts.file_type, FileType::Dir | FileType::Subvolume);
        let holds = |entry: &Entry| entry.facts.size > 0 || !entry.content.is_empty();
        let both_empty = is_dir(a) && is_dir(b) && !holds(old) && !holds(new);
        (!both_empty).then_some(ChangeKind::Replaced)
    } else if a.file_type == FileType::Subvolume {
        // What is in one goes with it, and the other tree has a stub there.
        (old.content.is_empty() && !new.content.is_empty()).then_some(ChangeKind::Modified)
    } else if old.content != new.content || old.rdev != new.rdev {
        Some(ChangeKind::Modified)
    } else if (a.mode, a.uid, a.gid, &old.xattrs) != (b.mode, b.uid, b.gid, &new.xattrs)
        || flags_differ(old, new)
    {
        Some(ChangeKind::Metadata)
    } else {
        None
    }
}

/// `a`, `A`, `c`, `C`, `d`, `D`, `i`, `m` and `S` of chattr(1), by their bits in linux/fs.h.
pub const FLAGS: u32 = 0x20 | 0x80 | 0x4 | 0x80_0000 | 0x40 | 0x1_0000 | 0x10 | 0x400 | 0x8;

fn flags(file: BorrowedFd<'_>) -> u32 {
    fs::ioctl_getflags(file).map_or(0, |flags| flags.bits() & FLAGS)
}

/// Btrfs gives files `m` by itself, which hides `c`.
fn flags_differ(old: &Entry, new: &Entry) -> bool {
    let hidden = new.facts.file_type == FileType::File && (old.flags | new.flags) & 0x400 != 0;
    let ignored = if hidden { 0x404 } else { 0 };
    old.flags & !ignored != new.flags & !ignored
}

fn walk_dir(dir: &OwnedFd, dev: u64, prefix: &[u8], tree: &mut Tree) {
    for name in names(dir) {
        let stat = fs::statat(dir, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let path = [prefix, &name].concat();
        let entry = entry(dir.as_fd(), &name, &stat, dev);
        let descend = entry.facts.file_type == FileType::Dir;
        tree.insert(path.clone(), entry);
        if descend {
            let below = open_dir(dir, name.as_slice());
            walk_dir(&below, dev, &[&path[..], b"/"].concat(), tree);
        }
    }
}

fn entry(dir: BorrowedFd<'_>, name: &[u8], stat: &Stat, dev: u64) -> Entry {
    let file_type = match stat.st_mode & 0o170_000 {
        0o100_000 => FileType::File,
        0o040_000 if stat.st_ino == STUB && is_btrfs(dir) => FileType::Subvolume,
        0o040_000 if stat.st_ino == SUBVOLUME && stat.st_dev != dev => FileType::Subvolume,
        0o040_000 => FileType::Dir,
        0o120_000 => FileType::Symlink,
        0o010_000 => FileType::Fifo,
        0o140_000 => FileType::Socket,
        0o060_000 => FileType::Block,
        0o020_000 => FileType::Char,
        other => panic!("a file of type {other:o}"),
    };
    let content = match file_type {
        FileType::File => read(dir, name),
        FileType::Symlink => fs::readlinkat(dir, name, Vec::new()).unwrap().into_bytes(),
        FileType::Subvolume if stat.st_size > 0 => b"something".to_vec(),
        _ => Vec::new(),
    };
    let device = matches!(file_type, FileType::Block | FileType::Char);
    let own_xattrs = file_type != FileType::Subvolume;
    Entry {
        facts: facts(stat, file_type),
        rdev: if device { stat.st_rdev } else { 0 },
        content,
        xattrs: if own_xattrs { xattrs(&in_dir(dir, name)) } else { BTreeMap::new() },
        flags: match file_type {
            FileType::File | FileType::Dir => {
                let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                flags(fs::openat(dir, name, open, Mode::empty()).unwrap().as_fd())
            }
            _ => 0,
        },
        inode: inode(stat),
    }
}

/// Elsewhere the numbers mean nothing.
fn is_btrfs(dir: BorrowedFd<'_>) -> bool {
    fs::fstatfs(dir).unwrap().f_type as u64 & 0xffff_ffff == BTRFS
}

fn facts(stat: &Stat, file_type: FileType) -> Facts {
    let subvolume = file_type == FileType::Subvolume;
    Facts {
        file_type,
        mode: (stat.st_mode & 0o7777) as u16,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if subvolume { 0 } else { stat.st_size as u64 },
        mtime: stat.st_mtime,
        mtime_nanos: stat.st_mtime_nsec as u32,
    }
}

fn inode(stat: &Stat) -> (u64, i64, u64) {
    (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)
}

fn names(dir: &OwnedFd) -> Vec<Vec<u8>> {
    let entries = fs::Dir::read_from(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
    names.filter(|name| name != b"." && name != b"..").collect()
}

fn open_dir(dir: impl AsFd, name: impl rustix::path::Arg) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty()).unwrap()
}

fn read(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut content = Vec::new();
    let file = fs::openat(dir, name, flags, Mode::empty()).unwrap();
    File::from(file).read_to_end(&mut content).unwrap();
    content
}

/// A short path to `name` in `dir`, however long the real one is.
fn in_dir(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/thread-self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat()
}

fn xattrs(path: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    // Most files have none, and a buffer for the most costs more than all else that is read of them.
    let mut found = BTreeMap::new();
    if fs::llistxattr_query(path).unwrap() == 0 {
        return found;
    }
    // 64 KiB is the most that the kernel gives (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    let mut list = vec![0; 1 << 16];
    let len = fs::llistxattr(path, &mut list).unwrap();
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    for name in names {
        let mut value = vec![0; 1 << 16];
        let len = fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(len);
        found.insert(name.to_vec(), value);
    }
    found
}
