//! Kernels without their modules: a boot loader starts the kernel that is installed, from wherever its files
//! are, and the modules lie in the root, which the next boot takes from blank. Finds the kernels in `/boot`,
//! those of entries of the Boot Loader Specification (UAPI.1) and unified kernel images; the judgement is pure.

use std::io;
use std::path::{Path, PathBuf};

use dirfd::path::Escaped;

use crate::boot::kernel_image::{first_word, read_release};
use crate::boot::status_report::StatusProblem;
use crate::host::{HostRoot, is_not_found};

/// What to do while the root still has the modules.
pub(crate) const HINT_BEFORE_REBOOT: &str = "\
    make a new blank that has them, before you reboot; or run `blankroot hold`, so that \
    the next boot keeps this root, and make it then";
/// What a kernel cannot do without its modules.
pub(crate) const WHY_MODULES_MATTER: &str = "\
    without its modules a kernel has no drivers but those in its initrd: no network, and \
    perhaps no keyboard";

/// A kernel, and who has modules for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// As `uname -r` tells it.
    pub(crate) release: String,
    /// What it is, for people: its file, or that it runs.
    pub(crate) what: String,
    /// The root has its modules.
    pub(crate) now: bool,
    /// The root of the next boot has them.
    pub(crate) after: bool,
}

/// The kernels of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kernels {
    /// Those that a boot loader may start; empty, too, where that cannot be told.
    pub(crate) installed: Vec<Kernel>,
    /// The one that runs; `None` where another system's runs, as in a container or from a rescue medium.
    pub(crate) running: Option<Kernel>,
    /// It has loaded modules.
    pub(crate) loads_modules: bool,
    /// The releases that the root of the next boot has modules for.
    pub(crate) in_blank: Vec<String>,
}

impl Kernels {
    /// Those that lose their modules by the next boot. One that has none now may be another system's, or
    /// need none.
    pub(crate) fn losing(&self) -> impl Iterator<Item = &Kernel> {
        // It is the best guess where no other kernel is seen.
        let guess = self.running.iter().filter(|_| self.installed.is_empty());
        self.installed.iter().chain(guess).filter(|kernel| kernel.now && !kernel.after)
    }

    /// The running one, if it has lost them. Right after an upgrade the root may lack those of the running
    /// kernel, too: then blank has them.
    pub(crate) fn lost(&self) -> Option<&Kernel> {
        let running = self.running.as_ref()?;
        (self.loads_modules && !running.now && !running.after).then_some(running)
    }

    /// That a kernel loses its modules, in one line.
    pub(crate) fn describe_losing(&self, kernel: &Kernel) -> String {
        let Kernel { release, what, .. } = kernel;
        format!("after the next boot there are no modules for {what}, {release}: {}", self.blank())
    }

    /// That the running kernel has lost them, in one line.
    pub(crate) fn describe_lost(&self, kernel: &Kernel) -> String {
        let Kernel { release, what, .. } = kernel;
        format!("there are no modules for {what}, {release}, in this root: {}", self.blank())
    }

    /// What to do when they are lost.
    pub(crate) fn hint_of_lost(&self) -> String {
        let boot = match self.in_blank.as_slice() {
            [] => "boot a kernel that needs none".to_string(),
            there => format!("choose {} in the boot loader", there.join(" or ")),
        };
        format!("{boot}; then install the newer kernel again, and make a new blank with it")
    }

    /// Both, as `status` tells them.
    pub(crate) fn problems(&self) -> Vec<StatusProblem> {
        let problem = |text, hint: &str| StatusProblem { text, hint: Some(hint.to_string()) };
        let losing =
            self.losing().map(|kernel| problem(self.describe_losing(kernel), HINT_BEFORE_REBOOT));
        let lost =
            self.lost().map(|kernel| problem(self.describe_lost(kernel), &self.hint_of_lost()));
        lost.into_iter().chain(losing).collect()
    }

    fn blank(&self) -> String {
        match self.in_blank.as_slice() {
            [] => "blank has none at all".to_string(),
            there => format!("blank has those of {}", there.join(", ")),
        }
    }
}

/// Where a boot loader's files are: in the root, or what is mounted there.
pub(crate) const LOADER_DIRS: [&str; 3] = ["boot", "efi", "boot/efi"];
/// How kernels are called that have no entry.
const NAMES: [&str; 4] = ["vmlinuz", "vmlinux", "kernel-", "bzImage"];
/// As many names of one directory are looked at.
const LIMIT: usize = 200;

