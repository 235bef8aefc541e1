//! What the generator writes in an initrd, and that systemd there orders it as it must: device, no
//! resume, rollback, root, early kept paths, switch root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::root::Root;
use crate::systemd::Systemd;

const ROLLBACK: &str = "blankroot-rollback.service";
const EARLY: &str = "blankroot-in-initrd.service";
const OURS: [&str; 3] = ["blankroot", "sysroot", "/tmp/"];

fn config(device: &str, more: &str) -> String {
    let device = toml::Value::from(device);
    format!("[root]\nbackend = \"btrfs\"\ndevice = {device}\n{more}")
}

const KEPT: &str = "[[storage]]\npath = \"/persist\"\nfiles = [\"/etc/machine-id\"]";

fn unit(root: &Root, name: &str) -> String {
    let text = root.written().remove(Path::new(name));
    assert!(text.is_some(), "no {name}");
    text.unwrap()
}

/// What systemd's own generators write for `root=` on the kernel command line, and for a swap device
/// with `resume=`.
fn with_root_device(root: &Root, device: &str) {
    let write = |name: &str, text: &str| {
        let path = root.units().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mount = "[Unit]\nDefaultDependencies=no\nRequires=systemd-fsck-root.service\n\
                 After=systemd-fsck-root.service blockdev@dev-sda.target\nAfter=local-fs-pre.target\n\
                 Before=initrd-root-fs.target\nConflicts=umount.target\n\
                 [Mount]\nWhere=/sysroot\nWhat=/dev/sda\nOptions=ro\n";
    write("sysroot.mount", mount);
    let needs = format!("[Unit]\nRequires={device}\nAfter={device}\n");
    write("initrd-root-device.target.d/50-root-device.conf", &needs);
    let check = format!(
        "[Unit]\nDefaultDependencies=no\nBindsTo={device}\nConflicts=shutdown.target\n\
         After=initrd-root-device.target local-fs-pre.target {device}\nBefore=shutdown.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    );
    write("systemd-fsck-root.service", &check);
    let resume = "[Unit]\nDefaultDependencies=no\nWants=local-fs-pre.target\n\
                  Before=local-fs-pre.target\nBindsTo=dev-swap.device\nAfter=dev-swap.device\n\
                  [Service]\nType=oneshot\nExecStart=/bin/true\n";
    write("systemd-hibernate-resume.service", resume);
    for (dir, name) in [
        ("initrd-root-fs.target.requires", "sysroot.mount"),
        ("sysinit.target.wants", "systemd-hibernate-resume.service"),
    ] {
        fs::create_dir_all(root.units().join(dir)).unwrap();
        symlink(format!("../{name}"), root.units().join(dir).join(name)).unwrap();
    }
}

#[test]
fn the_rollback_is_required_by_the_root_and_early_paths_are_wanted() {
    let root = Root::initrd(&config("/dev/disk/by-label/os", KEPT), "quiet");
    assert_eq!(root.start(), (0, String::new()));
    let written = root.written();
    let names: Vec<String> = written.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(
        names,
        [
            EARLY,
            ROLLBACK,
            "initrd.target.wants/blankroot-in-initrd.service",
            "sysroot.mount.requires/blankroot-rollback.service",
        ]
    );
    assert_eq!(
        written[Path::new("sysroot.mount.requires/blankroot-rollback.service")],
        "-> ../blankroot-rollback.service"
    );
    assert_eq!(root.kernel_log(), "");
}

#[test]
fn where_nothing_is_early_or_nothing_is_rolled_back_there_is_no_unit_for_it() {
    let without = Root::initrd(&config("/dev/sda", ""), "");
    assert_eq!(without.generate().unwrap().units, 1);
    unit(&without, ROLLBACK);
    let late = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/srv\"]\n\
                files = [{ path = \"/etc/machine-id\", in_initrd = false }]";
    assert_eq!(Root::initrd(&config("/dev/sda", late), "").generate().unwrap().units, 1);
    let tmpfs = Root::initrd(&format!("[root]\nbackend = \"tmpfs\"\n{KEPT}"), "");
    assert_eq!(tmpfs.generate().unwrap().units, 1);
    unit(&tmpfs, EARLY);
    let none = Root::bare();
    none.write("etc/initrd-release", "");
    assert_eq!(none.start(), (0, String::new()));
    assert!(none.written().is_empty());
}

/// The command knows `blankroot=halt`, and tells what is wrong where people see it.
#[test]
fn with_a_broken_configuration_the_rollback_is_started_all_the_same() {
    for broken in ["[root", "[root]\nbackend = \"btrfs\"\n", "\u{0}"] {
        let root = Root::initrd(broken, "");
        let (code, said) = root.start();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("/etc/blankroot.toml:"), "{said}");
        assert!(root.kernel_log().starts_with("<28>"), "{}", root.kernel_log());
        assert_eq!(root.written().len(), 2, "the rollback and its link");
        assert!(unit(&root, ROLLBACK).contains("SuccessExitStatus=1 2 3"));
    }
    let root = Root::initrd("", "blankroot=halt");
    fs::remove_file(root.path().join("etc/blankroot.toml")).unwrap();
    symlink("nowhere", root.path().join("etc/blankroot.toml")).unwrap();
    assert_eq!(root.start().0, 0);
    assert!(!unit(&root, ROLLBACK).contains("SuccessExitStatus"));
}

#[test]
fn only_who_asks_for_a_halt_stops_the_boot_for_more_than_exit_code_4() {
    let halt = "[rollback]\non_failure = \"halt\"\n";
    for (more, command_line, stops_for_all) in [
        ("", "quiet", false),
        ("", "blankroot=halt", true),
        (halt, "quiet", true),
        (halt, "blankroot=boot", false),
        (halt, "blankroot=skip", false),
        ("", "blankroot=skip", false),
    ] {
        let root = Root::initrd(&config("/dev/sda", more), command_line);
        root.generate().unwrap();
        let text = unit(&root, ROLLBACK);
        assert_eq!(!text.contains("SuccessExitStatus"), stops_for_all, "{more} {command_line}");
        let stops = |code: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix("SuccessExitStatus="));
            !lines.flat_map(|line| line.split(' ')).any(|one| one == code)
        };
        assert!(stops("4"), "{text}");
        for code in ["2", "3", "127", "203", "SIGSEGV", "SIGABRT", "SIGKILL", "SIGTERM"] {
            assert_eq!(stops(code), stops_for_all, "{code}: {text}");
        }
    }
}

