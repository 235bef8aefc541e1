//! Names of mount and device units: the path that they are about, escaped as systemd.unit(5) has it.

use backends::TreePath;

/// What the name of a unit, and of its file, can have at most, in bytes (`UNIT_NAME_MAX`).
const LONGEST: usize = 255;

/// The name of the unit that mounts on `path`; the error says why there can be none, to follow
/// "the path ".
pub fn of_mount(path: &TreePath) -> Result<String, &'static str> {
    of(path, ".mount")
}

/// The name of the unit that systemd has for the device node or link `path`, as udev tells of it.
pub fn of_device(path: &TreePath) -> Result<String, &'static str> {
    of(path, ".device")
}

fn of(path: &TreePath, suffix: &str) -> Result<String, &'static str> {
    let name = escape(path.as_bytes()) + suffix;
    if name.len() > LONGEST {
        return Err("is too long for the name of a unit");
    }
    Ok(name)
}

/// What `systemd-escape --path` makes of a path; `path` has no leading slash.
fn escape(path: &[u8]) -> String {
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
