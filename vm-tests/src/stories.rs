//! What the tests of promises share: the package under test, the guests that have it, and machines that
//! several promises look at.

use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::artefact;
use crate::guest::{Guest, Initrd, Kind, Root};
use crate::machine::{Machine, Saved};
use crate::{programs, qemu};

/// The suite that most is tested on.
pub const SUITE: &str = "trixie";

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

/// A machine that lived in its first boot after it was set up, and was booted again since.
#[derive(Debug)]
pub struct Lived {
    machine: Machine,
    /// What `/etc/machine-id` was in the boots before.
    pub machine_ids: Vec<String>,
}

impl Lived {
    /// The one in `place`, made by the first who asks; `None` where there can be none.
    pub fn in_place(
        place: &'static Mutex<Option<Self>>,
        kind: Kind,
    ) -> Option<MutexGuard<'static, Option<Self>>> {
        // A promise that failed leaves the machine to the others.
        let mut lived = place.lock().unwrap_or_else(PoisonError::into_inner);
        if lived.is_none() {
            *lived = Some(Self::new(booted(kind)?));
        }
        Some(lived)
    }

    /// The machine, which is on.
    pub fn machine<'l>(lived: &'l mut MutexGuard<'_, Option<Self>>) -> &'l mut Machine {
        &mut lived.as_mut().expect("it was made").machine
    }

    /// Boots it once more: most promises need no third boot, and a boot takes a minute.
    pub fn reboot(&mut self) {
        self.machine_ids.push(self.machine.run("cat /etc/machine-id"));
        self.machine.reboot();
    }

    fn new(mut machine: Machine) -> Self {
        machine.run("echo 'state of the first boot' >/root/state; echo renamed >/etc/hostname");
        machine.run("echo feed the cat >/home/alice/note; echo a line of a log >/var/log/mine");
        let mut lived = Self { machine, machine_ids: Vec::new() };
        lived.reboot();
        lived
    }
}
