//! Goes down both trees at once, only where something was written.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;

use super::Side;
use super::ahead;
use super::files::Files;
use super::halves::{Half, Halves};
use super::listing::Entry;
use super::rows::{Rows, facts};
use crate::btrfs::search::path_of;
use crate::btrfs::top::{ROOT_INODE, Top};
use crate::changes::{ChangeKind, Changes, ChangesWriter, FileType};
use crate::path::TreePath;
use crate::torn::Torn;

/// The changes from `older` to `newer`.
pub fn changes(top: &Top, older: &Side<'_>, newer: &Side<'_>) -> io::Result<Changes> {
    let files = Files::new(older.subvolume.fd.as_fd(), newer.subvolume.fd.as_fd())?;
    let mut rows = Rows { files, writer: ChangesWriter::new() };
    let (old, new, account) = ahead::read(top, older, newer)?;
    let (older, newer) = (Half::new(top, older, old), Half::new(top, newer, new));
    let mut halves = Halves { older, newer, account };
    root(&mut halves, &mut rows.writer)?;
    let mut entered = Entered::default();
    entered.enter(Some(ROOT_INODE), Some(ROOT_INODE));
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
            let (newer, older) = (directory(newer), directory(older));
            let here = || Torn::at(rows.writer.current_path());
            if !entered.enter(newer, older) {
                return Err(here());
            }
            let next = halves.frame(newer, older);
            stack.push(next.map_err(|why| if Torn::is(&why) { here() } else { why })?);
        } else {
            rows.row(&mut halves, name, newer, older)?;
        }
    }
    entered.expect_all(top, &mut halves)?;
    Ok(rows.writer.finish())
}

/// The directories that were gone into.
///
/// A directory has one name, so each is gone into once in each tree, and each that was touched is. Where
/// directories are moved while the trees are read, names from two moments may lead to one twice, in a circle
/// even, or never: no such answer is given, and none takes longer than there are directories.
#[derive(Debug, Default)]
struct Entered {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Entered {
    /// Notes a directory of one tree, or of both; says whether it was not gone into before.
    fn enter(&mut self, newer: Option<u64>, older: Option<u64>) -> bool {
        newer.is_none_or(|ino| self.newer.insert(ino))
            && older.is_none_or(|ino| self.older.insert(ino))
    }

    /// Fails if a touched directory was not gone into, and is still there.
    fn expect_all(&self, top: &Top, halves: &mut Halves<'_>) -> io::Result<()> {
        let halves = [(&self.newer, &mut halves.newer), (&self.older, &mut halves.older)];
        for (entered, half) in halves {
            for ino in half.side.touched.directories().filter(|ino| !entered.contains(ino)) {
                if half.search.inode(ino)?.is_some_and(|item| item.links > 0) {
                    let path = path_of(top, half.side.subvolume.info.id, ino);
                    // Who is just being moved has no way to it.
                    let Ok(mut path) = path else { return Err(Torn::here()) };
                    path.pop_if(|last| *last == b'/');
                    return Err(Torn::at(TreePath::from_clean(path)));
                }
            }
        }
        Ok(())
    }
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
