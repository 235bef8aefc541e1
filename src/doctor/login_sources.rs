//! Reads what lets people in besides passwd and shadow: nsswitch.conf(5), authorized_keys (sshd(8));
//! the memory of the machine (proc_meminfo(5)), and what fstab(5) mounts from it. Pure; the texts are
//! foreign input.

use std::collections::BTreeSet;

use dirfd::TreePath;
use dirfd::mountinfo::{is_in_memory, unescape};
use dirfd::path::Escaped;

/// The sources of accounts beside files, in words.
pub fn of_nsswitch(text: &[u8]) -> BTreeSet<String> {
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let passwd = lines.filter_map(|line| line.strip_prefix(b"passwd:".as_slice()));
    let words = passwd.flat_map(|line| {
        let line = line.split(|&b| b == b'#').next().unwrap_or_default();
        line.split(u8::is_ascii_whitespace)
    });
    let mut action = false;
    let mut sources = BTreeSet::new();
    for word in words.filter(|word| !word.is_empty()) {
        // `[NOTFOUND=return]` says what to do, and may have spaces.
        if word.starts_with(b"[") || action {
            action = !word.ends_with(b"]");
            continue;
        }
        // nss-systemd gives names to services, and to homed's users, which have files of their own.
        if !matches!(word, b"files" | b"compat" | b"systemd" | b"myhostname") {
            sources.insert(Escaped(word).to_string());
        }
    }
    sources
}

/// Whether a file of keys has one.
pub fn has_keys(text: &[u8]) -> bool {
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    lines.any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// Bytes of memory.
pub fn parse_total_memory(meminfo: &[u8]) -> Option<u64> {
    let line = meminfo.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"MemTotal:"))?;
    let text = std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?;
    text.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A file system in memory that fstab(5) mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabMemory {
    /// Where.
    pub path: TreePath,
    /// Its limit in bytes, if one is set; 0 for a share of a memory that is not known.
    pub(crate) limit: Option<u64>,
    /// The mode of its root directory.
    pub(crate) mode: u16,
}

/// The file systems in memory that an fstab mounts; `ram` is the memory of which sizes may be shares.
pub fn fstab_memory(text: &[u8], ram: Option<u64>) -> Vec<FstabMemory> {
    let entry = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        fields.next().filter(|device| !device.starts_with(b"#"))?;
        let path = TreePath::parse(&unescape(fields.next()?)).ok()?;
        fields.next().filter(|fs_type| is_in_memory(fs_type))?;
        let options = unescape(fields.next().unwrap_or_default()).into_owned();
        let value = |name: &[u8]| {
            let options = options.split(|&b| b == b',');
            // Of an option that is given twice the last counts.
            options.filter_map(|option| option.strip_prefix(name)).next_back()
        };
        let mode = value(b"mode=").and_then(|mode| std::str::from_utf8(mode).ok());
        Some(FstabMemory {
            path,
            limit: value(b"size=")
                .and_then(|size| parse_percentage(size, ram).or_else(|| parse_tmpfs_size(size))),
            // tmpfs(5)
            mode: mode.and_then(|mode| u16::from_str_radix(mode, 8).ok()).unwrap_or(0o1777),
        })
    };
    text.split(|&b| b == b'\n').filter_map(entry).collect()
}

/// A size such as `25%`.
fn parse_percentage(size: &[u8], ram: Option<u64>) -> Option<u64> {
    let percent = std::str::from_utf8(size.strip_suffix(b"%")?).ok()?.parse::<u64>().ok()?;
    Some(ram.unwrap_or(0).saturating_mul(percent) / 100)
}

/// The limit of a tmpfs as a mount table tells it (`3145728k`), in bytes.
pub fn parse_tmpfs_size(option: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(option).ok()?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

// Tells a private key by its first bytes. Pure; the bytes are foreign input.

/// How many bytes of a file are enough.
pub const HEAD: usize = 1024;

/// Whether a file that begins with `head` holds a private key.
pub fn is_private_key(head: &[u8]) -> bool {
    let head = head.get(..HEAD).unwrap_or(head);
    head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_start).any(|line| {
        let pem = line.strip_prefix(b"-----BEGIN ".as_slice());
        pem.is_some_and(|rest| rest.windows(11).any(|word| word == b"PRIVATE KEY"))
            || line.starts_with(b"AGE-SECRET-KEY-1")
            || line.starts_with(b"PuTTY-User-Key-File-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_sources_of_accounts_are_found() {
        let text =
            b"# passwd: nis\npasswd: files [SUCCESS=merge x=y] systemd sss # ldap\ngroup: nis";
        assert_eq!(of_nsswitch(text), BTreeSet::from(["sss".to_string()]));
        assert_eq!(of_nsswitch(b"passwd: files [ NOTFOUND=return ]"), BTreeSet::new());
        assert_eq!(of_nsswitch(b""), BTreeSet::new());
    }

    #[test]
    fn comments_are_no_keys() {
        assert!(!has_keys(b"# ssh-ed25519 AAAA\n\n  \n"));
        assert!(has_keys(b"# mine\nssh-ed25519 AAAA alice\n"));
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_total_memory(b"MemFree: 1 kB\n"), None);
        assert_eq!(parse_total_memory(b"MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_tmpfs_size(b"3145728k"), Some(3 << 30));
        assert_eq!(
            (parse_tmpfs_size(b"2G"), parse_tmpfs_size(b"50%"), parse_tmpfs_size(b"")),
            (Some(2 << 30), None, None)
        );
    }

    #[test]
    fn memory_in_an_fstab_is_found_with_its_options() {
        let text = b"# tmpfs /x tmpfs\n/dev/sda / ext4 size=1k 0 0\nnone /a\\040b tmpfs\n\
            tmpfs\t/home/ tmpfs size=1g,mode=700,size=25%,mode=0755 0 0\nx /r ramfs rw,size=2m\n";
        let found = fstab_memory(text, Some(400));
        let found: Vec<_> = found.iter().map(|m| (m.path.to_string(), m.limit, m.mode)).collect();
        let expected = [
            ("/a b".to_string(), None, 0o1777),
            ("/home".to_string(), Some(100), 0o755),
            ("/r".to_string(), Some(2 << 20), 0o1777),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_fail(bytes: Vec<u8>) {
            let _ = fstab_memory(&bytes, Some(u64::MAX));
            let _ = (parse_total_memory(&bytes), parse_tmpfs_size(&bytes), has_keys(&bytes), of_nsswitch(&bytes));
        }
    }

    #[test]
    fn private_keys_are_told_from_public_ones() {
        for (head, expected) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", true),
            ("Bag Attributes\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true),
            ("# created: 2026\n# public key: age1x\nAGE-SECRET-KEY-1XYZ\n", true),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("-----BEGIN CERTIFICATE-----\n", false),
            ("ssh-ed25519 AAAA a PRIVATE KEY\n", false),
            ("", false),
        ] {
            assert_eq!(is_private_key(head.as_bytes()), expected, "{head}");
        }
    }
}
