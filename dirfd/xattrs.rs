//! Extended attributes of any file type, ACLs and capabilities among them.
//!
//! The system calls take a descriptor, which sockets, links and unreadable files do not have, or a
//! path; so the path goes through the open directory's entry in `/proc`.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use crate::cause::Cause;
use crate::fault::change;
use crate::stat::Place;

/// Neither a list nor a value is longer: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`, linux/limits.h.
const MOST: usize = 65536;

/// Our own mark on a file in storage whose program has put another in the place of its link. It says
/// how the file is kept and is no part of it: it is neither copied nor compared. Root alone can set it.
const REPLACED: &CStr = c"trusted.blankroot.replaced";

/// Our own mark on a directory in which a copy is built: whatever has it, and its name, is nobody's data.
const PRIVATE: &CStr = c"trusted.blankroot.private";

/// The capabilities that a program starts with, capabilities(7).
pub const CAPABILITY: &CStr = c"security.capability";

/// Whether an attribute is a property of Btrfs itself (btrfs(5)), which no other file system takes. A flag
/// tells of it, too, though not of the kind of compression.
pub fn is_of_btrfs(name: &CStr) -> bool {
    name.to_bytes().starts_with(b"btrfs.")
}

/// Whether an open file has the mark of one that was replaced; `O_PATH` is enough.
pub fn is_marked_as_replaced(file: BorrowedFd<'_>) -> io::Result<bool> {
    is_marked(file, REPLACED)
}

/// Whether an open directory has the mark of a private one.
pub fn is_marked_as_private(dir: BorrowedFd<'_>) -> io::Result<bool> {
    is_marked(dir, PRIVATE)
}

