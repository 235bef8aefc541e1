//! What several fuzz targets check or need: problems of a configuration, keep lists, changes.

use blankroot::config::reader::{ConfigError, Position};
use blankroot::persist::list::KeepEntry;
use dirfd::changes::ChangesWriter;
use dirfd::{ChangeKind, Changes, Facts, FileType, TreePath};

/// The name of the file in messages; no name may break a line.
pub const FILE: &str = "/etc/blank\nroot.toml";

/// An error has problems, each in the text, each on two lines.
pub fn check_problems(error: &ConfigError, text: &[u8]) {
    let problems = error.problems();
    assert!(!problems.is_empty() && problems.is_sorted());
    let shown = error.to_string();
    assert!(shown.starts_with("cannot use /etc/blank\\nroot.toml: "), "{shown:?}");
    assert_eq!(shown.lines().count(), 1 + 2 * problems.len(), "{shown:?}");
    for problem in problems {
        assert!(is_in(problem.place, text), "{problem:?}");
        for line in [&problem.what, &problem.hint] {
            assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
        }
    }
}

/// Whether a text has this place.
pub fn is_in(place: Position, text: &[u8]) -> bool {
    let mut lines = text.split(|&b| b == b'\n');
    let Some(at) = place.line.checked_sub(1) else { return false };
    let Some(line) = lines.nth(at as usize) else { return false };
    (1..=line.len() as u32 + 1).contains(&place.column)
}

/// Each path and each piece of data is there once, and neither lies where it cannot be.
pub fn check_keep_list(list: &[KeepEntry]) {
    assert!(list.is_sorted_by(|a, b| a.path < b.path), "a path is kept twice");
    let mut sources: Vec<TreePath> = list.iter().map(KeepEntry::source).collect();
    sources.sort();
    assert!(sources.is_sorted_by(|a, b| a < b), "two paths have the same data");
    for entry in list {
        assert_ne!(entry.path, TreePath::root());
        assert_ne!(entry.data, TreePath::root());
        assert!(entry.source().is_within(&entry.storage) && entry.source() != entry.storage);
        assert!(!entry.path.is_within(&entry.storage) && !entry.storage.is_within(&entry.path));
        assert_eq!(TreePath::parse(entry.path.as_bytes()).as_ref(), Ok(&entry.path));
    }
}

/// The path and all directories that lead to it, as added; `see` is told of each, shortest first.
pub fn added(path: &[u8], mut see: impl FnMut(&[u8])) -> Changes {
    let facts = Facts {
        file_type: FileType::Dir,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 0,
        mtime_nanos: 0,
    };
    let mut writer = ChangesWriter::new();
    let mut end = 0;
    for name in path.split(|&b| b == b'/') {
        end += name.len();
        see(&path[..end]);
        writer.record(name, ChangeKind::Added, facts);
        writer.descend(name);
        end += 1;
    }
    writer.finish()
}
