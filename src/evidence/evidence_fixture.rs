//! Trees that never were, for tests: changes and digests put together by hand.

use backends::TreeId;
use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::{Content, FileContent};
use dirfd::{ChangeKind, Changes, Facts, FileType};

use crate::evidence::digest::{Digest, DigestHeader};

/// A path of a boot: a directory ends with `/`, a removed file begins with `-`, and all else is a new file
/// whose content is the number.
pub(crate) type Made<'a> = (&'a str, u8);

/// Facts of a file or directory.
pub(crate) fn facts_of(file_type: FileType) -> Facts {
    let (mode, size) = if file_type == FileType::Dir { (0o755, 0) } else { (0o644, 7) };
    Facts { file_type, mode, uid: 0, gid: 0, size, mtime: 0, mtime_nanos: 0 }
}

/// The parts of one that was made: path, change, type.
fn parts<'a>((path, _): &Made<'a>) -> (&'a str, ChangeKind, FileType) {
    match (path.strip_prefix('-'), path.strip_suffix('/')) {
        (Some(removed), _) => (removed, ChangeKind::Removed, FileType::File),
        (None, Some(dir)) => (dir, ChangeKind::Added, FileType::Dir),
        (None, None) => (path, ChangeKind::Added, FileType::File),
    }
}

/// The content that stands for a number; 0 for what could not be read.
pub(crate) fn content_of(number: u8) -> Content {
    match number {
        0 => Content::Unreadable,
        number => Content::Whole([number; 16]),
    }
}

/// These as changes.
pub(crate) fn changes_of(made: &[Made<'_>]) -> Changes {
    let mut sorted: Vec<_> = made.iter().map(parts).collect();
    sorted.sort_by_key(|(path, ..)| path.as_bytes());
    let mut writer = ChangesWriter::new();
    for (path, kind, file_type) in sorted {
        writer.record_path(path.as_bytes(), kind, facts_of(file_type));
    }
    writer.finish()
}

/// The digest of a boot that made these.
pub(crate) fn digest_of(made: &[Made<'_>]) -> Option<Digest> {
    let mut sorted = made.to_vec();
    sorted.sort_by_key(|one| parts(one).0.as_bytes());
    let contents = sorted.iter().map(|one| match parts(one).2 {
        FileType::Dir => Content::Nothing,
        _ => content_of(one.1),
    });
    let header = DigestHeader {
        tree: TreeId::new("old"),
        blank: TreeId::new("blank"),
        boots: Vec::new(),
        open: Vec::new(),
        cut: None,
        paths: made.len(),
    };
    let held = contents.map(|content| FileContent { content, target: Vec::new() });
    Digest::new(header, &changes_of(made), held)
}