fn is_marked(file: BorrowedFd<'_>, mark: &CStr) -> io::Result<bool> {
    match fs::getxattr(path_of_open(file), mark, &mut [0; 0]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives an open directory the mark of a private one, if its file system takes such marks.
pub fn mark_as_private(dir: BorrowedFd<'_>) -> io::Result<()> {
    let path = path_of_open(dir);
    change("xattr: mark private directory", || {
        match fs::setxattr(path, PRIVATE, b"", XattrFlags::empty()) {
            Err(Errno::NOTSUP | Errno::PERM) => Ok(()),
            marked => Ok(marked?),
        }
    })
}

/// Gives an open file the mark of one that was replaced, durably.
pub fn mark_as_replaced(file: BorrowedFd<'_>) -> io::Result<()> {
    let path = path_of_open(file);
    change("xattr: mark", || Ok(fs::setxattr(path, REPLACED, b"", XattrFlags::empty())?))?;
    change("xattr: sync mark", || Ok(fs::fsync(file)?))
}

/// The names, sorted; none where the file system has no extended attributes.
pub fn list_xattrs(of: Place<'_>) -> io::Result<Vec<CString>> {
    let path = path_of(of);
    let list = read_growing(|buffer| fs::llistxattr(&path, buffer));
    let list = match list {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        list => list.map_err(|error| blame_proc(of, error))?,
    };
    let mut names: Vec<CString> = list.split_inclusive(|&b| b == 0).filter_map(own_name).collect();
    names.retain(|name| ![REPLACED, PRIVATE].contains(&name.as_c_str()));
    names.sort();
    Ok(names)
}

/// One value; `None` if there is none under this name (any more).
pub fn get_xattr(of: Place<'_>, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = path_of(of);
    match read_growing(|buffer| fs::lgetxattr(&path, name, buffer)) {
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        value => value.map(Some).map_err(|error| blame_proc(of, error)),
    }
}

/// Whether a file has more attributes than the kernel lists, listxattr(2).
pub fn are_too_many(why: &io::Error) -> bool {
    Cause::of(why) == Cause::TooBig
}

/// Whether a file has more attributes than the kernel lists; asks for their size alone.
pub fn has_too_many(place: Place<'_>) -> bool {
    fs::llistxattr_query(path_of(place)).is_ok_and(|length| length > MOST)
}

/// Whether an open file has no attribute at all, where that can be told at once: not of one that is open as a
/// path alone.
pub fn has_none(file: BorrowedFd<'_>) -> bool {
    fs::flistxattr_query(file) == Ok(0)
}

/// Names with their values.
pub type Values = Vec<(CString, Vec<u8>)>;

/// All attributes of an open file, sorted by name; `O_PATH` is enough.
///
/// Whoever owns a file can give it more names than the kernel lists (`E2BIG`, listxattr(2)). Then
/// these are the ones that say who gets in.
pub fn of_open(file: BorrowedFd<'_>) -> io::Result<Values> {
    read_open(file).map(|(values, _)| values)
}

/// The same, and whether they are all that the file has.
pub(crate) fn read_open(file: BorrowedFd<'_>) -> io::Result<(Values, bool)> {
    let path = path_of_open(file);
    // By the descriptor where it is open for more than its path: the way through /proc takes longer.
    let list = match read_growing(|buffer| fs::flistxattr(file, buffer)) {
        Err(Errno::BADF) => read_growing(|buffer| fs::listxattr(&path, buffer)),
        list => list,
    };
    let mut is_all = true;
    let mut names: Vec<CString> = match list {
        Err(Errno::NOTSUP) => return Ok((Vec::new(), true)),
        Err(Errno::TOOBIG) => {
            is_all = false;
            ACCESS.map(CStr::to_owned).to_vec()
        }
        list => list?.split_inclusive(|&b| b == 0).filter_map(own_name).collect(),
    };
    names.retain(|name| ![REPLACED, PRIVATE].contains(&name.as_c_str()));
    names.sort();
    let mut values = Vec::new();
    for name in names {
        match read_growing(|buffer| fs::getxattr(&path, name.as_c_str(), buffer)) {
            Ok(value) => values.push((name, value)),
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((values, is_all))
}

/// Gives an open file these attributes, and takes away those that it got from its directory.
pub fn set_on_open(file: BorrowedFd<'_>, wanted: &Values) -> io::Result<()> {
    let path = path_of_open(file);
    let there = of_open(file)?;
    for (name, _) in there.iter().filter(|(name, _)| !wanted.iter().any(|(other, _)| other == name))
    {
        change("xattr: remove", || Ok(fs::removexattr(&path, name.as_c_str())?))?;
    }
    for (name, get_xattr) in wanted.iter().filter(|one| !there.contains(one)) {
        change("xattr: set", || {
            Ok(fs::setxattr(&path, name.as_c_str(), get_xattr, XattrFlags::empty())?)
        })?;
    }
    Ok(())
}

/// The access control lists, and the label that a security module goes by (xattr(7)).
const ACCESS: [&CStr; 3] =
    [c"security.selinux", c"system.posix_acl_access", c"system.posix_acl_default"];

/// The entry in `/proc` leads to the open file itself, whatever has its name by now.
fn path_of_open(file: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))
}

fn path_of(place: Place<'_>) -> PathBuf {
    // Of this thread: threads may have descriptor tables of their own.
    let dir = format!("/proc/thread-self/fd/{}", place.dir.as_raw_fd());
    Path::new(&dir).join(OsStr::from_bytes(place.name.to_bytes()))
}

/// "Not found" counts as a vanished file, so it must not stand for a missing `/proc`.
fn blame_proc(place: Place<'_>, error: Errno) -> io::Error {
    let dir = format!("/proc/thread-self/fd/{}", place.dir.as_raw_fd());
    if error == Errno::NOENT && !Path::new(&dir).exists() {
        return io::Error::other("extended attributes are read through /proc, which is not there");
    }
    error.into()
}

fn own_name(with_nul: &[u8]) -> Option<CString> {
    CStr::from_bytes_with_nul(with_nul).ok().map(CStr::to_owned)
}

/// Reads with a small buffer first, since most files have little or nothing.
fn read_growing(
    call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 256];
    match call(&mut small) {
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; MOST];
            let len = call(&mut buffer)?;
            buffer.truncate(len);
            Ok(buffer)
        }
        len => Ok(small[..len?.min(small.len())].to_vec()),
    }
}
