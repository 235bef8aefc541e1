//! What ZFS calls things: names of datasets and of snapshots, in the characters that it allows.

use std::ffi::OsStr;
use std::fmt;

use dirfd::path::Escaped;
use dirfd::{Error, Result, TreeName, atomic_file};

use crate::Layout;

/// Bytes that no name may have more of: `ZFS_MAX_DATASET_NAME_LEN` of sys/fs/zfs.h, less its NUL.
const LONGEST: usize = 255;

/// The whole name of a dataset (`rpool/local/root`) or of a snapshot (`rpool/local/root@blank`).
///
/// Invariant: only what `valid_char` of module/zcommon/zfs_namecheck.c allows, so that it is a word of
/// its own in a table with tabs, and no option of a command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZfsName(String);

impl ZfsName {
    /// Checks `name`; the error says what is wrong with it, to follow "the name `…` ".
    pub fn new(name: impl Into<String>) -> Result<Self, &'static str> {
        let name = name.into();
        if name.len() > LONGEST {
            return Err("is longer than ZFS allows");
        }
        let (dataset, snapshot) = match name.split_once('@') {
            Some((dataset, snapshot)) => (dataset, Some(snapshot)),
            None => (name.as_str(), None),
        };
        let parts = dataset.split('/').chain(snapshot);
        for part in parts {
            if part.is_empty() {
                return Err("has an empty part");
            }
            if !part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.: ".contains(c)) {
                return Err("has a character that no name in ZFS can have");
            }
            if part == "." || part == ".." {
                return Err("has a part `.` or `..`");
            }
        }
        // A pool's name starts with a letter (`pool_namecheck`).
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("does not start with a letter, as the name of a pool does");
        }
        Ok(Self(name))
    }

    /// What a layout calls `name` below the dataset `top`.
    pub fn of(top: &Self, name: &TreeName) -> Result<Self, &'static str> {
        let name = std::str::from_utf8(name.as_bytes())
            .map_err(|_| "has a character that no name in ZFS can have")?;
        Self::new(format!("{top}/{name}"))
    }

    /// The dataset itself, or the one that a snapshot is of.
    pub fn dataset(&self) -> Self {
        Self(self.0.split_once('@').map_or(self.as_str(), |(dataset, _)| dataset).to_string())
    }

    /// What a snapshot is called in its dataset; none of a dataset.
    pub fn snapshot(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, snapshot)| snapshot)
    }

    /// A snapshot of this dataset.
    pub fn at(&self, snapshot: &str) -> Result<Self, &'static str> {
        Self::new(format!("{self}@{snapshot}"))
    }

    /// The pool.
    pub fn pool(&self) -> &str {
        self.0.split(['/', '@']).next().unwrap_or(&self.0)
    }

    /// Its last part: what a dataset is called in the one that it lies in.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The dataset in which `self` lies directly.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The datasets above it, from the nearest to the pool's own.
    pub fn above(&self) -> impl Iterator<Item = Self> + '_ {
        let parent = |name: &Self| name.parent().map(|parent| Self(parent.to_string()));
        std::iter::successors(parent(self), move |name| parent(name))
    }

    /// As an argument of a command.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZfsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of a layout, as ZFS has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The dataset below which all others are.
    pub top: ZfsName,
    /// The dataset of live.
    pub live: ZfsName,
    /// The snapshot blank: of live, or of a dataset of its own.
    pub blank: ZfsName,
    /// The dataset of records, below which old roots are.
    pub old: ZfsName,
}

