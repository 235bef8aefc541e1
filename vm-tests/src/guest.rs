//! The guests: what each is made of, and where it is when it is made.

use std::path::{Path, PathBuf};

use crate::cache::artefact;
use crate::console::quoted;
use crate::disk_copy::copy_disk;
use crate::namespaces::Namespaces;
use crate::system::System;
use crate::{programs, readme, zfs_root};

/// Makes a Debian guest.
const DEBIAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/debian");
/// Makes one with dracut of that.
const DRACUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/dracut");
/// Makes a server of that.
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/server");
/// Installs cruft-ng in a copy of that.
const CRUFT_NG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/cruft-ng");
/// Installs what watches many machines in a copy of a Debian guest.
const FLEET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/fleet");
/// Makes another machine of one on which Blankroot is set up.
const CLONE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/clone");
/// Sets Blankroot up in one that was never booted.
const SET_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/set-up");
/// Takes the kernel and the initrd out of its disk.
const TAKE_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/take-out");
/// What users read.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
/// What users read who have many machines.
pub const FLEET_GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/how-to/fleet.md");
/// Makes an encrypted one of that.
const ENCRYPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/encrypt");

/// Commands that set up a system whose root is filled from this disk at each boot: what is kept is in the storage
/// alone. Nothing of it is in an initrd.
const INTO_MEMORY: &str = r#"dpkg --no-triggers --install ./blankroot_*.deb
rm ./blankroot_*.deb
blankroot init --no-blank --storage /persist --keep /var/log --keep /home
sed -i 's/^backend = .*/backend = "tmpfs"/; /^\(device\|live\|blank\|old\) = /d' /etc/blankroot.toml
mkdir /persist/etc /persist/var
mv /etc/blankroot.toml /persist/etc/
ln -s /persist/etc/blankroot.toml /etc/
mv /home /persist/home
mv /var/log /persist/var/log
mkdir /home /var/log
systemd-machine-id-setup
sed -i 's|^.* / .*|root / tmpfs mode=0755 0 0|' /etc/fstab"#;

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

/// A disk, and the kernel and the initrd that boot it. Never written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Has `disk.raw`, `vmlinuz` and `initrd`.
    pub dir: PathBuf,
    /// The file system of its root.
    pub root: Root,
}

