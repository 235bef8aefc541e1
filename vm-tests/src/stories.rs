//! What the tests of promises share: the package under test, the guests that have it, and systems that several
//! promises look at.

use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::cache::artefact;
use crate::guest::{Guest, Initrd, Kind, Root};
use crate::machine::{Machine, Saved};
use crate::namespaces::Namespaces;
use crate::system::System;
use crate::{programs, qemu};

/// The suite that most is tested on.
pub const SUITE: &str = "trixie";

/// What somebody does in a boot: changes of what is to vanish and of what is to stay.
pub const LIFE: &str = "
echo 'state of the first boot' >/root/state
echo renamed >/etc/hostname
echo feed the cat >/home/alice/note
echo a line of a log >/var/log/mine";

/// Where a promise is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where everything is real but the kernel and the order of what is in the initrd: of initramfs-tools, on
    /// Btrfs.
    Namespaces,
    /// Where everything is real.
    Machine(Kind),
}

impl From<Kind> for Place {
    fn from(kind: Kind) -> Self {
        Self::Machine(kind)
    }
}

impl Place {
    /// A system in its first boot since it was set up by the README's words.
    pub fn booted(self) -> Option<Box<dyn System + Send>> {
        match self {
            Self::Namespaces => {
                let kind = Kind { root: Root::Btrfs, initrd: Initrd::InitramfsTools };
                Some(Box::new(in_namespaces(kind)?))
            }
            Self::Machine(kind) => Some(Box::new(booted(kind)?)),
        }
    }
}

/// The disk of a guest that was set up, in its first boot since, which is in namespaces.
fn in_namespaces(kind: Kind) -> Option<Namespaces> {
    let mut system = Namespaces::of(&Guest::set_up(SUITE, kind, &package(kind.root)?));
    system.boot();
    Some(system)
}

/// A server on which nothing is kept, off: no boot has seen its blank.
pub fn server() -> Option<Namespaces> {
    Some(Namespaces::of(&Guest::server_set_up(SUITE, &package(Root::Btrfs)?)))
}

/// The machines `monitor` and `shop` of a fleet, set up by the commands of the guide to fleets, off.
pub fn fleet() -> Option<[Namespaces; 2]> {
    let deb = package(Root::Btrfs)?;
    let monitor = Guest::fleet_clone(SUITE, &deb, "monitor");
    Some([monitor, Guest::fleet_set_up(SUITE, &deb)].map(|guest| Namespaces::of(&guest)))
}

/// A system whose root is in memory, set up by these commands, too, off.
pub fn in_memory(commands: &str) -> Option<Namespaces> {
    let guest = Guest::in_memory(SUITE, &package(Root::Btrfs)?, commands);
    Some(Namespaces::in_memory(&guest))
}

/// The package under test, which `tools/vm-test` names; `None`, after it has said so, where no machine
/// can be started.
pub fn package(root: Root) -> Option<PathBuf> {
    let variable = match root {
        Root::Btrfs => "BLANKROOT_DEB",
        Root::Zfs => "BLANKROOT_ZFS_DEB",
    };
    let Some(deb) = env::var_os(variable) else {
        skip("run it by `make vm-test`, which builds the package under test");
        return None;
    };
    (!is_skipped()).then(|| deb.into())
}

/// Whether no machine can be started, after it has said so.
pub fn is_skipped() -> bool {
    let why = qemu::unavailable();
    why.iter().for_each(|why| skip(why));
    why.is_some()
}

fn skip(why: &str) {
    assert!(env::var_os("BLANKROOT_REQUIRE_REAL").is_none_or(|value| value != "1"), "{why}");
    println!("SKIPPED: {why}");
}

/// The command of the package under test, or the one that `BLANKROOT_COMMAND_FILE` names; `None`, after it
/// has said so, where no machine can be started.
pub fn command() -> Option<PathBuf> {
    if let Some(file) = env::var_os("BLANKROOT_COMMAND_FILE") {
        return Some(file.into());
    }
    let deb = package(Root::Btrfs)?;
    let content = std::fs::read(&deb).unwrap();
    let dir = artefact("command", &[&content], |dir| {
        programs::run("dpkg-deb", ["--extract".as_ref(), deb.as_os_str(), dir.as_os_str()]);
    });
    Some(dir.join("usr/bin/blankroot"))
}

