//! Stories of the generator: what it leaves, and what it says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dirfd::fault::{Fault, run_with};

use crate::root::{Root, WIKI};

const LIST: &str = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/srv\"]\n\
                    files = [\"/etc/machine-id\"]";

#[test]
fn it_writes_units_and_links_where_it_is_told_and_says_nothing() {
    let root = Root::with(LIST);
    assert_eq!(root.start(), (0, String::new()));
    let written = root.written();
    let names: Vec<String> = written.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(
        names,
        [
            "blankroot-adopt.service",
            "blankroot-apply.service",
            "blankroot-digest.service",
            "blankroot-prepare.service",
            "etc-machine\\x2did.mount",
            "local-fs.target.wants/blankroot-adopt.service",
            "local-fs.target.wants/blankroot-apply.service",
            "local-fs.target.wants/blankroot-digest.service",
            "local-fs.target.wants/blankroot-prepare.service",
            "local-fs.target.wants/etc-machine\\x2did.mount",
            "local-fs.target.wants/srv.mount",
            "srv.mount",
            "systemd-machine-id-commit.service.d/50-blankroot.conf",
        ]
    );
    assert_eq!(written[Path::new("local-fs.target.wants/srv.mount")], "-> ../srv.mount");
    assert_eq!(root.kernel_log(), "");
    assert!(!root.path().join("no-such-directory").exists());
}

#[test]
fn without_a_configuration_it_is_silent() {
    let root = Root::bare();
    assert_eq!(root.start(), (0, String::new()));
    assert!(root.written().is_empty());
    assert_eq!(root.kernel_log(), "");
}

/// Writes nothing, ends with 1, and says `why` on standard error and in the kernel's log.
#[track_caller]
fn refuses(root: &Root, why: &str) {
    let (code, said) = root.start();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("blankroot-generator: cannot ") && said.contains(why), "{said}");
    assert!(root.written().is_empty(), "{:?}", root.written().keys());
    let log = root.kernel_log();
    assert!(log.lines().all(|line| line.starts_with("<27>blankroot-generator[")), "{log}");
    assert!(log.contains(why), "{log}");
}

