//! The room for files that must be whole or absent, whatever happens: written aside, made durable,
//! then given their name in one call. A record is written even if there is no room for data.
//!
//! A crash before that call leaves a file `.NAME.tmp-N` next to NAME. It is harmless: no reader
//! of NAME or of old roots looks at it, and a later write takes another name. Nothing deletes it,
//! since a boot never deletes; whoever finds one may.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use crate::FileType;
use crate::cause::Cause;
use crate::copy::attributes;
use crate::error::describe;
use crate::fault::change;
use crate::open_file::{self, Handle};
use crate::path::Escaped;
use crate::stat::Place;

/// Records are for root alone.
const RECORD: u32 = 0o600;

/// Maximum size in bytes of a file of our own that is read: a record, a hold, a configuration.
pub const MAX_OWN: u64 = 1 << 20;
/// Maximum size in bytes of a file of the system's that is read whole: an fstab, the accounts.
pub const MAX_SYSTEM: u64 = 16 << 20;
/// Maximum size in bytes of a table that the kernel writes: 100,000 mounts with long paths.
pub const MAX_KERNEL_TABLE: u64 = 256 << 20;

/// Most files are smaller; no size that a file tells of itself is worth more memory beforehand.
const LARGE: usize = 64 << 10;

/// Where a record has its content if the file system had no room for a byte of data. Btrfs keeps
/// attributes in blocks of metadata, which often have room when data has none.
const CONTENT: &CStr = c"trusted.blankroot.content";
/// An attribute of this size fits into the smallest block of metadata.
const ATTRIBUTE: usize = 3000;

/// What happens if there is no room for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenFull {
    /// Writing fails: other programs read the file.
    Fail,
    /// The content becomes an attribute of the file, which [`read_record`] knows.
    UseAttribute,
}

/// Creates `name` in `dir` with `content`, durably; fails with `EEXIST` if the name is taken.
pub fn create(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
    let (temporary, _) = write_aside(dir, name, content, mode, WhenFull::Fail, File::sync_all)?;
    link(dir, &temporary, name)?;
    sync_dir(dir)
}

/// The same for a record, which [`read_record`] reads, where the caller makes the file system durable
/// next: the name is not safe yet when this returns. `settle` sees to it that the name will at no
/// moment be safe without the content: it makes the content durable, or part of what will be durable
/// together with the name.
pub fn create_record_before_commit(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    content: &[u8],
    settle: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, _) = write_aside(dir, name, content, RECORD, WhenFull::UseAttribute, settle)?;
    link(dir, &temporary, name)
}

/// Gives a finished file its name, which nothing must have.
fn link(dir: BorrowedFd<'_>, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
    let linked =
        change("file: link", || Ok(fs::linkat(dir, temporary, dir, name, AtFlags::empty())?));
    let removed = unlink_temporary(dir, temporary);
    linked?;
    removed
}

/// Puts `content` at `name` in `dir`, in place of what was there.
pub fn replace(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
    let (temporary, _) = write_aside(dir, name, content, mode, WhenFull::Fail, File::sync_all)?;
    rename(dir, &temporary, name)
}

/// The same for a record, which [`read_record`] reads.
pub fn replace_record(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let way = WhenFull::UseAttribute;
    let (temporary, _) = write_aside(dir, name, content, RECORD, way, File::sync_all)?;
    rename(dir, &temporary, name)
}

