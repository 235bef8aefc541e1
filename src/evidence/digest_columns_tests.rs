use super::*;
use proptest::prelude::*;

fn columns_of(paths: &[(u16, &[u8])]) -> DigestColumns {
    let rows = paths.len();
    DigestColumns {
        shared: paths.iter().map(|(shared, _)| *shared).collect(),
        suffixes: ByteBuf::from(
            paths.iter().flat_map(|(_, suffix)| [*suffix, b"\0"].concat()).collect::<Vec<u8>>(),
        ),
        kinds: ByteBuf::from(vec![0; rows]),
        types: ByteBuf::from(vec![0; rows]),
        modes: vec![0; rows],
        uids: vec![0; rows],
        gids: vec![0; rows],
        sizes: vec![0; rows],
        mtimes: vec![0; rows],
        states: ByteBuf::from(vec![NOTHING; rows]),
        ..DigestColumns::default()
    }
}

fn paths_of(columns: &DigestColumns) -> Vec<String> {
    let (mut paths, mut cursor) = (Vec::new(), columns.cursor());
    while let Some(row) = cursor.next_row() {
        paths.push(String::from_utf8_lossy(row.path).into_owned());
    }
    paths
}

#[test]
fn paths_are_told_with_what_they_share() {
    let columns =
        columns_of(&[(0, b""), (0, b"etc"), (3, b"-a"), (3, b"/a"), (5, b"b"), (4, b"c")]);
    assert!(columns.fit(6));
    assert_eq!(paths_of(&columns), ["", "etc", "etc-a", "etc/a", "etc/ab", "etc/c"]);
}

#[test]
fn paths_that_do_not_ascend_or_are_none_do_not_fit() {
    let refused: [&[(u16, &[u8])]; 9] = [
        &[(0, b"b"), (0, b"a")],
        &[(0, b"a"), (1, b"")],
        &[(0, b"a"), (0, b"a")],
        &[(0, b""), (0, b"")],
        &[(0, b"a"), (2, b"b")],
        &[(1, b"a")],
        &[(0, b"/a")],
        &[(0, b"a"), (1, b"/..")],
        &[(0, b"a/"), (2, b"/b")],
    ];
    for paths in refused {
        assert!(!columns_of(paths).fit(paths.len()), "{paths:?}");
    }
}

#[test]
fn a_column_that_is_too_long_or_too_short_does_not_fit() {
    let fine = || columns_of(&[(0, b"a"), (0, b"b")]);
    assert!(fine().fit(2) && !fine().fit(1) && !fine().fit(3));
    let longer = DigestColumns { suffixes: ByteBuf::from(b"a\0b\0c\0".to_vec()), ..fine() };
    let hash = DigestColumns { hashes: ByteBuf::from(vec![0; HASH]), ..fine() };
    let no_hash = DigestColumns { states: ByteBuf::from(vec![WHOLE; 2]), ..fine() };
    let modes = DigestColumns { modes: vec![0], ..fine() };
    for columns in [longer, hash, no_hash, modes] {
        assert!(!columns.fit(2), "{columns:?}");
    }
}

proptest! {
    #[test]
    fn columns_that_somebody_else_wrote_never_panic(
        shared in prop::collection::vec(any::<u16>(), 0..4),
        suffixes in prop::collection::vec(any::<u8>(), 0..12),
        bytes in prop::collection::vec(0_u8..9, 4),
    ) {
        let rows = shared.len();
        let columns = DigestColumns {
            suffixes: ByteBuf::from(suffixes),
            kinds: ByteBuf::from(vec![bytes[0]; rows]),
            types: ByteBuf::from(vec![bytes[1]; rows]),
            modes: vec![0; rows],
            uids: vec![0; rows],
            gids: vec![0; rows],
            sizes: vec![0; rows],
            mtimes: vec![i64::MAX; rows],
            states: ByteBuf::from(vec![bytes[2]; rows]),
            hashes: ByteBuf::from(vec![0; usize::from(bytes[3]) * 8]),
            targets: ByteBuf::from(vec![0; rows]),
            shared,
        };
        if columns.fit(rows) {
            prop_assert_eq!(paths_of(&columns).len(), rows);
        }
    }
}
