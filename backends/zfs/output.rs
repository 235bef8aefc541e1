//! Reads what `zfs` and `zpool` print with `-Hp`: pure functions of bytes that refuse what they do not
//! understand.

use crate::zfs::dataset_name::ZfsName;

/// What `zfs list` is asked for, in this order, with `written@BLANK` behind it. None of these can hold a
/// tab or the end of a line.
pub const COLUMNS: &str = "name,type,guid,createtxg,creation,origin,readonly,keystatus,\
                           encryptionroot,available,blankroot:canmount,blankroot:reservation,\
                           blankroot:refreservation,blankroot:hidden,blankroot:fresh,\
                           blankroot:replaces";
/// How many of them are our own properties that tell what was withheld.
const WITHHELD: usize = 4;

/// A pool that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its identity.
    pub guid: u64,
    /// It was imported so that nothing in it changes.
    pub is_read_only: bool,
    /// The dataset that is booted where nothing else is asked for.
    pub bootfs: Option<String>,
    /// What stands before every mount point for as long as the pool is imported.
    pub altroot: Option<String>,
}

/// What `zpool list` is asked for, in this order; only the last may hold anything.
pub const POOL_COLUMNS: &str = "guid,readonly,bootfs,altroot";

/// What kind a row of a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A dataset with files.
    FileSystem,
    /// A dataset that is a block device.
    Volume,
    /// A snapshot.
    Snapshot,
    /// A bookmark.
    Bookmark,
}

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its whole name; that of a bookmark has a `#`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The identity, which no rename and no promotion changes.
    pub guid: u64,
    /// The transaction group that made it.
    pub createtxg: u64,
    /// When, in seconds of the Unix epoch.
    pub creation: i64,
    /// The snapshot that it is a clone of.
    pub origin: Option<String>,
    /// Nothing can be written in it.
    pub read_only: bool,
    /// It is encrypted, and its key is not there.
    pub is_locked: bool,
    /// The dataset whose key it is encrypted with.
    pub encryption_root: Option<String>,
    /// Bytes that can still be written.
    pub available: Option<u64>,
    /// Whether something was withheld from it.
    pub lacks_something: bool,
    /// Bytes that counted as written since blank when it had just been cloned.
    pub fresh: Option<u64>,
    /// The guid of the dataset that it was made to replace.
    pub replaces: Option<u64>,
    /// Bytes that were written since blank, where that is an ancestor.
    pub written: Option<u64>,
}

/// Reads one line with [`POOL_COLUMNS`].
pub fn pool(printed: &[u8]) -> Result<Pool, String> {
    let line = lines(printed)?.next().unwrap_or_default();
    let fields: Vec<&str> = line.splitn(4, '\t').collect();
    let [guid, read_only, bootfs, altroot] = fields[..] else {
        return Err("it has too few columns".into());
    };
    let guid = guid.parse().map_err(|_| "it has no guid")?;
    let set = |value: &str| Some(value).filter(|value| *value != "-").map(str::to_string);
    Ok(Pool { guid, is_read_only: read_only == "on", bootfs: set(bootfs), altroot: set(altroot) })
}

/// Reads a list with [`COLUMNS`]; the error says what is wrong with it, in one line.
pub fn rows(printed: &[u8]) -> Result<Vec<Row>, String> {
    lines(printed)?
        .map(|line| row(line).map_err(|why| format!("`{}` {why}", shown(line))))
        .collect()
}

fn row(line: &str) -> Result<Row, &'static str> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().ok_or("has too few columns");
    let name = next()?.to_string();
    let kind = match next()? {
        "filesystem" => Kind::FileSystem,
        "volume" => Kind::Volume,
        "snapshot" => Kind::Snapshot,
        "bookmark" => Kind::Bookmark,
        _ => return Err("is of a type that is not known"),
    };
    let guid = next()?.parse().map_err(|_| "has no guid")?;
    let createtxg = next()?.parse().map_err(|_| "does not tell when it was made")?;
    let creation = next()?.parse().map_err(|_| "does not tell when it was made")?;
    let origin = Some(next()?).filter(|origin| !matches!(*origin, "-" | "")).map(str::to_string);
    let read_only = next()? == "on" || kind == Kind::Snapshot;
    let is_locked = next()? == "unavailable";
    let encryption_root =
        Some(next()?).filter(|root| !matches!(*root, "-" | "")).map(str::to_string);
    let available = number(next()?)?;
    let mut lacks_something = false;
    for _ in 0..WITHHELD {
        lacks_something |= next()? != "-";
    }
    // Anybody can set these to anything.
    let fresh = next()?.parse().ok();
    let replaces = next()?.parse().ok();
    let written = number(next()?)?;
    if fields.next().is_some() {
        return Err("has too many columns");
    }
    Ok(Row {
        name,
        kind,
        guid,
        createtxg,
        creation,
        origin,
        read_only,
        is_locked,
        encryption_root,
        available,
        lacks_something,
        fresh,
        replaces,
        written,
    })
}

