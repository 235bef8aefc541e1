//! The formats of pacman's database, `var/lib/pacman/local/NAME-VERSION-RELEASE/{desc,files,install}`. Pure.

/// Where the database lies in a tree.
pub const DIRECTORY: &str = "var/lib/pacman/local";

/// Name and version of a package by the name of its directory: `gtk4-1:4.14.2-1` is `gtk4` in `1:4.14.2-1`.
/// Names may have dashes, versions and releases have none.
pub fn package_of_directory(directory: &[u8]) -> Option<(&[u8], &[u8])> {
    let release = directory.iter().rposition(|&b| b == b'-')?;
    let version = directory[..release].iter().rposition(|&b| b == b'-')?;
    let (name, version) = (&directory[..version], &directory[version + 1..]);
    (!name.is_empty() && release + 1 < directory.len()).then_some((name, version))
}

/// The paths of a `files`: those of `%FILES%`, where a directory ends in a slash, which is cut, and those of
/// `%BACKUP%`, each with a tab and a checksum behind it.
pub fn listed_paths(files: &[u8]) -> impl Iterator<Item = &[u8]> {
    enum Section {
        Files,
        Backup,
        Other,
    }
    let mut section = Section::Other;
    files.split(|&b| b == b'\n').filter_map(move |line| {
        match line {
            b"%FILES%" => section = Section::Files,
            b"%BACKUP%" => section = Section::Backup,
            // A section ends at an empty line; a path may well begin with `%`.
            b"" => section = Section::Other,
            _ => {
                let path = match section {
                    Section::Files => line.strip_suffix(b"/").unwrap_or(line),
                    Section::Backup => line.split(|&b| b == b'\t').next()?,
                    Section::Other => return None,
                };
                return (!path.is_empty()).then_some(path);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_directory_names_package_and_version() {
        let name = |name: &'static str| package_of_directory(name.as_bytes());
        assert_eq!(name("gtk4-1:4.14.2-1"), Some((&b"gtk4"[..], &b"1:4.14.2-1"[..])));
        assert_eq!(name("xdg-utils-1.2.1-1"), Some((&b"xdg-utils"[..], &b"1.2.1-1"[..])));
        for odd in ["ALPM_DB_VERSION", "a-1", "-1-1", "a-1-", ""] {
            assert_eq!(name(odd), None, "{odd}");
        }
    }

    #[test]
    fn files_and_backups_are_listed() {
        let files = b"%FILES%\netc/\netc/x.conf\nusr/%FILES\n\n%BACKUP%\netc/x.conf\td41d8cd98f\n\n%OTHER%\nno\n";
        let paths: Vec<_> = listed_paths(files).collect();
        assert_eq!(paths, [&b"etc"[..], b"etc/x.conf", b"usr/%FILES", b"etc/x.conf"]);
    }

    proptest! {
        #[test]
        fn nothing_is_told_that_is_not_in_the_text(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = [b"%FILES%\n", text.as_slice()].concat();
            prop_assert!(listed_paths(&text).map(<[u8]>::len).sum::<usize>() <= text.len());
            if let Some((name, version)) = package_of_directory(&text) {
                prop_assert!(name.len() + version.len() < text.len() && !version.is_empty());
            }
        }
    }
}
