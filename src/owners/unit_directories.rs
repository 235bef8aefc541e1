//! What units of systemd say of directories: `StateDirectory=` and its four sisters, `DynamicUser=`,
//! `ReadWritePaths=` and `RequiresMountsFor=` (systemd.exec(5), systemd.unit(5)). Pure.

use super::owner::How;
use super::systemd_words::{directory_specifier, expand_path, split_words};

/// The directories of unit files in a tree, the ones that win first (systemd.unit(5)); `lib` is where they lie
/// before `/usr` was merged. What is made at run time is in no tree.
pub const UNIT_DIRECTORIES: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Where packages have the units of users' own managers.
pub const USER_UNIT_DIRECTORY: &str = "usr/lib/systemd/user";

/// The kinds of unit that start processes, and so have directories.
const KINDS_WITH_PROCESSES: [&[u8]; 4] = [b".service", b".socket", b".mount", b".swap"];

/// Whether a file of a directory of units is of a unit that may have directories.
pub fn has_processes(file_name: &[u8]) -> bool {
    KINDS_WITH_PROCESSES
        .iter()
        .any(|kind| file_name.ends_with(kind) && file_name.len() > kind.len())
}

/// A path that a unit names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPath {
    /// Without leading slash.
    pub path: Vec<u8>,
    /// The setting.
    pub how: How,
}

/// A key whose directories systemd makes, where, and where if the user is made with the unit.
struct DirectoryKey {
    key: &'static [u8],
    how: How,
    base: &'static [u8],
    private: Option<&'static [u8]>,
}

const DIRECTORY_KEYS: [DirectoryKey; 5] = [
    DirectoryKey {
        key: b"StateDirectory",
        how: How::StateDirectory,
        base: b"var/lib",
        private: Some(b"var/lib/private"),
    },
    DirectoryKey {
        key: b"CacheDirectory",
        how: How::CacheDirectory,
        base: b"var/cache",
        private: Some(b"var/cache/private"),
    },
    DirectoryKey {
        key: b"LogsDirectory",
        how: How::LogsDirectory,
        base: b"var/log",
        private: Some(b"var/log/private"),
    },
    DirectoryKey {
        key: b"ConfigurationDirectory",
        how: How::ConfigurationDirectory,
        base: b"etc",
        private: None,
    },
    DirectoryKey {
        key: b"RuntimeDirectory",
        how: How::RuntimeDirectory,
        base: b"run",
        private: None,
    },
];

/// The settings of one unit, from its file and its drop-ins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitSettings {
    has_dynamic_user: bool,
    /// Values of each of `DIRECTORY_KEYS`, not yet expanded.
    directories: [Vec<Vec<u8>>; 5],
    read_write: Vec<Vec<u8>>,
    mounts_for: Vec<Vec<u8>>,
}

impl UnitSettings {
    /// Adds what a file says, which is read after all that were read before. An empty value takes back the
    /// values before it.
    pub fn read(&mut self, text: &[u8]) {
        let mut section: &[u8] = b"";
        for line in joined_lines(text) {
            let line = line.trim_ascii();
            if let Some(name) = line.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
                section = match name {
                    b"Unit" => b"Unit",
                    b"Service" | b"Socket" | b"Mount" | b"Swap" => b"Exec",
                    _ => b"",
                };
                continue;
            }
            let Some(equals) = line.iter().position(|&b| b == b'=') else { continue };
            let (key, value) = (line[..equals].trim_ascii_end(), line[equals + 1..].trim_ascii());
            match section {
                b"Unit" if key == b"RequiresMountsFor" => add_words(&mut self.mounts_for, value),
                b"Exec" => self.read_exec(key, value),
                _ => {}
            }
        }
    }

    fn read_exec(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"DynamicUser" => {
                self.has_dynamic_user =
                    matches!(value, b"1" | b"yes" | b"y" | b"true" | b"t" | b"on");
            }
            // The name before systemd 231.
            b"ReadWritePaths" | b"ReadWriteDirectories" => add_words(&mut self.read_write, value),
            _ => {
                let known = DIRECTORY_KEYS.iter().zip(&mut self.directories);
                for (_, values) in known.filter(|(known, _)| known.key == key) {
                    add_words(values, value);
                }
            }
        }
    }

    /// The paths that the unit of this name has by its settings.
    pub fn paths(&self, unit: &[u8]) -> Vec<UnitPath> {
        let specifiers = |letter: u8| unit_specifier(unit, letter);
        let mut paths = Vec::new();
        for (known, values) in DIRECTORY_KEYS.iter().zip(&self.directories) {
            for value in values {
                // Behind a colon there are the names of links to it, and flags.
                let mut parts = value.split(|&b| b == b':');
                for name in parts.by_ref().take(2).filter(|name| !name.is_empty()) {
                    let Some(name) = expand_path(name, &specifiers).filter(|found| found.is_whole)
                    else {
                        continue;
                    };
                    // systemd takes names relative to the base alone, and never the base itself.
                    if name.path.starts_with(b"/") || !is_directory_name(&name.path) {
                        continue;
                    }
                    let bases = [Some(known.base), known.private.filter(|_| self.has_dynamic_user)];
                    for base in bases.into_iter().flatten() {
                        push_path(&mut paths, &[base, b"/", &name.path].concat(), known.how);
                    }
                }
            }
        }
        let others =
            [(&self.read_write, How::ReadWritePaths), (&self.mounts_for, How::RequiresMountsFor)];
        for (values, how) in others {
            for value in values {
                // A path that may be missing, and one in the unit's own root directory.
                let value = value.strip_prefix(b"-").unwrap_or(value);
                if value.starts_with(b"/") || value.starts_with(b"%") {
                    let expanded = expand_path(value, &specifiers);
                    expanded.into_iter().for_each(|found| push_path(&mut paths, &found.path, how));
                }
            }
        }
        paths
    }
}

