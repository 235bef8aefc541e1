//! The units that audit at a boot's end and before the machine goes down.

use crate::root::Root;
use crate::systemd::Systemd;

const EXPIRE: &str = "blankroot-expire.service";
const AT_BOOT: &str = "blankroot-audit.service";
const AT_SHUTDOWN: &str = "blankroot-audit-shutdown.service";

fn installed() -> Root {
    Root::with_installed(&[EXPIRE, AT_BOOT, AT_SHUTDOWN])
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
