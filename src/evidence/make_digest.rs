//! Makes the digest of a tree: what differs from blank, and what each of these files holds.

use std::os::fd::AsFd;

use backends::old_root_files::Boot;
use backends::{Backend, Life, OpenFile, Tree, TreeId};
use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::FileContent;
use dirfd::{Changes, Error, Result, TreePath};

use crate::diff::{diff_trees, is_within};
use crate::evidence::digest::{Digest, DigestHeader};
use crate::evidence::read_files::{ChangedFile, read_files};

/// Compares `tree`, of whose life this is known, with `blank`, and reads what is new in it. `progress` is told
/// how many names or files were looked at.
pub(crate) fn make_digest(
    backend: &dyn Backend,
    blank: &Tree,
    tree: &Tree,
    life: Option<Life>,
    progress: &dyn Fn(u64),
) -> Result<Digest> {
    let changes = diff_trees(backend, blank, tree, progress)?.changes;
    digest_of_changes(backend, &blank.id, tree, life, changes)
}

/// The same of these changes of it, or of some of them.
pub(crate) fn digest_of_changes(
    backend: &dyn Backend,
    blank: &TreeId,
    tree: &Tree,
    life: Option<Life>,
    changes: Changes,
) -> Result<Digest> {
    let (boots, open) = life.map_or_else(Default::default, |life| (life.boots, life.open));
    let of = DigestOf { tree: tree.id.clone(), blank: blank.clone(), boots, open };
    digest_until(backend, tree, of, changes, &|| false)
}

/// What a digest is of.
#[derive(Debug)]
pub(crate) struct DigestOf {
    pub(crate) tree: TreeId,
    pub(crate) blank: TreeId,
    pub(crate) boots: Vec<Boot>,
    pub(crate) open: Vec<OpenFile>,
}

/// The digest of these changes of `tree`, of which those are left out that were not read when the time is up.
pub(crate) fn digest_until(
    backend: &dyn Backend,
    tree: &Tree,
    of: DigestOf,
    mut changes: Changes,
    is_over: &dyn Fn() -> bool,
) -> Result<Digest> {
    let held = read_contents(backend, tree, &changes, is_over)?;
    let (paths, all) = (held.len(), changes.len());
    changes.truncate(paths);
    let cut = (paths < all).then(|| format!("the time was up after {paths} of {all} paths"));
    let DigestOf { tree: id, blank, boots, open } = of;
    let header = DigestHeader { tree: id, blank, boots, open, cut, paths };
    Digest::new(header, &changes, held)
        .ok_or_else(|| Error::new(action(tree), "not every path has its content"))
}

/// Those of the changes that are at or below one of these paths.
pub(crate) fn changes_within(changes: &Changes, only: &[TreePath]) -> Changes {
    let mut writer = ChangesWriter::new();
    let mut cursor = changes.cursor();
    while let Some((path, kind, facts)) = cursor.next_row() {
        if only.iter().any(|dir| is_within(path, dir.as_bytes())) {
            writer.record_path(path, kind, *facts);
        }
    }
    writer.finish()
}

fn action(tree: &Tree) -> String {
    format!("make the digest of {}", tree.name)
}

/// Files that are read at a time, so that their paths take little room, and little time passes unnoticed.
const CHUNK: usize = 1 << 10;

/// What each changed file holds, in the order of the changes, as far as it was read when the time was up.
fn read_contents(
    backend: &dyn Backend,
    tree: &Tree,
    changes: &Changes,
    is_over: &dyn Fn() -> bool,
) -> Result<Vec<FileContent>> {
    let (mut held, mut cursor) = (Vec::with_capacity(changes.len()), changes.cursor());
    // Once for all: on some file systems a view is a mount of its own.
    let view = backend.view(tree)?;
    loop {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK
            && let Some((path, kind, facts)) = cursor.next_row()
        {
            let (path, facts) = (path.to_vec(), *facts);
            chunk.push(ChangedFile { path, kind, facts, inode: cursor.inode() });
        }
        if chunk.is_empty() || is_over() {
            return Ok(held);
        }
        held.extend(read_files(backend, (tree, view.as_fd()), &chunk.iter().collect::<Vec<_>>())?);
    }
}
