use super::*;
use backends::TreeId;
use backends::old_root_files::Boot;
use chrono::DateTime;
use dirfd::changes::ChangesWriter;
use dirfd::fingerprint::{Content, FileContent};
use dirfd::{ChangeKind, Facts, FileType};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// All that a row has, without its path.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    kind: ChangeKind,
    facts: Facts,
    content: Content,
    target: Vec<u8>,
}

fn header(paths: usize) -> DigestHeader {
    DigestHeader {
        tree: TreeId::new("tree"),
        blank: TreeId::new("blank"),
        boots: vec![Boot { id: "a".into(), time: DateTime::UNIX_EPOCH }],
        open: Vec::new(),
        cut: None,
        paths,
    }
}

fn digest_of(rows: &BTreeMap<Vec<u8>, Row>) -> Digest {
    let mut writer = ChangesWriter::new();
    for (path, row) in rows {
        writer.record_path(path, row.kind, row.facts);
    }
    let held =
        rows.values().map(|row| FileContent { content: row.content, target: row.target.clone() });
    Digest::new(header(rows.len()), &writer.finish(), held).unwrap()
}

fn rows_of(digest: &Digest) -> BTreeMap<Vec<u8>, Row> {
    let mut rows = BTreeMap::new();
    let mut cursor = digest.cursor();
    while let Some(row) = cursor.next_row() {
        let own = Row {
            kind: row.kind,
            facts: row.facts,
            content: row.content,
            target: row.target.to_vec(),
        };
        rows.insert(row.path.to_vec(), own);
    }
    rows
}

fn any_row() -> impl Strategy<Value = Row> {
    let kind = prop::sample::select(
        [
            ChangeKind::Added,
            ChangeKind::Removed,
            ChangeKind::Modified,
            ChangeKind::Metadata,
            ChangeKind::Replaced,
        ]
        .to_vec(),
    );
    let file_type = prop::sample::select(
        [
            FileType::File,
            FileType::Dir,
            FileType::Symlink,
            FileType::Fifo,
            FileType::Socket,
            FileType::Block,
            FileType::Char,
            FileType::Subvolume,
        ]
        .to_vec(),
    );
    let content = prop_oneof![
        Just(Content::Nothing),
        any::<[u8; 16]>().prop_map(Content::Whole),
        Just(Content::TooLarge),
        Just(Content::Unreadable),
    ];
    let numbers = (0..=0o7777_u16, any::<u32>(), any::<u32>(), any::<u64>(), any::<i64>());
    (kind, file_type, content, numbers, prop::collection::vec(1_u8.., 0..20)).prop_map(
        |(kind, file_type, content, (mode, uid, gid, size, mtime), target)| {
            let facts = Facts { file_type, mode, uid, gid, size, mtime, mtime_nanos: 0 };
            let target = if file_type == FileType::Symlink { target } else { Vec::new() };
            Row { kind, facts, content, target }
        },
    )
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::collection::vec(1_u8.., 1..6)
        .prop_filter("a name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    prop::collection::vec(name, 0..4).prop_map(|names| names.join(&b'/'))
}

fn any_rows() -> impl Strategy<Value = BTreeMap<Vec<u8>, Row>> {
    prop::collection::btree_map(any_path(), any_row(), 0..30)
}

proptest! {
    #[test]
    fn a_digest_survives_its_own_bytes(rows in any_rows()) {
        let digest = digest_of(&rows);
        let bytes = digest.encode().unwrap();
        let read = Digest::decode(&bytes).unwrap();
        prop_assert_eq!(read.header(), digest.header());
        prop_assert_eq!(&DigestHeader::decode(&bytes).unwrap(), digest.header());
        prop_assert_eq!(rows_of(&read), rows);
    }
}

fn small() -> Vec<u8> {
    let facts = Facts {
        file_type: FileType::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 3,
        mtime: 1_700_000_000,
        mtime_nanos: 0,
    };
    let row = |kind| Row { kind, facts, content: Content::Whole([7; 16]), target: Vec::new() };
    let rows = [("etc/a", ChangeKind::Added), ("etc/a\n", ChangeKind::Modified)];
    let rows = rows.map(|(path, kind)| (path.as_bytes().to_vec(), row(kind)));
    digest_of(&BTreeMap::from(rows)).encode().unwrap()
}

#[test]
fn a_digest_that_is_cut_or_flipped_anywhere_is_refused() {
    let whole = small();
    assert!(Digest::decode(&whole).is_ok());
    for len in 0..whole.len() {
        let why = Digest::decode(&whole[..len]).unwrap_err();
        assert_eq!(why.lines().count(), 1, "{why}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(Digest::decode(&flipped).is_err(), "bit {bit} of byte {at}");
            assert!(DigestHeader::decode(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let more = [whole.as_slice(), b"\0"].concat();
    assert!(Digest::decode(&more).is_err());
}

/// The same bytes with another content before the checksum.
fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &checksum(content)].concat()
}

#[test]
fn another_version_is_refused_by_its_number_whatever_follows() {
    let why = Digest::decode(&with_checksum(b"{\"digest\":3,\"b\":1}\nnew")).unwrap_err();
    assert_eq!(why, "it has version 3, and this program knows 2");
    let why = Digest::decode(&with_checksum(b"{\"digest\":2,\"digest\":\"a\\n\"}\n")).unwrap_err();
    assert_eq!(why.lines().count(), 1, "{why}");
}

#[test]
fn a_path_takes_few_bytes() {
    // As a journal of packages: names that share their beginnings, and a hash that nothing shortens.
    let rows: BTreeMap<Vec<u8>, Row> = (0..10_000_u32)
        .map(|number| {
            let path = format!("usr/share/doc/package-{}/file-{number}", number / 7);
            let facts = Facts {
                file_type: FileType::File,
                mode: 0o644,
                uid: 0,
                gid: 0,
                size: u64::from(number * 31 % 9973),
                mtime: 1_700_000_000 + i64::from(number),
                mtime_nanos: 0,
            };
            let mut hash = [0; 16];
            hash.copy_from_slice(&blake3::hash(path.as_bytes()).as_bytes()[..16]);
            let content = Content::Whole(hash);
            let row = Row { kind: ChangeKind::Added, facts, content, target: Vec::new() };
            (path.into_bytes(), row)
        })
        .collect();
    let size = digest_of(&rows).encode().unwrap().len();
    assert!(size < 30 * rows.len(), "{size} bytes for {} paths", rows.len());
}
