//! What changed files hold: as their file system knows it at once, and the others are opened.

use std::os::fd::BorrowedFd;
use std::{io, thread};

use backends::{Backend, FoundInode, Tree};
use dirfd::changes::InodeNumber;
use dirfd::fingerprint::{Content, FileContent, read_content};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::stat::{Place, Stat};
use dirfd::{ChangeKind, Error, Facts, FileType, Result};

use crate::evidence::digest::CONTENT_LIMIT;

/// Files that one thread opens at least: to start one takes as long as reading some.
const SHARE: usize = 256;
/// Maximum number of threads that read.
const THREADS: usize = 4;

/// A file that differs from blank.
#[derive(Clone, Debug)]
pub(crate) struct ChangedFile {
    /// As in [`TreePath::as_bytes`](dirfd::TreePath::as_bytes).
    pub(crate) path: Vec<u8>,
    /// How it differs.
    pub(crate) kind: ChangeKind,
    /// What it is.
    pub(crate) facts: Facts,
    /// Its inode, where the comparison came across that.
    pub(crate) inode: InodeNumber,
}

/// What each of these files holds in `tree`, which is given with its view; nothing, if it was removed. What cannot be
/// read is a value of its own, and no error: one file must not keep all others from being told.
pub(crate) fn read_files(
    backend: &dyn Backend,
    (tree, view): (&Tree, BorrowedFd<'_>),
    files: &[&ChangedFile],
) -> Result<Vec<FileContent>> {
    let inode_of = |file: &&ChangedFile| {
        let number = file.inode.filter(|_| file.kind != ChangeKind::Removed)?;
        Some(FoundInode { number, facts: file.facts })
    };
    let inodes: Vec<_> = files.iter().map(inode_of).collect();
    let known = backend.known_contents(tree, &inodes)?;
    let unknown = files.iter().zip(&known).filter(|(_, known)| known.is_none());
    let unknown: Vec<&ChangedFile> = unknown.map(|(file, _)| *file).collect();
    let opened = open_files(view, &unknown)
        .map_err(|why| Error::io(format!("read what is in {}", tree.name), why))?;
    let mut opened = opened.into_iter();
    let nothing = FileContent { content: Content::Unreadable, target: Vec::new() };
    Ok(known
        .into_iter()
        .map(|known| known.or_else(|| opened.next()).unwrap_or_else(|| nothing.clone()))
        .collect())
}

/// Opens and reads each of these files, in several threads if they are many.
fn open_files(tree: BorrowedFd<'_>, files: &[&ChangedFile]) -> io::Result<Vec<FileContent>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let share = files.len().div_ceil(threads).max(SHARE);
    let shares = thread::scope(|scope| {
        let started: Vec<_> = files
            .chunks(share)
            .map(|share| scope.spawn(move || open_in_turn(tree, share)))
            .collect();
        // One that panicked found nothing, and says so.
        let ended = started.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread came to grief")))
        });
        ended.collect::<io::Result<Vec<Vec<FileContent>>>>()
    })?;
    Ok(shares.concat())
}

fn open_in_turn(tree: BorrowedFd<'_>, files: &[&ChangedFile]) -> io::Result<Vec<FileContent>> {
    let (mut lookup, mut buffer) = (LookupInOrder::new(tree)?, Vec::new());
    Ok(files.iter().map(|file| read_changed(&mut lookup, file, &mut buffer)).collect())
}

fn read_changed(
    tree: &mut LookupInOrder<'_>,
    file: &ChangedFile,
    buffer: &mut Vec<u8>,
) -> FileContent {
    if file.kind == ChangeKind::Removed {
        return FileContent { content: Content::Nothing, target: Vec::new() };
    }
    tree.look_at(&file.path, |place, stat| read_file(place, stat, buffer))
        .unwrap_or(FileContent { content: Content::Unreadable, target: Vec::new() })
}

fn read_file(place: Place<'_>, stat: &Stat, buffer: &mut Vec<u8>) -> FileContent {
    let content = read_content(place, stat, CONTENT_LIMIT, buffer);
    if stat.facts.file_type != FileType::Symlink {
        return FileContent { content, target: Vec::new() };
    }
    match place.link_target() {
        Ok(Some(target)) => FileContent { content, target },
        Ok(None) | Err(_) => FileContent { content: Content::Unreadable, target: Vec::new() },
    }
}
