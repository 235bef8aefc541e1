//! The paths that a maintainer script names. Pure.

/// Where state lies that scripts make; what they name elsewhere are the programs that they call.
const STATE: [&[u8]; 7] =
    [b"etc/", b"var/", b"opt/", b"srv/", b"usr/local/", b"usr/share/", b"usr/lib/"];

/// Calls `see` with each path of a script that may be state of its package, without leading slash. Comments are
/// left out. Where a path goes on with what the shell makes of it, a variable or a pattern, it ends with the last
/// whole component before that.
pub fn named_paths(script: &[u8], mut see: impl FnMut(&[u8])) {
    for line in script.split(|&b| b == b'\n') {
        if line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let mut at = 0;
        while let Some(found) = line[at..].iter().position(|&b| b == b'/') {
            let start = at + found;
            let length = line[start..].iter().take_while(|&&byte| is_part(byte)).count();
            let end = start + length;
            at = end;
            // Behind a variable or another component it is no path from the root on.
            let begins = start == 0 || is_before_path(line[start - 1]);
            if begins && let Some(path) = whole_part(&line[start..end], line.get(end)) {
                see(path);
            }
        }
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._+-@~:%".contains(&byte) || !byte.is_ascii()
}

fn is_before_path(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"'\"`=(){<>|&;,!".contains(&byte)
}

/// The path without what the shell would complete, and without what is a sentence's or a list's.
fn whole_part<'p>(path: &'p [u8], next: Option<&u8>) -> Option<&'p [u8]> {
    let path = path.split(|&b| b == b':').next()?.strip_prefix(b"/")?;
    let path = match next {
        Some(b'$' | b'*' | b'?' | b'[' | b'{' | b'\\' | b'`') => {
            &path[..path.iter().rposition(|&b| b == b'/')?]
        }
        _ => path,
    };
    let path = path.strip_suffix(b".").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let is_clean = path.split(|&b| b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    (is_clean && STATE.iter().any(|base| path.starts_with(base))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(script: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        named_paths(script, |path| found.push(String::from_utf8_lossy(path).into_owned()));
        found
    }

    #[test]
    fn state_is_named_by_whole_paths() {
        let script = b"#!/bin/sh\n# see /etc/comment\nrm -f /var/lib/foo/state \"/etc/foo.conf\"\n\
            d=/var/cache/foo/; x=$DIR/etc/no\n[ -d /var/lib/x-$V/y ] && rm /var/log/foo/*.log\n\
            PATH=/usr/bin:/etc/z /usr/bin/x /etc/a:/etc/b See /etc/dot.\n/etc/../x /etc//y /etc\n";
        assert_eq!(
            named(script),
            [
                "var/lib/foo/state",
                "etc/foo.conf",
                "var/cache/foo",
                "var/lib",
                "var/log/foo",
                "etc/a",
                "etc/dot"
            ]
        );
    }

    proptest! {
        #[test]
        fn every_path_is_clean_and_stands_in_the_script(text in "([ -~]|/etc|/var/|\n|\\$){0,60}") {
            for path in named(text.as_bytes()) {
                prop_assert!(text.contains(&path));
                let clean = dirfd::TreePath::parse(path.as_bytes()).unwrap();
                prop_assert_eq!(clean.as_bytes(), path.as_bytes());
            }
        }
    }
}