/// Gives a finished file its name in place of what has it; durable when this returns.
fn rename(dir: BorrowedFd<'_>, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
    let renamed = change("file: rename", || Ok(fs::renameat(dir, temporary, dir, name)?));
    if let Err(error) = renamed {
        // Best effort: the file is ours and has a name that nobody looks for.
        let _ = unlink_temporary(dir, temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// Gives the plain file `name` in `dir` another content; owner, mode and extended attributes stay.
pub fn rewrite(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let of = CString::new(name.as_bytes())?;
    let old = Place { dir, name: &of };
    let stat = old.stat()?;
    let facts = stat.facts;
    if facts.file_type != FileType::File {
        return Err(io::Error::other("it is not a plain file"));
    }
    // Nobody else may look into it before it has its owner.
    let old = open_file::open_expected(old, &stat)?;
    let (temporary, file) = write_aside(dir, name, content, 0o600, WhenFull::Fail, File::sync_all)?;
    let (old, new) = (Handle::of_data(old.as_fd()), Handle::of_data(file.as_fd()));
    let finished = attributes::give_attributes(old, &facts, new).and_then(|()| {
        change("file: sync attributes", || file.sync_all())?;
        change("file: rename", || Ok(fs::renameat(dir, temporary.as_os_str(), dir, name)?))
    });
    if let Err(error) = finished {
        // Best effort, as above.
        let _ = unlink_temporary(dir, &temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// Reads the whole of a plain file below `dir` without following any link.
pub fn read(dir: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(dir, path, MAX_OWN)
}

/// The same for a file that may have up to `max` bytes.
pub fn read_up_to(dir: BorrowedFd<'_>, path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_open(open_beneath(dir, path)?, max)
}

/// The same for a record, wherever its content found room.
pub fn read_record(dir: BorrowedFd<'_>, path: &Path) -> io::Result<Vec<u8>> {
    let file = open_beneath(dir, path)?;
    let found = file.metadata()?;
    if found.is_file() && found.len() == 0 {
        let mut content = vec![0; ATTRIBUTE];
        match fs::fgetxattr(&file, CONTENT, &mut *content) {
            Ok(len) => {
                content.truncate(len);
                return Ok(content);
            }
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    read_open(file, MAX_OWN)
}

fn open_beneath(dir: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(File::from(fs::openat2(dir, path, flags, Mode::empty(), resolve)?))
}

/// Reads the whole of a file of this host that its owner named, through links.
pub fn read_path(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_open(open_path(path)?, max)
}

/// Opens it, to be read.
pub fn open_path(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a fifo waits for whoever writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(fs::open(path, flags, Mode::empty())?))
}

/// Reads the whole of an open plain file, which must not have more than `max` bytes. Whoever opened
/// it did so with `NONBLOCK`: else a fifo in its place would have made that wait.
pub fn read_open(file: File, max: u64) -> io::Result<Vec<u8>> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if found.len() > max {
        let size = found.len();
        return Err(io::Error::other(format!("it has {size} bytes, and at most {max} are read")));
    }
    let size = usize::try_from(found.len()).unwrap_or(0).min(LARGE);
    read_at_most(file, Vec::with_capacity(size + 1), max)
}

/// Reads to the end of what must not have more than `max` bytes, behind what `content` has already.
/// A file may have grown since its size was asked for, and those of the kernel tell none.
pub(crate) fn read_at_most(from: impl Read, mut content: Vec<u8>, max: u64) -> io::Result<Vec<u8>> {
    // `take` also spares the question for a size.
    let count = from.take(max.saturating_add(1)).read_to_end(&mut content)? as u64;
    if count > max {
        return Err(io::Error::other(format!("it has more than the {max} bytes that are read")));
    }
    Ok(content)
}

fn write_aside(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    content: &[u8],
    mode: u32,
    when_full: WhenFull,
    settle: impl Fn(&File) -> io::Result<()>,
) -> io::Result<(OsString, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for attempt in 0..ATTEMPTS {
        let temporary = temporary_name(name, attempt);
        let opened = change("file: create", || {
            Ok(fs::openat(dir, temporary.as_os_str(), flags, Mode::from_raw_mode(mode))?)
        });
        let mut file = match opened {
            Ok(fd) => File::from(fd),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        let written = match change("file: write", || file.write_all(content)) {
            Err(why) if when_full == WhenFull::UseAttribute && Cause::of(&why) == Cause::Full => {
                change("file: write attribute", || write_attribute(&file, content))
            }
            written => written,
        };
        let written = written.and_then(|()| change("file: sync", || settle(&file)));
        return match written {
            Ok(()) => Ok((temporary, file)),
            Err(error) => {
                // Best effort, as above.
                let _ = unlink_temporary(dir, &temporary);
                Err(error)
            }
        };
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Makes `content` an attribute of the file, which then has no data.
fn write_attribute(file: &File, content: &[u8]) -> io::Result<()> {
    if content.len() > ATTRIBUTE {
        return Err(Errno::NOSPC.into());
    }
    file.set_len(0)?;
    Ok(fs::fsetxattr(file, CONTENT, content, XattrFlags::CREATE)?)
}

/// Gives what has the one name the other, which nothing must have (`EEXIST`).
///
/// NFS, and ZFS before 2.2, have no rename that spares what is there (`EINVAL`, renameat2(2)): there
/// the name is looked at right before.
pub fn rename_noreplace(from: Place<'_>, to: Place<'_>) -> io::Result<()> {
    let how = RenameFlags::NOREPLACE;
    match fs::renameat_with(from.dir, from.name, to.dir, to.name, how) {
        Err(Errno::INVAL) => match fs::statat(to.dir, to.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(fs::renameat(from.dir, from.name, to.dir, to.name)?),
            Err(error) => Err(error.into()),
            Ok(_) => Err(Errno::EXIST.into()),
        },
        renamed => Ok(renamed?),
    }
}

/// Exchanges what two names stand for: what is `new`, and whole, takes the place of what is `in_use`, which
/// gets the name of the new. `point` is the fault point of the one call that does it.
///
/// The file systems that [`rename_noreplace`] names have no such call either (`EINVAL`; the kernel makes
/// that of FUSE's `ENOSYS`, too). There it takes three renames: the new gets a name of its own beside the
/// one in use (`.NAME.new-1`), what was in use gets the former name of the new, and the new gets the name.
/// Whatever fails, what was done is undone, and if that fails, too, the error tells who has which name.
///
/// A power cut after the second rename leaves nothing at the name that was in use. Nothing is lost:
/// [`find_unnamed`] finds the new, and what was in use has the name that the new had. So nobody may remove
/// what has that name unless the new makes it worthless. This holds where a file system keeps the order of
/// renames.
pub fn exchange(point: &'static str, new: Place<'_>, in_use: Place<'_>) -> io::Result<()> {
    let exchanged = change(point, || {
        let how = RenameFlags::EXCHANGE;
        Ok(fs::renameat_with(new.dir, new.name, in_use.dir, in_use.name, how)?)
    });
    match exchanged {
        Err(why) if lacks_exchange(&why) => exchange_by_renames(new, in_use),
        exchanged => exchanged,
    }
}

/// Whether an exchange failed because the file system has none.
pub fn lacks_exchange(why: &io::Error) -> bool {
    Cause::of(why) == Cause::Invalid
}

fn exchange_by_renames(new: Place<'_>, in_use: Place<'_>) -> io::Result<()> {
    let beside = name_beside(new, in_use)?;
    let beside = Place { name: &beside, ..in_use };
    let shown = |place: Place<'_>| Escaped(place.name.to_bytes()).to_string();
    let take_back = |why: io::Error| {
        let Err(other) = change("exchange: take back", || rename_noreplace(beside, new)) else {
            return why;
        };
        let (why, other) = (describe(&why), describe(&other));
        let text =
            format!("{why}; what was to be there is named {} by now: {other}", shown(beside));
        io::Error::other(text)
    };
    change("exchange: set aside", || rename_noreplace(in_use, new)).map_err(take_back)?;
    let Err(why) = change("exchange: name", || rename_noreplace(beside, in_use)) else {
        return Ok(());
    };
    let Err(other) = change("exchange: put back", || rename_noreplace(new, in_use)) else {
        return Err(take_back(why));
    };
    Err(io::Error::other(format!(
        "{}; what was there is named {} by now, and what was to be there {}: {}",
        describe(&why),
        shown(new),
        shown(beside),
        describe(&other)
    )))
}

fn name_beside(new: Place<'_>, in_use: Place<'_>) -> io::Result<CString> {
    for number in 1..=ATTEMPTS {
        let tried = unnamed_name(OsStr::from_bytes(in_use.name.to_bytes()), number);
        let tried = CString::new(tried.as_bytes())?;
        let beside = Place { name: &tried, ..in_use };
        match change("exchange: name beside", || rename_noreplace(new, beside)) {
            Ok(()) => return Ok(tried),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The name in `dir` of what was to get the name `of`, which nothing has, when an exchange was cut short.
/// What has it is whole.
pub fn find_unnamed(dir: BorrowedFd<'_>, of: &OsStr) -> io::Result<Option<OsString>> {
    let mut found = None;
    // The last one: of an earlier exchange something may be left that never came into use.
    for number in 1..=ATTEMPTS {
        let tried = unnamed_name(of, number);
        match fs::statat(dir, tried.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => break,
            Ok(_) => found = Some(tried),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn unlink_temporary(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    change("file: unlink temporary", || Ok(fs::unlinkat(dir, name, AtFlags::empty())?))
}

fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    change("file: sync directory", || Ok(fs::fsync(dir)?))
}

// Names for what is not whole yet: nobody looks for them, and after a power cut they can be told.

/// What stands between the final name and a number.
const MARK: &[u8] = b".tmp-";
/// Bytes of the final name that are kept, so that the temporary one is valid too.
const STEM: usize = 230;
/// So many leftovers of one name are stepped over: no number of crashes at a boot may stop the next
/// run, and more than this mean that something else is wrong.
pub const ATTEMPTS: u32 = 1 << 16;

/// The temporary name number `attempt` of what is to be `name`.
pub fn temporary_name(name: &OsStr, attempt: u32) -> OsString {
    marked_name(name, MARK, attempt)
}

/// What stands between a name and a number while what is to have the name waits for it.
const WHOLE_MARK: &[u8] = b".new-";

/// The name number `number` of what is whole and is to be `name` next.
fn unnamed_name(name: &OsStr, number: u32) -> OsString {
    marked_name(name, WHOLE_MARK, number)
}

fn marked_name(name: &OsStr, mark: &[u8], number: u32) -> OsString {
    let stem = name.as_bytes().get(..STEM).unwrap_or(name.as_bytes());
    let whole = [b".", stem, mark, number.to_string().as_bytes()].concat();
    OsStr::from_bytes(&whole).to_os_string()
}

/// The first temporary name of `of` that nothing in `dir` has.
pub fn unused(dir: BorrowedFd<'_>, of: &OsStr) -> io::Result<OsString> {
    for attempt in 0..ATTEMPTS {
        let tried = temporary_name(of, attempt);
        match fs::statat(dir, tried.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(tried),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The start of the final name, if `found` is a temporary one.
pub fn stem(found: &OsStr) -> Option<&OsStr> {
    stem_before(found, MARK)
}

/// The start of the name in use, if `found` is the name that something whole has until it gets that.
pub fn stem_of_unnamed(found: &OsStr) -> Option<&OsStr> {
    stem_before(found, WHOLE_MARK)
}

fn stem_before<'n>(found: &'n OsStr, mark: &[u8]) -> Option<&'n OsStr> {
    let rest = found.as_bytes().strip_prefix(b".")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let stem = rest[..rest.len() - digits].strip_suffix(mark)?;
    (digits > 0 && !stem.is_empty()).then(|| OsStr::from_bytes(stem))
}

/// Whether `found` is a temporary name of what was to be `of`.
pub fn is_of(found: &OsStr, of: &OsStr) -> bool {
    let of = of.as_bytes();
    stem(found).is_some_and(|stem| stem.as_bytes() == of.get(..STEM).unwrap_or(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn refusal(path: &Path, max: u64) -> String {
        read_path(path, max).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_whole_up_to_its_bound_and_refused_with_both_sizes_above() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_path(&path, 5).unwrap(), b"12345");
        assert_eq!(refusal(&path, 4), "it has 5 bytes, and at most 4 are read");
        // Four GiB of nothing take no room on the disk, and must take none in memory.
        File::create(&path).unwrap().set_len(4 << 30).unwrap();
        let opened = File::open(dir.path()).unwrap();
        let why = read(opened.as_fd(), Path::new("file")).unwrap_err().to_string();
        assert_eq!(why, "it has 4294967296 bytes, and at most 1048576 are read");
        // A file of the kernel has no size.
        assert!(read_path(Path::new("/proc/self/status"), MAX_SYSTEM).unwrap().len() > 100);
        assert_eq!(
            refusal(Path::new("/proc/self/status"), 100),
            "it has more than the 100 bytes that are read"
        );
    }

    #[test]
    fn what_is_no_plain_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        fs::mkfifoat(fs::CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
        for path in [&fifo, dir.path(), Path::new("/dev/zero")] {
            assert_eq!(refusal(path, MAX_OWN), "it is not a plain file", "{path:?}");
        }
        let opened = File::open(dir.path()).unwrap();
        assert!(read(opened.as_fd(), Path::new("fifo")).is_err());
    }

    fn listed(dir: &Path) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let pairs = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        pairs
    }

    fn two_names_are_exchanged(top: &Path) {
        let dirs = ["new", "used"].map(|name| top.join(name));
        dirs.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        let [private, used] = &dirs;
        std::fs::write(private.join("x"), "new").unwrap();
        std::fs::write(used.join("y"), "old").unwrap();
        std::fs::write(used.join(".y.new-1"), "of another run").unwrap();
        let opened = [File::open(private).unwrap(), File::open(used).unwrap()];
        let new = Place { dir: opened[0].as_fd(), name: c"x" };
        let in_use = Place { dir: opened[1].as_fd(), name: c"y" };
        let pair = |name: &str, text: &str| (name.to_string(), text.to_string());
        let other = pair(".y.new-1", "of another run");

        exchange("test: exchange", new, in_use).unwrap();
        assert_eq!(listed(private), [pair("x", "old")]);
        assert_eq!(listed(used), [other.clone(), pair("y", "new")]);
        exchange("test: exchange", new, in_use).unwrap();
        assert_eq!(listed(private), [pair("x", "new")]);
        assert_eq!(listed(used), [other.clone(), pair("y", "old")]);

        // Of what cannot be exchanged nothing is moved.
        let missing = Place { name: c"nothing", ..in_use };
        for (one, two) in [(new, missing), (missing, new)] {
            let why = exchange("test: exchange", one, two).unwrap_err();
            assert_eq!(why.kind(), io::ErrorKind::NotFound, "{why}");
        }
        assert_eq!(listed(private), [pair("x", "new")]);
        assert_eq!(listed(used), [other, pair("y", "old")]);
    }

    #[test]
    fn two_names_are_exchanged_whether_the_file_system_can_do_that_or_not() {
        two_names_are_exchanged(tempfile::tempdir().unwrap().path());
        support::without_exchange::on_fuse2fs(|top| {
            let names = [top.join("one"), top.join("two")];
            names.iter().for_each(|name| std::fs::write(name, "").unwrap());
            let how = RenameFlags::EXCHANGE;
            let why = fs::renameat_with(fs::CWD, &names[0], fs::CWD, &names[1], how).unwrap_err();
            assert_eq!(why, Errno::INVAL, "it would test nothing");
            two_names_are_exchanged(top);
        });
    }

    #[test]
    fn what_was_to_get_a_name_is_found_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let opened = File::open(dir.path()).unwrap();
        let long = "x".repeat(255);
        for of in ["a b", &long] {
            let find = || find_unnamed(opened.as_fd(), OsStr::new(of)).unwrap();
            assert_eq!(find(), None);
            for number in 1..3 {
                let name = unnamed_name(OsStr::new(of), number);
                std::fs::write(dir.path().join(&name), "").unwrap();
                assert_eq!(find(), Some(name.clone()));
                let stem = stem_of_unnamed(&name).unwrap();
                assert!(of.as_bytes().starts_with(stem.as_bytes()) && stem.len() >= 3);
            }
        }
        assert_eq!(stem_of_unnamed(OsStr::new(".a.tmp-1")), None);
    }

    #[test]
    fn a_temporary_name_is_told_from_all_others() {
        let long = [b'x'; 255];
        for of in [&b"a"[..], b"a.tmp-1", b"\xff b\n", b".", &long] {
            let (of, temporary) =
                (OsStr::from_bytes(of), temporary_name(OsStr::from_bytes(of), 17));
            assert!(is_of(&temporary, of) && temporary.len() <= 255, "{temporary:?}");
            assert!(!is_of(of, of) && !is_of(&temporary, OsStr::new("other")));
        }
        for other in [".a.tmp-", ".a", "a.tmp-1", ".tmp-1", ".a.tmp-1b", ""] {
            assert_eq!(stem(OsStr::new(other)), None, "{other}");
        }
    }
}
