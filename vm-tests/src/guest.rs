//! The guests: what each is made of, and where it is when it is made.

use std::path::{Path, PathBuf};

use crate::cache::artefact;
use crate::machine::Machine;
use crate::{programs, readme};

/// Makes a Debian guest.
const DEBIAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/debian");
/// Takes the kernel and the initrd out of its disk.
const TAKE_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/take-out");
/// What users read.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
/// Makes an encrypted one of that.
const ENCRYPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/encrypt");

/// What makes the initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initrd {
    /// Debian's own, without systemd.
    InitramfsTools,
    /// With systemd.
    Dracut,
}

impl Initrd {
    /// The name of its package.
    pub fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }
    }

    /// The README's commands but the last, which is the reboot that the tests do themselves; with what
    /// it says of dracut.
    fn set_up(self, commands: &[String]) -> String {
        let mine = |command: &String| match (self, command.as_str()) {
            (Self::Dracut, "update-initramfs -u") => "dracut --force --regenerate-all".to_string(),
            // Nobody is there to be asked.
            _ => command.replace("apt install", "apt install --yes"),
        };
        let (last, others) = commands.split_last().expect("the README has commands");
        assert_eq!(last, "reboot");
        others.iter().map(mine).collect::<Vec<_>>().join("\n")
    }
}

/// A disk, and the kernel and the initrd that boot it. Never written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Has `disk.raw`, `vmlinuz` and `initrd`.
    pub dir: PathBuf,
}

impl Guest {
    /// A plain Debian of this suite.
    pub fn debian(suite: &str, initrd: Initrd) -> Self {
        let text = read(DEBIAN);
        let name = format!("{suite}-{}", initrd.name());
        let dir = artefact(&name, &[&text, suite.as_bytes()], |dir| {
            in_namespace(&[
                DEBIAN.as_ref(),
                dir.as_os_str(),
                suite.as_ref(),
                initrd.name().as_ref(),
            ]);
        });
        Self { dir }
    }

    /// The same with the package `deb` set up, in a boot of the guest, by the very words of the README.
    pub fn with_blankroot(suite: &str, initrd: Initrd, deb: &Path) -> Self {
        let (plain, readme) = (Self::debian(suite, initrd), read(README));
        let commands = readme::commands(&String::from_utf8_lossy(&readme), "debian");
        let script = initrd.set_up(&commands);
        let name = format!("{suite}-{}-blankroot", initrd.name());
        let base = plain.dir.as_os_str().as_encoded_bytes();
        let dir = artefact(&name, &[script.as_bytes(), base, &read(deb), &read(TAKE_OUT)], |dir| {
            let mut machine = Machine::of(&plain);
            machine.add_disk(64 << 20, &read(deb));
            machine.boot();
            let (size, file) = (read(deb).len(), deb.file_name().unwrap_or_default());
            let file = file.to_string_lossy();
            machine.run(&format!("cd /root && head -c {size} /dev/vdb >{file}"));
            println!("{}", machine.run(&format!("cd /root && set -ex; {script}")));
            machine.shut_down();
            machine.copy_disk(&dir.join("disk.raw"));
            in_namespace(&[TAKE_OUT.as_ref(), dir.as_os_str()]);
        });
        Self { dir }
    }

    /// The same on a disk that LUKS encrypts; its key is in the initrd.
    pub fn encrypted(suite: &str, initrd: Initrd, deb: &Path) -> Self {
        let (open, text) = (Self::with_blankroot(suite, initrd, deb), read(ENCRYPT));
        let name = format!("{suite}-{}-luks", initrd.name());
        let base = open.dir.as_os_str();
        let dir = artefact(&name, &[&text, base.as_encoded_bytes()], |dir| {
            in_namespace(&[ENCRYPT.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir }
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Runs a script in a mount namespace, so that nothing of it stays mounted.
fn in_namespace(command: &[&std::ffi::OsStr]) {
    let options = ["--mount", "--propagation", "private", "--"].map(std::ffi::OsStr::new);
    programs::run("unshare", options.iter().chain(command));
}

fn read(file: impl AsRef<Path>) -> Vec<u8> {
    let file = file.as_ref();
    std::fs::read(file).unwrap_or_else(|why| panic!("cannot read {}: {why}", file.display()))
}
