//! The guests: what each is made of, and where it is when it is made.

use std::path::{Path, PathBuf};

use crate::cache::artefact;
use crate::console::quoted;
use crate::machine::Machine;
use crate::{programs, readme, zfs_root};

/// Makes a Debian guest.
const DEBIAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/debian");
/// Takes the kernel and the initrd out of its disk.
const TAKE_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/take-out");
/// Sets Blankroot up in one from outside.
const SET_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/set-up");
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

    /// The README's commands, with what it says of dracut; and the last of them, the reboot.
    fn set_up(self, commands: &[String]) -> (String, String) {
        let mine = |command: &String| match (self, command.as_str()) {
            (Self::Dracut, "update-initramfs -u") => "dracut --force --regenerate-all".to_string(),
            _ => command.clone(),
        };
        let (last, others) = commands.split_last().expect("the README has commands");
        (others.iter().map(mine).collect::<Vec<_>>().join("\n"), last.clone())
    }
}

/// The file system of a guest's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// With subvolumes.
    Btrfs,
    /// With datasets.
    Zfs,
}

impl Root {
    /// What the kernel command line says of it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Btrfs => "root=LABEL=os rootflags=subvol=root",
            Self::Zfs => "root=ZFS=rpool/local/root boot=zfs",
        }
    }

    /// Commands of a shell that give blank another name.
    pub fn hide_blank(self) -> &'static str {
        match self {
            Self::Btrfs => {
                "mkdir -p /tmp/top && mount -o subvolid=5 LABEL=os /tmp/top &&
                mv /tmp/top/root-blank /tmp/top/elsewhere"
            }
            Self::Zfs => "zfs rename rpool/local/root@blank elsewhere",
        }
    }

    /// What is told of it then.
    pub fn blank_is_missing(self) -> &'static str {
        match self {
            Self::Btrfs => "blank, `root-blank`, is missing",
            Self::Zfs => "blank, `root@blank`, is missing",
        }
    }

    /// Commands of a shell that show the old roots in `/tmp/top/old-roots`.
    pub fn mount_old_roots(self) -> &'static str {
        match self {
            Self::Btrfs => "mkdir -p /tmp/top && mount -o subvolid=5 LABEL=os /tmp/top",
            Self::Zfs => {
                "set -e
                mkdir -p /tmp/top && mount -t tmpfs top /tmp/top
                for each in $(zfs list -H -d 1 -t filesystem -o name rpool/local/old-roots); do
                    case $each in */old-roots) continue ;; esac
                    mkdir -p /tmp/top/old-roots/${each##*/}
                    mount -t zfs $each /tmp/top/old-roots/${each##*/}
                done"
            }
        }
    }
}

/// A guest that Blankroot was set up in: its root, and what makes its initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The root's file system.
    pub root: Root,
    /// What makes the initrd.
    pub initrd: Initrd,
}

impl Kind {
    /// Whether the README's commands run in a boot of the guest, or from outside, which is faster.
    pub fn is_set_up_in_a_boot(self) -> bool {
        self.root == Root::Btrfs && self.initrd == Initrd::InitramfsTools
    }
}

/// A disk, and the kernel and the initrd that boot it. Never written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Has `disk.raw`, `vmlinuz` and `initrd`.
    pub dir: PathBuf,
    /// The file system of its root.
    pub root: Root,
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
        Self { dir, root: Root::Btrfs }
    }

    /// The same with the package `deb` set up by the README's commands, in a root of this kind.
    pub fn set_up(suite: &str, kind: Kind, deb: &Path) -> Self {
        match kind.root {
            Root::Btrfs => Self::with_blankroot(suite, kind.initrd, deb),
            Root::Zfs => Self::on_zfs(suite, kind.initrd, false, deb),
        }
    }

    /// The same with the root in a pool of ZFS.
    fn on_zfs(suite: &str, initrd: Initrd, is_encrypted: bool, deb: &Path) -> Self {
        let commands = readme::commands(&String::from_utf8_lossy(&read(README)), "debian");
        let dir = zfs_root::make(suite, initrd, is_encrypted, deb, &commands);
        Self { dir, root: Root::Zfs }
    }

    /// The same with the package `deb` set up by the README's commands: by the very words, in a boot
    /// of the guest, or, with dracut, from outside, which is faster.
    fn with_blankroot(suite: &str, initrd: Initrd, deb: &Path) -> Self {
        let (plain, readme) = (Self::debian(suite, initrd), read(README));
        let commands = readme::commands(&String::from_utf8_lossy(&readme), "debian");
        let (commands, last) = initrd.set_up(&commands);
        let name = format!("{suite}-{}-blankroot", initrd.name());
        let base = plain.dir.as_os_str().as_encoded_bytes();
        let inputs = [commands.as_bytes(), base, &read(deb), &read(TAKE_OUT), &read(SET_UP)];
        let dir = artefact(&name, &inputs, |dir| match initrd {
            Initrd::InitramfsTools => {
                let mut machine = Machine::of(&plain);
                set_up_in(&mut machine, deb, &commands);
                machine.run_last(&last);
                machine.copy_disk(&dir.join("disk.raw"));
                in_namespace(&[TAKE_OUT.as_ref(), dir.as_os_str()]);
            }
            Initrd::Dracut => in_namespace(&[
                SET_UP.as_ref(),
                dir.as_os_str(),
                plain.dir.as_os_str(),
                deb.as_os_str(),
                commands.as_ref(),
            ]),
        });
        Self { dir, root: Root::Btrfs }
    }

    /// The same on a disk that is encrypted, by LUKS or by ZFS itself; both ask at the console.
    pub fn encrypted(suite: &str, kind: Kind, deb: &Path) -> Self {
        let initrd = kind.initrd;
        if kind.root == Root::Zfs {
            return Self::on_zfs(suite, initrd, true, deb);
        }
        let (open, text) = (Self::with_blankroot(suite, initrd, deb), read(ENCRYPT));
        let name = format!("{suite}-{}-luks", initrd.name());
        let base = open.dir.as_os_str();
        let dir = artefact(&name, &[&text, base.as_encoded_bytes()], |dir| {
            in_namespace(&[ENCRYPT.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Boots it, gives it the package, and runs the commands as its owner would.
fn set_up_in(machine: &mut Machine, deb: &Path, commands: &str) {
    let (content, file) = (read(deb), deb.file_name().unwrap_or_default().to_string_lossy());
    machine.add_disk(64 << 20, &content);
    machine.boot();
    machine.run(&format!("cd /root && head -c {} /dev/vdb >{file}", content.len()));
    print!("{}", quoted(&machine.run(&format!("cd /root && set -ex\n{commands}"))));
}

/// Runs a script in a mount namespace, so that nothing of it stays mounted.
pub(crate) fn in_namespace(command: &[&std::ffi::OsStr]) {
    let options = ["--mount", "--propagation", "private", "--"].map(std::ffi::OsStr::new);
    programs::run("unshare", options.iter().chain(command));
}

pub(crate) fn read(file: impl AsRef<Path>) -> Vec<u8> {
    let file = file.as_ref();
    std::fs::read(file).unwrap_or_else(|why| panic!("cannot read {}: {why}", file.display()))
}