/// A wrong name must not stop a boot, so it is wanted, and nothing else is said of it.
#[test]
fn systemd_waits_for_the_device_whatever_is_in_its_name() {
    for (device, name) in [
        ("/dev/disk/by-label/os", "dev-disk-by\\x2dlabel-os.device"),
        // As udev writes a space.
        ("/dev/disk/by-label/my\\x20os", "dev-disk-by\\x2dlabel-my\\x5cx20os.device"),
        ("/dev/mapper/a b%n\"'", "dev-mapper-a\\x20b\\x25n\\x22\\x27.device"),
        ("/dev//vg-0/./root", "dev-vg\\x2d0-root.device"),
    ] {
        let root = Root::initrd(&config(device, KEPT), "");
        assert_eq!(root.start(), (0, String::new()), "{device}");
        with_root_device(&root, name);
        let Some(systemd) = Systemd::in_initrd(root.units()) else { return };
        assert_eq!(systemd.complaints(&OURS), [""; 0], "{device}");
        let rollback = &systemd.read()[ROLLBACK];
        rollback.names("Wants", name);
        rollback.names("After", name);
        assert!(rollback.of("Requires").iter().all(|unit| !unit.contains("dev-")), "{device}");
    }
}

#[test]
fn a_device_that_no_unit_can_name_is_told_of_and_a_directory_waits_for_its_mount() {
    for device in [&format!("/dev/{}", "x".repeat(250)), "/dev/../sda"] {
        let root = Root::initrd(&config(device, ""), "");
        let (code, said) = root.start();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("does not wait for what it needs"), "{said}");
        assert!(!unit(&root, ROLLBACK).contains("Wants="));
    }
    let directory = "[root]\nbackend = \"directory\"\npath = \"/mnt/trees\"\n";
    let root = Root::initrd(directory, "");
    root.generate().unwrap();
    let text = unit(&root, ROLLBACK);
    assert!(text.contains("\nWants=mnt-trees.mount mnt.mount\nAfter=mnt-trees.mount"), "{text}");
}

#[test]
fn device_then_no_resume_then_rollback_then_root_then_early_paths() {
    let device = "dev-disk-by\\x2dlabel-os.device";
    let root = Root::initrd(&config("/dev/disk/by-label/os", KEPT), "");
    root.generate().unwrap();
    with_root_device(&root, device);
    let Some(systemd) = Systemd::in_initrd(root.units()) else { return };
    assert_eq!(systemd.complaints(&OURS), [""; 0]);
    let read = systemd.read();
    let rollback = &read[ROLLBACK];
    for before in ["initrd-root-device.target", "local-fs-pre.target", "systemd-fsck-root.service"]
    {
        rollback.names("After", before);
    }
    read["systemd-hibernate-resume.service"].names("Before", "local-fs-pre.target");
    rollback.names("Before", "sysroot.mount");
    read["sysroot.mount"].names("Requires", ROLLBACK);
    read["sysroot.mount"].names("After", ROLLBACK);
    read["initrd-root-fs.target"].names("Requires", "sysroot.mount");
    let early = &read[EARLY];
    for before in ["sysroot.mount", "initrd-fs.target"] {
        early.names("After", before);
    }
    for after in ["initrd.target", "initrd-cleanup.service"] {
        early.names("Before", after);
    }
    read["initrd.target"].names("Wants", EARLY);
    assert_eq!(read["initrd.target"].of("Requires").len(), 1, "no more than basic.target");
}

/// What the test above would say if the order was wrong.
#[test]
fn a_wrong_order_is_found() {
    for (unit, wrong) in
        [(ROLLBACK, "initrd-root-fs.target"), (ROLLBACK, "sysroot.mount"), (EARLY, "initrd.target")]
    {
        let root = Root::initrd(&config("/dev/disk/by-label/os", KEPT), "");
        root.generate().unwrap();
        with_root_device(&root, "dev-disk-by\\x2dlabel-os.device");
        let drop_in = root.units().join(format!("{unit}.d"));
        fs::create_dir(&drop_in).unwrap();
        fs::write(drop_in.join("wrong.conf"), format!("[Unit]\nAfter={wrong}\n")).unwrap();
        let Some(systemd) = Systemd::in_initrd(root.units()) else { return };
        let complaints = systemd.complaints(&OURS);
        let cycle = complaints.iter().any(|line| line.contains("ordering cycle"));
        assert!(cycle, "{unit} after {wrong}: {complaints:?}");
    }
}