impl Names {
    /// Checks all names of a layout.
    pub fn of(dataset: &str, layout: &Layout) -> Result<Self> {
        let wrong = |key: &str, name: &dyn fmt::Display, why: &str| {
            Error::new(format!("use the name `{name}` of `{key}`"), format!("it {why}"))
        };
        let hint = "write the name as `zfs list` shows it";
        let top = ZfsName::new(dataset)
            .and_then(|top| if top.snapshot().is_some() { Err("is a snapshot") } else { Ok(top) })
            .map_err(|why| wrong("dataset", &Escaped(dataset.as_bytes()), why).hint(hint))?;
        let name = |key, name: &TreeName| {
            ZfsName::of(&top, name).map_err(|why| wrong(key, name, why).hint(hint))
        };
        let names = Self {
            live: name("live", &layout.live)?,
            blank: name("blank", &layout.blank)?,
            old: name("old", &layout.old)?,
            top: top.clone(),
        };
        for (key, found) in [("live", &names.live), ("old", &names.old)] {
            if found.snapshot().is_some() {
                let why = "is a snapshot, and has to be a dataset";
                return Err(wrong(key, &found.as_str(), why).hint("leave out the `@` and the rest"));
            }
        }
        if names.blank.snapshot().is_none() {
            let why = "is a dataset, and has to be a snapshot";
            return Err(wrong("blank", &layout.blank, why)
                .hint(format!("write `blank = \"{}@blank\"`", layout.live)));
        }
        Ok(names)
    }

    /// Whether blank is a snapshot of live, and not of a dataset of its own.
    pub fn blank_is_of_live(&self) -> bool {
        self.blank.dataset() == self.live
    }

    /// The dataset of the old root `name`.
    pub fn old_root(&self, name: &str) -> Result<ZfsName> {
        ZfsName::new(format!("{}/{name}", self.old)).map_err(|why| {
            let name = Escaped(name.as_bytes());
            Error::new(format!("use `{name}` as a name in {}", self.old), format!("it {why}"))
        })
    }
}

/// The name of live between two steps of a swap.
pub fn parked_name(names: &Names, record: &str) -> Result<ZfsName> {
    let name = atomic_file::temporary_name(OsStr::new(record), 0);
    names.old_root(&name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(live: &str, blank: &str, old: &str) -> Layout {
        let name = |name: &str| TreeName::new(name).unwrap();
        Layout { live: name(live), blank: name(blank), old: name(old) }
    }

    #[test]
    fn every_character_that_zfs_allows_is_taken_and_no_other() {
        for good in ["tank", "tank/a b", "t-_.: 1/x.y", "t/a@auto_2026-01-01_00:00:02", "t/-x"] {
            assert_eq!(ZfsName::new(good).map(|name| name.to_string()), Ok(good.to_string()));
        }
        let long = format!("t/{}", "x".repeat(254));
        for bad in [
            "", "t/", "/t", "t//a", "t@", "t/a@b@c", "t/a@b/c", "t/ü", "t/a\tb", "-t", "t/..",
            "t/a#b", "t/a%b", &long,
        ] {
            assert!(ZfsName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_taken_apart() {
        let name = ZfsName::new("tank/a b/root@bl ank").unwrap();
        assert_eq!((name.pool(), name.last()), ("tank", "root@bl ank"));
        assert_eq!(name.dataset().as_str(), "tank/a b/root");
        assert_eq!(name.dataset().parent(), Some("tank/a b"));
        assert_eq!((name.snapshot(), name.dataset().snapshot()), (Some("bl ank"), None));
    }

    #[test]
    fn a_layout_is_checked_and_a_wrong_name_comes_with_its_hint() {
        let names = Names::of("rpool/local", &layout("root", "root@blank", "old")).unwrap();
        assert!(names.blank_is_of_live());
        assert_eq!(names.old_root("000001-a").unwrap().as_str(), "rpool/local/old/000001-a");
        let apart = Names::of("rpool/local", &layout("root", "empty@blank", "old")).unwrap();
        assert!(!apart.blank_is_of_live());
        for (live, blank, old, hint) in [
            ("root", "root-blank", "old", "write `blank = \"root@blank\"`"),
            ("root@a", "root@blank", "old", "leave out"),
            ("root", "root@blank", "ö", "zfs list"),
        ] {
            let error = Names::of("rpool/local", &layout(live, blank, old)).unwrap_err();
            assert!(error.hint_text().is_some_and(|text| text.contains(hint)), "{error}");
        }
    }
}
