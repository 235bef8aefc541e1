//! Makes the digest of a tree: what differs from blank, and what each of these files holds.

use std::os::fd::AsFd;

use backends::old_root_files::Boot;
use backends::{Backend, Life, OpenFile, Tree};
use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::{Content, read_content};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::stat::{Place, Stat};
use dirfd::{ChangeKind, Changes, Error, FileType, Result, TreePath};

use crate::diff::{diff_trees, is_within};
use crate::evidence::digest::{CONTENT_LIMIT, Digest, DigestHeader};

/// What each changed file holds, and what each link says, in the order of the changes.
#[derive(Debug, Default)]
struct Held {
    contents: Vec<Content>,
    targets: Vec<Box<[u8]>>,
}

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
    digest_of_changes(backend, blank, tree, life, changes)
}

/// The same of these changes of it, or of some of them.
pub(crate) fn digest_of_changes(
    backend: &dyn Backend,
    blank: &Tree,
    tree: &Tree,
    life: Option<Life>,
    changes: Changes,
) -> Result<Digest> {
    let view = backend.view(tree)?;
    let held = read_held(&changes, &mut LookupInOrder::new(view.as_fd()).map_err(cannot(tree))?);
    let (boots, open): (Vec<Boot>, Vec<OpenFile>) =
        life.map_or_else(Default::default, |life| (life.boots, life.open));
    let header = DigestHeader {
        tree: tree.id.clone(),
        blank: blank.id.clone(),
        boots,
        open,
        cut: None,
        paths: changes.len(),
        content_limit: CONTENT_LIMIT,
    };
    Digest::new(header, changes, held.contents, held.targets)
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

fn cannot(tree: &Tree) -> impl Fn(std::io::Error) -> Error {
    let action = action(tree);
    move |why| Error::io(action.clone(), why)
}

/// Reads what each file of the newer tree holds. What cannot be read is a value of its own, and no error: one
/// file must not keep all others from being told.
fn read_held(changes: &Changes, newer: &mut LookupInOrder<'_>) -> Held {
    let (mut held, mut buffer) = (Held::default(), Vec::new());
    let mut cursor = changes.cursor();
    while let Some((path, kind, _)) = cursor.next_row() {
        let (content, target) = read_changed(newer, path, kind, &mut buffer);
        held.contents.push(content);
        held.targets.push(target.into_boxed_slice());
    }
    held
}

/// What the file of a change holds in the newer tree, and what it says if it is a link; nothing, if it is gone.
pub(crate) fn read_changed(
    newer: &mut LookupInOrder<'_>,
    path: &[u8],
    kind: ChangeKind,
    buffer: &mut Vec<u8>,
) -> (Content, Vec<u8>) {
    if kind == ChangeKind::Removed {
        return (Content::Nothing, Vec::new());
    }
    newer
        .look_at(path, |place, stat| read_file(place, stat, buffer))
        .unwrap_or((Content::Unreadable, Vec::new()))
}

fn read_file(place: Place<'_>, stat: &Stat, buffer: &mut Vec<u8>) -> (Content, Vec<u8>) {
    let content = read_content(place, stat, CONTENT_LIMIT, buffer);
    if stat.facts.file_type != FileType::Symlink {
        return (content, Vec::new());
    }
    match place.link_target() {
        Ok(Some(target)) => (content, target),
        Ok(None) | Err(_) => (Content::Unreadable, Vec::new()),
    }
}
