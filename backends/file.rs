//! The room for files that must be whole or absent, whatever happens: written aside, made durable,
//! then given their name in one call.
//!
//! A crash before that call leaves a file `.NAME.tmp-N` next to NAME. It is harmless: no reader
//! of NAME or of old roots looks at it, and a later write takes another name. Nothing deletes it,
//! since a boot never deletes; whoever finds one may.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};

use crate::copy::attributes;
use crate::fault::change;
use crate::file_type::FileType;
use crate::stat::Place;
use crate::temporary;

/// A file of ours is far smaller; no size that a file tells of itself is worth more memory.
const LARGE: usize = 64 << 10;

/// Creates `name` in `dir` with `content`, durably; fails with `EEXIST` if the name is taken.
pub fn create(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
    create_before_commit(dir, name, content, mode, File::sync_all)?;
    sync_dir(dir)
}

/// The same where the caller makes the file system durable next: the name is not safe yet when this
/// returns. `settle` sees to it that the name will at no moment be safe without the content: it
/// makes the content durable, or part of what will be durable together with the name.
pub fn create_before_commit(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    content: &[u8],
    mode: u32,
    settle: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = write_aside(dir, name, content, mode, settle)?;
    let linked = change("file: link", || {
        Ok(fs::linkat(dir, temporary.as_os_str(), dir, name, AtFlags::empty())?)
    });
    let removed = unlink_temporary(dir, &temporary);
    linked?;
    removed
}

/// Puts `content` at `name` in `dir`, in place of what was there.
pub fn replace(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_aside(dir, name, content, mode, File::sync_all)?;
    let renamed =
        change("file: rename", || Ok(fs::renameat(dir, temporary.as_os_str(), dir, name)?));
    if let Err(error) = renamed {
        // Best effort: the file is ours and has a name that nobody looks for.
        let _ = unlink_temporary(dir, &temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// Gives the plain file `name` in `dir` another content; owner, mode and extended attributes stay.
pub fn rewrite(dir: BorrowedFd<'_>, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let of = CString::new(name.as_bytes())?;
    let old = Place { dir, name: &of };
    let facts = old.stat()?.facts;
    if facts.file_type != FileType::File {
        return Err(io::Error::other("it is not a plain file"));
    }
    // Nobody else may look into it before it has its owner.
    let temporary = write_aside(dir, name, content, 0o600, File::sync_all)?;
    let made = CString::new(temporary.as_bytes())?;
    let new = Place { dir, name: &made };
    let finished = attributes::give(old, &facts, new).and_then(|()| {
        let file = new.open_file()?;
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
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(fs::openat2(dir, path, flags, Mode::empty(), resolve)?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    // The size is known by now; `take` spares asking for it again.
    let mut content = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0).min(LARGE) + 1);
    file.take(u64::MAX).read_to_end(&mut content)?;
    Ok(content)
}

fn write_aside(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    content: &[u8],
    mode: u32,
    settle: impl Fn(&File) -> io::Result<()>,
) -> io::Result<OsString> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for attempt in 0..temporary::ATTEMPTS {
        let temporary = temporary::name(name, attempt);
        let opened = change("file: create", || {
            Ok(fs::openat(dir, temporary.as_os_str(), flags, Mode::from_raw_mode(mode))?)
        });
        let mut file = match opened {
            Ok(fd) => File::from(fd),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        let written = change("file: write", || file.write_all(content))
            .and_then(|()| change("file: sync", || settle(&file)));
        return match written {
            Ok(()) => Ok(temporary),
            Err(error) => {
                // Best effort, as above.
                let _ = unlink_temporary(dir, &temporary);
                Err(error)
            }
        };
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

fn unlink_temporary(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    change("file: unlink temporary", || Ok(fs::unlinkat(dir, name, AtFlags::empty())?))
}

fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    change("file: sync directory", || Ok(fs::fsync(dir)?))
}
