//! `rollback`: live is blank again, nothing is lost, and the boot knows.

use std::fs;

use serde_json::json;
use support::kernel::create_subvolume;
use support::oracle;

use crate::machine::{BOOT, Machine, on_initialised, on_machine, on_machine_with_two_disks};

/// Lives a little: all kinds of changes.
fn live_a_little(machine: &Machine<'_>) {
    let live = machine.live();
    fs::write(live.join("etc/a b\nc"), "new").unwrap();
    fs::write(live.join("etc/inline"), "changed").unwrap();
    fs::remove_file(live.join("etc/empty")).unwrap();
    fs::create_dir_all(live.join("var/lib/app/data")).unwrap();
    fs::write(live.join("var/lib/app/data/1"), "1").unwrap();
    create_subvolume(&live.join("var/lib/portables")).unwrap();
    fs::write(live.join("var/lib/portables/inside"), "kept").unwrap();
}

#[test]
fn live_is_blank_again_and_the_old_root_holds_what_was_there() {
    on_initialised(|machine| {
        machine.mount();
        live_a_little(machine);
        let before = oracle::walk(machine.live());
        let ran = machine.roll_back().expect(0).says("rolled back in ");
        ran.says("the old root is old-roots/000001-3f2a1c9e");
        let blank = oracle::walk(&machine.top().join("root-blank"));
        assert_eq!(oracle::changes(&blank, &oracle::walk(machine.live())), []);
        let old = machine.top().join("old-roots/000001-3f2a1c9e");
        assert_eq!(oracle::changes(&before, &oracle::walk(&old)), []);
        assert_eq!(fs::read(old.join("var/lib/portables/inside")).unwrap(), b"kept");
        assert_eq!(fs::read(old.join("var/machines/inside")).unwrap(), b"of the subvolume\n");

        let stamp = machine.stamp().unwrap();
        assert_eq!(stamp["outcome"], json!({"result": "rolled-back"}));
        assert_eq!(stamp["boot_id"], json!(BOOT));
        assert_eq!(stamp["old_root"], json!("000001-3f2a1c9e"));
        assert!(stamp["live_before"].is_string() && stamp["live_now"].is_string());
        assert!(stamp["live_before"] != stamp["live_now"], "{stamp}");
        assert!(stamp["duration_us"].as_u64().unwrap() > 0);
    });
}

#[test]
fn boot_after_boot_every_old_root_stays() {
    on_initialised(|machine| {
        for (number, id) in ["aaaaaaaa-1", "bbbbbbbb-2", "cccccccc-3"].into_iter().enumerate() {
            machine.boot(id);
            machine.mount();
            fs::write(machine.live().join("number"), number.to_string()).unwrap();
            machine.roll_back().expect(0);
            assert!(!machine.live().join("number").exists());
            machine.unmount();
        }
        for (number, name) in
            ["000001-aaaaaaaa", "000002-bbbbbbbb", "000003-cccccccc"].into_iter().enumerate()
        {
            let kept = machine.top().join("old-roots").join(name).join("number");
            assert_eq!(fs::read_to_string(kept).unwrap(), number.to_string());
        }
    });
}

#[test]
fn a_live_that_is_fresh_is_left_alone() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.unmount();
        let trees = machine.trees();
        machine.run(&["rollback"]).expect(0).says("live is a fresh copy of blank already");
        machine.boot("dddddddd-4");
        machine.run(&["rollback"]).expect(0);
        assert_eq!(machine.stamp().unwrap()["old_root"], json!(null));
        assert_eq!(machine.trees(), trees);
    });
}

#[test]
fn the_default_subvolume_moves_along() {
    on_initialised(|machine| {
        let live = machine.top().join("root");
        machine.btrfs(&["subvolume".as_ref(), "set-default".as_ref(), live.as_os_str()]);
        let dry = machine.run(&["rollback", "--dry-run"]).expect(0);
        dry.says("let mounts that name no tree lead to `root`");
        machine.roll_back().expect(0);
        let get = ["subvolume".as_ref(), "get-default".as_ref(), machine.top().as_os_str()];
        let default = machine.btrfs(&get);
        assert!(default.trim_end().ends_with(" path root"), "{default}");
    });
}