/// A kernel that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstalledKernel {
    /// As `uname -r` tells it.
    pub(crate) release: String,
    /// Its file, for people.
    pub(crate) file: String,
}

/// Those in the `places` that are there, one for each release.
pub(crate) fn find_kernels(root: &HostRoot, places: &[&str]) -> io::Result<Vec<InstalledKernel>> {
    let mut found = Vec::new();
    for place in places.iter().map(Path::new) {
        // Fedora's kernel for an emergency has all modules that it needs in its initrd.
        let is_kernel = |name: &str| {
            NAMES.iter().any(|start| name.starts_with(start)) && !name.contains("rescue")
        };
        for (file, name) in list_files(root, place, is_kernel)? {
            let version = name.split_once('-').map(|(_, version)| version.to_string());
            found.extend(read_kernel(root, &file, version.as_deref())?);
        }
        // Unified images tell their release themselves.
        for (file, _) in list_files(root, &place.join("EFI/Linux"), |name| name.ends_with(".efi"))?
        {
            found.extend(read_kernel(root, &file, None)?);
        }
        for (file, _) in
            list_files(root, &place.join("loader/entries"), |name| name.ends_with(".conf"))?
        {
            let LoaderEntry { kernel, version } = parse_loader_entry(&root.read(&file)?);
            if let Some(kernel) = kernel.filter(|kernel| !kernel.contains("rescue")) {
                // The path is that of the partition.
                let kernel = place.join(kernel.trim_start_matches('/'));
                found.extend(read_kernel(root, &kernel, version.as_deref())?);
            }
        }
    }
    found.sort();
    found.dedup_by(|one, other| one.release == other.release);
    Ok(found)
}

fn list_files(
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
fn read_kernel(
    root: &HostRoot,
    file: &Path,
    version: Option<&str>,
) -> io::Result<Option<InstalledKernel>> {
    let told = match read_release(|offset, length| root.read_at(file, offset, length)) {
        Ok(told) => told,
        Err(error) if is_not_found(&error) => return Ok(None),
        // A directory is no kernel.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let release = told.or_else(|| first_word(version?.as_bytes()));
    let shown = format!("/{}", Escaped::of_path(file));
    Ok(release.map(|release| InstalledKernel { release, file: shown }))
}

/// What an entry names.
struct LoaderEntry {
    kernel: Option<String>,
    version: Option<String>,
}

fn parse_loader_entry(text: &[u8]) -> LoaderEntry {
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (found, value) = line.trim().split_once(char::is_whitespace)?;
            (found == key).then(|| value.trim().to_string())
        })
    };
    LoaderEntry {
        kernel: value("linux").or_else(|| value("efi")).or_else(|| value("uki")),
        version: value("version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::kernel_image::tests::kernel;

    #[test]
    fn kernels_are_found_by_name_entry_and_image_and_each_release_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        let root = HostRoot::open(dir.path()).unwrap();
        assert_eq!(find_kernels(&root, &LOADER_DIRS).unwrap(), []);
        write("boot/vmlinuz-linux", &kernel("6.12.1-arch1-1"));
        write("boot/vmlinuz-6.1.0-9-arm64", b"no kernel of x86");
        write("boot/vmlinuz-0-rescue-0123", &kernel("5.0.0"));
        write("boot/vmlinuz-dir/x", b"");
        write("boot/initrd.img-6.2.0", b"");
        write("efi/abc/6.13.0/linux", &kernel("6.13.0"));
        write("efi/loader/entries/a.conf", b"title x\nlinux\t/abc/6.13.0/linux\n");
        write("efi/loader/entries/b.conf", b"version 6.14.0\nlinux /gone\n");
        write("boot/vmlinuz", &kernel("6.13.0"));
        let found = find_kernels(&root, &LOADER_DIRS).unwrap();
        let found: Vec<_> = found.iter().map(|one| (&one.release[..], &one.file[..])).collect();
        let expected = [
            ("6.1.0-9-arm64", "/boot/vmlinuz-6.1.0-9-arm64"),
            ("6.12.1-arch1-1", "/boot/vmlinuz-linux"),
            ("6.13.0", "/boot/vmlinuz"),
        ];
        assert_eq!(found, expected);
        assert_eq!(find_kernels(&root, &["efi"]).unwrap().len(), 1);
    }
}
