//! Two kinds of names that must never be mixed with host paths: a tree's name in its file system,
//! and a path inside a tree. Both are bytes and print escaped.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The name of a tree, relative to the top of its file system: `root`, `@/root`.
///
/// Invariant: one or more components, none of them empty, `.` or `..`, and no NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeName(Vec<u8>);

impl TreeName {
    /// Checks `name`; the error says what is wrong with it, to follow "the name `…` ".
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, &'static str> {
        let name = name.into();
        check_components(&name)?;
        Ok(Self(name))
    }

    /// This name with one more component below it.
    pub fn child(&self, name: impl AsRef<OsStr>) -> Result<Self, &'static str> {
        Self::new([self.0.as_slice(), b"/", name.as_ref().as_bytes()].concat())
    }

    /// Another name in the same directory.
    pub fn sibling(&self, name: impl AsRef<OsStr>) -> Result<Self, &'static str> {
        let parent = &self.0[..self.0.len() - self.file_name().len()];
        Self::new([parent, name.as_ref().as_bytes()].concat())
    }

    /// The directory that holds the tree, if it is not the top itself, and the last component.
    pub fn split(&self) -> (Option<&Path>, &OsStr) {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => {
                let (parent, name) = (&self.0[..at], &self.0[at + 1..]);
                (Some(Path::new(OsStr::from_bytes(parent))), OsStr::from_bytes(name))
            }
            None => (None, OsStr::from_bytes(&self.0)),
        }
    }

    /// The last component.
    pub fn file_name(&self) -> &OsStr {
        self.split().1
    }

    /// Whether this names the same tree as `other` or a place below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.0.as_slice()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }

    /// As a path relative to the top of the file system.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Checks a relative path; the error says what is wrong with it, to follow "the name `…` ".
pub fn check_components(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains(&0) {
        return Err("contains a NUL byte");
    }
    if name.starts_with(b"/") {
        return Err("starts with `/`, but is relative to the top of the file system");
    }
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" => return Err("has an empty component (`//` or a `/` at its end)"),
            b"." | b".." => return Err("has a component `.` or `..`"),
            _ if part.len() > 255 => return Err("has a component of more than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Escaped(&self.0), f)
    }
}

impl fmt::Debug for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeName({self})")
    }
}

/// A path inside a tree: bytes without a leading slash; empty for the tree's root.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// From an absolute path as seen on the machine, or a relative one; `.` and doubled slashes
    /// are dropped. The error says what is wrong, to follow "the path `…` ".
    pub fn parse(path: &[u8]) -> Result<Self, &'static str> {
        let mut clean = Vec::with_capacity(path.len());
        for part in path.split(|&b| b == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err("has a component `..`"),
                _ if part.contains(&0) => return Err("contains a NUL byte"),
                _ => {}
            }
            if !clean.is_empty() {
                clean.push(b'/');
            }
            clean.extend_from_slice(part);
        }
        Ok(Self(clean))
    }

    /// Takes bytes that already have this type's form.
    pub fn from_clean(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The directory that this lies in; none for the tree's root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => Some(Self(self.0[..at].to_vec())),
            None if self.0.is_empty() => None,
            None => Some(Self::root()),
        }
    }

    /// Its last component; none for the tree's root.
    pub fn name(&self) -> Option<&OsStr> {
        let name = self.0.rsplit(|&b| b == b'/').next().filter(|name| !name.is_empty());
        name.map(OsStr::from_bytes)
    }

    /// How many components it has.
    pub fn depth(&self) -> usize {
        if self.0.is_empty() { 0 } else { self.0.iter().filter(|&&b| b == b'/').count() + 1 }
    }

    /// What is left of it below `dir`, if it lies there.
    pub fn below(&self, dir: &Self) -> Option<Self> {
        let rest = self.is_within(dir).then(|| &self.0[dir.0.len()..])?;
        Some(Self(rest.strip_prefix(b"/").unwrap_or(rest).to_vec()))
    }

    /// This directory's path with another one below it.
    pub fn join_path(&self, below: &Self) -> Self {
        if below.0.is_empty() { self.clone() } else { self.join(&below.0) }
    }

    /// The path of what has `name` in this directory.
    pub fn join(&self, name: &[u8]) -> Self {
        let slash: &[u8] = if self.0.is_empty() { b"" } else { b"/" };
        Self([&self.0, slash, name].concat())
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.0.is_empty()
            || self
                .0
                .strip_prefix(other.0.as_slice())
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }

    /// Relative to the tree's root; `.` for the root itself.
    pub fn as_path(&self) -> &Path {
        if self.0.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(&self.0)) }
    }

    /// The raw bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    /// As seen on the machine: with its leading slash, escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", Escaped(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

