//! `[root]`: which file system holds the root, and under which names. The one place in `src/` that
//! names backends.

use dirfd::path::Escaped;
use std::path::{Path, PathBuf};

use backends::Layout;
use dirfd::TreeName;
use toml::de::{DeTable, DeValue};

use crate::boot::stamp::ThisRoot;
use crate::config::reader::{PlacedText, Position, Problems, TableReader, quoted};

/// `live` where the configuration does not say.
pub const DEFAULT_LIVE: &str = "root";
/// `blank` where the configuration does not say; on ZFS it is `LIVE@blank`.
pub const DEFAULT_BLANK: &str = "root-blank";
/// `old` where the configuration does not say.
pub const DEFAULT_OLD: &str = "old-roots";

/// What holds the root, and where its trees are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootConfig {
    /// Subvolumes of a Btrfs file system.
    Btrfs {
        /// The block device, or a link to it.
        device: PathBuf,
        /// Relative to the top level of the file system.
        layout: Layout,
    },
    /// Datasets of a ZFS pool.
    Zfs {
        /// The dataset below which the trees are.
        dataset: String,
        /// Relative to `dataset`.
        layout: Layout,
    },
    /// A tmpfs: empty at every boot by itself.
    Tmpfs,
    /// Plain directories.
    Directory {
        /// The directory that holds the trees; absolute.
        path: PathBuf,
        /// Relative to `path`.
        layout: Layout,
    },
}

