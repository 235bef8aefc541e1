//! `rollback` does nothing, says why with a hint, and leaves a stamp that tells of it.

use std::fs;

use serde_json::json;
use support::oracle;

use crate::machine::{Machine, Ran, on_initialised};

/// The rollback is refused for `reason`, with this code; nothing has changed, and the stamp tells.
#[track_caller]
fn refuses(machine: &Machine<'_>, code: i32, reason: &str, hint: &str) -> Ran {
    let (before, trees) = (oracle::walk(machine.top()), machine.trees());
    let dry = machine.run(&["rollback", "--dry-run"]).expect(code);
    assert_eq!(machine.stamp(), None, "a dry run left a stamp");
    let ran = machine.run(&["rollback"]).expect(code).complains(reason).complains(hint);
    assert_eq!(dry.err, ran.err);
    assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
    assert_eq!(machine.trees(), trees);
    let outcome = &machine.stamp().unwrap()["outcome"];
    assert_eq!(outcome["result"], json!("refused"), "{outcome}");
    assert!(outcome["reasons"].to_string().contains(reason), "{outcome}");
    ran
}

#[test]
fn while_live_is_mounted() {
    on_initialised(|machine| {
        machine.mount();
        let place = machine.live().display().to_string();
        let ran = refuses(machine, 3, "live, `root`, is mounted at ", "run the rollback before");
        ran.complains(&place);
    });
}

#[test]
fn while_a_directory_of_live_is_mounted_elsewhere() {
    on_initialised(|machine| {
        machine.mount();
        let elsewhere = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::BIND;
        let from = machine.live().join("etc/conf.d");
        rustix::mount::mount(from, elsewhere.path(), "", flags, None).unwrap();
        machine.unmount();
        let place = elsewhere.path().display().to_string();
        refuses(machine, 3, "is mounted at", "unmount it").complains(&place);
        rustix::mount::unmount(elsewhere.path(), rustix::mount::UnmountFlags::empty()).unwrap();
    });
}

#[test]
fn while_live_is_mounted_under_an_older_name() {
    on_initialised(|machine| {
        machine.rename("root", "other");
        let elsewhere = tempfile::tempdir().unwrap();
        let _mounted = machine.mount_at("other", elsewhere.path());
        machine.rename("other", "root");
        refuses(machine, 3, "is mounted at", "unmount it");
    });
}

#[test]
fn when_the_kernel_command_line_names_the_root_by_number() {
    on_initialised(|machine| {
        machine.kernel_command_line("root=x rootflags=ro,subvolid=256");
        refuses(machine, 3, "(`subvolid=256`)", "write `rootflags=ro,subvol=root` instead");
    });
}

#[test]
fn when_the_fstab_of_blank_names_the_root_by_number() {
    on_initialised(|machine| {
        let blank = machine.top().join("root-blank");
        machine.set_read_only("root-blank", false);
        fs::write(blank.join("etc/fstab"), "# x\nLABEL=os / btrfs subvolid=256 0 0\n").unwrap();
        machine.set_read_only("root-blank", true);
        let hint = "write this line instead: LABEL=os / btrfs subvol=root 0 0";
        refuses(machine, 3, "line 2 of blank's fstab", hint);
    });
}

#[test]
fn when_blank_is_writable_or_missing() {
    on_initialised(|machine| {
        machine.set_read_only("root-blank", false);
        refuses(machine, 3, "blank, `root-blank`, is not read-only", "hint: ");
        machine.rename("root-blank", "elsewhere");
        machine.boot("eeeeeeee-5");
        refuses(machine, 3, "blank, `root-blank`, is missing", "make it with `blankroot init`");
    });
}

#[test]
fn all_reasons_are_told_at_once() {
    on_initialised(|machine| {
        machine.rename("root-blank", "elsewhere");
        machine.mount();
        let ran = refuses(machine, 3, "is missing", "hint: ");
        ran.complains("is mounted at");
    });
}

#[test]
fn the_boot_is_stopped_where_that_was_asked_for() {
    on_initialised(|machine| {
        machine.mount();
        machine.edit_config(|text| text.replace("on_failure = \"boot\"", "on_failure = \"halt\""));
        refuses(machine, 4, "is mounted at", "hint: ");
        machine.boot("eeeeeeee-5");
        machine.kernel_command_line("blankroot=boot");
        refuses(machine, 3, "is mounted at", "hint: ");
        machine.boot("ffffffff-6");
        machine.edit_config(|text| text.replace("on_failure = \"halt\"", "on_failure = \"boot\""));
        machine.kernel_command_line("blankroot=halt");
        refuses(machine, 4, "is mounted at", "hint: ");
    });
}

#[test]
fn a_skip_is_no_failure_even_with_a_broken_configuration() {
    on_initialised(|machine| {
        machine.kernel_command_line("blankroot=skip");
        for broken in [false, true] {
            machine.boot("eeeeeeee-5");
            if broken {
                machine.edit_config(|_| "broken".to_string());
            }
            let ran = machine.run(&["rollback"]).expect(0);
            ran.complains("not rolled back: `blankroot=skip` is on the kernel command line");
            assert_eq!(machine.stamp().unwrap()["outcome"], json!({"result": "skipped"}));
        }
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_told() {
    on_initialised(|machine| {
        machine.edit_config(|text| text.replace("backend", "bakend"));
        refuses(machine, 2, "unknown key", "backend");
        fs::remove_file(machine.config()).unwrap();
        machine.boot("eeeeeeee-5");
        refuses(machine, 2, "cannot read the configuration", "--config FILE");
    });
}

#[test]
fn a_device_that_is_not_there_is_a_failure_that_names_it() {
    on_initialised(|machine| {
        machine.edit_config(|text| text.replace("device = \"/dev/", "device = \"/dev/no-"));
        let ran = machine.run(&["rollback"]).expect(3).complains("on /dev/no-");
        ran.complains("hint: ");
        assert_eq!(machine.stamp().unwrap()["outcome"]["result"], json!("failed"));
    });
}
