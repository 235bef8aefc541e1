//! Finds the kernels that a boot loader may start: those in `/boot`, those of entries of the Boot Loader
//! Specification (UAPI.1), and unified kernel images.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use backends::path::Escaped;

use super::image::{first_word, release};
use crate::host::{HostRoot, is_not_found};

/// Where a boot loader's files are: in the root, or what is mounted there.
pub const PLACES: [&str; 3] = ["boot", "efi", "boot/efi"];
/// How kernels are called that have no entry.
const NAMES: [&str; 4] = ["vmlinuz", "vmlinux", "kernel-", "bzImage"];
/// As many names of one directory are looked at.
const LIMIT: usize = 200;

/// A kernel that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// As `uname -r` tells it.
    pub release: String,
    /// Its file, for people.
    pub file: String,
}

/// Those in the `places` that are there, one for each release.
pub fn find(root: &HostRoot, places: &[&str]) -> io::Result<Vec<Installed>> {
    let mut found = Vec::new();
    for place in places.iter().map(Path::new) {
        // Fedora's kernel for an emergency has all modules that it needs in its initrd.
        let is_kernel = |name: &str| {
            NAMES.iter().any(|start| name.starts_with(start)) && !name.contains("rescue")
        };
        for (file, name) in files(root, place, is_kernel)? {
            let version = name.split_once('-').map(|(_, version)| version.to_string());
            found.extend(one(root, &file, version.as_deref())?);
        }
        for (file, _) in files(root, &place.join("EFI/Linux"), |name| name.ends_with(".efi"))? {
            found.extend(one(root, &file, None)?);
        }
        for (file, _) in files(root, &place.join("loader/entries"), |name| name.ends_with(".conf"))?
        {
            let Entry { kernel, version } = entry(&root.read(&file)?);
            if let Some(kernel) = kernel.filter(|kernel| !kernel.contains("rescue")) {
                // The path is that of the partition.
                let kernel = place.join(kernel.trim_start_matches('/'));
                found.extend(one(root, &kernel, version.as_deref())?);
            }
        }
    }
    found.sort();
    found.dedup_by(|one, other| one.release == other.release);
    Ok(found)
}

fn files(
    root: &HostRoot,
    dir: &Path,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<(PathBuf, String)>> {
    let names = match root.names(dir) {
        Ok(names) => names,
        Err(error) if is_not_found(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let wanted = names.filter(|name| wanted(name)).take(LIMIT);
    Ok(wanted.map(|name| (dir.join(&name), name)).collect())
}

/// A kernel whose file is there. `version` is what its name says, where the file itself does not.
fn one(root: &HostRoot, file: &Path, version: Option<&str>) -> io::Result<Option<Installed>> {
    let told = match release(|offset, length| root.read_at(file, offset, length)) {
        Ok(told) => told,
        Err(error) if is_not_found(&error) => return Ok(None),
        // A directory is no kernel.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let release = told.or_else(|| first_word(version?.as_bytes()));
    let shown = format!("/{}", Escaped(file.as_os_str().as_bytes()));
    Ok(release.map(|release| Installed { release, file: shown }))
}

/// What an entry names.
struct Entry {
    kernel: Option<String>,
    version: Option<String>,
}

fn entry(text: &[u8]) -> Entry {
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (found, value) = line.trim().split_once(char::is_whitespace)?;
            (found == key).then(|| value.trim().to_string())
        })
    };
    Entry {
        kernel: value("linux").or_else(|| value("efi")).or_else(|| value("uki")),
        version: value("version"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::kernel;
    use super::*;

    #[test]
    fn kernels_are_found_by_name_entry_and_image_and_each_release_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        let root = HostRoot::open(dir.path()).unwrap();
        assert_eq!(find(&root, &PLACES).unwrap(), []);
        write("boot/vmlinuz-linux", &kernel("6.12.1-arch1-1"));
        write("boot/vmlinuz-6.1.0-9-arm64", b"no kernel of x86");
        write("boot/vmlinuz-0-rescue-0123", &kernel("5.0.0"));
        write("boot/vmlinuz-dir/x", b"");
        write("boot/initrd.img-6.2.0", b"");
        write("efi/abc/6.13.0/linux", &kernel("6.13.0"));
        write("efi/loader/entries/a.conf", b"title x\nlinux\t/abc/6.13.0/linux\n");
        write("efi/loader/entries/b.conf", b"version 6.14.0\nlinux /gone\n");
        write("boot/vmlinuz", &kernel("6.13.0"));
        let found = find(&root, &PLACES).unwrap();
        let found: Vec<_> = found.iter().map(|one| (&one.release[..], &one.file[..])).collect();
        let expected = [
            ("6.1.0-9-arm64", "/boot/vmlinuz-6.1.0-9-arm64"),
            ("6.12.1-arch1-1", "/boot/vmlinuz-linux"),
            ("6.13.0", "/boot/vmlinuz"),
        ];
        assert_eq!(found, expected);
        assert_eq!(find(&root, &["efi"]).unwrap().len(), 1);
    }
}