impl RootConfig {
    /// The word for it in the configuration.
    pub(crate) fn backend_word(&self) -> &'static str {
        match self {
            Self::Btrfs { .. } => "btrfs",
            Self::Zfs { .. } => "zfs",
            Self::Tmpfs => "tmpfs",
            Self::Directory { .. } => "directory",
        }
    }

    /// What has to be there before anything of it can be restored: a device, or a directory on a
    /// mounted file system.
    pub(crate) fn place(&self) -> Option<&Path> {
        match self {
            Self::Btrfs { device: place, .. } | Self::Directory { path: place, .. } => Some(place),
            // A pool is found by name.
            Self::Zfs { .. } | Self::Tmpfs => None,
        }
    }

    /// The pool that has to be imported, where there is one.
    pub(crate) fn pool(&self) -> Option<&str> {
        match self {
            Self::Zfs { dataset, .. } => dataset.split('/').next(),
            Self::Btrfs { .. } | Self::Tmpfs | Self::Directory { .. } => None,
        }
    }

    /// What a stamp says of which root it tells, as far as the configuration knows.
    pub(crate) fn this_root(&self) -> Option<ThisRoot> {
        let live = self.layout()?.live.to_string();
        let place = match self {
            Self::Zfs { dataset, .. } => Some(dataset.clone()),
            other => other.place().map(|place| Escaped::of_path(place).to_string()),
        };
        Some(ThisRoot { place, live, ..ThisRoot::default() })
    }

    /// The names of the trees, where there are any.
    pub fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Btrfs { layout, .. }
            | Self::Zfs { layout, .. }
            | Self::Directory { layout, .. } => Some(layout),
            Self::Tmpfs => None,
        }
    }

    /// The same with another blank.
    #[must_use]
    pub(crate) fn with_blank(mut self, name: TreeName) -> Self {
        match &mut self {
            Self::Btrfs { layout, .. }
            | Self::Zfs { layout, .. }
            | Self::Directory { layout, .. } => layout.blank = name,
            Self::Tmpfs => {}
        }
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BackendWord {
    Btrfs,
    Zfs,
    Tmpfs,
    Directory,
}

/// The keys of `[root]` beside `backend`, and the backends that they belong to.
const KEYS: &[(&str, &[BackendWord])] = &[
    ("device", &[BackendWord::Btrfs]),
    ("dataset", &[BackendWord::Zfs]),
    ("path", &[BackendWord::Directory]),
    ("live", &[BackendWord::Btrfs, BackendWord::Zfs, BackendWord::Directory]),
    ("blank", &[BackendWord::Btrfs, BackendWord::Zfs, BackendWord::Directory]),
    ("old", &[BackendWord::Btrfs, BackendWord::Zfs, BackendWord::Directory]),
];

/// Reads the table; `None` where a problem was added.
pub(crate) fn read_root(
    mut table: TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Option<RootConfig> {
    let words = [
        ("btrfs", BackendWord::Btrfs),
        ("zfs", BackendWord::Zfs),
        ("tmpfs", BackendWord::Tmpfs),
        ("directory", BackendWord::Directory),
    ];
    let given = table.key_place("backend", problems).is_some();
    let word = table.choice("backend", &words, problems);
    if !given {
        let hint = "add `backend = \"btrfs\"` (or \"zfs\", \"tmpfs\", \"directory\")";
        problems.add(table.place, "[root] does not say its `backend`", hint);
    }
    let [device, dataset, path] =
        ["device", "dataset", "path"].map(|key| table.string(key, problems));
    let layout = read_layout(&mut table, word, problems);
    if let Some(word) = word {
        refuse_superfluous(word, &words, &table, problems);
    }
    let root = word.and_then(|word| {
        let mut need = |text, key, example| require_key(text, key, example, &table, problems);
        match word {
            BackendWord::Btrfs => {
                let device = need(device, "device", "/dev/disk/by-label/NAME")?;
                let device = absolute_path(device, "device", problems)?;
                Some(RootConfig::Btrfs { device, layout: layout? })
            }
            BackendWord::Zfs => {
                let dataset = need(dataset, "dataset", "POOL/NAME")?;
                let dataset = check_dataset(dataset, problems)?;
                Some(RootConfig::Zfs { dataset, layout: layout? })
            }
            BackendWord::Tmpfs => Some(RootConfig::Tmpfs),
            BackendWord::Directory => {
                let path = need(path, "path", "/DIRECTORY")?;
                let path = absolute_path(path, "path", problems)?;
                Some(RootConfig::Directory { path, layout: layout? })
            }
        }
    });
    table.finish(problems);
    root
}

fn refuse_superfluous(
    word: BackendWord,
    words: &[(&str, BackendWord)],
    table: &TableReader<'_>,
    problems: &mut Problems<'_>,
) {
    let backend = words.iter().find(|&&(_, known)| known == word).map_or("", |&(text, _)| text);
    for (key, owners) in KEYS {
        if !owners.contains(&word)
            && let Some(place) = table.key_place(key, problems)
        {
            let what = format!("`{key}` in [root] does not belong to the backend `{backend}`");
            problems.add(place, what, format!("remove `{key}`, or correct `backend`"));
        }
    }
}

fn require_key<'a>(
    text: Option<PlacedText<'a>>,
    key: &str,
    example: &str,
    table: &TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Option<PlacedText<'a>> {
    // A value of the wrong type was reported already, at its own place.
    if text.is_none() && table.key_place(key, problems).is_none() {
        let what = format!("[root] does not say its `{key}`");
        problems.add(table.place, what, format!("add `{key} = \"{example}\"`"));
    }
    text
}

fn absolute_path(
    PlacedText { text, place }: PlacedText<'_>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<PathBuf> {
    let why = if !text.starts_with('/') {
        "is not an absolute path"
    } else if text.contains('\0') {
        "contains a NUL byte"
    } else {
        return Some(PathBuf::from(text));
    };
    let what = format!("the {key} {} {why}", quoted(text));
    problems.add(place, what, "write the whole path, from `/` on");
    None
}

/// What a dataset may be called: zfs(8), "Each of these components can only contain alphanumeric
/// characters in addition to the following four special characters".
fn check_dataset(
    PlacedText { text, place }: PlacedText<'_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let why = match TreeName::new(text) {
        Err(why) => why,
        Ok(_) if !text.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.: ".contains(c)) => {
            "has a character that no dataset's name can have"
        }
        Ok(_) => return Some(text.to_string()),
    };
    problems.add(
        place,
        format!("the dataset {} {why}", quoted(text)),
        "write the dataset's name as `zfs list` shows it",
    );
    None
}

