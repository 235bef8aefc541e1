//! Lines of tmpfiles.d(5) that make something. Pure.

use super::systemd_words::{Specifiers, expand_path, split_words};

/// The directories of these files in a tree, the ones that win first: of two files of one name the first counts.
pub const TMPFILES_DIRECTORIES: [&str; 3] =
    ["etc/tmpfiles.d", "usr/local/lib/tmpfiles.d", "usr/lib/tmpfiles.d"];

/// The letters of the lines that make what they name; `w` and the ones that set modes, owners, attributes or
/// access lists want it there already.
const MAKING: &[u8] = b"fFdDvqQpLcbCe";

/// The paths that a file's lines make, without leading slash. Lines whose path has a pattern or a specifier that
/// is unknown are left out.
pub fn made_paths(text: &[u8], specifiers: Specifiers<'_>) -> Vec<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter_map(|line| made_path(line, specifiers)).collect()
}

fn made_path(line: &[u8], specifiers: Specifiers<'_>) -> Option<Vec<u8>> {
    // Most of a line is not needed, and its last field may have quotes that are part of it.
    let end = line.iter().position(u8::is_ascii_whitespace)?;
    let kind = *line.first().filter(|kind| MAKING.contains(kind))?;
    // What a credential would make, where one is passed: systemd's provision.conf names `/etc/hosts` so, which is
    // otherwise somebody else's.
    if line[..end].contains(&b'^') {
        return None;
    }
    let words = split_words(line.get(end..)?);
    let path = words.first().filter(|path| path.starts_with(b"/") || path.starts_with(b"%"))?;
    // `e` takes patterns.
    if kind == b'e' && path.iter().any(|byte| b"*?[".contains(byte)) {
        return None;
    }
    let expanded = expand_path(path, specifiers).filter(|found| found.is_whole)?;
    let clean = dirfd::TreePath::parse(&expanded.path).ok().filter(|path| path.depth() > 0)?;
    Some(clean.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owners::systemd_words::directory_specifier;
    use proptest::prelude::*;

    fn made(text: &str) -> Vec<String> {
        let specifiers = |letter: u8| match letter {
            b'm' => Some(b"0123".to_vec()),
            letter => directory_specifier(letter).map(<[u8]>::to_vec),
        };
        let paths = made_paths(text.as_bytes(), &specifiers);
        paths.into_iter().map(|path| String::from_utf8_lossy(&path).into_owned()).collect()
    }

    #[test]
    fn lines_that_make_something_name_it() {
        let text = "# d /comment\nd /var/lib/dbus 0755 - - -\nL+ /etc/mtab - - - - ../proc/self/mounts\n\
            f+ \"/etc/a b\" - - - - x\nf^ /etc/hosts - - - - network.hosts\nd /var/log/journal/%m\nQ %S/machines\nf! /run/x - - - - \"quoted\n\
            z /sys/x 0600\nr! /forcefsck\nh /var/log/journal - - - - +C\ne /var/cache/*/x\nd /x/%b\nd rel\nd\n";
        assert_eq!(
            made(text),
            [
                "var/lib/dbus",
                "etc/mtab",
                "etc/a b",
                "var/log/journal/0123",
                "var/lib/machines",
                "run/x"
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "([dfLe]|[ -~]|\n|/|%[a-z]|\"|\\\\){0,80}") {
            for path in made(&text) {
                prop_assert!(!path.is_empty() && !path.starts_with('/'));
            }
        }
    }
}
