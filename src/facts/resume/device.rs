//! From the name of a device, as `resume=` spells it, to its place in the host's `dev`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::host::HostRoot;

/// The links that udev makes for each tag.
const TAGS: [(&[u8], &str); 5] = [
    (b"UUID=", "dev/disk/by-uuid"),
    (b"LABEL=", "dev/disk/by-label"),
    (b"PARTUUID=", "dev/disk/by-partuuid"),
    (b"PARTLABEL=", "dev/disk/by-partlabel"),
    (b"ID=", "dev/disk/by-id"),
];

/// Finds the device that `name` stands for: a path, a tag, or a number.
pub fn find(host: &HostRoot, name: &[u8]) -> io::Result<PathBuf> {
    for (tag, directory) in TAGS {
        if let Some(value) = name.strip_prefix(tag) {
            return by_tag(host, directory, value);
        }
    }
    if name.starts_with(b"/") {
        let path: Vec<u8> = name.iter().copied().skip_while(|&b| b == b'/').collect();
        return Ok(PathBuf::from(OsString::from_vec(path)));
    }
    if name.contains(&b':') {
        return by_number(host, name);
    }
    Err(io::Error::other("it is no form of device name that is known here"))
}

/// Finds the device with a number, `8:2`.
pub fn by_number(host: &HostRoot, number: &[u8]) -> io::Result<PathBuf> {
    if number.iter().any(|b| !matches!(b, b'0'..=b'9' | b':')) {
        return Err(io::Error::other("it is no device number"));
    }
    let uevent = Path::new("sys/dev/block").join(String::from_utf8_lossy(number).as_ref());
    let uevent = host.read(uevent.join("uevent"))?;
    let name = uevent.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"DEVNAME="));
    let name = name.ok_or_else(|| io::Error::other("the kernel tells no name of this device"))?;
    Ok(in_dev(name.to_vec()))
}

/// The device of an entry in `/sys/class/block`, where `!` stands for `/`.
pub fn path_of(entry: &[u8]) -> PathBuf {
    in_dev(entry.iter().map(|&b| if b == b'!' { b'/' } else { b }).collect())
}

/// Not by joining paths: a name with a slash at its start would lead out of `dev`.
fn in_dev(name: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec([b"dev/".to_vec(), name].concat()))
}

/// UUIDs are compared by name, and some write them in capitals.
fn by_tag(host: &HostRoot, directory: &str, value: &[u8]) -> io::Result<PathBuf> {
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    let path = Path::new(directory).join(encode(value));
    let small = Path::new(directory).join(encode(&value.to_ascii_lowercase()));
    let is_uuid = directory.ends_with("uuid");
    Ok(if is_uuid && !host.has(&path)? && host.has(&small)? { small } else { path })
}

/// A tag's value as udev spells it in a link's name: all that is neither UTF-8 nor one of a few
/// ASCII characters becomes `\xNN` (`encode_devnode_name` in systemd).
pub fn encode(value: &[u8]) -> String {
    let mut name = String::new();
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            if !c.is_ascii() || c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) {
                name.push(c);
            } else {
                name.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
        }
        for byte in chunk.invalid() {
            name.push_str(&format!("\\x{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_spelled_as_udev_does() {
        assert_eq!(encode(b"swap-1_a"), "swap-1_a");
        assert_eq!(encode("a b/ü\\".as_bytes()), "a\\x20b\\x2fü\\x5c");
        assert_eq!(encode(b"\xff"), "\\xff");
    }

    #[test]
    fn a_slash_in_a_kernel_name_is_an_exclamation_mark() {
        assert_eq!(path_of(b"cciss!c0d0p1"), Path::new("dev/cciss/c0d0p1"));
        assert_eq!(path_of(b"!sda"), Path::new("dev/sda"));
    }
}
