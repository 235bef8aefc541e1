//! The boot of the distribution with our units in it has no cycle, and the journal waits for us.

use std::fs;

use crate::root::{Root, WIKI};
use crate::systemd::Systemd;

const OURS: [&str; 4] = ["blankroot", "var-log.mount", "etc-machine", "/tmp/"];

/// A storage that fstab mounts, as its generator writes it.
fn with_storage_mounted(root: &Root) {
    let text = "[Unit]\nBefore=local-fs.target\n[Mount]\nWhat=tmpfs\nWhere=/nix\nType=tmpfs\n";
    fs::write(root.units().join("nix.mount"), text).unwrap();
}

fn with_early_entries() -> Root {
    let root = Root::with(
        "[[storage]]\npath = \"/nix/persist\"\n\
         directories = [\"/var/log\", \"/var/lib/systemd\", \"/var/lib\", \"/srv\"]\n\
         files = [\"/etc/machine-id\", { path = \"/etc/x\", how = \"symlink\" }]",
    );
    with_storage_mounted(&root);
    root
}

#[test]
fn the_wikis_example_boots_without_a_complaint() {
    let root = Root::with(WIKI);
    with_storage_mounted(&root);
    root.generate().unwrap();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&OURS), [""; 0]);
    let read = systemd.read();
    for (name, path) in [
        ("var-log.mount", "var/log"),
        ("var-lib-systemd-coredump.mount", "var/lib/systemd/coredump"),
        (
            "etc-NetworkManager-system\\x2dconnections.mount",
            "etc/NetworkManager/system-connections",
        ),
        ("etc-machine\\x2did.mount", "etc/machine-id"),
        ("etc-nix-id_rsa.mount", "etc/nix/id_rsa"),
    ] {
        assert_eq!(read[name].of("What"), [format!("/nix/persist/system/{path}")]);
        assert_eq!(read[name].of("Where"), [format!("/{path}")]);
        read[name].names("WantedBy", "local-fs.target");
        read[name].names("Requires", "nix.mount");
        read[name].names("After", "nix.mount");
    }
}

#[test]
fn what_waits_for_a_kept_path_waits_for_its_mount_and_its_links() {
    let root = with_early_entries();
    root.generate().unwrap();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&OURS), [""; 0]);
    let read = systemd.read();
    read["systemd-journal-flush.service"].names("After", "var-log.mount");
    read["systemd-journal-flush.service"].names("After", "blankroot-apply.service");
    read["systemd-tmpfiles-setup.service"].names("After", "local-fs.target");
    read["local-fs.target"].names("After", "blankroot-apply.service");
    read["var-lib-systemd.mount"].names("After", "var-lib.mount");
    for mount in ["var-log.mount", "srv.mount"] {
        read[mount].names("After", "blankroot-prepare.service");
        read[mount].names("Before", "local-fs.target");
        // The order of a shutdown is this one reversed.
        read[mount].names("Before", "blankroot-adopt.service");
    }
    for service in ["prepare", "apply", "adopt"] {
        read[&format!("blankroot-{service}.service")].names("After", "nix.mount");
    }
    assert_eq!(read["local-fs.target"].of("Requires"), [""; 0], "a failed mount stops the boot");
    let commit = &read["systemd-machine-id-commit.service"];
    assert_eq!(commit.conditions("ConditionFileNotEmpty"), ["!/nix/persist/etc/machine-id"]);
    assert!(!commit.of("ConditionPathIsMountPoint").is_empty(), "its own conditions are gone");
}

/// What the two tests above would say if the order was wrong.
#[test]
fn a_wrong_order_is_found() {
    for (unit, wrong) in [
        ("var-log.mount", "systemd-journal-flush.service"),
        ("srv.mount", "systemd-tmpfiles-setup.service"),
        ("blankroot-adopt.service", "sysinit.target"),
    ] {
        let root = with_early_entries();
        root.generate().unwrap();
        let drop_in = root.units().join(format!("{unit}.d"));
        fs::create_dir(&drop_in).unwrap();
        fs::write(drop_in.join("wrong.conf"), format!("[Unit]\nAfter={wrong}\n")).unwrap();
        let Some(systemd) = Systemd::with(root.units()) else { return };
        let complaints = systemd.complaints(&OURS);
        let cycle = complaints.iter().any(|line| line.contains("ordering cycle"));
        assert!(cycle, "{unit} after {wrong}: {complaints:?}");
    }
}
