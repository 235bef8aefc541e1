//! A digest: what differed from blank in one old root, each path with what it was and a hash of what it held.
//!
//! It is what is left to compare with when nobody wants to read the old root again: a tenth of a percent of its
//! size. It is a cache, made anew whenever it is not of this tree, this blank and this version.

use backends::old_root_files::Boot;
use backends::{OpenFile, TreeId};
use dirfd::Changes;
use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::FileContent;
use serde::{Deserialize, Serialize};

pub use crate::evidence::digest_columns::DigestRow;
use crate::evidence::digest_columns::{ColumnsCursor, ColumnsWriter, DigestColumns};

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
}

/// What differed from blank in one old root.
///
/// Invariant: the columns fit the header.
#[derive(Debug)]
pub struct Digest {
    header: DigestHeader,
    columns: DigestColumns,
}

impl Digest {
    /// Puts a digest together; `None` unless there is what each of the changes held, in their order.
    pub fn new(
        header: DigestHeader,
        changes: &Changes,
        held: impl IntoIterator<Item = FileContent>,
    ) -> Option<Self> {
        let (mut writer, mut held) = (ColumnsWriter::default(), held.into_iter());
        let mut cursor = changes.cursor();
        while let Some((path, kind, facts)) = cursor.next_row() {
            let FileContent { content, target } = held.next()?;
            let facts = *facts;
            writer.push(&DigestRow { path, kind, facts, content, target: &target });
        }
        let is_all = held.next().is_none() && header.paths == changes.len();
        is_all.then(|| Self { header, columns: writer.finish() })
    }

    /// The same of columns that somebody else wrote; `None` if they do not fit.
    pub(crate) fn of_columns(header: DigestHeader, columns: DigestColumns) -> Option<Self> {
        columns.fit(header.paths).then_some(Self { header, columns })
    }

    /// What it is of.
    pub fn header(&self) -> &DigestHeader {
        &self.header
    }

    pub(crate) fn columns(&self) -> &DigestColumns {
        &self.columns
    }

    /// Its paths, each with how it differed and what it was.
    pub(crate) fn changes(&self) -> Changes {
        let mut writer = ChangesWriter::new();
        let mut rows = self.cursor();
        while let Some(row) = rows.next_row() {
            writer.record_path(row.path, row.kind, row.facts);
        }
        writer.finish()
    }

    /// Its paths in the order of their bytes, one after the other.
    pub fn cursor(&self) -> DigestCursor<'_> {
        DigestCursor(self.columns.cursor())
    }
}

/// A place in a digest, which moves on from path to path.
#[derive(Debug)]
pub struct DigestCursor<'d>(ColumnsCursor<'d>);

impl DigestCursor<'_> {
    /// The next path.
    pub fn next_row(&mut self) -> Option<DigestRow<'_>> {
        self.0.next_row()
    }
}