#[test]
fn of_a_broken_configuration_it_writes_nothing_and_tells_why() {
    let root = Root::with(&format!("{WIKI}\n[[storage]]\npath = \"/other\"\nfiles = [\"etc/x\"]"));
    refuses(&root, "/etc/blankroot.toml:22:10: the path `etc/x` is not absolute");
    refuses(&Root::with("x"), "/etc/blankroot.toml:3:");
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_taken_for_none() {
    let root = Root::bare();
    symlink("blankroot.toml", root.path().join("etc/blankroot.toml")).unwrap();
    refuses(&root, "cannot read the configuration /etc/blankroot.toml");
    let root = Root::bare();
    fs::create_dir(root.path().join("etc/blankroot.toml")).unwrap();
    refuses(&root, "cannot read the configuration /etc/blankroot.toml");
}

/// As after a boot without a rollback: `apply` has put a link there.
#[test]
fn with_a_configuration_in_a_storage_that_is_not_mounted_apply_does_everything() {
    for link in ["/per sist/etc/blankroot.toml", "../per sist/etc/./blankroot.toml"] {
        let root = Root::bare();
        symlink(link, root.path().join("etc/blankroot.toml")).unwrap();
        let (code, said) = root.start();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("a link to /per sist/etc/blankroot.toml, which is not"), "{said}");
        assert!(root.kernel_log().starts_with("<28>"), "{}", root.kernel_log());
        let written = root.written();
        assert_eq!(written.len(), 8, "four services, and what starts them: {written:?}");
        // It may be a root that starts empty.
        assert!(written.contains_key(Path::new("blankroot-digest.service")), "{written:?}");
        let apply = &written[Path::new("blankroot-apply.service")];
        assert!(apply.contains("\nAfter=per\\x20sist-etc-blankroot.toml.mount"), "{apply}");
        assert!(apply.contains(" per\\x20sist.mount\n"), "{apply}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let root = Root::with(LIST);
    fs::remove_dir(root.units()).unwrap();
    let (code, said) = root.start();
    assert_eq!(code, 1);
    assert!(said.starts_with("blankroot-generator: cannot open the directory "), "{said}");
    fs::create_dir(root.units()).unwrap();
}

#[test]
fn the_configuration_that_storage_has_outweighs_lives_copy() {
    for kept in ["files = [\"/etc/blankroot.toml\"]", "directories = [\"/etc\"]"] {
        let list = format!("[[storage]]\npath = \"/persist\"\n{kept}\n");
        let root = Root::with(&list);
        assert_eq!(root.start(), (0, String::new()), "{kept}: storage is not mounted yet");
        assert!(!root.written().contains_key(Path::new("srv.mount")));

        let root = Root::with(&list);
        let newer = "[[storage]]\npath = \"/new\"\ndirectories = [\"/srv\"]";
        let newer = format!("[root]\nbackend = \"tmpfs\"\n{list}{newer}");
        root.write("persist/etc/blankroot.toml", &newer);
        assert_eq!(root.start(), (0, String::new()), "{kept}");
        let unit = &root.written()[Path::new("srv.mount")];
        assert!(unit.contains("\nWhat=/new/srv\n"), "{unit}");
        assert!(unit.contains("\nSourcePath=/persist/etc/blankroot.toml\n"), "{unit}");
    }
}

#[test]
fn a_unit_of_another_generator_is_left_as_it_is() {
    let root = Root::with(LIST);
    fs::write(root.units().join("srv.mount"), "of fstab").unwrap();
    let (code, said) = root.start();
    assert_eq!(code, 0);
    assert!(
        said.contains("cannot write the unit srv.mount: another generator has made it"),
        "{said}"
    );
    assert!(root.kernel_log().starts_with("<28>blankroot-generator["), "{}", root.kernel_log());
    let written = root.written();
    assert_eq!(written[Path::new("srv.mount")], "of fstab");
    assert!(!written.contains_key(Path::new("local-fs.target.wants/srv.mount")));
    assert!(written.contains_key(Path::new("etc-machine\\x2did.mount")));
}

/// ENOSPC and EIO (`asm-generic/errno-base.h`).
const ERRNOS: [i32; 2] = [28, 5];

#[test]
fn whatever_fails_no_half_of_a_set_is_left() {
    let (result, passed) = run_with(None, None, || Root::with(LIST).generate());
    result.unwrap();
    assert!(passed.contains(&"units: link") && passed.contains(&"units: make directory"));
    for (at, point) in passed.iter().enumerate() {
        for errno in ERRNOS {
            let root = Root::with(LIST);
            fs::write(root.units().join("other.mount"), "of fstab").unwrap();
            let fault = Some(Fault::FailNth(at, errno));
            let (result, _) = run_with(fault, None, || root.generate());
            let error = result.err().unwrap_or_else(|| panic!("{at}, {point}: nobody noticed"));
            assert!(error.to_string().starts_with("cannot "), "{error}");
            let left: Vec<PathBuf> = root.written().into_keys().collect();
            assert_eq!(left, [PathBuf::from("other.mount")], "{at}, {point}");
        }
    }
}

#[test]
fn what_fstab_mounts_is_left_to_fstab_and_everything_else_goes_on() {
    let list = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/home\", \"/srv\"]\n\
                [storage.users.alice]\ndirectories = [\".ssh\"]\n";
    let root = Root::with(list);
    root.write("etc/fstab", "UUID=x /home btrfs subvol=@home\nUUID=x /persist btrfs subvol=p\n");
    let (code, said) = root.start();
    assert_eq!(code, 0);
    for path in ["/home", "/home/alice/.ssh"] {
        let told = format!("no mount unit for {path}: line 1 of /etc/fstab mounts /home, which");
        assert!(said.contains(&told), "{said}");
    }
    let written = root.written();
    assert!(!written.contains_key(Path::new("home.mount")), "{written:?}");
    assert!(!written.keys().any(|name| name.to_string_lossy().contains("alice")), "{written:?}");
    assert!(written.contains_key(Path::new("srv.mount")));
    for service in ["blankroot-prepare.service", "blankroot-apply.service"] {
        let unit = &written[Path::new(service)];
        assert!(unit.contains("\nAfter=home.mount\n"), "nothing is made below it before: {unit}");
    }
}

#[test]
fn a_storage_in_fstab_is_no_reason_to_leave_anything_out() {
    let list = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/srv\", \"/tmp/x\"]\n";
    let root = Root::with(list);
    root.write("etc/fstab", "UUID=x /persist btrfs subvol=p\ntmpfs /tmp tmpfs\nUUID=y none swap\n");
    assert_eq!(root.start(), (0, String::new()));
    assert!(root.written().contains_key(Path::new("srv.mount")));
}
