//! The guests: what each is made of, and where it is when it is made.

use std::path::{Path, PathBuf};

use crate::cache::artefact;
use crate::programs;

/// Makes a Debian guest.
const DEBIAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/debian");
/// Sets Blankroot up in one.
const SET_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/set-up");
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
            in_namespace(&[DEBIAN.as_ref(), dir.as_os_str(), suite.as_ref(), initrd.name().as_ref()]);
        });
        Self { dir }
    }

    /// The same with the package `deb` set up: the commands of the README, and what promises need.
    pub fn with_blankroot(suite: &str, initrd: Initrd, deb: &Path) -> Self {
        let (plain, text) = (Self::debian(suite, initrd), read(SET_UP));
        let name = format!("{suite}-{}-blankroot", initrd.name());
        let base = plain.dir.as_os_str();
        let inputs = [&text[..], base.as_encoded_bytes(), &read(deb)];
        let dir = artefact(&name, &inputs, |dir| {
            in_namespace(&[SET_UP.as_ref(), dir.as_os_str(), base, deb.as_os_str()]);
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