/// Words of a list; an empty value empties it.
fn add_words(list: &mut Vec<Vec<u8>>, value: &[u8]) {
    if value.is_empty() {
        list.clear();
    }
    list.extend(split_words(value));
}

fn is_directory_name(name: &[u8]) -> bool {
    dirfd::TreePath::parse(name).is_ok_and(|path| path.depth() > 0)
}

fn push_path(paths: &mut Vec<UnitPath>, path: &[u8], how: How) {
    // systemd refuses a path with `..`.
    if let Ok(path) = dirfd::TreePath::parse(path)
        && path.depth() > 0
    {
        paths.push(UnitPath { path: path.as_bytes().to_vec(), how });
    }
}

/// What a specifier means in a unit (systemd.unit(5)), as far as its name tells it.
fn unit_specifier(unit: &[u8], letter: u8) -> Option<Vec<u8>> {
    let without_kind = unit.iter().rposition(|&b| b == b'.').map_or(unit, |dot| &unit[..dot]);
    let is_instance = without_kind.contains(&b'@');
    let prefix = without_kind.split(|&b| b == b'@').next().unwrap_or_default();
    match letter {
        b'n' if !is_instance => Some(unit.to_vec()),
        b'N' if !is_instance => Some(without_kind.to_vec()),
        b'p' => Some(prefix.to_vec()),
        // What it would be unescaped to, which is the same where nothing is escaped.
        b'P' if !prefix.contains(&b'\\') && !prefix.contains(&b'-') => Some(prefix.to_vec()),
        letter => directory_specifier(letter).map(<[u8]>::to_vec),
    }
}

/// Lines without comments; one that ends in a backslash goes on in the next, also where comments stand between
/// (systemd.syntax(7)).
fn joined_lines(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
    std::iter::from_fn(move || {
        let mut joined: Option<Vec<u8>> = None;
        for line in lines.by_ref() {
            if matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
                continue;
            }
            let whole = joined.get_or_insert_default();
            match line.strip_suffix(b"\\") {
                Some(part) => {
                    whole.extend_from_slice(part);
                    whole.push(b' ');
                }
                None => {
                    whole.extend_from_slice(line);
                    break;
                }
            }
        }
        joined
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(unit: &str, texts: &[&str]) -> Vec<(String, How)> {
        let mut settings = UnitSettings::default();
        texts.iter().for_each(|text| settings.read(text.as_bytes()));
        let paths = settings.paths(unit.as_bytes());
        let shown =
            |found: UnitPath| (String::from_utf8_lossy(&found.path).into_owned(), found.how);
        paths.into_iter().map(shown).collect()
    }

    #[test]
    fn a_unit_has_the_directories_that_it_names() {
        let text = "[Unit]\nRequiresMountsFor=/var/lib/a \"/srv/b c\"\nStateDirectory=no\n[Service]\n\
            # StateDirectory=comment\nStateDirectory = foo \\\n; between\n  foo/%p\nCacheDirectory=%N\n\
            LogsDirectory=../odd / . /odd\nReadWritePaths=-/etc/foo +/inner\n";
        let path = |path: &str, how| (path.to_string(), how);
        assert_eq!(
            paths("foo.service", &[text]),
            [
                path("var/lib/foo", How::StateDirectory),
                path("var/lib/foo/foo", How::StateDirectory),
                path("var/cache/foo", How::CacheDirectory),
                path("etc/foo", How::ReadWritePaths),
                path("var/lib/a", How::RequiresMountsFor),
                path("srv/b c", How::RequiresMountsFor),
            ]
        );
    }

    #[test]
    fn a_user_made_with_the_unit_has_its_directories_behind_private() {
        let text = "[Service]\nDynamicUser=yes\nStateDirectory=x\nConfigurationDirectory=x\n";
        let found: Vec<String> =
            paths("x.service", &[text]).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, ["var/lib/x", "var/lib/private/x", "etc/x"]);
    }

    #[test]
    fn a_drop_in_adds_and_an_empty_value_takes_back() {
        let unit = "[Service]\nStateDirectory=a\n";
        let found = |drop_in| -> Vec<String> {
            paths("x.service", &[unit, drop_in]).into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(found("[Service]\nStateDirectory=b\n"), ["var/lib/a", "var/lib/b"]);
        assert_eq!(found("[Service]\nStateDirectory=\nStateDirectory=b\n"), ["var/lib/b"]);
    }

    #[test]
    fn what_an_instance_has_is_not_said_of_the_directory_around_it() {
        let text = "[Service]\nLogsDirectory=journal/%m.%i\nStateDirectory=a:b\n\
            [Unit]\nRequiresMountsFor=/var/lib/postgresql/%I\n";
        let found: Vec<String> =
            paths("x@.service", &[text]).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, ["var/lib/a", "var/lib/b", "var/lib/postgresql"]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(
            text in "(\\[(Unit|Service|X)\\]\n|StateDirectory=|ReadWritePaths=|%[a-z]|[ -~]|\\\\\n|\n|/|:){0,60}",
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            unit in "[a-z@.%-]{1,10}",
        ) {
            let mut settings = UnitSettings::default();
            settings.read(text.as_bytes());
            settings.read(&bytes);
            for found in settings.paths(unit.as_bytes()) {
                let clean = dirfd::TreePath::parse(&found.path).unwrap();
                prop_assert!(clean.as_bytes() == found.path && !found.path.is_empty());
            }
        }
    }
}
