//! The units that audit at a boot's end and before the machine goes down.

use std::fs;
use std::os::unix::fs::symlink;

use crate::root::{Root, WIKI};
use crate::systemd::Systemd;

const EXPIRE: &str = "blankroot-expire.service";
const AT_BOOT: &str = "blankroot-audit.service";
const AT_SHUTDOWN: &str = "blankroot-audit-shutdown.service";

/// The units as they are installed, with the command that was built here.
fn installed() -> Root {
    let root = Root::with(WIKI);
    for name in [EXPIRE, AT_BOOT, AT_SHUTDOWN] {
        let unit = format!("{}/boot/systemd/{name}", env!("CARGO_MANIFEST_DIR"));
        let unit = fs::read_to_string(unit).unwrap();
        for target in unit.lines().filter_map(|line| line.strip_prefix("WantedBy=")) {
            let wants = root.units().join(format!("{target}.wants"));
            fs::create_dir_all(&wants).unwrap();
            symlink(format!("../{name}"), wants.join(name)).unwrap();
        }
        let unit = unit.replace("/usr/bin/blankroot", env!("CARGO_BIN_EXE_blankroot"));
        fs::write(root.units().join(name), unit).unwrap();
    }
    root
}

#[test]
fn the_audit_of_a_boot_comes_after_the_digests_whatever_became_of_them() {
    let root = installed();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&["blankroot"]), [""; 0]);
    let read = systemd.read();
    for key in ["OnSuccess", "OnFailure"] {
        read[EXPIRE].names(key, AT_BOOT);
    }
    assert_eq!(read[AT_BOOT].conditions("ConditionPathExists"), ["/etc/blankroot.toml"]);
}

#[test]
fn the_audit_before_the_end_is_stopped_after_services_and_before_storages() {
    let root = installed();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    let read = systemd.read();
    // Units stop in the reverse order of their start, and services start after this target.
    read[AT_SHUTDOWN].names("Before", "sysinit.target");
    read[AT_SHUTDOWN].names("After", "local-fs.target");
    read[AT_SHUTDOWN].names("Conflicts", "shutdown.target");
    read[AT_SHUTDOWN].names("WantedBy", "sysinit.target");
}