/// A number, or `-` for none.
fn number(field: &str) -> Result<Option<u64>, &'static str> {
    match field {
        "-" | "" => Ok(None),
        field => field.parse().map(Some).map_err(|_| "has something else for a number"),
    }
}

/// Names of properties that were set on a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Those that were set on itself, or received with it.
    pub own: Vec<String>,
    /// Limits for every user of ZFS 2.4, which are kept with the files and shown without a source, set or
    /// not: a clone has those of its origin.
    pub quotas: Vec<String>,
}

/// Reads lines with `property` and `source` of `zfs get all`.
pub fn set(printed: &[u8]) -> Result<Set, String> {
    let mut set = Set::default();
    for line in lines(printed)? {
        let (name, source) = line
            .split_once('\t')
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| format!("`{}` is no name of a property", shown(line)))?;
        let is_quota = name.starts_with("default") && name.ends_with("quota");
        match source {
            "local" | "received" => set.own.push(name.to_string()),
            "-" if is_quota => set.quotas.push(name.to_string()),
            _ => {}
        }
    }
    Ok(set)
}

/// Reads names, one a line.
pub fn names(printed: &[u8]) -> Result<Vec<String>, String> {
    lines(printed)?
        .map(|line| match is_name(line) {
            true => Ok(line.to_string()),
            false => Err(format!("`{}` is no name", shown(line))),
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":+._-@#/ ".contains(c);
    !name.is_empty() && name.chars().all(allowed)
}

/// The values of `names` from a table of names and values; `None` where a value has more than one line,
/// so that the table does not tell where it ends.
pub fn values(printed: &[u8], names: &[String]) -> Option<Vec<Vec<u8>>> {
    let text = printed.strip_suffix(b"\n").unwrap_or(printed);
    if text.is_empty() {
        return names.is_empty().then(Vec::new);
    }
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if lines.len() != names.len() {
        return None;
    }
    let value = |(line, name): (&&[u8], &String)| {
        line.strip_prefix(name.as_bytes())?.strip_prefix(b"\t").map(<[u8]>::to_vec)
    };
    lines.iter().zip(names).map(value).collect()
}

/// The numbers that a column of values has; what is none, as of a property that is not set, is left out.
pub fn numbers(printed: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let lines = printed.split(|&byte| byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok())
}

/// Whether `zfs` complained that what it was asked for does not exist, and about nothing else.
pub fn is_absence(complaint: &[u8]) -> bool {
    let mut lines =
        complaint.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            line.starts_with(b"cannot open '") && line.ends_with(b"': dataset does not exist")
        })
}

/// What a program answered, as `zfs program -j` prints it: its first value as text, if it has one.
pub fn answer(printed: &[u8]) -> Result<Option<String>, String> {
    let answer: serde_json::Value = serde_json::from_slice(printed).map_err(|e| e.to_string())?;
    match answer.get("return") {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("it answered {}", shown(&other.to_string()))),
    }
}

/// Whether a row's name is that of a snapshot of this dataset.
pub fn is_snapshot_of(row: &Row, dataset: &ZfsName) -> bool {
    row.kind == Kind::Snapshot
        && row.name.strip_prefix(dataset.as_str()).is_some_and(|rest| rest.starts_with('@'))
}

fn lines(printed: &[u8]) -> Result<impl Iterator<Item = &str>, String> {
    let text = std::str::from_utf8(printed).map_err(|_| "it is not UTF-8".to_string())?;
    Ok(text.lines().filter(|line| !line.is_empty()))
}

