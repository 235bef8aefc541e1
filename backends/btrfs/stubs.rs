//! The stubs in blank: what a snapshot has in the place of a nested subvolume. Nothing can be made in a
//! stub, not even by root, so that a fresh copy gets an empty subvolume in its place.
//!
//! Which stubs blank has is found by a search of its tree, once, and written down in an attribute of
//! the directory of old roots. A rollback reads that list, and neither walks nor lists anything.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use btrfsutil::subvolume::Subvolume as Named;
use dirfd::fault::change;
use dirfd::stat::{Place, is_gone};
use dirfd::{Error, Result, TreePath, directory_walker, inode_flags, xattrs};
use rustix::fs::{self, AtFlags, Gid, IFlags, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use crate::btrfs::btrfsutil_calls::{path_below, with_errno};
use crate::btrfs::top_level::{ROOT_INODE, Subvolume, Top, id_of};
use crate::btrfs::tree_items::{InodeItem, Target, dir_items, kind};
use crate::btrfs::tree_queries::{Searcher, nested_subvolumes, path_of, place_of};
use crate::survey::STUBS_REPLACED;
use crate::sys::btrfs_ioctls;
use crate::sys::tree_search::Key;
use crate::{Stubs, TreeId};

/// The attribute that has the list.
const LIST: &CStr = c"trusted.blankroot.stubs";
/// Maximum size of the list in bytes, which fits into the smallest block of metadata.
const BYTES: usize = 3000;
/// The inode of a stub: `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`, linux/btrfs_tree.h.
const STUB_INODE: u64 = 2;

/// What an empty subvolume is to have of the one that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    pub(crate) path: TreePath,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `FS_*_FL` (linux/fs.h), but for those that forbid changes.
    pub flags: u32,
    pub(crate) xattrs: Vec<(CString, Vec<u8>)>,
}

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Those that a rollback replaces.
    pub stubs: Vec<Stub>,
    /// How many there are in blank.
    pub total: usize,
}

impl List {
    /// Reads the list of `blank`; `None` where there is none, or one of another blank.
    pub fn read(old: BorrowedFd<'_>, blank: &TreeId) -> Result<Option<Self>> {
        let mut text = vec![0; BYTES];
        match fs::fgetxattr(old, LIST, &mut *text) {
            Ok(len) => Ok(Self::parse(text.get(..len).unwrap_or_default(), blank)),
            // One that is longer is not ours.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE | Errno::PERM) => Ok(None),
            Err(error) => Err(Error::io("read the list of nested subvolumes", error)),
        }
    }

    /// For those who plan and report.
    pub fn for_survey(&self) -> Stubs {
        let paths = self.stubs.iter().map(|stub| stub.path.clone()).collect();
        Stubs { replaced: paths, total: self.total }
    }

    /// `<blank> <count>`, then for each stub its numbers, its path, and names and values of its
    /// attributes, each field with a NUL at its end, and an empty field after the last.
    fn parse(text: &[u8], blank: &TreeId) -> Option<Self> {
        let mut fields = text.strip_suffix(b"\0")?.split(|&b| b == 0);
        let head = std::str::from_utf8(fields.next()?).ok()?;
        let (of, total) = head.split_once(' ')?;
        if of != blank.as_str() {
            return None;
        }
        let mut list = Self { stubs: Vec::new(), total: total.parse().ok()? };
        while let Some(numbers) = fields.next() {
            let numbers = std::str::from_utf8(numbers).ok()?;
            let mut numbers = numbers.split(' ');
            let mut stub = Stub {
                mode: u16::from_str_radix(numbers.next()?, 8)
                    .ok()
                    .filter(|mode| *mode < 0o10000)?,
                uid: numbers.next()?.parse().ok()?,
                gid: numbers.next()?.parse().ok()?,
                flags: numbers.next()?.parse().ok()?,
                path: TreePath::parse(fields.next()?).ok().filter(|path| path.depth() > 0)?,
                xattrs: Vec::new(),
            };
            loop {
                match fields.next()? {
                    b"" => break,
                    name => stub.xattrs.push((CString::new(name).ok()?, from_hex(fields.next()?)?)),
                }
            }
            list.stubs.push(stub);
        }
        Some(list)
    }

