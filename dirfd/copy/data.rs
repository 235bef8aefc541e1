//! Copies what is in a regular file: by sharing extents, in the kernel, or by hand; holes stay holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;

use crate::fault::change;

/// Bytes that are copied by hand at a time.
const CHUNK: usize = 256 * 1024;
/// Bytes that the kernel copies at a time, so that there is something to tell meanwhile.
const PIECE: usize = 64 << 20;

/// Copies what is in one open regular file of `size` bytes to an empty one. `can_clone` is cleared when sharing
/// extents is not possible between these file systems, so that it is not tried for every file.
///
/// `progress` is told of bytes as they are copied.
pub(crate) fn copy_data(
    source: &File,
    size: u64,
    target: &File,
    can_clone: &mut bool,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    if *can_clone {
        match change("copy: clone", || Ok(fs::ioctl_ficlone(target, source)?)) {
            Ok(()) => {
                progress(size);
                return Ok(());
            }
            // Of this file alone: one of the two is not copied on write (chattr(1), `C`).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) if is_unsupported(&error) => *can_clone = false,
            Err(error) => return Err(error),
        }
    }
    change("copy: set length", || target.set_len(size))?;
    let mut at = 0;
    while let Some((start, end)) = next_range(source, at, size)? {
        progress(start - at);
        copy_range(source, target, start, end, progress)?;
        at = end;
    }
    progress(size.saturating_sub(at));
    Ok(())
}

/// The next bytes that are not in a hole.
fn next_range(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match fs::seek(file.as_fd(), SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // The file system cannot tell: all of it counts as data.
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = fs::seek(file.as_fd(), SeekFrom::Hole(start))?;
    Ok((start < size).then_some((start, end.min(size))))
}

fn copy_range(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let len = usize::try_from(end - from).unwrap_or(PIECE).min(PIECE);
        let copied = change("copy: data", || {
            Ok(fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), len)?)
        });
        match copied {
            // Cut short meanwhile: the rest stays a hole.
            Ok(0) => return Ok(()),
            Ok(count) => progress(count as u64),
            Err(error) if is_unsupported(&error) => {
                return by_hand(source, target, from..end, progress);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn by_hand(
    source: &File,
    target: &File,
    Range { start: mut at, end }: Range<u64>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let got = source.read_at(&mut buffer[..len], at)?;
        if got == 0 {
            return Ok(());
        }
        change("copy: data by hand", || target.write_all_at(&buffer[..got], at))?;
        at += got as u64;
        progress(got as u64);
    }
    Ok(())
}

fn is_unsupported(error: &io::Error) -> bool {
    [Errno::OPNOTSUPP, Errno::XDEV, Errno::INVAL, Errno::NOTTY, Errno::NOSYS]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