fn shown(line: &str) -> String {
    dirfd::path::Escaped(line.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_numbers_may_have_holes() {
        let found: Vec<u64> = numbers(b"0\n-\n268435456\nnone\n").collect();
        assert_eq!(found, [0, 268_435_456]);
    }

    #[test]
    fn a_pool_has_a_guid_or_is_refused() {
        let guid = u64::MAX;
        let printed = format!("{guid}\ton\t-\t-\n");
        let plain = Pool { guid, is_read_only: true, bootfs: None, altroot: None };
        assert_eq!(pool(printed.as_bytes()), Ok(plain));
        let (bootfs, altroot) = (Some("r/a b".to_string()), Some("/mnt a\tb".to_string()));
        let rescued = Pool { guid: 7, is_read_only: false, bootfs, altroot };
        assert_eq!(pool(b"7\toff\tr/a b\t/mnt a\tb\n"), Ok(rescued));
        for bad in [&b""[..], b"7\n", b"7\toff\t-\n", b"-\toff\t-\t-\n", b"\xff\toff\t-\t-\n"] {
            assert!(pool(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_is_read_with_every_kind_of_row() {
        let printed = b"\
            t/a b\tfilesystem\t17446744073709551615\t12\t1700000000\tt/x@bl ank\toff\t-\t-\t7\t-\t-\t-\t-\t512\t9\t0\n\
            t/v\tvolume\t2\t13\t1700000001\t\ton\tavailable\tt\t7\t-\t9\t-\t-\t-\t-\t-\n\
            t/a b@s\tsnapshot\t3\t14\t1700000002\t-\t-\tunavailable\tt/a b\t-\t-\t-\t-\t-\t-\t-\t-\n\
            t/a b#m\tbookmark\t3\t14\t1700000002\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\n";
        let rows = rows(printed).unwrap();
        let kinds: Vec<Kind> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [Kind::FileSystem, Kind::Volume, Kind::Snapshot, Kind::Bookmark]);
        assert_eq!(rows[0].guid, 17_446_744_073_709_551_615);
        assert_eq!(rows[0].origin.as_deref(), Some("t/x@bl ank"));
        assert_eq!((rows[0].read_only, rows[1].read_only, rows[2].read_only), (false, true, true));
        assert_eq!((rows[0].available, rows[0].written, rows[1].written), (Some(7), Some(0), None));
        assert_eq!((rows[0].fresh, rows[0].replaces, rows[1].fresh), (Some(512), Some(9), None));
        assert_eq!((rows[0].lacks_something, rows[1].lacks_something), (false, true));
        assert_eq!((rows[1].is_locked, rows[2].is_locked), (false, true));
        assert_eq!(
            (rows[0].encryption_root.as_deref(), rows[2].encryption_root.as_deref()),
            (None, Some("t/a b"))
        );
        let of = |name| is_snapshot_of(&rows[2], &ZfsName::new(name).unwrap());
        assert!(of("t/a b") && !of("t/a"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            &b"t\tfilesystem\t1\t2\t3\t-\toff\t-\t-\t7\t-\t-\t-\t-\t-\t-"[..],
            b"t\tfilesystem\t1\t2\t3\t-\toff\t-\t-\t7\t-\t-\t-\t-\t-\t-\t-\tmore",
            b"t\tother\t1\t2\t3\t-\toff\t-\t-\t7\t-\t-\t-\t-\t-\t-\t-",
            b"t\tfilesystem\t-\t2\t3\t-\toff\t-\t-\t7\t-\t-\t-\t-\t-\t-\t-",
            b"t\tfilesystem\t1\t2\t3\t-\toff\t-\t-\t7G\t-\t-\t-\t-\t-\t-\t-",
            b"\xff",
        ] {
            let why = rows(bad).unwrap_err();
            assert!(!why.is_empty() && why.lines().count() == 1, "{why}");
        }
    }

    #[test]
    fn what_was_set_is_told_by_its_source() {
        let printed =
            b"type\t-\na:x\tlocal\nquota\tdefault\natime\tinherited from t\nmountpoint\treceived\n\
                        defaultuserquota\t-\n";
        let own = vec!["a:x".to_string(), "mountpoint".to_string()];
        let quotas = vec!["defaultuserquota".to_string()];
        assert_eq!(set(printed), Ok(Set { own, quotas }));
        assert!(set(b"a=b\tlocal\n").is_err() && set(b"quota\n").is_err());
    }

    #[test]
    fn values_of_several_lines_are_not_guessed() {
        let names = ["a:x".to_string(), "mountpoint".to_string()];
        let one = |text: &[u8]| text.to_vec();
        let table = values(b"a:x\tone\ttwo\nmountpoint\t/mnt\n", &names);
        assert_eq!(table, Some(vec![one(b"one\ttwo"), one(b"/mnt")]));
        assert_eq!(values(b"a:x\tone\nmountpoint\tforged\nmountpoint\t/mnt\n", &names), None);
        assert_eq!(values(b"a:x\tone\n", &names), None);
        assert_eq!(values(b"", &[]), Some(Vec::new()));
    }

    #[test]
    fn only_absence_passes_for_absence() {
        assert!(is_absence(b"cannot open 't/a b': dataset does not exist\n"));
        let denied = b"cannot open 't': permission denied\n";
        assert!(!is_absence(denied) && !is_absence(b""));
        assert!(!is_absence(&[&b"cannot open 't': dataset does not exist\n"[..], denied].concat()));
    }

    #[test]
    fn an_answer_is_a_text_or_none() {
        assert_eq!(answer(b"{\"return\": \"no\"}"), Ok(Some("no".into())));
        assert_eq!(answer(b"{}"), Ok(None));
        assert!(answer(b"{\"return\": 7}").is_err() && answer(b"text").is_err());
    }
}
