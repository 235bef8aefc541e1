//! The unit that deletes old roots comes after the boot, which does not wait for it.

use std::fs;

use crate::root::Root;
use crate::systemd::Systemd;

const NAME: &str = "blankroot-expire.service";
const TARGET: &str = "multi-user.target";

#[test]
fn expiry_starts_when_the_boot_is_complete_and_the_boot_does_not_wait_for_it() {
    let root = Root::with_installed(&[NAME]);
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&["blankroot"]), [""; 0]);
    let read = systemd.read();
    read[NAME].names("After", TARGET);
    read[NAME].names("WantedBy", TARGET);
    assert_eq!(read[NAME].conditions("ConditionPathExists"), ["/etc/blankroot.toml"]);
    // A start job that lasts as long as the work would keep the boot from being complete.
    assert_eq!(read[NAME].of("Type"), ["exec"]);
    let waits = read[TARGET].of("After");
    assert!(!waits.iter().any(|unit| unit.contains(NAME)), "{waits:?}");
}

/// What the test above would say if the order was wrong.
#[test]
fn an_expiry_before_the_end_of_the_boot_is_found() {
    let root = Root::with_installed(&[NAME]);
    let drop_in = root.units().join(format!("{NAME}.d"));
    fs::create_dir(&drop_in).unwrap();
    fs::write(drop_in.join("wrong.conf"), format!("[Unit]\nBefore={TARGET}\n")).unwrap();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    let complaints = systemd.complaints(&["blankroot"]);
    assert!(complaints.iter().any(|line| line.contains("ordering cycle")), "{complaints:?}");
}
