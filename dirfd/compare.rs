//! Compares two files exactly: type, content, owner, mode and extended attributes.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::{fmt, io};

use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;

use crate::cause::Cause;
use crate::stat::{Place, SET_ID, Stat, is_gone};
use crate::{ChangeKind, Error, FileType, TreePath, boundary, inode_flags, open_file, xattrs};

/// Bytes that are read at a time. Holes are looked for in files that are longer than this.
const CHUNK: u64 = 256 * 1024;

/// Which of the two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The tree that is compared against.
    Older,
    /// The tree whose changes are wanted.
    Newer,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Older => "the older tree",
            Self::Newer => "the newer tree",
        })
    }
}

/// What could not be read of a file; the caller knows the path.
#[derive(Debug)]
pub struct Failure {
    what: &'static str,
    side: Side,
    why: io::Error,
    hint: Option<&'static str>,
}

impl Failure {
    /// `what` stands between "cannot read" and the path.
    pub fn new(what: &'static str, side: Side, why: io::Error) -> Self {
        Self { what, side, why, hint: None }
    }

    /// Something is mounted over the file, so that the tree's own cannot be seen.
    pub fn mounted_over(side: Side) -> Self {
        let why = io::Error::other("something is mounted over it");
        let hint = "run this as root, which can open a tree without what is mounted over it";
        Self { hint: Some(hint), ..Self::new("", side, why) }
    }

    /// Whether the file is no longer what it was a moment ago, which is no failure in a live tree.
    pub fn is_gone(&self) -> bool {
        is_gone(&self.why)
    }

    /// Whether somebody has a lease on the file (fcntl(2)), so that it cannot be opened at once. Its owner
    /// may, and must not stop what is done to all others.
    fn is_leased(&self) -> bool {
        Cause::of(&self.why) == Cause::WouldBlock
    }

