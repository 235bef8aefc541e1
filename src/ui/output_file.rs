//! Files that a command writes for others to read.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

/// Puts `content` at `file`, whole or not at all, and only in the place of a plain file. `what` says what it is.
pub(crate) fn replace(file: &Path, content: &[u8], mode: u32, what: &str) -> Result<()> {
    let failed = |why| Error::io(format!("write {what} to {}", Escaped::of_path(file)), why);
    let is_dir = file.as_os_str().as_bytes().ends_with(b"/");
    let Some(name) = file.file_name().filter(|_| !is_dir) else {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty());
    let dir = dir.map_err(|why| failed(why.into()))?;
    match fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
            return Err(failed(io::Error::other("what is there is not a plain file"))
                .hint("name a file that does not exist yet, or one that was written before"));
        }
        _ => {}
    }
    atomic_file::replace(dir.as_fd(), name, content, mode).map_err(failed)
}
