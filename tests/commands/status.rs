//! `status`: did the rollback of this boot run, and what is wrong?

use std::fs;

use serde_json::{Value, json};
use support::kernel::create_subvolume;

use crate::machine::{BOOT, Machine, on_initialised, on_machine};

/// The problems as programs see them.
#[track_caller]
fn problems(machine: &Machine<'_>, code: i32) -> Vec<String> {
    let ran = machine.run(&["status", "--format", "json"]).expect(code);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["healthy"], json!(code == 0));
    json["problems"].as_array().unwrap().iter().map(|p| p["text"].to_string()).collect()
}

#[track_caller]
fn only_problem(machine: &Machine<'_>, text: &str) {
    let found = problems(machine, 1);
    assert!(found.len() == 1 && found[0].contains(text), "{found:?}");
}

#[test]
fn a_boot_that_was_rolled_back_is_healthy() {
    on_initialised(|machine| {
        machine.mount();
        fs::write(machine.live().join("etc/new"), vec![b'x'; 100_000]).unwrap();
        machine.roll_back().expect(0);
        let ran = machine.run(&["status"]).expect(0).says("healthy").says("rolled back at");
        ran.says("set aside 000001-3f2a1c9e").says("Nothing needs attention.");
        let json = machine.run(&["status", "--format", "json"]).expect(0);
        let json: Value = serde_json::from_str(&json.out).unwrap();
        let bytes = json["old_roots"][0]["own_bytes"].as_u64().unwrap();
        assert!((100_000..300_000).contains(&bytes), "{bytes}");
        assert_eq!(json["boot"]["boot_id"], json!(BOOT));
        // What is written from now on is what a root is for.
        fs::write(machine.live().join("etc/new"), "").unwrap();
        machine.run(&["status"]).expect(0);
    });
}

#[test]
fn a_boot_without_a_rollback_is_told() {
    on_initialised(|machine| {
        machine.mount();
        only_problem(machine, "no rollback has run in this boot");
        machine.roll_back().expect(0);
        machine.run(&["status"]).expect(0);
        machine.boot("eeeeeeee-5");
        only_problem(machine, "no rollback has run in this boot");
    });
}

#[test]
fn a_refusal_in_this_boot_is_told_with_its_hint() {
    on_initialised(|machine| {
        machine.kernel_command_line("rootflags=subvolid=256");
        machine.run(&["rollback"]).expect(3);
        machine.mount();
        let found = problems(machine, 1);
        assert!(found[0].contains("in this boot: cannot roll back"), "{found:?}");
        assert!(found[1].contains("the next rollback will be refused"), "{found:?}");
        machine.run(&["status"]).expect(1).says("hint: write `rootflags=subvol=root` instead");
        // The next boot's command line is right.
        machine.kernel_command_line("quiet");
        only_problem(machine, "in this boot: ");
    });
}

#[test]
fn a_skipped_boot_is_told_and_is_healthy() {
    on_initialised(|machine| {
        machine.kernel_command_line("blankroot=skip");
        machine.run(&["rollback"]).expect(0);
        machine.mount();
        machine.run(&["status"]).expect(0).says("not rolled back: it was asked not to");
    });
}

#[test]
fn what_is_not_ours_among_the_old_roots_is_told_and_left_alone() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        create_subvolume(&machine.top().join("old-roots/my own")).unwrap();
        only_problem(machine, "`old-roots/my own` lies among the old roots");
        assert!(machine.top().join("old-roots/my own").is_dir());
    });
}

#[test]
fn a_blank_that_is_gone_or_writable_is_told() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.rename("root-blank", "away");
        only_problem(machine, "blank, `root-blank`, is missing");
        support::kernel::snapshot(
            &machine.top().join("root"),
            &machine.top().join("root-blank"),
            false,
        )
        .unwrap();
        only_problem(machine, "is not read-only");
    });
}

#[test]
fn another_root_than_live_is_told() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.unmount();
        let mounted = machine.mount_at("old-roots/000001-3f2a1c9e", machine.live());
        only_problem(machine, "another tree of its file system is mounted as the root");
        mounted.unmount().unwrap();
    });
}

#[test]
fn what_cannot_be_told_is_no_verdict() {
    on_machine(|machine| {
        machine.run(&["status"]).expect(2).complains("run `blankroot init`");
        machine.run(&["init"]).expect(0);
        let config = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("device = \"/dev/", "device = \"/dev/no-")).unwrap();
        machine.run(&["status"]).expect(2).complains("on /dev/no-");
    });
}

#[test]
fn files_that_are_too_large_or_no_files_are_told_and_never_read_or_waited_for() {
    on_initialised(|machine| {
        machine.mount();
        machine.roll_back().expect(0);
        // Four GiB that take no room on the disk.
        let record = machine.top().join("old-roots/000001-3f2a1c9e.json");
        fs::File::create(&record).unwrap().set_len(4 << 30).unwrap();
        let told = "it has 4294967296 bytes, and at most 1048576 are read";
        let found = problems(machine, 1);
        assert!(found.iter().any(|text| text.contains(told)), "{found:?}");
        fs::remove_file(machine.stamp_path()).unwrap();
        fs::File::create(machine.stamp_path()).unwrap().set_len(4 << 30).unwrap();
        let ran =
            machine.run(&["status"]).expect(1).says("/run/blankroot/rollback.json: it has 42949");
        ran.says("not rolled back: the reason is unknown");
        let config = machine.live().join("etc/blankroot.toml");
        fs::remove_file(&config).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &config, 0o600.into()).unwrap();
        for command in ["status", "diff", "doctor", "init"] {
            machine.run(&[command]).expect(2).complains("it is not a plain file");
        }
    });
}
