//! The texts of units, whole.

use std::path::Path;

use super::*;
use crate::systemd::initrd_units;
use crate::systemd::unit_set::{FINISH, IN_INITRD, ROLLBACK};

fn units(text: &str) -> Units {
    let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
    let config = Config::parse(Path::new("/etc/blankroot.toml"), text.as_bytes()).unwrap();
    let origin = TreePath::parse(b"/etc/blankroot.toml").unwrap();
    Units::of(&config, "/usr/bin/blankroot", &origin, &[]).unwrap()
}

#[track_caller]
fn text(units: &Units, name: &str) -> String {
    let found = units.files.iter().find(|unit| unit.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {units:#?}")).text.clone()
}

fn names(units: &Units) -> Vec<&str> {
    units.files.iter().map(|unit| unit.name.as_str()).collect()
}

const SERVICES: [&str; 4] = [PREPARE, APPLY, ADOPT, DIGEST];

#[test]
fn a_directory() {
    let units = units("[[storage]]\npath = \"/persist\"\ndirectories = [\"/var/lib/x\"]");
    insta::assert_snapshot!(text(&units, "var-lib-x.mount"), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Kept directory /var/lib/x
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    RequiresMountsFor="/persist"
    Wants=blankroot-prepare.service
    After=local-fs-pre.target blankroot-prepare.service
    Before=blankroot-apply.service blankroot-adopt.service local-fs.target
    Conflicts=umount.target
    Before=umount.target
    ConditionPathIsDirectory=/persist/var/lib/x
    ConditionPathIsDirectory=/var/lib/x
    ConditionPathIsSymbolicLink=!/var/lib/x
    ConditionPathExists=!/run/blankroot/held/%n

    [Mount]
    What=/persist/var/lib/x
    Where=/var/lib/x
    Type=none
    Options=bind,X-fstrim.notrim
    "#);
    let started: Vec<&str> = units.links.iter().map(|link| link.unit.as_str()).collect();
    assert_eq!(started, [&SERVICES[..], &["var-lib-x.mount"]].concat());
}

/// No step of a path that its owner can replace may be a link, on either side.
#[test]
fn a_directory_in_a_home() {
    let units = units(
        r#"
        [[storage]]
        path = "/per sist"
        hide_mounts = true
        [storage.users.bob]
        home = "/srv/bob"
        directories = [{ path = "stow/.config/100% x", strip_prefix = true, allow_trash = true,
                         options = ["noexec", "nosuid"], notrim = false }]
        "#,
    );
    insta::assert_snapshot!(text(&units, "srv-bob-.config-100\\x25\\x20x.mount"), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Kept directory /srv/bob/.config/100%% x
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    RequiresMountsFor="/per sist"
    Wants=blankroot-prepare.service
    After=local-fs-pre.target blankroot-prepare.service
    Before=blankroot-apply.service blankroot-adopt.service local-fs.target
    Conflicts=umount.target
    Before=umount.target
    ConditionPathIsDirectory=/per sist/srv/bob/stow/.config/100%% x
    ConditionPathIsDirectory=/srv/bob/.config/100%% x
    ConditionPathIsSymbolicLink=!/per sist/srv/bob/stow
    ConditionPathIsSymbolicLink=!/per sist/srv/bob/stow/.config
    ConditionPathIsSymbolicLink=!/per sist/srv/bob/stow/.config/100%% x
    ConditionPathIsSymbolicLink=!/srv/bob/.config
    ConditionPathIsSymbolicLink=!/srv/bob/.config/100%% x
    ConditionPathExists=!/run/blankroot/held/%n

    [Mount]
    What=/per sist/srv/bob/stow/.config/100%% x
    Where=/srv/bob/.config/100%% x
    Type=none
    Options=bind,noexec,nosuid,x-gvfs-hide,x-gvfs-trash
    "#);
}

#[test]
fn a_path_in_home_is_in_a_home_whoever_named_it() {
    let units = units("[[storage]]\npath = \"/persist\"\ndirectories = [\"/home/alice/.ssh\"]");
    let text = text(&units, "home-alice-.ssh.mount");
    assert!(text.contains("ConditionPathIsSymbolicLink=!/persist/home/alice/.ssh\n"), "{text}");
    assert!(text.contains("ConditionPathIsSymbolicLink=!/home/alice/.ssh\n"), "{text}");
}

#[test]
fn a_file_is_mounted_where_it_is_in_storage_and_no_link_leads_there_yet() {
    let units = units("[[storage]]\npath = \"/persist\"\nfiles = [\"/etc/x\"]");
    let text = text(&units, "etc-x.mount");
    let conditions: Vec<&str> = text.lines().filter(|line| line.starts_with("Condition")).collect();
    assert_eq!(
        conditions,
        [
            "ConditionPathExists=/persist/etc/x",
            "ConditionPathExists=/etc/x",
            "ConditionPathIsSymbolicLink=!/etc/x",
            "ConditionPathExists=!/run/blankroot/held/%n",
        ]
    );
}

#[test]
fn what_is_mounted_in_the_initrd_stays_until_the_end() {
    let units = units(
        r#"
        [[storage]]
        path = "/persist"
        directories = ["/var/log", { path = "/var/lib/systemd", in_initrd = false },
                       { path = "/opt/x", in_initrd = true }]
        "#,
    );
    for (name, stays) in [("var-log", true), ("var-lib-systemd", false), ("opt-x", true)] {
        let text = text(&units, &format!("{name}.mount"));
        assert_eq!(text.contains(",x-initrd.mount\n"), stays, "{text}");
        assert_eq!(!text.contains("umount.target"), stays, "{text}");
    }
}

#[test]
fn the_services_around_the_mounts() {
    let units = units(
        r#"
        [[storage]]
        path = "/nix/per sist"
        files = [{ path = "/etc/a", how = "symlink" }, "/etc/hostname"]
        [[storage]]
        path = "/other"
        enable = false
        directories = ["/x"]
        "#,
    );
    assert_eq!(names(&units), SERVICES, "links are no mounts");
    insta::assert_snapshot!(text(&units, PREPARE), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Make Sources and Targets of Kept Paths
    Documentation=man:blankroot-apply(1)
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    Conflicts=shutdown.target
    Before=shutdown.target
    Wants=nix-per\x20sist.mount nix.mount
    After=nix-per\x20sist.mount nix.mount
    After=systemd-remount-fs.service local-fs-pre.target
    Before=local-fs.target systemd-journal-flush.service systemd-random-seed.service

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart="/usr/bin/blankroot" apply --no-mounts
    SuccessExitStatus=1
    "#);
    let apply = text(&units, APPLY);
    assert!(apply.contains("\nAfter=blankroot-prepare.service\n"), "{apply}");
    assert!(apply.ends_with("\nExecStart=\"/usr/bin/blankroot\" apply\n"), "{apply}");
    insta::assert_snapshot!(text(&units, ADOPT), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Save What Replaced Links of Kept Paths
    Documentation=man:blankroot-apply(1)
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    Conflicts=shutdown.target
    Before=shutdown.target
    Wants=nix-per\x20sist.mount nix.mount
    After=nix-per\x20sist.mount nix.mount
    After=blankroot-apply.service
    Before=local-fs.target

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStop="/usr/bin/blankroot" apply --adopt-replaced --no-mounts
    TimeoutStopSec=10min
    "#);
}

/// The first storage has the digests, whether anything is kept in it or not.
#[test]
fn a_digest_is_written_before_its_storage_goes() {
    let units = units(
        "[[storage]]\npath = \"/first\"\n\
         [[storage]]\npath = \"/persist\"\ndirectories = [\"/var/lib/x\"]",
    );
    insta::assert_snapshot!(text(&units, DIGEST), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Write Down What This Boot Made
    Documentation=man:blankroot-apply(1)
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    Conflicts=shutdown.target
    Before=shutdown.target
    Wants=first.mount persist.mount
    After=first.mount persist.mount
    After=blankroot-apply.service
    Before=local-fs.target

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStop="/usr/bin/blankroot" digest
    TimeoutStopSec=5s
    "#);
    assert!(!text(&units, ADOPT).contains("first.mount"));
}

#[test]
fn a_kept_machine_id_is_not_committed_once_more() {
    let kept = units("[[storage]]\npath = \"/persist\"\nfiles = [\"/etc/machine-id\"]");
    let name = "systemd-machine-id-commit.service.d/50-blankroot.conf";
    insta::assert_snapshot!(text(&kept, name), @r"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    ConditionFileNotEmpty=!/persist/etc/machine-id
    ");
    assert!(kept.links.iter().all(|link| link.unit != name));
    let linked = units(
        "[[storage]]\npath = \"/persist\"\nfiles = [{ path = \"/etc/machine-id\", how = \"symlink\" }]",
    );
    assert_eq!(names(&linked), SERVICES);
}

#[test]
fn what_no_unit_can_express_is_left_to_apply_and_the_rest_is_not() {
    let long = format!("/{}", "x".repeat(250));
    let units = units(&format!(
        "[[storage]]\npath = \"/persist\"\n\
         directories = [\"/a\\nWhat=/etc\", \"/b \", \"/c\\\\\", \"{long}\", \"/good\"]",
    ));
    assert_eq!(names(&units), [&SERVICES[..], &["good.mount"]].concat());
    let left: Vec<&str> = units.left.iter().map(|left| left.why.as_str()).collect();
    assert_eq!(
        left,
        [
            "the path /a\\nWhat=/etc has a control character, which a unit file cannot have",
            "the path /b  ends with a backslash or a space, which a unit file cannot have there",
            "the path /c\\\\ ends with a backslash or a space, which a unit file cannot have there",
            "its path is too long for the name of a unit",
        ]
    );
}

/// Then all of the path in storage is the user's.
#[test]
fn data_of_a_home_that_lies_elsewhere_in_storage_is_not_reached_through_a_link_either() {
    for (data, whole) in [(".", "/stow/.config/x"), ("other/place", "/other/place/stow/.config/x")]
    {
        let units = units(&format!(
            "[[storage]]\npath = \"/dot/files\"\n[storage.users.bob]\ndata = \"{data}\"\n\
             directories = [{{ path = \"stow/.config/x\", strip_prefix = true }}]"
        ));
        let text = text(&units, "home-bob-.config-x.mount");
        assert!(text.contains(&format!("\nWhat=/dot/files{whole}\n")), "{text}");
        let guards: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("ConditionPathIsSymbolicLink=!"))
            .collect();
        let start = format!("/dot/files{}", whole.trim_end_matches("/stow/.config/x"));
        let below =
            ["/stow", "/stow/.config", "/stow/.config/x"].map(|step| format!("{start}{step}"));
        assert_eq!(guards[..3], below);
        assert_eq!(guards[3..], ["/home/bob/.config", "/home/bob/.config/x"]);
    }
}

#[test]
fn where_nothing_is_kept_there_is_nothing() {
    assert_eq!(units(""), Units::default());
    assert_eq!(units("[[storage]]\npath = \"/persist\""), Units::default());
}

/// What a boot's initrd has with this configuration.
fn in_initrd(rest: &str) -> Units {
    let text = format!("[root]\nbackend = \"btrfs\"\ndevice = \"/dev/disk/by-label/os\"\n{rest}");
    let config = Config::parse(Path::new("/etc/blankroot.toml"), text.as_bytes()).unwrap();
    let known = initrd_units::InInitrd { config: Some(&config), asked: None };
    let (units, warning) = known.units("/usr/bin/blankroot").unwrap();
    assert_eq!(warning, None);
    units
}

#[test]
fn the_rollback_in_the_initrd() {
    let units = in_initrd("[rollback]\non_failure = \"halt\"");
    insta::assert_snapshot!(text(&units, ROLLBACK), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Roll Back the Root to Blank
    Documentation=man:blankroot-rollback(1)
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    Conflicts=shutdown.target
    Before=shutdown.target
    Wants=dev-disk-by\x2dlabel-os.device
    After=dev-disk-by\x2dlabel-os.device
    After=initrd-root-device.target local-fs-pre.target systemd-hibernate-resume.service systemd-fsck-root.service dracut-pre-mount.service
    Before=sysroot.mount initrd-root-fs.target
    OnFailure=emergency.target
    OnFailureJobMode=replace-irreversibly

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart="/usr/bin/blankroot" rollback --config /etc/blankroot.toml
    StandardError=journal+console
    TimeoutStartSec=infinity
    "#);
    let lenient = text(&in_initrd(""), ROLLBACK);
    let codes: Vec<&str> = lenient
        .lines()
        .filter_map(|line| line.strip_prefix("SuccessExitStatus="))
        .flat_map(|codes| codes.split(' '))
        .collect();
    assert!(!codes.contains(&"4") && codes.len() > 60, "{lenient}");
    assert!(lenient.contains("\nLimitCORE=1\n"), "a crash with a core dump is never a success");
}

#[test]
fn the_rollback_waits_for_the_import_of_a_pool() {
    let config = b"[root]\nbackend = \"zfs\"\ndataset = \"rpool/local\"\n";
    let config = Config::parse(Path::new("/etc/blankroot.toml"), config).unwrap();
    let known = initrd_units::InInitrd { config: Some(&config), asked: None };
    let (units, warning) = known.units("/usr/bin/blankroot").unwrap();
    let rollback = text(&units, ROLLBACK);
    assert_eq!(warning, None);
    let imported = "zfs-import.target zfs-import-rpool.service";
    assert!(rollback.contains(&format!("\nAfter={imported}\n")), "{rollback}");
    assert!(!rollback.contains("Wants="), "what it wants runs again after the switch: {rollback}");
    let importers = "zfs-import-cache.service zfs-import-scan.service zfs-import-rpool.service";
    let before = "zfs-import.target zfs-env-bootfs.service blankroot-rollback.service";
    let order = format!("\nAfter={importers}\nBefore={before}\n");
    let finish = text(&units, FINISH);
    assert!(finish.contains(&order), "{finish}");
    let command =
        r#"ExecStart="/usr/bin/blankroot" rollback --finish --config /etc/blankroot.toml"#;
    assert!(finish.contains(command), "{finish}");
}

#[test]
fn early_paths_in_the_initrd() {
    let units = in_initrd("[[storage]]\npath = \"/persist\"\ndirectories = [\"/var/log\"]");
    insta::assert_snapshot!(text(&units, IN_INITRD), @r#"
    # Made by blankroot-generator from /etc/blankroot.toml.

    [Unit]
    Description=Put Early Kept Paths in Place
    Documentation=man:blankroot-apply(1)
    SourcePath=/etc/blankroot.toml
    DefaultDependencies=no
    Conflicts=shutdown.target
    Before=shutdown.target
    After=sysroot.mount initrd-root-fs.target initrd-fs.target
    Before=initrd.target initrd-cleanup.service initrd-switch-root.target
    ConditionPathIsMountPoint=/sysroot

    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart="/usr/bin/blankroot" apply --in-initrd --root /sysroot
    StandardError=journal+console
    TimeoutStartSec=5min
    "#);
    let links: Vec<_> = units.links.iter().map(|link| (link.dir, link.unit.as_str())).collect();
    assert_eq!(links, [("sysroot.mount.requires", ROLLBACK), ("initrd.target.wants", IN_INITRD)]);
}
