//! Which old root is meant by `--from`: pure, so that every way to name one is tested.

use std::fmt;

use backends::OldRoot;
use chrono::{DateTime, Local, Utc};
use dirfd::path::Escaped;
use dirfd::{Error, Result};

use crate::ui::figures::format_local_time;

/// The youngest one.
const LAST: &str = "last";

/// What an old root is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldRootLabel {
    /// Its name, escaped: `000012-3f2a1c9e`.
    pub(crate) name: String,
    /// The boot that set it aside.
    pub(crate) boot_id: String,
    /// When that was.
    pub(crate) time: DateTime<Utc>,
}

impl OldRootLabel {
    /// That of an old root, by its record.
    pub(crate) fn of(old_root: &OldRoot) -> Self {
        let record = &old_root.record;
        let name = Escaped(record.name.as_bytes()).to_string();
        Self { name, boot_id: record.boot_id.clone(), time: record.time }
    }

    /// `set aside 2026-08-01 12:00`.
    pub(crate) fn when(&self) -> String {
        format!("set aside {}", format_local_time(self.time, &Local::now()))
    }

    fn number(&self) -> Option<u64> {
        self.name.split_once('-')?.0.parse().ok()
    }
}

impl fmt::Display for OldRootLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.when())
    }
}

/// The position of the one that is `asked` for: by `last`, its name, its number, or the beginning of its
/// name or of its boot's id. The first of these ways that leads to any counts.
pub(crate) fn find_old_root(asked: &str, labels: &[OldRootLabel]) -> Result<usize> {
    let action = || format!("find the old root `{}`", Escaped(asked.as_bytes()));
    let Some(last) = labels.len().checked_sub(1) else {
        return Err(no_old_roots(action()));
    };
    if asked == LAST {
        return Ok(last);
    }
    let number = asked.parse().ok();
    let boot = without_dashes(asked);
    let ways: [&dyn Fn(&OldRootLabel) -> bool; 3] = [
        &|label| label.name == asked,
        &|label| number.is_some() && label.number() == number,
        &|label| {
            !boot.is_empty()
                && (label.name.starts_with(asked)
                    || without_dashes(&label.boot_id).starts_with(&boot))
        },
    ];
    for way in ways {
        let found: Vec<usize> = (0..labels.len()).filter(|at| way(&labels[*at])).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                let why = format!("it may be any of these:{}", list(labels, several));
                return Err(Error::new(action(), why)
                    .hint("write more of it, or the whole name of one of them"));
            }
        }
    }
    let all: Vec<usize> = (0..labels.len()).collect();
    let why = format!("there is none of this name, number or boot id:{}", list(labels, &all));
    Err(Error::new(action(), why).hint("name one of these, or `last`"))
}

/// The error where there is nothing to choose from.
pub(crate) fn no_old_roots(action: String) -> Error {
    Error::new(action, "there are no old roots yet")
        .hint("the next boot sets live aside as one; `blankroot status` lists them")
}

fn without_dashes(id: &str) -> String {
    id.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase()
}

/// One a line, the youngest first.
fn list(labels: &[OldRootLabel], which: &[usize]) -> String {
    which.iter().rev().map(|at| format!("\n    {}", labels[*at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, boot_id: &str) -> OldRootLabel {
        let time = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        OldRootLabel { name: name.into(), boot_id: boot_id.into(), time }
    }

    fn labels() -> Vec<OldRootLabel> {
        vec![
            label("000002-3f2a1c9e", "3f2a1c9e-7a01-4b6e-9d0a-000000000000"),
            label("000012-3f2a77aa", "3f2a77aa-0000-4b6e-9d0a-000000000000"),
            label("000100-12345678", "12345678-7a01-4b6e-9d0a-000000000000"),
        ]
    }

    #[test]
    fn one_is_found_by_name_number_boot_id_and_as_the_last() {
        for (asked, at) in [
            ("000012-3f2a77aa", 1),
            ("12", 1),
            ("000012", 1),
            ("2", 0),
            ("000012-3f", 1),
            ("3f2a1", 0),
            ("3f2a1c9e-7a01-4b6e-9d0a-000000000000", 0),
            ("3F2A1C9E7A01", 0),
            // Digits that are nobody's number begin a boot id.
            ("123", 2),
            ("last", 2),
        ] {
            assert_eq!(find_old_root(asked, &labels()).unwrap(), at, "{asked}");
        }
    }

    #[test]
    fn what_several_are_called_is_an_error_that_lists_them() {
        let error = find_old_root("3f2a", &labels()).unwrap_err().to_string();
        assert!(error.starts_with("cannot find the old root `3f2a`: it may be any of these:\n"));
        assert!(error.contains("\n    000012-3f2a77aa, set aside 2026-"), "{error}");
        assert!(error.contains("\n    000002-3f2a1c9e, set aside 2026-"), "{error}");
        assert!(!error.contains("000100"), "{error}");
        let error = find_old_root("0000", &labels()).unwrap_err().to_string();
        assert!(error.contains("any of these") && !error.contains("000100"), "{error}");
    }

    #[test]
    fn what_nobody_is_called_is_an_error_that_lists_all_the_youngest_first() {
        for asked in ["7", "zz", "", "-", "a\nb"] {
            let error = find_old_root(asked, &labels()).unwrap_err().to_string();
            let places = ["000100-", "000012-", "000002-"].map(|name| error.find(name).unwrap());
            assert!(places.is_sorted(), "{error}");
            assert!(error.contains("hint: name one of these, or `last`"), "{error}");
        }
        let error = find_old_root("last", &[]).unwrap_err().to_string();
        assert!(error.contains("there are no old roots yet"), "{error}");
    }
}