    fn text(&self, blank: &TreeId) -> Vec<u8> {
        let mut text = format!("{blank} {}\0", self.total).into_bytes();
        self.stubs.iter().for_each(|stub| text.extend(stub.text()));
        text
    }

    /// As many of `found` as there is room for.
    fn fitting(found: Vec<Stub>, blank: &TreeId, total: usize) -> Self {
        let mut list = Self { stubs: Vec::new(), total };
        let mut len = list.text(blank).len();
        for stub in found {
            len += stub.text().len();
            if len > BYTES {
                break;
            }
            list.stubs.push(stub);
        }
        list
    }
}

impl Stub {
    fn text(&self) -> Vec<u8> {
        let Self { path, mode, uid, gid, flags, xattrs } = self;
        let mut text = format!("{mode:o} {uid} {gid} {flags}\0").into_bytes();
        text.extend_from_slice(path.as_bytes());
        text.push(0);
        for (name, value) in xattrs {
            text.extend_from_slice(name.to_bytes_with_nul());
            text.extend(value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
            text.push(0);
        }
        text.push(0);
        text
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

/// Searches blank for stubs, and writes down which it has and what they stand for.
pub fn record_stubs(top: &Top, old: BorrowedFd<'_>, blank: &Subvolume) -> Result<()> {
    let failed = |why| Error::io("list the nested subvolumes that blank has stubs of", why);
    let mut places = Vec::new();
    for (dir, name, id) in search_stubs(top, blank).map_err(failed)? {
        let dir = path_of(top, blank.info.id, dir).map_err(failed)?;
        places.extend(TreePath::parse(&[dir.as_slice(), &name].concat()).map(|path| (path, id)));
    }
    places.sort_by(|(a, _), (b, _)| (a.depth(), a).cmp(&(b.depth(), b)));
    let total = places.len();
    let first = places.into_iter().take(STUBS_REPLACED);
    let stubs = first.map(|(path, id)| describe_stub(top, path, id)).collect::<io::Result<_>>();
    let id = id_of(&blank.info);
    let text = List::fitting(stubs.map_err(failed)?, &id, total).text(&id);
    change("btrfs: list stubs", || Ok(fs::fsetxattr(old, LIST, &text, XattrFlags::empty())?))
        .map_err(failed)
}

/// The stubs in a tree: directory, name, and the number of the subvolume that each stands for.
fn search_stubs(top: &Top, tree: &Subvolume) -> io::Result<Vec<(u64, Vec<u8>, u64)>> {
    let mut found = Vec::new();
    let all = (Key::first(ROOT_INODE, 0), Key::last(u64::MAX, u8::MAX));
    Searcher::subvolume(tree.fd.as_fd(), top).each_but(all, 0, |item| {
        let ino = item.key.objectid;
        match item.key.kind {
            kind::INODE_ITEM if !InodeItem::parse(item.data).is_some_and(|i| i.is_directory()) => {
                Key::last_of(ino).next()
            }
            // What is told of a directory before its entries, by the hashes of their names too.
            before if before < kind::DIR_INDEX => Some(Key::first(ino, kind::DIR_INDEX)),
            kind::DIR_INDEX => {
                for entry in dir_items(item.data) {
                    if let Target::Subvolume(id) = entry.target {
                        found.push((ino, entry.name.to_vec(), id));
                    }
                }
                None
            }
            _ => Key::last_of(ino).next(),
        }
    })?;
    Ok(found)
}

/// What subvolume `id` is like. One that is gone was root's, as far as anybody knows.
fn describe_stub(top: &Top, path: TreePath, id: u64) -> io::Result<Stub> {
    let unknown = Stub { path, mode: 0o755, uid: 0, gid: 0, flags: 0, xattrs: Vec::new() };
    let Some(dir) = open_subvolume(top, id)? else { return Ok(unknown) };
    let place = Place { dir: dir.as_fd(), name: c"." };
    let facts = place.stat()?.facts;
    let mut attributes = Vec::new();
    for name in xattrs::list_xattrs(place)? {
        attributes.extend(xattrs::get_xattr(place, &name)?.map(|value| (name, value)));
    }
    let flags = fs::ioctl_getflags(&dir)? - inode_flags::LOCKS;
    let (mode, uid, gid) = (facts.mode, facts.uid, facts.gid);
    Ok(Stub { mode, uid, gid, flags: flags.bits(), xattrs: attributes, ..unknown })
}

/// Opens the root directory of subvolume `id`; `None` if it has no name any more.
pub fn open_subvolume(top: &Top, id: u64) -> io::Result<Option<OwnedFd>> {
    let Some((dir, name)) = place_of(top, id)? else { return Ok(None) };
    let Some(parent) = open_dir(top.as_fd(), &dir)? else { return Ok(None) };
    match directory_walker::open_dir(parent.as_fd(), &CString::new(name)?) {
        Ok(opened) if btrfs_ioctls::subvolume_info(&opened)?.id == id => Ok(Some(opened)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the directory at `path` below `from` for reading; `None` if there is none, or something else has
/// its place or lies on the way.
fn open_dir(from: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<OwnedFd>> {
    let names = path.split(|&b| b == b'/').filter(|name| !name.is_empty());
    let names = names.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let opened = directory_walker::open_path(from, &names).and_then(|opened| {
        directory_walker::open_dir(opened.as_ref().map_or(from, AsFd::as_fd), c".")
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the stubs of a fresh copy by empty subvolumes, or directories where that fails. What an
/// interrupted run has replaced already is completed.
pub fn replace_stubs(copy: &Subvolume, list: &List) -> Result<()> {
    for stub in &list.stubs {
        replace_one(copy.fd.as_fd(), stub)
            .map_err(|e| Error::io(format!("make an empty subvolume at {}", stub.path), e))?;
    }
    Ok(())
}

fn replace_one(copy: BorrowedFd<'_>, stub: &Stub) -> io::Result<()> {
    let parent = stub.path.parent().unwrap_or_default();
    let (Some(dir), Some(name)) = (open_dir(copy, parent.as_bytes())?, stub.path.name()) else {
        return Ok(());
    };
    match fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if found.st_ino == STUB_INODE => {
            change("btrfs: remove stub", || Ok(fs::unlinkat(&dir, name, AtFlags::REMOVEDIR)?))?;
            make_subvolume(dir.as_fd(), name)?;
        }
        Err(Errno::NOENT) => make_subvolume(dir.as_fd(), name)?,
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match directory_walker::open_dir(dir.as_fd(), &CString::new(name.as_bytes())?) {
        Ok(made) => set_attributes(&made, stub),
        // Somebody has changed blank since it was listed.
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make_subvolume(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let path = path_below(dir, name);
    let made = change("btrfs: create nested subvolume", || {
        with_errno(Named::create(path.as_path(), None))
    });
    made.or_else(|_| {
        change("btrfs: make directory for stub", || Ok(fs::mkdirat(dir, name, Mode::RWXU)?))
    })
}

/// A new owner drops setuid bits, and an ACL sets permission bits: the mode comes last.
fn set_attributes(made: &OwnedFd, stub: &Stub) -> io::Result<()> {
    let found = fs::fstat(made)?;
    let flags = IFlags::from_bits_retain(stub.flags);
    if flags != fs::ioctl_getflags(made)? {
        // Best effort: what one kernel tells another may not take.
        let _ =
            change("btrfs: set flags of nested subvolume", || Ok(fs::ioctl_setflags(made, flags)?));
    }
    if (found.st_uid, found.st_gid) != (stub.uid, stub.gid) {
        let (uid, gid) = (Uid::from_raw(stub.uid), Gid::from_raw(stub.gid));
        change("btrfs: chown nested subvolume", || Ok(fs::fchown(made, Some(uid), Some(gid))?))?;
    }
    for (name, value) in &stub.xattrs {
        change("btrfs: set attribute of nested subvolume", || {
            Ok(fs::fsetxattr(made, name.as_c_str(), value, XattrFlags::empty())?)
        })?;
    }
    if fs::fstat(made)?.st_mode & 0o7777 != u32::from(stub.mode) {
        let mode = Mode::from_raw_mode(stub.mode.into());
        change("btrfs: chmod nested subvolume", || Ok(fs::fchmod(made, mode)?))?;
    }
    Ok(())
}

/// The last transaction that wrote to the tree or to one of the subvolumes in the places of its stubs.
/// Once that is after `limit` it is not looked at what is in those places: it is whatever somebody made.
pub fn last_written(tree: BorrowedFd<'_>, list: &List, limit: u64) -> io::Result<u64> {
    let mut last = btrfs_ioctls::subvolume_info(tree)?.generation;
    for stub in &list.stubs {
        if last > limit {
            break;
        }
        if let Some(dir) = open_dir(tree, stub.path.as_bytes())?
            && fs::fstat(&dir)?.st_ino == ROOT_INODE
        {
            last = last.max(btrfs_ioctls::subvolume_info(&dir)?.generation);
        }
    }
    Ok(last)
}

/// The nested subvolumes of a tree that hold something, those in one another too, sorted.
pub fn that_hold(top: &Top, tree: &Subvolume) -> Result<Vec<TreePath>> {
    let failed = |e| Error::io("look into nested subvolumes", e);
    let mut inside = vec![(tree.info.id, Vec::new())];
    let mut found = Vec::new();
    while let Some((id, prefix)) = inside.pop() {
        for child in nested_subvolumes(top, id)? {
            let dir = path_of(top, id, child.dir).map_err(failed)?;
            let path = [prefix.as_slice(), &dir, &child.name].concat();
            if let Ok(path) = TreePath::parse(&path)
                && holds_anything(tree.fd.as_fd(), &path).map_err(failed)?
            {
                found.push(path);
            }
            inside.push((child.id, [path.as_slice(), b"/"].concat()));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the directory at `path` in a tree has names in it.
fn holds_anything(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = path.parent().unwrap_or_default();
    let (Some(dir), Some(name)) = (open_dir(tree, parent.as_bytes())?, path.name()) else {
        return Ok(false);
    };
    // A directory's size on Btrfs is that of the names in it.
    match fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(opened) => Ok(fs::fstat(&opened)?.st_size > 0),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(path: &[u8]) -> Stub {
        let xattrs = vec![(c"user.a".to_owned(), b"\0\xffx".to_vec())];
        let path = TreePath::parse(path).unwrap();
        Stub { path, mode: 0o1777, uid: 1000, gid: 7, flags: 1 << 23, xattrs }
    }

    #[test]
    fn a_list_survives_its_own_text_and_is_of_one_blank_alone() {
        let blank = TreeId::new("9a3a1c9e-7a01-4b6e-9d0a-000000000000");
        let plain = Stub { xattrs: Vec::new(), ..stub(b"var/tmp") };
        let list = List { stubs: vec![stub(b"a b\n/\xff"), plain], total: 70 };
        let text = list.text(&blank);
        assert_eq!(List::parse(&text, &blank), Some(list));
        assert_eq!(List::parse(&text, &TreeId::new("other")), None);
        for cut in 0..text.len() {
            if let Some(part) = List::parse(&text[..cut], &blank) {
                assert!(part.stubs.len() < 2, "{cut}: {part:?}");
            }
        }
        let none = List::default();
        assert_eq!(List::parse(&none.text(&blank), &blank), Some(none));
    }

    #[test]
    fn a_list_ends_where_there_is_no_room_and_tells_how_many_there_are() {
        let blank = TreeId::new("9a3a1c9e-7a01-4b6e-9d0a-000000000000");
        let found: Vec<Stub> = (0..64).map(|n| stub(format!("{n:0200}").as_bytes())).collect();
        let list = List::fitting(found, &blank, 5000);
        assert!(list.text(&blank).len() <= BYTES && !list.stubs.is_empty());
        assert_eq!(list.total, 5000);
    }
}
