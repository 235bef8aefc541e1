//! What is mounted for an early path, from fstab and what is there.

use nix::libc;
use proptest::prelude::*;

use super::*;
use crate::boot::fstab;
use crate::persist::list::fixture;

fn entry(line: &str) -> FstabEntry {
    fstab::parse_entries(line.as_bytes()).remove(0)
}

fn mount(line: &str) -> StorageMount {
    StorageMount::of(&entry(line)).unwrap()
}

#[test]
fn early_entries_bring_the_entries_that_they_lie_in() {
    let list = fixture::entries(
        "directories = [\"/var\", \"/var/lib\", { path = \"/srv\", in_initrd = true }, \"/opt\", \
         { path = \"/var/log\", in_initrd = false }, \"/var/lib/nixos\"]\nfiles = [\"/etc/machine-id\"]",
    );
    let early: Vec<String> =
        early_entries(&list).iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(early, ["/etc/machine-id", "/srv", "/var", "/var/lib", "/var/lib/nixos"]);
}

#[test]
fn a_storage_is_mounted_with_what_it_lies_in_and_what_is_mounted_is_left_alone() {
    let list = fixture::entries(
        "files = [\"/etc/machine-id\"]\n[[storage]]\npath = \"/nix/deep/data\"\n\
         directories = [\"/var/log\"]\n[[storage]]\npath = \"/there\"\n\
         directories = [{ path = \"/srv\", in_initrd = true }]",
    );
    let fstab = fstab::parse_entries(
        b"/dev/c /there ext4\n/dev/b /nix/deep ext4\n/dev/a /nix btrfs\n/dev/x /nix tmpfs\n\
          /dev/d /var ext4\n/dev/e / btrfs",
    );
    let asked = std::cell::RefCell::new(Vec::new());
    let plan = plan_early(&list, &fstab, |point| {
        asked.borrow_mut().push(point.to_string());
        if point.to_string() == "/there" { MountPointState::Mounted } else { MountPointState::Free }
    });
    assert_eq!(
        plan.to_string(),
        "1. mount /dev/a at /nix, as line 3 of /etc/fstab says\n\
         2. mount /dev/b at /nix/deep, as line 2 of /etc/fstab says\n"
    );
    assert_eq!(plan.refusals, []);
    assert_eq!(
        *asked.borrow(),
        ["/nix", "/there"],
        "what lies in a mount to come is not there yet"
    );
}

#[test]
fn what_cannot_be_mounted_is_told_with_its_line_and_hides_what_lies_in_it() {
    let list = fixture::entries(
        "files = [{ path = \"/etc/machine-id\", storage = \"/persist/x\" }]\n\
         [[storage]]\npath = \"/persist/x\"",
    );
    let fstab = fstab::parse_entries(b"\n/dev/a /persist btrfs\n/dev/b /persist/x ext4");
    let point = |point: MountPointState| plan_early(&list, &fstab, |_| point.clone());
    let missing = point(MountPointState::Missing);
    assert_eq!(missing.mounts, []);
    assert_eq!(
        missing.refusals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["cannot mount /persist (line 2 of /etc/fstab): its mount point is not there\n  \
          hint: make the directory /persist in blank, where each boot finds it"]
    );
    let wrong = fstab::parse_entries(b"/dev/a /persist nfs");
    let plan = plan_early(&list, &wrong, |_| MountPointState::Free);
    assert!(plan.refusals[0].hint.contains("`x-initrd.mount` to line 1"), "{plan:?}");
}

#[test]
fn a_device_is_found_by_its_path_or_by_the_link_that_udev_makes() {
    for (field, found) in [
        ("/dev/vg/x", "/dev/vg/x"),
        ("UUID=0a-B", "/dev/disk/by-uuid/0a-B"),
        ("UUID=\"0a\"", "/dev/disk/by-uuid/0a"),
        ("PARTUUID=0a", "/dev/disk/by-partuuid/0a"),
        ("PARTLABEL=a#b", "/dev/disk/by-partlabel/a#b"),
        ("ID=ata-x", "/dev/disk/by-id/ata-x"),
        ("LABEL=my\\040\u{f6}/../x", "/dev/disk/by-label/my\\\\x20\u{f6}\\\\x2f..\\\\x2fx"),
    ] {
        let mount = mount(&format!("{field} /persist btrfs"));
        assert!(matches!(mount.source, MountSource::Device(_)), "{field}");
        assert_eq!(mount.source.to_string(), found, "{field}");
    }
    assert_eq!(mount("tmpfs /persist tmpfs").source, MountSource::Name(b"tmpfs".to_vec()));
    assert!(StorageMount::of(&entry("/dev/../x /persist ext4")).is_err());
}

#[test]
fn the_kernel_gets_its_options_and_no_others() {
    let mount = mount(
        "x /persist btrfs rw,noatime,nofail,noauto,_netdev,x-systemd.device-timeout=5,X-foo,comment=a,\
         subvol=/a=b,compress=zstd,user,suid,context=\"u:r,s0\",,lazytime,ro",
    );
    let options: Vec<(&str, Option<&str>)> =
        mount.options.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
    assert_eq!(
        options,
        [
            ("rw", None),
            ("subvol", Some("/a=b")),
            ("compress", Some("zstd")),
            ("context", Some("\"u:r,s0\"")),
            ("lazytime", None),
            ("ro", None),
        ]
    );
    let expected = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOATIME
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    assert_eq!(mount.attributes, expected, "of two opposites the last one counts");
}

#[test]
fn what_the_kernel_cannot_do_is_refused() {
    for line in [
        "x /p auto",
        "x /p",
        "x /p none",
        "/a /p none bind",
        "/a /p ext4 bind",
        "/a /p ext4 loop",
        "/a /p ext4 loop=/dev/loop1",
        "/a /p ext4 verity.roothash=1",
        "host:/a /p nfs4",
        "x /p fuse.sshfs",
        "overlay /p overlay lowerdir=/a",
    ] {
        let (why, hint) = StorageMount::of(&entry(line)).unwrap_err();
        assert!(!why.is_empty() && hint.contains("line 1"), "{line}: {why}, {hint}");
    }
}

proptest! {
    /// A line that is nobody's friend leads to a plan or to a reason on one line.
    #[test]
    fn no_line_makes_it_fail(bytes: Vec<u8>, options in "[a-z=,\"\\-xX]{0,40}") {
        let line = [b"LABEL=", bytes.as_slice(), b" /persist btrfs \\012", options.as_bytes()].concat();
        for entry in fstab::parse_entries(&line) {
            match StorageMount::of(&entry) {
                Ok(mount) => {
                    prop_assert!(!mount.to_string().contains(char::is_control));
                    for (key, _) in &mount.options {
                        prop_assert!(!key.starts_with("x-") && !key.contains('='));
                    }
                }
                Err((why, hint)) => {
                    prop_assert!(![why, hint].concat().contains(char::is_control));
                }
            }
        }
    }
}
