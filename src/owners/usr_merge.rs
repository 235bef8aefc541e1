//! One name for each path: the directories that are links in a merged `/usr`, told from the tree's own links.
//!
//! Package lists name files by either spelling (bookworm's have `/bin/ls`, trixie's `/usr/bin/ls`), and so do
//! the targets of links. Everything is compared in the spelling that passes no link.

use std::borrow::Cow;

/// Directories that may be links: file-hierarchy(7), and what distributions merged before or after it.
const CANDIDATES: [&[u8]; 12] = [
    b"bin",
    b"sbin",
    b"lib",
    b"lib32",
    b"lib64",
    b"libx32",
    b"libo32",
    b"usr/sbin",
    b"usr/lib64",
    b"var/run",
    b"var/lock",
    b"var/spool/mail",
];

/// The directories of one tree that are links, with where they lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Aliases {
    /// Asks what each of the known links says; `None` for what is no link.
    pub fn of(mut link_target: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Self {
        let mut pairs = Vec::new();
        for name in CANDIDATES {
            let target = link_target(name).and_then(|target| lexical_target(name, &target));
            if let Some(target) = target.filter(|target| !target.is_empty() && target != name) {
                pairs.push((name.to_vec(), target));
            }
        }
        Self { pairs }
    }

    /// The path in the spelling that passes none of these links; the links themselves keep their names.
    pub fn canonical<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        let mut path = Cow::Borrowed(path);
        // One link may lead through another (`lib64` to `usr/lib64` to `usr/lib`); circles end.
        for _ in 0..4 {
            let Some((target, rest)) = self.pairs.iter().find_map(|(name, target)| {
                let rest = path.strip_prefix(name.as_slice())?;
                rest.starts_with(b"/").then_some((target, rest))
            }) else {
                break;
            };
            path = Cow::Owned([target, rest].concat());
        }
        path
    }
}

/// Where a link leads that lies at `link`, without looking at the tree; `None` if that is above the root.
/// Both are without a leading slash.
pub fn lexical_target(link: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        parts.extend(link.split(|&b| b == b'/').filter(|part| !part.is_empty()));
        parts.pop();
    }
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged() -> Aliases {
        Aliases::of(|name| match name {
            b"bin" | b"lib" => Some([b"usr/", name].concat()),
            b"lib64" => Some(b"/usr/lib64".to_vec()),
            b"usr/lib64" => Some(b"lib".to_vec()),
            b"var/run" => Some(b"../run".to_vec()),
            b"sbin" => Some(b"sbin".to_vec()),
            b"var/lock" => Some(b"../../..".to_vec()),
            _ => None,
        })
    }

    #[test]
    fn both_spellings_of_a_path_are_one() {
        let aliases = merged();
        for (path, canonical) in [
            ("bin/ls", "usr/bin/ls"),
            ("usr/bin/ls", "usr/bin/ls"),
            ("lib64/ld.so", "usr/lib/ld.so"),
            ("usr/lib64/ld.so", "usr/lib/ld.so"),
            ("var/run/x", "run/x"),
            ("bin", "bin"),
            ("binary/x", "binary/x"),
            ("sbin/x", "sbin/x"),
            ("var/lock/x", "var/lock/x"),
            ("", ""),
        ] {
            assert_eq!(&*aliases.canonical(path.as_bytes()), canonical.as_bytes(), "{path}");
        }
    }

    #[test]
    fn links_that_lead_in_a_circle_end() {
        let aliases = Aliases::of(|name| match name {
            b"bin" => Some(b"sbin".to_vec()),
            b"sbin" => Some(b"bin".to_vec()),
            _ => None,
        });
        assert!(aliases.canonical(b"bin/x").ends_with(b"/x"));
    }

    #[test]
    fn a_target_is_found_by_its_words_alone() {
        let target = |link: &str, says: &str| {
            lexical_target(link.as_bytes(), says.as_bytes()).map(|b| String::from_utf8(b).unwrap())
        };
        assert_eq!(target("etc/rc2.d/S01x", "../init.d/x").unwrap(), "etc/init.d/x");
        assert_eq!(target("etc/x", "/usr//lib/./x").unwrap(), "usr/lib/x");
        assert_eq!(target("x", "../etc"), None);
        assert_eq!(target("x", "").unwrap(), "");
    }
}