fn read_layout(
    table: &mut TableReader<'_>,
    word: Option<BackendWord>,
    problems: &mut Problems<'_>,
) -> Option<Layout> {
    let mut failed = false;
    let mut places = Vec::new();
    let mut names = Vec::new();
    for (key, default) in [("live", DEFAULT_LIVE), ("blank", DEFAULT_BLANK), ("old", DEFAULT_OLD)] {
        let given = table.key_place(key, problems).is_some();
        let text = table.string(key, problems);
        failed |= given && text.is_none();
        // On ZFS blank is a snapshot of live, whatever live is called.
        let of_live = match (key, word, names.first()) {
            ("blank", Some(BackendWord::Zfs), Some((_, live))) => Some(default_zfs_blank(live)),
            _ => None,
        };
        let default = of_live.as_deref().unwrap_or(default);
        let PlacedText { text, place } =
            text.unwrap_or(PlacedText { text: default, place: table.place });
        match TreeName::new(text) {
            Ok(name) => {
                names.push((key, name));
                places.push(place);
            }
            Err(why) => {
                failed = true;
                let what = format!("the name {} of `{key}` {why}", quoted(text));
                let hint = "write a path such as \"root\" or \"os/root\", from the top of the \
                            file system";
                problems.add(place, what, hint);
            }
        }
    }
    refuse_overlaps(&names, &places, problems);
    let mut names = names.into_iter().map(|(_, name)| name);
    let layout = Layout { live: names.next()?, blank: names.next()?, old: names.next()? };
    (!failed).then_some(layout)
}

/// Blank's name on ZFS where the configuration does not say.
pub(crate) fn default_zfs_blank(live: &TreeName) -> String {
    format!("{}@blank", live.as_path().display())
}

/// Of two trees, one within the other would be lost or copied together with it.
fn refuse_overlaps(names: &[(&str, TreeName)], places: &[Position], problems: &mut Problems<'_>) {
    for (later, (key, name)) in names.iter().enumerate() {
        for (other_key, other) in &names[..later] {
            let relation = if name == other {
                format!("is the same as `{other_key}`")
            } else if name.is_within(other) {
                format!("lies within `{other_key}` (`{other}`)")
            } else if other.is_within(name) {
                format!("contains `{other_key}` (`{other}`)")
            } else {
                continue;
            };
            let what = format!("`{key}` (`{name}`) in [root] {relation}");
            let place = places.get(later).copied().unwrap_or_default();
            problems.add(place, what, "give each tree a place outside the others");
        }
    }
}

/// The number of the line, from 1, that gives the `key` of `[root]`; of `[root]` itself where the
/// key is not there. `None` where there is no such table.
pub(crate) fn line_of_root_key(text: &str, key: &str) -> Option<usize> {
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.into_inner();
    let (name, root) = table.iter().find(|(name, _)| name.get_ref() == "root")?;
    let DeValue::Table(root) = root.get_ref() else { return None };
    let span = root
        .iter()
        .find(|(name, _)| name.get_ref() == key)
        .map_or(name.span(), |(name, _)| name.span());
    Some(text.get(..span.start)?.bytes().filter(|&byte| byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_or_that_of_its_table() {
        let text = "# x\n[root]\nbackend = \"btrfs\"\n\nblank = \"a\"\n";
        assert_eq!(line_of_root_key(text, "blank"), Some(5));
        assert_eq!(line_of_root_key(text, "old"), Some(2));
        assert_eq!(line_of_root_key("[rollback]", "old"), None);
    }
}