/// Bytes for people: UTF-8 as it is; control characters, backslashes and invalid bytes escaped,
/// so that a name can neither break a line nor steer a terminal. The alternate form (`{:#}`) leaves backslashes as
/// they are, for lines of text that nobody has to get back from it.
pub struct Escaped<'a>(pub &'a [u8]);

impl<'a> Escaped<'a> {
    /// A path of this host.
    pub fn of_path(path: &'a (impl AsRef<Path> + ?Sized)) -> Self {
        Self(path.as_ref().as_os_str().as_encoded_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' if !f.alternate() => f.write_str("\\\\")?,
                    c if is_unprintable(c) => write!(f, "{}", c.escape_default())?,
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A path from the root on as a shell takes it.
pub fn shell_path(path: &TreePath) -> String {
    shell_word(OsStr::from_bytes(&[b"/", path.as_bytes()].concat()))
}

/// A name as a shell takes it: bare where that is safe, else in quotes.
pub fn shell_word(name: &OsStr) -> String {
    let bytes = name.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/-_.,:@+".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_unprintable) => {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
        // `$'…'` takes every byte in octal.
        _ => {
            let octal = |&b: &u8| match b {
                b' '..=b'~' if b != b'\'' && b != b'\\' => char::from(b).to_string(),
                _ => format!("\\{b:03o}"),
            };
            format!("$'{}'", bytes.iter().map(octal).collect::<String>())
        }
    }
}

/// Whether a character is shown in another way than as it is: control characters and hidden ones.
fn is_unprintable(c: char) -> bool {
    c.is_control() || is_hidden(c)
}

/// Whether a character is not seen itself, or makes others show in another order or place than they
/// stand: what Unicode calls default-ignorable (DerivedCoreProperties.txt), and the other invisible
/// characters that steer text.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_quoted_name_as_it_is() {
        let word = |bytes: &[u8]| shell_word(OsStr::from_bytes(bytes));
        assert_eq!(word(b"/mnt/@root"), "/mnt/@root");
        assert_eq!(word("/mnt/a b'ö".as_bytes()), "'/mnt/a b'\\''ö'");
        assert_eq!(word(b"a\n\xff'\\"), "$'a\\012\\377\\047\\134'");
        assert_eq!(word(b""), "''");
    }

    #[test]
    fn a_tree_name_is_one_or_more_plain_components() {
        for good in ["root", "@/root", "a b\n", "..a"] {
            assert!(TreeName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "/root", "root/", "a//b", "..", "a/./b", "a/../b", "a\0b"] {
            assert!(TreeName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_stops_at_component_borders() {
        let name = |s: &str| TreeName::new(s).unwrap();
        assert!(name("a/b").is_within(&name("a")) && name("a").is_within(&name("a")));
        assert!(!name("ab").is_within(&name("a")) && !name("a").is_within(&name("a/b")));
        let path = |s: &str| TreePath::parse(s.as_bytes()).unwrap();
        assert!(path("/etc/x").is_within(&path("/")) && path("/etc").is_within(&path("etc/")));
        assert!(!path("/etcetera").is_within(&path("/etc")));
    }

    #[test]
    fn a_path_knows_its_parent_and_what_is_left_below_a_directory() {
        let path = |s: &str| TreePath::parse(s.as_bytes()).unwrap();
        assert_eq!(path("/a/b").parent(), Some(path("/a")));
        assert_eq!(path("/a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!((path("/a/b").name(), TreePath::root().name()), (Some(OsStr::new("b")), None));
        assert_eq!((path("/a/b").depth(), TreePath::root().depth()), (2, 0));
        assert_eq!(path("/a/b/c").below(&path("/a")), Some(path("b/c")));
        assert_eq!(path("/ab").below(&path("/a")), None);
        assert_eq!(path("/a").join_path(&path("b/c")), path("/a/b/c"));
        assert_eq!(path("/a").join_path(&TreePath::root()), path("/a"));
    }

    #[test]
    fn names_print_escaped() {
        assert_eq!(Escaped(b"a b\n\\\xff\x1b[0m").to_string(), "a b\\n\\\\\\xff\\u{1b}[0m");
        assert_eq!(Escaped("a\u{202e}b".as_bytes()).to_string(), "a\\u{202e}b");
        for hidden in [
            0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x180e, 0x200b, 0x200f, 0x2028, 0x202a, 0x2060,
            0x2066, 0x206f, 0x3164, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffb, 0xe0001, 0xe007f,
        ] {
            let name = format!("a{}b", char::from_u32(hidden).unwrap());
            assert_eq!(Escaped(name.as_bytes()).to_string(), format!("a\\u{{{hidden:x}}}b"));
            assert!(shell_word(OsStr::new(&name)).is_ascii(), "{hidden:x}");
        }
        assert_eq!(Escaped("é\u{301}日本 😀".as_bytes()).to_string(), "é\u{301}日本 😀");
        assert_eq!(TreePath::parse(b"//etc/./motd").unwrap().to_string(), "/etc/motd");
    }
}
