//! The smallest guest that is a real one: Debian's kernel and an initrd of our own, in which a script is
//! all that runs. It is off again after some 13 seconds of emulation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache::artefact;
use crate::cpio::Archive;
use crate::guest::{Guest, Initrd, in_namespace, read};
use crate::programs;
use crate::qemu::{Disk, Qemu, Setup};

/// Makes its parts.
const MAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/minimal");
/// Makes those of one that has ZFS, whose module takes minutes to build.
const MAKE_ZFS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/zfs");
/// A part of both.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/modules");
/// What its scripts print before and after what they were asked for.
const BEGIN: &str = "minimal: begin";
const END: &str = "minimal: end";
/// What a boot may take; two when others keep the processors busy.
const PATIENCE: Duration = Duration::from_secs(420);

/// What comes before a script: everything that a kernel leaves to its first process.
const INIT: &str = "#!/bin/busybox sh
export PATH=/bin:/usr/bin:/usr/sbin
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=0755 run /run
exec </dev/null >/dev/console 2>&1
for each in /modules/*.ko; do insmod $each; done
";

/// The parts of it.
#[derive(Clone, Debug)]
pub struct Minimal {
    dir: PathBuf,
    programs: Vec<PathBuf>,
    /// Bytes of memory, in MiB.
    memory: usize,
    patience: Duration,
    /// Words for the kernel.
    words: &'static str,
}

impl Minimal {
    /// The guest of this suite's kernel.
    pub fn of(suite: &str) -> Self {
        Self::made("minimal", MAKE, suite, 512)
    }

    /// The same with ZFS, and its programs. This machine's own programs find Debian's C library there,
    /// which has to be as new as this machine's.
    pub fn with_zfs(suite: &str) -> Self {
        Self::made("zfs", MAKE_ZFS, suite, 2048)
    }

    fn made(name: &str, script: &str, suite: &str, memory: usize) -> Self {
        let base = Guest::debian(suite, Initrd::InitramfsTools).dir;
        let base = base.as_os_str();
        let inputs = [&read(script)[..], &read(MODULES), base.as_encoded_bytes()];
        let dir = artefact(&format!("{suite}-{name}"), &inputs, |dir| {
            in_namespace(&[script.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir, programs: Vec::new(), memory, patience: PATIENCE, words: "" }
    }

    /// Where its parts are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same, given more time for what it is asked for.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with words on the kernel's command line.
    #[must_use]
    pub fn say_to_kernel(mut self, words: &'static str) -> Self {
        self.words = words;
        self
    }

    /// The same with one of this machine's programs in its `/bin`, and the libraries it needs.
    #[must_use]
    pub fn with(mut self, program: &Path) -> Self {
        self.programs.push(program.to_path_buf());
        self
    }

    /// Boots it, runs `script` and waits until it has switched itself off. Returns what the script
    /// printed; panics with all that the machine said if it did not get to the script's end.
    pub fn run(&self, script: &str, disks: Vec<Disk>) -> String {
        let initrd = tempfile::NamedTempFile::new().unwrap();
        fs::write(initrd.path(), self.initrd(script)).unwrap();
        let setup = Setup {
            kernel: self.dir.join("vmlinuz"),
            initrd: initrd.path().to_path_buf(),
            command_line: format!("loglevel=4 rdinit=/init {}", self.words),
            disks,
            clock: None,
            memory: self.memory,
            resumes: false,
        };
        let mut qemu = Qemu::start(&setup);
        qemu.wait_in_console(BEGIN, PATIENCE);
        let said = qemu.wait_in_console(END, self.patience);
        qemu.wait_for_end(PATIENCE);
        said
    }

    fn initrd(&self, script: &str) -> Vec<u8> {
        let mut archive = Archive::default();
        for dir in ["bin", "modules"] {
            archive.dir(dir);
        }
        let init = format!("{INIT}echo '{BEGIN}'\n{script}\necho '{END}'\npoweroff -f\n");
        archive.file("init", 0o755, init.as_bytes());
        archive.file("bin/busybox", 0o755, &fs::read(self.dir.join("busybox")).unwrap());
        for module in fs::read_dir(self.dir.join("modules")).unwrap() {
            let module = module.unwrap();
            let path = format!("modules/{}", module.file_name().to_string_lossy());
            archive.file(&path, 0o644, &fs::read(module.path()).unwrap());
        }
        let mut libraries = Vec::new();
        let own = self.dir.join("programs");
        for program in &self.programs {
            let name = program.file_name().unwrap().to_string_lossy();
            archive.file(&format!("bin/{name}"), 0o755, &fs::read(program).unwrap());
            if !own.exists() {
                libraries.extend(libraries_of(program));
            }
        }
        libraries.sort();
        libraries.dedup();
        let files = libraries.into_iter().map(|path| (path.clone(), path));
        add_files(&mut archive, &files.collect());
        if own.exists() {
            let mut files = BTreeMap::new();
            collect(&own, Path::new("/"), &mut files);
            add_files(&mut archive, &files);
            archive.link("lib", "usr/lib");
            archive.link("lib64", "usr/lib64");
        }
        archive.finish()
    }
}

/// Adds files by the paths that they are to have, and the directories that lead to them.
fn add_files(archive: &mut Archive, files: &BTreeMap<PathBuf, PathBuf>) {
    let above = files.keys().flat_map(|path| path.ancestors().skip(1));
    let dirs: BTreeSet<&Path> = above.filter(|dir| dir.parent().is_some()).collect();
    for dir in dirs {
        archive.dir(&dir.to_str().unwrap()[1..]);
    }
    for (path, source) in files {
        archive.file(&path.to_str().unwrap()[1..], 0o755, &fs::read(source).unwrap());
    }
}

/// Every file below `dir`, by the path that it has below `at`.
fn collect(dir: &Path, at: &Path, files: &mut BTreeMap<PathBuf, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let path = at.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), &path, files),
            false => drop(files.insert(path, entry.path())),
        }
    }
}

/// The shared libraries of a program, by the names under which it looks for them; none of a static one.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let found = programs::output("ldd", [program]);
    if !found.status.success() {
        return Vec::new();
    }
    let said = String::from_utf8_lossy(&found.stdout);
    let words = said.split_whitespace();
    words.filter(|word| word.starts_with('/') && !word.ends_with(':')).map(PathBuf::from).collect()
}
