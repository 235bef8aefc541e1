//! What `zfs` prints: a row survives being printed again, a table of values is taken apart in one way or
//! not at all, and a reason is one line.
#![no_main]

use backends::zfs::dataset_name::ZfsName;
use backends::zfs::output::{Kind, Row, answer, is_absence, names, pool, rows, set, values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|printed: &[u8]| {
    match rows(printed) {
        Ok(found) => {
            let again: String = found.iter().map(print).collect();
            assert_eq!(rows(again.as_bytes()), Ok(found));
        }
        Err(why) => assert!(!why.contains(char::is_control), "{why:?}"),
    }
    if let Ok(names) = names(printed) {
        assert!(names.iter().all(|name| !name.contains(char::is_control)));
    }
    if let Ok(set) = set(printed) {
        let text = String::from_utf8_lossy(printed);
        assert!(set.own.iter().chain(&set.quotas).all(|name| text.contains(name)));
    }
    check_values(printed);
    if let Ok(pool) = pool(printed) {
        assert!(String::from_utf8_lossy(printed).contains(&pool.guid.to_string()));
    }
    if let Err(why) = answer(printed) {
        assert!(!why.is_empty());
    }
    assert!(!is_absence(printed) || printed.ends_with(b"exist") || printed.ends_with(b"\n"));
    if let Ok(name) = std::str::from_utf8(printed).map_err(|_| "").and_then(ZfsName::new) {
        assert!(!name.as_str().contains(['\t', '\n', '\'']) && !name.as_str().starts_with('-'));
        assert!(name.as_str().starts_with(name.dataset().as_str()));
    }
});

/// As many values as names, and they are what stands there.
fn check_values(printed: &[u8]) {
    let lines: Vec<&[u8]> = printed.split(|&byte| byte == b'\n').collect();
    let name = |line: &&[u8]| {
        let name = line.split(|&byte| byte == b'\t').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    let wanted: Vec<String> = lines.iter().map(name).collect();
    if let Some(found) = values(printed, &wanted) {
        let written: Vec<Vec<u8>> = wanted
            .iter()
            .zip(&found)
            .map(|(name, value)| [name.as_bytes(), b"\t", value].concat())
            .collect();
        assert_eq!(written.join(&b"\n"[..]), printed.strip_suffix(b"\n").unwrap_or(printed));
    }
}

fn print(row: &Row) -> String {
    let kind = match row.kind {
        Kind::FileSystem => "filesystem",
        Kind::Volume => "volume",
        Kind::Snapshot => "snapshot",
        Kind::Bookmark => "bookmark",
    };
    let number = |number: Option<u64>| number.map_or("-".to_string(), |number| number.to_string());
    format!(
        "{}\t{kind}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t-\t-\t-\t{}\t{}\t{}\n",
        row.name,
        row.guid,
        row.createtxg,
        row.creation,
        row.origin.as_deref().unwrap_or("-"),
        if row.read_only { "on" } else { "off" },
        if row.is_locked { "unavailable" } else { "-" },
        row.encryption_root.as_deref().unwrap_or("-"),
        number(row.available),
        if row.lacks_something { "on" } else { "-" },
        number(row.fresh),
        number(row.replaces),
        number(row.written),
    )
}
