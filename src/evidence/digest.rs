//! A digest: what differed from blank in one old root, each path with what it was and a hash of what it held.
//!
//! It is what is left to compare with when nobody wants to read the old root again: a tenth of a percent of its
//! size. It is a cache, made anew whenever it is not of this tree, this blank and this version.

use backends::old_root_files::Boot;
use backends::{OpenFile, TreeId};
use dirfd::changes::ChangesCursor;
use dirfd::fingerprint::Content;
use dirfd::{ChangeKind, Changes, Facts};
use serde::{Deserialize, Serialize};

/// Maximum size in bytes of a file whose content is read for a digest. Larger ones are told by their facts.
pub const CONTENT_LIMIT: u64 = 64 << 20;

/// What a digest is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestHeader {
    /// The old root.
    pub tree: TreeId,
    /// The blank that it was compared with.
    pub blank: TreeId,
    /// The boots in which it was live, as far as they were written down; the oldest first.
    pub boots: Vec<Boot>,
    /// Files that units had open in it.
    pub open: Vec<OpenFile>,
    /// Why paths are missing, where the time or the room for all of them was not there.
    pub cut: Option<String>,
    /// How many paths it has.
    pub paths: usize,
    /// Files with more bytes were not read.
    pub content_limit: u64,
}

/// What differed from blank in one old root.
///
/// Invariant: `contents` and `targets` have one row for each change, in the same order.
#[derive(Debug)]
pub struct Digest {
    header: DigestHeader,
    changes: Changes,
    contents: Vec<Content>,
    targets: Vec<Box<[u8]>>,
}

/// One path of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestRow<'d> {
    /// As in [`TreePath::as_bytes`](dirfd::TreePath::as_bytes).
    pub path: &'d [u8],
    /// How it differed.
    pub kind: ChangeKind,
    /// What it was; what blank has, if it was removed. Without the fraction of a second of its time.
    pub facts: Facts,
    /// What it held; nothing, if it was removed.
    pub content: Content,
    /// What it said, if it was a link; else empty.
    pub target: &'d [u8],
}

impl Digest {
    /// Puts a digest together; `None` unless there are as many contents and targets as changes.
    pub fn new(
        header: DigestHeader,
        changes: Changes,
        contents: Vec<Content>,
        targets: Vec<Box<[u8]>>,
    ) -> Option<Self> {
        let rows = changes.len();
        let complete = header.paths == rows && contents.len() == rows && targets.len() == rows;
        complete.then_some(Self { header, changes, contents, targets })
    }

    /// What it is of.
    pub fn header(&self) -> &DigestHeader {
        &self.header
    }

    /// Its paths, each with how it differed and what it was.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Its paths in the order of their bytes, one after the other.
    pub fn cursor(&self) -> DigestCursor<'_> {
        DigestCursor { digest: self, changes: self.changes.cursor(), next: 0 }
    }
}

/// A place in a digest, which moves on from path to path.
#[derive(Debug)]
pub struct DigestCursor<'d> {
    digest: &'d Digest,
    changes: ChangesCursor<'d>,
    next: usize,
}

impl DigestCursor<'_> {
    /// The next path.
    pub fn next_row(&mut self) -> Option<DigestRow<'_>> {
        let (path, kind, facts) = self.changes.next_row()?;
        let (content, target) =
            (*self.digest.contents.get(self.next)?, self.digest.targets.get(self.next)?);
        self.next += 1;
        Some(DigestRow { path, kind, facts: *facts, content, target })
    }
}