#[test]
fn a_file_system_of_two_devices_is_rolled_back() {
    on_machine_with_two_disks(|machine| {
        machine.initialise();
        machine.mount();
        live_a_little(machine);
        machine.roll_back().expect(0);
        let blank = oracle::walk(&machine.top().join("root-blank"));
        assert_eq!(oracle::changes(&blank, &oracle::walk(machine.live())), []);
    });
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    on_initialised(|machine| {
        let (before, trees) = (oracle::walk(machine.top()), machine.trees());
        let dry = machine.run(&["rollback", "--dry-run"]).expect(0);
        let dry = dry.says("1. make a fresh copy of `root-blank` as `old-roots/000001-3f2a1c9e`");
        dry.says("2. exchange `root` and `old-roots/000001-3f2a1c9e`");
        assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
        assert_eq!((machine.trees(), machine.stamp()), (trees, None));
    });
}

#[test]
fn a_stamp_that_cannot_be_written_does_not_deny_the_rollback() {
    on_initialised(|machine| {
        fs::write(machine.config().parent().unwrap().join("../run/blankroot"), "").unwrap();
        let ran = machine.roll_back().expect(0).complains("cannot write the stamp");
        ran.complains("the rollback itself was done");
        assert!(machine.top().join("old-roots/000001-3f2a1c9e").is_dir());
    });
}

#[test]
fn a_root_on_a_tmpfs_has_nothing_to_roll_back() {
    on_machine(|machine| {
        fs::write(machine.config(), "[root]\nbackend = \"tmpfs\"\n").unwrap();
        machine.run(&["rollback"]).expect(0).says("nothing to roll back");
    });
}

#[test]
fn nested_subvolumes_are_named_beforehand_and_usable_afterwards() {
    on_machine(|machine| {
        let told = machine.run(&["init", "--dry-run"]).expect(0);
        told.says("note: live has 1 subvolume of its own, no part of blank: /var/machines;");
        machine.run(&["init"]).expect(0).says("/var/machines");
        let row = machine.run(&["diff", "--flat"]).expect(0);
        row.says("/var/machines");
        assert!(machine.run(&["status"]).out.contains("/var/machines"));
        let doctor = machine.run(&["doctor"]);
        assert!(
            doctor.out.contains("something in them: /var/machines [nested-subvolumes]"),
            "{doctor:?}"
        );
        machine.copy_config();
        machine.roll_back().expect(0);
        machine.run(&["diff"]).expect(0).says("Nothing changed");
        fs::write(machine.live().join("var/machines/new"), "").unwrap();
        machine.run(&["diff", "--flat"]).expect(0).says("/var/machines");
    });
}

#[test]
fn a_root_that_cannot_be_renamed_is_refused_and_told_before() {
    on_initialised(|machine| {
        machine.mount();
        let flags = |flags| {
            let root = fs::File::open(machine.live()).unwrap();
            rustix::fs::ioctl_setflags(root, flags).unwrap();
        };
        flags(rustix::fs::IFlags::IMMUTABLE);
        for command in ["status", "doctor"] {
            let ran = machine.run(&[command]);
            assert!(ran.out.contains("`root`, is immutable (chattr +i)"), "{ran:?}");
            assert!(ran.out.contains("chattr -i -a"), "{ran:?}");
        }
        machine.unmount();
        let dry = machine.run(&["rollback", "--dry-run"]);
        assert!(dry.err.contains("is immutable (chattr +i)"), "{dry:?}");
        let ran = machine.roll_back();
        assert!(ran.err.contains("is immutable (chattr +i)"), "{ran:?}");
        let root = fs::File::open(machine.live()).unwrap();
        rustix::fs::ioctl_setflags(root, rustix::fs::IFlags::empty()).unwrap();
        machine.roll_back().expect(0);
    });
}
