//! A digest of an old root: the first byte is how many paths it is to have, the rest are its columns. Whatever was
//! read comes back the same from its own bytes, and is refused when a bit of those flips.
#![no_main]

use backends::TreeId;
use blankroot::evidence::digest::{Digest, DigestHeader};
use libfuzzer_sys::fuzz_target;

fn rows_of(digest: &Digest) -> Vec<String> {
    let mut rows = Vec::new();
    let mut cursor = digest.cursor();
    while let Some(row) = cursor.next_row() {
        rows.push(format!("{row:?}"));
    }
    rows
}

fuzz_target!(|data: &[u8]| {
    let whole = Digest::decode(data);
    assert!(whole.is_err() || data.len() > 16);
    let Some((&paths, columns)) = data.split_first() else { return };
    let header = DigestHeader {
        tree: TreeId::new("tree"),
        blank: TreeId::new("blank"),
        boots: Vec::new(),
        open: Vec::new(),
        cut: None,
        paths: paths.into(),
    };
    let digest = match Digest::decode_columns(header, columns) {
        Ok(digest) => digest,
        Err(why) => return assert_eq!(why.lines().count(), 1, "{why:?}"),
    };
    let rows = rows_of(&digest);
    assert_eq!(rows.len(), usize::from(paths));
    let mut bytes = digest.encode().expect("what was read can be written");
    assert_eq!(rows_of(&Digest::decode(&bytes).expect("what was written can be read")), rows);
    let at = columns.len() % bytes.len();
    bytes[at] ^= 1 << (columns.len() % 8);
    assert!(Digest::decode(&bytes).is_err());
});
