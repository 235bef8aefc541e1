//! The formats of dpkg's database below `var/lib/dpkg`: lists of files, diversions and the status of packages;
//! and that of ucf, which installs configuration for Debian's packages. Pure.

use std::collections::HashMap;

/// Where the database lies in a tree.
pub const DIRECTORY: &str = "var/lib/dpkg";
/// The kinds of file in `info` that are scripts: deb-preinst(5), deb-postinst(5), deb-prerm(5), deb-postrm(5).
pub const SCRIPTS: [&[u8]; 4] = [b"preinst", b"postinst", b"prerm", b"postrm"];

/// Package and kind of a file of `info`: `libc6:amd64.list` is the `list` of `libc6`. The architecture stands
/// there where a package may be installed for several.
pub fn package_of_record(file_name: &[u8]) -> Option<(&[u8], &[u8])> {
    // Names of packages have dots (`docker.io.list`), kinds have none.
    let dot = file_name.iter().rposition(|&b| b == b'.')?;
    let (whole, kind) = (&file_name[..dot], &file_name[dot + 1..]);
    let name = whole.split(|&b| b == b':').next()?;
    (!name.is_empty() && !kind.is_empty()).then_some((name, kind))
}

/// The paths of a list, without leading slash; the root, which every list has as `/.`, is left out.
pub fn listed_paths(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let paths = list.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"/"));
    paths.filter(|path: &&[u8]| !matches!(*path, b"" | b"."))
}

/// Files that dpkg installs under another name for all packages but one (dpkg-divert(1)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diversions {
    by_path: HashMap<Vec<u8>, Diversion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Diversion {
    to: Vec<u8>,
    /// The package whose own file keeps the name; `None` where an administrator diverted it for all.
    except: Option<Vec<u8>>,
}

impl Diversions {
    /// Reads `diversions`: records of three lines, which are the path, its new name, and the package, or `:`.
    pub fn parse(text: &[u8]) -> Self {
        let mut lines = text.split(|&b| b == b'\n');
        let mut by_path = HashMap::new();
        while let (Some(path), Some(to), Some(package)) = (lines.next(), lines.next(), lines.next())
        {
            let (Some(path), Some(to)) = (path.strip_prefix(b"/"), to.strip_prefix(b"/")) else {
                continue;
            };
            let except = (package != b":").then(|| package.to_vec());
            by_path.insert(path.to_vec(), Diversion { to: to.to_vec(), except });
        }
        Self { by_path }
    }

    /// Where a path of a package's list really lies. As for dpkg itself, the spelling of the list counts.
    pub fn real_path<'a>(&'a self, path: &'a [u8], package: &[u8]) -> &'a [u8] {
        if self.by_path.is_empty() {
            return path;
        }
        match self.by_path.get(path) {
            Some(diversion) if diversion.except.as_deref() != Some(package) => &diversion.to,
            _ => path,
        }
    }
}

/// A package that is installed, by `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstalledPackage<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its version.
    pub version: &'a [u8],
}

/// The installed packages of `status`: paragraphs of fields (deb822(5)). A package that was removed but whose
/// configuration is there still has a paragraph, and a list, too; it is left out.
pub fn installed_packages(status: &[u8]) -> impl Iterator<Item = InstalledPackage<'_>> {
    let mut lines = status.split(|&b| b == b'\n');
    std::iter::from_fn(move || {
        loop {
            let mut found = InstalledPackage { name: b"", version: b"" };
            let (mut is_installed, mut has_fields) = (false, false);
            for line in lines.by_ref() {
                if line.is_empty() {
                    break;
                }
                has_fields = true;
                if let Some(name) = line.strip_prefix(b"Package:") {
                    found.name = name.trim_ascii();
                } else if let Some(version) = line.strip_prefix(b"Version:") {
                    found.version = version.trim_ascii();
                } else if let Some(words) = line.strip_prefix(b"Status:") {
                    // What is wanted, whether it is broken, and the state.
                    let state = words.trim_ascii().rsplit(|&b| b == b' ').next();
                    is_installed = !matches!(state, Some(b"not-installed" | b"config-files"));
                }
            }
            if is_installed && !found.name.is_empty() {
                return Some(found);
            }
            if !has_fields {
                // An empty line more between paragraphs, or the end.
                lines.clone().next()?;
            }
        }
    })
}

/// Package and path of each line of ucf's `registry`, the path without leading slash.
pub fn ucf_files(registry: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    registry.split(|&b| b == b'\n').filter_map(|line| {
        let end = line.iter().position(u8::is_ascii_whitespace)?;
        let path = line[end..].trim_ascii().strip_prefix(b"/")?;
        (end > 0 && !path.is_empty()).then_some((&line[..end], path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_names_its_package_without_architecture() {
        let record = |name: &'static str| package_of_record(name.as_bytes());
        assert_eq!(record("libc6:amd64.list"), Some((&b"libc6"[..], &b"list"[..])));
        assert_eq!(record("docker.io.postinst"), Some((&b"docker.io"[..], &b"postinst"[..])));
        assert_eq!((record("format"), record(".list"), record("x.")), (None, None, None));
    }

    #[test]
    fn a_list_has_its_paths_and_not_the_root() {
        let list = b"/.\n/usr\n/usr/a b\nodd\n\n/\n/etc/x";
        let paths: Vec<_> = listed_paths(list).collect();
        assert_eq!(paths, [&b"usr"[..], b"usr/a b", b"etc/x"]);
    }

    #[test]
    fn a_diverted_file_has_another_name_for_all_packages_but_one() {
        let diversions = Diversions::parse(
            b"/usr/bin/pg_config\n/usr/bin/pg_config.libpq-dev\npostgresql-common\n\
              /usr/bin/x\n/usr/bin/x.distrib\n:\n/usr/bin/cut",
        );
        let real = |path: &'static str, package: &str| {
            String::from_utf8_lossy(diversions.real_path(path.as_bytes(), package.as_bytes()))
                .into_owned()
        };
        assert_eq!(real("usr/bin/pg_config", "libpq-dev"), "usr/bin/pg_config.libpq-dev");
        assert_eq!(real("usr/bin/pg_config", "postgresql-common"), "usr/bin/pg_config");
        assert_eq!(real("usr/bin/x", "any"), "usr/bin/x.distrib");
        assert_eq!(real("usr/bin/cut", "any"), "usr/bin/cut");
    }

    #[test]
    fn what_left_only_its_configuration_is_not_installed() {
        let status = b"Package: a\nStatus: install ok installed\nVersion: 1:2-3\n\n\n\
            Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: c\nDescription: x\n Status: deinstall ok config-files\n\
            Status: install ok triggers-pending\nVersion: 4\n";
        let found: Vec<_> = installed_packages(status).map(|p| (p.name, p.version)).collect();
        assert_eq!(found, [(&b"a"[..], &b"1:2-3"[..]), (b"c", b"4")]);
    }

    #[test]
    fn ucf_names_package_and_path() {
        let found: Vec<_> = ucf_files(b"grub-pc \t /etc/default/grub\nodd\n x /y\nz \n").collect();
        assert_eq!(found, [(&b"grub-pc"[..], &b"etc/default/grub"[..])]);
    }

    proptest! {
        #[test]
        fn nothing_is_told_that_is_not_in_the_text(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(listed_paths(&text).map(<[u8]>::len).sum::<usize>() <= text.len());
            prop_assert!(installed_packages(&text).count() <= text.len());
            prop_assert!(ucf_files(&text).count() <= text.len());
            let diversions = Diversions::parse(&text);
            prop_assert!(diversions.real_path(&text, b"x").len() <= text.len());
        }
    }
}
