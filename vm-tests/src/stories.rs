//! What the tests of promises share: the package under test, the guests that have it, and machines that
//! several promises look at.

use std::env;
use std::path::PathBuf;

use crate::guest::{Guest, Initrd};
use crate::machine::Machine;
use crate::qemu;

/// The suite that most is tested on.
pub const SUITE: &str = "trixie";

/// The package under test, which `tools/vm-test` names; `None`, after it has said so, where no machine
/// can be started.
pub fn package() -> Option<PathBuf> {
    let why = match env::var_os("BLANKROOT_DEB") {
        None => "run it by `make vm-test`, which builds the package under test".to_string(),
        Some(deb) => match qemu::unavailable() {
            None => return Some(deb.into()),
            Some(why) => why,
        },
    };
    assert!(env::var_os("BLANKROOT_REQUIRE_REAL").is_none_or(|value| value != "1"), "{why}");
    println!("SKIPPED: {why}");
    None
}

/// A machine that is off, set up by the README's words.
pub fn machine(initrd: Initrd) -> Option<Machine> {
    Some(Machine::of(&Guest::with_blankroot(SUITE, initrd, &package()?)))
}

/// The same, in its first boot since.
pub fn booted(initrd: Initrd) -> Option<Machine> {
    let mut machine = machine(initrd)?;
    machine.boot();
    Some(machine)
}