/// A machine that is off, set up by the README's words.
pub fn machine(kind: Kind) -> Option<Machine> {
    machine_of(SUITE, kind)
}

/// The same of another suite.
pub fn machine_of(suite: &str, kind: Kind) -> Option<Machine> {
    Some(Machine::of(&Guest::set_up(suite, kind, &package(kind.root)?)))
}

/// The same, in its first boot since, which all who ask share: a boot takes a minute or two.
pub fn booted(kind: Kind) -> Option<Machine> {
    static BOOTED: Mutex<Vec<(Kind, Saved)>> = Mutex::new(Vec::new());
    let mut machine = machine(kind)?;
    let mut booted = BOOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = booted.iter().position(|(of, _)| *of == kind);
    let known = known.unwrap_or_else(|| {
        machine.boot();
        booted.push((kind, Saved::of(machine)));
        booted.len() - 1
    });
    Some(booted[known].1.resumed())
}

/// The initrd of the guest before Blankroot was set up in it.
pub fn plain_initrd(initrd: Initrd) -> PathBuf {
    Guest::debian(SUITE, initrd).file("initrd")
}

/// A machine whose disk is encrypted, off.
pub fn encrypted(kind: Kind) -> Option<Machine> {
    let mut machine = Machine::of(&Guest::encrypted(SUITE, kind, &package(kind.root)?));
    machine.unlock_with(match (kind.root, kind.initrd) {
        (Root::Btrfs, Initrd::InitramfsTools) => "cryptopts=target=os,source=/dev/vda,luks",
        (Root::Btrfs, Initrd::Dracut) => "rd.luks=1 rd.auto=1",
        (Root::Zfs, _) => "",
    });
    Some(machine)
}

/// A system that lived in its first boot after it was set up, and was booted again since.
pub struct Lived {
    system: Box<dyn System + Send>,
    /// What `/etc/machine-id` was in the boots before.
    pub machine_ids: Vec<String>,
}

impl Lived {
    /// The one of this place, made by the first who asks; `None` where there can be none.
    pub fn of(place: Place) -> Option<&'static Mutex<Self>> {
        static LIVED: Mutex<Vec<(Place, &'static Mutex<Lived>)>> = Mutex::new(Vec::new());
        let mut lived = LIVED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lived.iter().find(|(of, _)| *of == place) {
            return Some(known);
        }
        let new = Box::leak(Box::new(Mutex::new(Self::new(place)?)));
        lived.push((place, new));
        Some(new)
    }

    /// The system, which is up.
    pub fn system(&mut self) -> &mut dyn System {
        &mut *self.system
    }

    /// Boots it once more.
    pub fn reboot(&mut self) {
        self.machine_ids.push(self.system.run("cat /etc/machine-id"));
        self.system.reboot();
    }

    /// A boot in a machine takes a minute or two: it has the one of which its initrd has to show something.
    fn new(place: Place) -> Option<Self> {
        let Place::Machine(kind) = place else {
            let mut system = place.booted()?;
            system.run(LIFE);
            let mut lived = Self { system, machine_ids: Vec::new() };
            lived.reboot();
            return Some(lived);
        };
        let guest = Guest::set_up(SUITE, kind, &package(kind.root)?);
        let (mut machine, machine_ids) = match kind.root {
            // It has lived where its pool was made.
            Root::Zfs => (Machine::of(&guest), Vec::new()),
            Root::Btrfs => {
                let mut before = in_namespaces(kind)?;
                before.run(LIFE);
                let id = before.run("cat /etc/machine-id");
                before.shut_down();
                (Machine::with_disk(&guest, &before.disk()), vec![id])
            }
        };
        machine.boot();
        Some(Self { system: Box::new(machine), machine_ids })
    }
}
