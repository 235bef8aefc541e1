//! The versions of one path over all roots: roots in which it was the same, in every byte and with all that is
//! below it, have one version of it. Pure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use dirfd::fingerprint::Content;
use dirfd::{ChangeKind, Facts, FileType, TreePath};

use crate::diff::is_within;
use crate::diff::summary::content_bytes;
use crate::evidence::digest::{Digest, DigestRow};
use crate::evidence::stored_digests::empty_tree;

/// What one root had at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathState {
    /// What blank has there, or nothing, as in blank.
    AsInBlank,
    /// Nothing, in a root that starts empty.
    Absent,
    /// Something else.
    Differs(PathVersion),
}

/// One version of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathVersion {
    /// Counted from one, in the order in which they were met.
    pub(crate) number: usize,
    /// How the path itself differed from blank, and what it was; `None` where only something below it did.
    pub(crate) own: Option<(ChangeKind, Facts)>,
    /// What it said, if it was a link.
    pub(crate) target: Vec<u8>,
    /// How many paths below it differed.
    pub(crate) below: u64,
    /// Bytes of the regular files, its own and those below.
    pub(crate) bytes: u64,
    /// Whether something of it was not read, so that it is no version of any other root.
    pub(crate) is_unread: bool,
}

/// What one path was in each root.
#[derive(Debug)]
pub(crate) struct PathHistory {
    pub(crate) path: TreePath,
    /// In the order of the roots that it is told with.
    pub(crate) states: Vec<PathState>,
}

/// A root, by what tells it from all others.
#[derive(Debug)]
pub(crate) struct RootOfHistory {
    /// The name of the old root; `None` of live.
    pub(crate) name: Option<String>,
    /// When it was set aside.
    pub(crate) ended: Option<DateTime<Utc>>,
}

/// Goes through the roots and gives each version its number.
#[derive(Debug, Default)]
pub(crate) struct VersionCounter {
    /// By the hash of all rows.
    known: HashMap<[u8; 32], usize>,
    met: usize,
}

impl VersionCounter {
    /// What the next root had at `path`.
    pub(crate) fn next_root(&mut self, digest: &Digest, path: &TreePath) -> PathState {
        let (mut hasher, mut is_unread) = (blake3::Hasher::new(), false);
        let (mut own, mut target, mut below, mut bytes) = (None, Vec::new(), 0, 0_u64);
        let mut rows = digest.cursor();
        while let Some(row) = rows.next_row() {
            if !is_within(row.path, path.as_bytes()) {
                continue;
            }
            is_unread |= !is_read(&row);
            hash_row(&mut hasher, &row);
            if row.kind != ChangeKind::Removed {
                bytes = bytes.saturating_add(content_bytes(&row.facts));
            }
            if row.path == path.as_bytes() {
                own = Some((row.kind, row.facts));
                target = row.target.to_vec();
            } else {
                below += 1;
            }
        }
        if own.is_none() && below == 0 {
            let starts_empty = digest.header().blank == empty_tree();
            return if starts_empty { PathState::Absent } else { PathState::AsInBlank };
        }
        let known = self.known.get(hasher.finalize().as_bytes()).filter(|_| !is_unread).copied();
        let number = known.unwrap_or_else(|| {
            self.met += 1;
            self.known.insert(*hasher.finalize().as_bytes(), self.met);
            self.met
        });
        PathState::Differs(PathVersion { number, own, target, below, bytes, is_unread })
    }
}

/// What makes the version of a path by itself, without what is below it; `None` if not all of it was read.
pub(crate) fn own_version(row: &DigestRow<'_>) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hash_row(&mut hasher, row);
    is_read(row).then(|| *hasher.finalize().as_bytes())
}

/// The version of a path by itself.
pub(crate) fn version_of_row(row: &DigestRow<'_>, number: usize) -> PathVersion {
    let bytes = if row.kind == ChangeKind::Removed { 0 } else { content_bytes(&row.facts) };
    let (own, target) = (Some((row.kind, row.facts)), row.target.to_vec());
    PathVersion { number, own, target, below: 0, bytes, is_unread: !is_read(row) }
}

fn is_read(row: &DigestRow<'_>) -> bool {
    row.kind == ChangeKind::Removed || row.content.is_whole()
}

/// Adds all that makes a version; times do not.
fn hash_row(hasher: &mut blake3::Hasher, row: &DigestRow<'_>) {
    let facts = &row.facts;
    let size = if facts.file_type == FileType::File { facts.size } else { 0 };
    let mut add = |bytes: &[u8]| {
        hasher.update(bytes);
    };
    for text in [row.path, b"\0", row.kind.word().as_bytes(), facts.file_type.word().as_bytes()] {
        add(text);
    }
    for number in [u64::from(facts.mode), facts.uid.into(), facts.gid.into(), size] {
        add(&number.to_le_bytes());
    }
    add(row.target);
    add(b"\0");
    match row.content {
        Content::Whole(hash) => add(&hash),
        Content::Nothing | Content::TooLarge | Content::Unreadable => add(b"-"),
    }
}
