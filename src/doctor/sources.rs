//! Reads what lets people in besides passwd and shadow: nsswitch.conf(5), authorized_keys (sshd(8)),
//! and the memory of the machine (proc_meminfo(5)). Pure; the texts are foreign input.

use std::collections::BTreeSet;

use backends::path::Escaped;

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
pub fn memory(meminfo: &[u8]) -> Option<u64> {
    let line = meminfo.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"MemTotal:"))?;
    let text = std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?;
    text.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limit of a tmpfs as a mount table tells it (`3145728k`), in bytes.
pub fn limit(option: &[u8]) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!(memory(b"MemFree: 1 kB\n"), None);
        assert_eq!(memory(b"MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
        assert_eq!(limit(b"3145728k"), Some(3 << 30));
        assert_eq!((limit(b"2G"), limit(b"50%"), limit(b"")), (Some(2 << 30), None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_fail(bytes: Vec<u8>) {
            let _ = (memory(&bytes), limit(&bytes), has_keys(&bytes), of_nsswitch(&bytes));
        }
    }
}