    /// The tree that could not be read.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The error that names the file.
    pub fn at(self, path: &TreePath) -> Error {
        let error = Error::io(format!("read {}{path} in {}", self.what, self.side), self.why);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// How `newer` differs from `older`, if it does. Times are no difference.
pub fn find_difference(
    older: (Place<'_>, &Stat),
    newer: (Place<'_>, &Stat),
) -> Result<Option<ChangeKind>, Failure> {
    difference_without(older, newer, None)
}

/// The same, but for one extended attribute of the older one.
fn difference_without(
    older: (Place<'_>, &Stat),
    newer: (Place<'_>, &Stat),
    ignored: Option<&CStr>,
) -> Result<Option<ChangeKind>, Failure> {
    let ((a, a_stat), (b, b_stat)) = (older, newer);
    let (was, is) = (&a_stat.facts, &b_stat.facts);
    if let Some(told) = told_by_type(a_stat, b_stat) {
        return Ok(told);
    }
    let modified = match is.file_type {
        FileType::File => was.size != is.size || (is.size > 0 && content_differs(a, b)?),
        FileType::Symlink => targets_differ(a, b)?,
        FileType::Block | FileType::Char => a_stat.stands_for != b_stat.stands_for,
        FileType::Dir | FileType::Fifo | FileType::Socket | FileType::Subvolume => false,
    };
    if modified {
        return Ok(Some(ChangeKind::Modified));
    }
    let same = (was.mode, was.uid, was.gid) == (is.mode, is.uid, is.gid)
        && !xattrs_differ(a, b, ignored)?
        && !flags_differ(older, newer)?;
    Ok((!same).then_some(ChangeKind::Metadata))
}

/// Whether the two differ in more than set-user-ID bits, set-group-ID bits and capabilities, of which
/// the newer one may have none.
pub(crate) fn differ_but_for_privileges(
    older: Place<'_>,
    newer: Place<'_>,
) -> Result<bool, Failure> {
    let look = |side, place: Place<'_>| place.stat().map_err(|why| Failure::new("", side, why));
    let (mut was, is) = (look(Side::Older, older)?, look(Side::Newer, newer)?);
    was.facts.mode &= !SET_ID;
    let found = difference_without((older, &was), (newer, &is), Some(xattrs::CAPABILITY))?;
    Ok(found.is_some())
}

/// How the two differ as far as looking at them tells, without reading anything. What counts as a
/// difference is what [`find_difference`] finds, be it of another kind.
pub fn difference_at_sight(was: &Stat, is: &Stat) -> Option<ChangeKind> {
    let (a, b) = (&was.facts, &is.facts);
    if let Some(told) = told_by_type(was, is) {
        return told;
    }
    let modified = match b.file_type {
        FileType::File => a.size != b.size,
        FileType::Block | FileType::Char => was.stands_for != is.stands_for,
        _ => false,
    };
    let metadata = (a.mode, a.uid, a.gid) != (b.mode, b.uid, b.gid);
    modified.then_some(ChangeKind::Modified).or_else(|| metadata.then_some(ChangeKind::Metadata))
}

/// Whether the two differ, where that is told by what they are.
fn told_by_type(was: &Stat, is: &Stat) -> Option<Option<ChangeKind>> {
    if was.facts.file_type != is.facts.file_type {
        return Some((!both_empty(was, is)).then_some(ChangeKind::Replaced));
    }
    // What is inside a subvolume belongs to it, and goes with it: the older tree has a stub there, or
    // an empty one, unless it was live itself. A stub has no owner or mode that mean anything.
    if is.facts.file_type == FileType::Subvolume {
        return Some((!was.has_names && is.has_names).then_some(ChangeKind::Modified));
    }
    was.is_same_file(is).then_some(None)
}

/// An empty directory and an empty subvolume, or the stub of one, hold the same.
fn both_empty(a: &Stat, b: &Stat) -> bool {
    let is_dir = |stat: &Stat| matches!(stat.facts.file_type, FileType::Dir | FileType::Subvolume);
    is_dir(a) && is_dir(b) && !a.has_names && !b.has_names
}

/// Whether two files differ in their flags (chattr(1)) or project ids. Only regular files and directories
/// are opened for that: opening another waits or has effects.
pub fn flags_differ(older: (Place<'_>, &Stat), newer: (Place<'_>, &Stat)) -> Result<bool, Failure> {
    let file_type = newer.1.facts.file_type;
    if !matches!(file_type, FileType::File | FileType::Dir) {
        return Ok(false);
    }
    let open = |side, (place, stat): (Place<'_>, &Stat)| {
        open_file::open_expected(place, stat).map_err(|why| Failure::new("", side, why))
    };
    let opened = (open(Side::Older, older), open(Side::Newer, newer));
    let (a, b) = match opened {
        (Err(why), _) | (_, Err(why)) if why.is_leased() => return Ok(true),
        (a, b) => (a?, b?),
    };
    inode_flags::flags_differ(a.as_fd(), b.as_fd(), file_type == FileType::File)
        .map_err(|why| Failure::new("the flags of ", Side::Newer, why))
}

/// Whether two files differ in an extended attribute: name or value, ACLs and capabilities too. What
/// cannot be compared counts as different; one of the older one may be `ignored`.
fn xattrs_differ(
    older: Place<'_>,
    newer: Place<'_>,
    ignored: Option<&CStr>,
) -> Result<bool, Failure> {
    let (was, is) = (attribute_names(older, Side::Older)?, attribute_names(newer, Side::Newer)?);
    let (Some(mut names), Some(mut others)) = (was, is) else { return Ok(true) };
    names.retain(|name| Some(name.as_c_str()) != ignored);
    if names != others && !are_both_on_btrfs(older, newer)? {
        names.retain(|name| !xattrs::is_of_btrfs(name));
        others.retain(|name| !xattrs::is_of_btrfs(name));
    }
    if names != others {
        return Ok(true);
    }
    let blame = |side| move |why| Failure::new("the extended attributes of ", side, why);
    for name in &names {
        let was = xattrs::get_xattr(older, name).map_err(blame(Side::Older))?;
        if was != xattrs::get_xattr(newer, name).map_err(blame(Side::Newer))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn are_both_on_btrfs(older: Place<'_>, newer: Place<'_>) -> Result<bool, Failure> {
    let on_btrfs = |place: Place<'_>, side| {
        let kind =
            boundary::file_system_type(place.dir).map_err(|why| Failure::new("", side, why))?;
        Ok(kind == boundary::BTRFS)
    };
    Ok(on_btrfs(older, Side::Older)? && on_btrfs(newer, Side::Newer)?)
}

/// `None` where there are more than the kernel lists: whoever owns a file can give it that many, and must
/// not stop what is done to all others.
fn attribute_names(place: Place<'_>, side: Side) -> Result<Option<Vec<CString>>, Failure> {
    match xattrs::list_xattrs(place) {
        Ok(names) => Ok(Some(names)),
        Err(why) if xattrs::are_too_many(&why) => Ok(None),
        Err(why) => Err(Failure::new("the extended attributes of ", side, why)),
    }
}

/// Whether two regular files differ in a byte, or in their length. Holes count as zeros, and what
/// cannot be opened since somebody has a lease on it counts as different.
pub fn content_differs(older: Place<'_>, newer: Place<'_>) -> Result<bool, Failure> {
    let Some((a, b)) = open_both(older, newer)? else { return Ok(true) };
    Ok(a.size != b.size || differ_in(&a, &b, std::slice::from_ref(&(0..a.size)))?)
}

/// Whether two regular files differ in a byte of these ranges, which ascend, or in their length.
pub fn content_differs_in(
    older: Place<'_>,
    newer: Place<'_>,
    ranges: &[Range<u64>],
) -> Result<bool, Failure> {
    let Some((a, b)) = open_both(older, newer)? else { return Ok(true) };
    Ok(a.size != b.size || differ_in(&a, &b, ranges)?)
}

/// Both files, or `None` if somebody has a lease on one.
fn open_both(older: Place<'_>, newer: Place<'_>) -> Result<Option<(Content, Content)>, Failure> {
    let opened = (Content::open(older, Side::Older), Content::open(newer, Side::Newer));
    match opened {
        (Err(why), _) | (_, Err(why)) if why.is_leased() => Ok(None),
        (a, b) => Ok(Some((a?, b?))),
    }
}

fn differ_in(a: &Content, b: &Content, ranges: &[Range<u64>]) -> Result<bool, Failure> {
    let longest = ranges.iter().map(|range| range.end - range.start).max().unwrap_or(0);
    let chunk = longest.min(CHUNK) as usize;
    let (mut from_a, mut from_b) = (vec![0; chunk], vec![0; chunk]);
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            if range.end - at > CHUNK {
                at = a.next_data(at).min(b.next_data(at));
            }
            let len = range.end.saturating_sub(at).min(CHUNK) as usize;
            if a.read(&mut from_a[..len], at)? != b.read(&mut from_b[..len], at)? {
                return Ok(true);
            }
            at += len as u64;
        }
    }
    Ok(false)
}

/// Whether two symbolic links lead elsewhere.
pub fn targets_differ(older: Place<'_>, newer: Place<'_>) -> Result<bool, Failure> {
    Ok(read_link_target(older, Side::Older)? != read_link_target(newer, Side::Newer)?)
}

/// One of the two files, open.
struct Content {
    file: File,
    size: u64,
    side: Side,
}

impl Content {
    fn open(place: Place<'_>, side: Side) -> Result<Self, Failure> {
        let blame = |why| Failure::new("", side, why);
        let file = place.open_file().map_err(blame)?;
        let size = file.metadata().map_err(blame)?.len();
        Ok(Self { file, size, side })
    }

    /// Where the next byte may be that is not in a hole; `at` where the file system cannot tell.
    fn next_data(&self, at: u64) -> u64 {
        match fs::seek(self.file.as_fd(), SeekFrom::Data(at)) {
            Ok(next) => next.max(at),
            Err(Errno::NXIO) => self.size,
            Err(_) => at,
        }
    }

    /// What is at `at`: all of the buffer, or less if the file was cut short meanwhile.
    fn read<'b>(&self, buffer: &'b mut [u8], at: u64) -> Result<&'b [u8], Failure> {
        let mut len = 0;
        while len < buffer.len() {
            match self.file.read_at(&mut buffer[len..], at + len as u64) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(Failure::new("", self.side, why)),
            }
        }
        Ok(&buffer[..len])
    }
}

fn read_link_target(place: Place<'_>, side: Side) -> Result<Vec<u8>, Failure> {
    // Else it is no link any more.
    let target = place.link_target().and_then(|target| Ok(target.ok_or(Errno::STALE)?));
    target.map_err(|why| Failure::new("the target of ", side, why))
}