impl Guest {
    /// A plain Debian of this suite. All others are made of the one with Debian's own initrd, which alone is fetched
    /// and unpacked as a whole.
    pub fn debian(suite: &str, initrd: Initrd) -> Self {
        let name = format!("{suite}-{}", initrd.name());
        let dir = match initrd {
            Initrd::InitramfsTools => artefact(&name, &[&read(DEBIAN), suite.as_bytes()], |dir| {
                in_namespace(&[DEBIAN.as_ref(), dir.as_os_str(), suite.as_ref()]);
            }),
            Initrd::Dracut => {
                let base = Self::debian(suite, Initrd::InitramfsTools).dir;
                let base = base.as_os_str();
                artefact(&name, &[&read(DRACUT), base.as_encoded_bytes()], |dir| {
                    in_namespace(&[DRACUT.as_ref(), dir.as_os_str(), base]);
                })
            }
        };
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

    /// The same with the package `deb` set up by the README's commands, in a boot of the guest's own system; with
    /// dracut, another one makes the initrd.
    fn with_blankroot(suite: &str, initrd: Initrd, deb: &Path) -> Self {
        let (plain, readme) = (Self::debian(suite, initrd), read(README));
        let commands = readme::commands(&String::from_utf8_lossy(&readme), "debian");
        let (commands, last) = initrd.set_up(&commands);
        let name = format!("{suite}-{}-blankroot", initrd.name());
        let base = plain.dir.as_os_str().as_encoded_bytes();
        let boot = Namespaces::made_of();
        let inputs = [commands.as_bytes(), base, &read(deb), &read(TAKE_OUT), &boot];
        let dir = artefact(&name, &inputs, |dir| {
            let mut system = Namespaces::of(&plain);
            system.boot();
            let file = deb.file_name().unwrap_or_default().to_string_lossy();
            system.put(deb, &format!("/root/{file}"));
            print!("{}", quoted(&system.run(&format!("cd /root && set -ex\n{commands}"))));
            system.run_last(&last);
            copy_disk(&system.disk(), &dir.join("disk.raw"));
            in_namespace(&[TAKE_OUT.as_ref(), dir.as_os_str()]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// A Debian with services that keep state, which was never booted: a disk alone.
    pub fn server(suite: &str) -> Self {
        let base = Self::debian(suite, Initrd::InitramfsTools).dir;
        let base = base.as_os_str();
        let inputs = [&read(SERVER)[..], base.as_encoded_bytes()];
        let dir = artefact(&format!("{suite}-server"), &inputs, |dir| {
            in_namespace(&[SERVER.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// The same with cruft-ng installed, which tells whose the paths of its own system are.
    pub fn server_with_cruft_ng(suite: &str) -> Self {
        let base = Self::server(suite).dir;
        let base = base.as_os_str();
        let inputs = [&read(CRUFT_NG)[..], base.as_encoded_bytes()];
        let dir = artefact(&format!("{suite}-server-cruft-ng"), &inputs, |dir| {
            in_namespace(&[CRUFT_NG.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// The same with the package `deb` set up by the README's commands, but nothing kept: all that a boot makes is
    /// new then, and vanishes.
    pub fn server_set_up(suite: &str, deb: &Path) -> Self {
        let base = Self::server(suite);
        let commands = readme::commands(&String::from_utf8_lossy(&read(README)), "debian");
        let (_, commands) = commands.split_last().expect("the README has commands");
        let commands: Vec<_> = commands.iter().map(|line| without_keeps(line)).collect();
        let commands = commands.join("\n");
        Self::set_up_by(&format!("{suite}-server-blankroot"), &base, deb, &commands)
    }

    /// The guest `base` with the package `deb`, set up by these commands.
    fn set_up_by(name: &str, base: &Self, deb: &Path, commands: &str) -> Self {
        let base = base.dir.as_os_str();
        let inputs = [&read(SET_UP)[..], base.as_encoded_bytes(), &read(deb), commands.as_bytes()];
        let dir = artefact(name, &inputs, |dir| {
            let (dir, deb) = (dir.as_os_str(), deb.as_os_str());
            in_namespace(&[SET_UP.as_ref(), dir, base, deb, commands.as_ref()]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// A Debian with what watches many machines, which was never booted: a disk alone.
    pub fn fleet(suite: &str) -> Self {
        let base = Self::debian(suite, Initrd::InitramfsTools).dir;
        let base = base.as_os_str();
        let inputs = [&read(FLEET)[..], base.as_encoded_bytes()];
        let dir = artefact(&format!("{suite}-fleet"), &inputs, |dir| {
            in_namespace(&[FLEET.as_ref(), dir.as_os_str(), base]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// The same with the package `deb` set up by the commands of the guide to fleets: the machine `shop`.
    pub fn fleet_set_up(suite: &str, deb: &Path) -> Self {
        let base = Self::fleet(suite);
        let commands = readme::commands(&String::from_utf8_lossy(&read(FLEET_GUIDE)), "machine");
        let (_, commands) = commands.split_last().expect("the guide has commands");
        // By this name it finds the file system of a clone, too, whose UUID is another.
        let commands = commands.join("\n").replace(
            "update-initramfs",
            "sed -i 's|^device = .*|device = \"/dev/disk/by-label/os\"|' /etc/blankroot.toml\n\
             update-initramfs",
        );
        let commands = format!("echo shop >/etc/hostname\n{commands}");
        Self::set_up_by(&format!("{suite}-fleet-blankroot"), &base, deb, &commands)
    }

    /// Another machine of that fleet, which may be up at the same time.
    pub fn fleet_clone(suite: &str, deb: &Path, name: &str) -> Self {
        let base = Self::fleet_set_up(suite, deb).dir;
        let base = base.as_os_str();
        let inputs = [&read(CLONE)[..], base.as_encoded_bytes()];
        let dir = artefact(&format!("{suite}-fleet-blankroot-{name}"), &inputs, |dir| {
            in_namespace(&[CLONE.as_ref(), dir.as_os_str(), base, name.as_ref()]);
        });
        Self { dir, root: Root::Btrfs }
    }

    /// A Debian whose root is to be a tmpfs, with the package `deb` and what `more` commands do.
    pub fn in_memory(suite: &str, deb: &Path, more: &str) -> Self {
        let base = Self::debian(suite, Initrd::InitramfsTools);
        let commands = format!("{INTO_MEMORY}\n{more}");
        Self::set_up_by(&format!("{suite}-in-memory"), &base, deb, &commands)
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

/// A command of the README without the paths that it keeps.
fn without_keeps(command: &str) -> String {
    let mut parts = command.split(" --keep ");
    let first = parts.next().unwrap_or_default().to_string();
    let rest = parts.filter_map(|part| part.split_once(' ')).map(|(_, rest)| format!(" {rest}"));
    first + &rest.collect::<String>()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_left_out_of_a_command() {
        let command =
            "blankroot init --no-blank --keep /a/b --storage /persist --keep /c --keep /d";
        assert_eq!(without_keeps(command), "blankroot init --no-blank --storage /persist");
        assert_eq!(without_keeps("reboot"), "reboot");
    }
}
