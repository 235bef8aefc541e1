//! Writes the rows: what is there, and how what both trees have differs.

use std::io;
use std::num::NonZero;

use dirfd::changes::{ChangesWriter, InodeNumber};
use dirfd::compare::Side as Which;
use dirfd::{ChangeKind, Facts, FileType};

use crate::btrfs::diff::directory_listing::Entry;
use crate::btrfs::diff::file_content::{Contents, Files};
use crate::btrfs::diff::tree_pair::TreePair;
use crate::btrfs::tree_items::{InodeItem, Target};

pub(crate) struct Rows<'a> {
    pub(crate) files: Files<'a>,
    pub(crate) writer: ChangesWriter,
}

impl Rows<'_> {
    pub(crate) fn row(
        &mut self,
        pair: &mut TreePair<'_>,
        name: &[u8],
        newer: Option<&Entry>,
        older: Option<&Entry>,
    ) -> io::Result<()> {
        let new = match newer {
            Some(entry) => self.facts_of(Which::Newer, pair, name, entry)?,
            None => None,
        };
        match (newer.zip(new), older) {
            (Some((a, (facts, _))), None) => self.record(name, ChangeKind::Added, facts, a),
            (Some((a, (facts, _))), Some(b)) if a.file_type != b.file_type => {
                if self.holds(Which::Newer, pair, name, a)?
                    || self.holds(Which::Older, pair, name, b)?
                {
                    self.record(name, ChangeKind::Replaced, facts, a);
                }
            }
            (Some((a, (facts, new))), Some(b)) => {
                if let (Some(new), Target::Inode(new_ino), Target::Inode(old_ino)) =
                    (new, a.target, b.target)
                    && let Some(old) = pair.older.inode(old_ino)?
                    && let Some(kind) =
                        self.compare(pair, name, a, (new_ino, &new), (old_ino, &old))?
                {
                    self.record(name, kind, facts, a);
                }
            }
            (None, Some(b)) => {
                if let Some((facts, _)) = self.facts_of(Which::Older, pair, name, b)? {
                    self.record(name, ChangeKind::Removed, facts, b);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn record(&mut self, name: &[u8], kind: ChangeKind, facts: Facts, entry: &Entry) {
        self.writer.record(name, kind, facts);
        self.writer.set_inode(inode_number(entry.target));
    }

    /// Whether it is anything else than an empty directory or subvolume.
    fn holds(
        &mut self,
        which: Which,
        pair: &mut TreePair<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<bool> {
        match (entry.file_type, entry.target) {
            (FileType::Subvolume, _) => {
                let found = self.files.stat(which, &self.writer.current_path(), name)?;
                Ok(found.is_some_and(|stat| stat.has_names))
            }
            (FileType::Dir, Target::Inode(ino)) => {
                let half = match which {
                    Which::Newer => &mut pair.newer,
                    Which::Older => &mut pair.older,
                };
                Ok(half.inode(ino)?.is_some_and(|item| item.size > 0))
            }
            _ => Ok(true),
        }
    }

    /// `None` if it is gone since its directory was read.
    fn facts_of(
        &mut self,
        which: Which,
        pair: &mut TreePair<'_>,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<Option<(Facts, Option<InodeItem>)>> {
        let half = match which {
            Which::Newer => &mut pair.newer,
            Which::Older => &mut pair.older,
        };
        match entry.target {
            Target::Inode(ino) => {
                let found = half.inode(ino)?;
                Ok(found.map(|item| (facts(entry.file_type, &item), Some(item))))
            }
            Target::Subvolume(_) => {
                let found = self.files.stat(which, &self.writer.current_path(), name)?;
                Ok(found.map(|stat| (stat.facts, None)))
            }
        }
    }

    fn compare(
        &mut self,
        pair: &mut TreePair<'_>,
        name: &[u8],
        entry: &Entry,
        newer: (u64, &InodeItem),
        older: (u64, &InodeItem),
    ) -> io::Result<Option<ChangeKind>> {
        let contents = match entry.file_type {
            FileType::File => {
                let dir = self.writer.current_path();
                let new = (&mut pair.newer.search, newer.0, newer.1.size);
                let old = (&mut pair.older.search, older.0, older.1.size);
                self.files.contents(&dir, name, new, old)?
            }
            FileType::Symlink => self.files.link_targets(&self.writer.current_path(), name)?,
            FileType::Block | FileType::Char if newer.1.rdev != older.1.rdev => Contents::Differ,
            _ => Contents::Same,
        };
        Ok(match contents {
            Contents::NewerGone => Some(ChangeKind::Removed),
            Contents::Differ => Some(ChangeKind::Modified),
            Contents::Same if pair.metadata_differs(newer, older)? => Some(ChangeKind::Metadata),
            Contents::Same => None,
        })
    }
}

fn inode_number(target: Target) -> InodeNumber {
    match target {
        Target::Inode(ino) => NonZero::new(ino),
        Target::Subvolume(_) => None,
    }
}

pub(crate) fn facts(file_type: FileType, item: &InodeItem) -> Facts {
    Facts {
        file_type,
        mode: (item.mode & 0o7777) as u16,
        uid: item.uid,
        gid: item.gid,
        size: item.size,
        mtime: item.mtime,
        mtime_nanos: item.mtime_nanos,
    }
}
