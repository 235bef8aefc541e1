//! The text of a unit file: one setting a line, with values that systemd reads back as they were
//! meant.

use dirfd::TreePath;

/// A unit file in the making.
#[derive(Debug, Default)]
pub(crate) struct UnitText(String);

impl UnitText {
    /// Starts with a comment that tells where it comes from.
    pub(crate) fn new(origin: &Value) -> Self {
        Self(format!("# Made by blankroot-generator from {}.\n", origin.0))
    }

    /// Starts a section.
    #[must_use]
    pub(crate) fn section(mut self, name: &str) -> Self {
        self.0.push_str(&format!("\n[{name}]\n"));
        self
    }

    /// Adds a setting whose value is written here in the code.
    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.0.push_str(&format!("{key}={value}\n"));
        self
    }

    /// Adds a setting.
    #[must_use]
    pub(crate) fn value(self, key: &str, value: &Value) -> Self {
        self.set(key, &value.0)
    }

    /// Adds a condition that must not hold.
    #[must_use]
    pub(crate) fn unless(self, condition: &str, value: &Value) -> Self {
        self.set(condition, &format!("!{}", value.0))
    }

    /// The whole file.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// A value that has a form in which systemd reads it as it is.
///
/// Neither a path nor a list of mount options is unquoted or unescaped when it is read: only `%` has
/// an escape there. What ends the line, continues it or is trimmed from it cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value(String);

impl Value {
    /// From a text; the error says why it cannot be, to follow its name.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        if text.contains(char::is_control) {
            return Err("has a control character, which a unit file cannot have");
        }
        if text.ends_with(['\\', ' ']) {
            return Err("ends with a backslash or a space, which a unit file cannot have there");
        }
        Ok(Self(text.replace('%', "%%")))
    }

    /// From a path, as it is on the machine.
    pub(crate) fn path(path: &TreePath) -> Result<Self, &'static str> {
        match std::str::from_utf8(path.as_bytes()) {
            Ok(text) => Self::new(&format!("/{text}")),
            Err(_) => Err("is not UTF-8, which a unit file must be"),
        }
    }

    /// As one word in a list of words, which is where systemd does unquote.
    #[must_use]
    pub(crate) fn quoted(&self) -> Self {
        Self(format!("\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\"")))
    }

    /// With words before it.
    #[must_use]
    pub(crate) fn after(&self, words: &str) -> Self {
        Self(format!("{words} {}", self.0))
    }

    /// With words after it.
    #[must_use]
    pub(crate) fn before(&self, words: &str) -> Self {
        Self(format!("{} {words}", self.0))
    }
}

// Names of mount and device units: the path that they are about, escaped as systemd.unit(5) has it.

/// What the name of a unit, and of its file, can have at most, in bytes (`UNIT_NAME_MAX`).
const LONGEST: usize = 255;

/// The name of the unit that mounts on `path`; the error says why there can be none, to follow
/// "the path ".
pub fn of_mount(path: &TreePath) -> Result<String, &'static str> {
    unit_name(path, ".mount")
}

/// The name of the unit that systemd has for the device node or link `path`, as udev tells of it.
pub(crate) fn of_device(path: &TreePath) -> Result<String, &'static str> {
    unit_name(path, ".device")
}

fn unit_name(path: &TreePath, suffix: &str) -> Result<String, &'static str> {
    let name = escape_unit_path(path.as_bytes()) + suffix;
    if name.len() > LONGEST {
        return Err("is too long for the name of a unit");
    }
    Ok(name)
}

/// What `systemd-escape --path` makes of a path; `path` has no leading slash.
fn escape_unit_path(path: &[u8]) -> String {
    if path.is_empty() {
        return "-".to_string();
    }
    let mut name = String::with_capacity(path.len());
    for (at, &byte) in path.iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            // A file whose name starts with a dot is no unit.
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b':' | b'_' | b'.' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_that_systemd_reads_as_it_is() {
        let value = |text| Value::new(text).map(|value| value.0);
        assert_eq!(value("/a b/100%/ö\"\\x"), Ok("/a b/100%%/ö\"\\x".to_string()));
        for bad in ["/a\nWhat=/etc", "/a\r", "/a\t/b", "/a\u{85}b", "/a ", "/a\\"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_quoted_word_has_its_quotes_and_backslashes_escaped() {
        let word = Value::new("/a \"b\\c 5%").unwrap().quoted();
        assert_eq!(word.0, r#""/a \"b\\c 5%%""#);
    }

    fn name(path: &str) -> Result<String, &'static str> {
        of_mount(&TreePath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn what_a_name_cannot_hold_is_escaped() {
        for (path, expected) in [
            ("/var/log", "var-log.mount"),
            ("/etc/machine-id", "etc-machine\\x2did.mount"),
            ("/.dot/.dot", "\\x2edot-.dot.mount"),
            ("/a b\n\\@", "a\\x20b\\x0a\\x5c\\x40.mount"),
            ("/ö", "\\xc3\\xb6.mount"),
        ] {
            assert_eq!(name(path).unwrap(), expected);
        }
    }

    #[test]
    fn a_device_is_named_by_its_link() {
        // udev has written the space of the label as `\\x20` already.
        let path = TreePath::parse(b"/dev/disk/by-label/my\\x20os").unwrap();
        assert_eq!(of_device(&path).unwrap(), "dev-disk-by\\x2dlabel-my\\x5cx20os.device");
    }

    #[test]
    fn a_name_has_255_bytes_at_the_most() {
        assert_eq!(name(&"x".repeat(249)).unwrap().len(), 255);
        assert!(name(&"x".repeat(250)).is_err());
        assert!(name(&"-".repeat(100)).is_err());
    }
}
