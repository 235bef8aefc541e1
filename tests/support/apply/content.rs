//! Operations on what is in files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, fstatfs, ioctl_ficlone};

use super::World;
use crate::kernel::{clone_range, write_mapped};
use crate::names;
use crate::op::{Op, Span};

/// `ZFS_SUPER_MAGIC` of `include/sys/fs/zfs.h`.
const ZFS_MAGIC: i64 = 0x2fc1_2fc1;

pub(crate) fn run(world: &mut World<'_>, op: Op) -> Option<io::Result<()>> {
    Some(match op {
        Op::Create { place, len, seed } => {
            world.place(place).and_then(|path| create(&path, &content(seed, len)))
        }
        Op::Append { file, len, seed } => world.file(file).and_then(|path| {
            OpenOptions::new().append(true).open(path)?.write_all(&content(seed, len))
        }),
        Op::OverwriteQuietly { file, span, seed } => {
            world.file(file).and_then(|path| quietly(&path, span, seed, write_at))
        }
        Op::MmapWrite { file, span, seed } => {
            world.file(file).and_then(|path| quietly(&path, span, seed, write_mapped))
        }
        Op::Truncate { file, len } => {
            world.file(file).and_then(|path| writable(&path)?.set_len(len.into()))
        }
        Op::PunchHole { file, span } => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            world.file(file).and_then(|path| allocate(&path, span, flags))
        }
        Op::ZeroRange { file, span } => {
            world.file(file).and_then(|path| allocate(&path, span, FallocateFlags::ZERO_RANGE))
        }
        Op::Allocate { file, span, keep_size } => {
            let flags = if keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
            let span = Span { at: span.at % 200_000, len: span.len };
            world.file(file).and_then(|path| {
                Ok(fallocate(writable(&path)?, flags, span.at.into(), span.len.into())?)
            })
        }
        Op::Clone { from, to } => world
            .file(from)
            .and_then(|from| Ok(ioctl_ficlone(writable(&world.file(to)?)?, File::open(from)?)?)),
        Op::CloneRange { from, to, from_block, to_block, blocks } => {
            world.file(from).and_then(|from| {
                let [from_at, to_at, len] =
                    [from_block, to_block, blocks].map(|block| u64::from(block) * 4096);
                let (from, to) = (File::open(from)?, writable(&world.file(to)?)?);
                if may_wait_for_itself(&from, &to)? {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                clone_range(&from, &to, from_at, to_at, len)
            })
        }
        Op::CloneFromBlank { from, to } => clone_from_blank(world, from, to),
        Op::RewriteSame { file } => world.file(file).and_then(|path| {
            let same = fs::read(&path)?;
            writable(&path)?.write_all_at(&same, 0)
        }),
        Op::ReplaceAtomically { file, len, seed } => {
            world.file(file).and_then(|path| replace(&path, &content(seed, len)))
        }
        Op::DeleteAndRecreate { file, len, seed } => world.file(file).and_then(|path| {
            fs::remove_file(&path)?;
            create(&path, &content(seed, len))
        }),
        _ => return None,
    })
}

/// A new file; fails if the name is taken.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}

/// As editors save: aside, then over it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = path.with_file_name(".replacement.tmp");
    create(&aside, content)?;
    rustix::fs::rename(&aside, path)?;
    Ok(())
}

/// Who clones a range within a file whose block has to grow for it waits for itself in ZFS, and can never be
/// killed: a mistake that was mended in September 2026 (pull request 19072 of openzfs/zfs). So no file is
/// given a range of its own there.
fn may_wait_for_itself(from: &File, to: &File) -> io::Result<bool> {
    let (one, other) = (from.metadata()?, to.metadata()?);
    let is_same = (one.dev(), one.ino()) == (other.dev(), other.ino());
    Ok(is_same && fstatfs(from)?.f_type == ZFS_MAGIC)
}

fn clone_from_blank(world: &World<'_>, from: u16, to: u16) -> io::Result<()> {
    let blank = world.blank.as_deref().ok_or(io::ErrorKind::NotFound)?;
    let files = super::listed(blank).into_iter().filter(|f| f.file_type.is_file());
    let from = super::nth(files.map(|f| f.path).collect(), from)?;
    // The whole of the older file, as a restore would do it.
    let to = writable(&world.file(to)?)?;
    to.set_len(0)?;
    Ok(ioctl_ficlone(to, File::open(from)?)?)
}

/// Changes bytes without changing size or mtime, so that only their content tells.
fn quietly(
    path: &Path,
    span: Span,
    seed: u8,
    write: fn(&File, usize, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let file = writable(path)?;
    let before = file.metadata()?;
    let size = u32::try_from(before.len()).map_err(io::Error::other)?;
    let at = span.at.checked_rem(size).ok_or(io::ErrorKind::NotFound)?;
    let len = span.len.min(size - at);
    write(&file, at as usize, &content(seed, len))?;
    file.set_modified(before.modified()?)
}

fn write_at(file: &File, at: usize, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, at as u64)
}

fn allocate(path: &Path, span: Span, flags: FallocateFlags) -> io::Result<()> {
    let file = writable(path)?;
    let size = file.metadata()?.len().max(1);
    Ok(fallocate(file, flags, u64::from(span.at) % size, span.len.into())?)
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn content(seed: u8, len: u32) -> Vec<u8> {
    names::content(seed, len as usize)
}
