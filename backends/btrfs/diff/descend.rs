//! Goes down both trees at once, only where something was written.

use std::io;
use std::os::fd::AsFd;

use super::Side;
use super::ahead;
use super::files::Files;
use super::halves::{Half, Halves};
use super::listing::Entry;
use super::rows::{Rows, facts};
use crate::btrfs::top::{ROOT_INODE, Top};
use crate::changes::{ChangeKind, Changes, ChangesWriter, FileType};

/// The changes from `older` to `newer`.
pub fn changes(top: &Top, older: &Side<'_>, newer: &Side<'_>) -> io::Result<Changes> {
    let files = Files::new(older.subvolume.fd.as_fd(), newer.subvolume.fd.as_fd())?;
    let mut rows = Rows { files, writer: ChangesWriter::new() };
    let (old, new, account) = ahead::read(top, older, newer)?;
    let (older, newer) = (Half::new(top, older, old), Half::new(top, newer, new));
    let mut halves = Halves { older, newer, account };
    root(&mut halves, &mut rows.writer)?;
    let mut stack = vec![halves.frame(Some(ROOT_INODE), Some(ROOT_INODE))?];
    while let Some(frame) = stack.last_mut() {
        let Some(event) = frame.pop() else {
            stack.pop();
            rows.writer.ascend();
            continue;
        };
        let newer = event.newer.map(|at| frame.newer.entry(at));
        let older = event.older.map(|at| frame.older.entry(at));
        let name = frame.name(&event);
        if event.descend {
            rows.writer.descend(name);
            let directory = |entry: Option<&Entry>| entry.and_then(Entry::directory);
            let next = halves.frame(directory(newer), directory(older))?;
            stack.push(next);
        } else {
            rows.row(&mut halves, name, newer, older)?;
        }
    }
    Ok(rows.writer.finish())
}

fn root(halves: &mut Halves<'_>, writer: &mut ChangesWriter) -> io::Result<()> {
    if halves.is_untouched(ROOT_INODE) {
        return Ok(());
    }
    if let (Some(newer), Some(older)) =
        (halves.newer.inode(ROOT_INODE)?, halves.older.inode(ROOT_INODE)?)
        && halves.metadata_differs((ROOT_INODE, &newer), (ROOT_INODE, &older))?
    {
        writer.record_root(ChangeKind::Metadata, facts(FileType::Dir, &newer));
    }
    Ok(())
}
