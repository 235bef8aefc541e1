//! `status --boot`: did the rollback of this boot run?

use std::fs;

use support::kernel::snapshot;

use crate::machine::on_initialised;

const BOOT: [&str; 2] = ["status", "--boot"];

#[test]
fn a_rollback_that_ran_is_silent() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        let ran = machine.run(&BOOT).expect(0);
        assert_eq!((ran.out, ran.err), (String::new(), String::new()));
    });
}

#[test]
fn one_that_never_ran_or_ran_in_another_boot_is_told_with_the_hint() {
    on_initialised(|machine| {
        machine.mount();
        let ran = machine.run(&BOOT).expect(1).complains("no rollback has run in this boot");
        ran.complains("hint: rebuild the initrd (update-initramfs -u, dracut");
        machine.roll_back().expect(0);
        let boot_id = machine.host().join("proc/sys/kernel/random/boot_id");
        fs::write(boot_id, "aaaaaaaa-7a01-4b6e-9d0a-000000000000").unwrap();
        machine.run(&BOOT).expect(1).complains("no rollback has run in this boot");
    });
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    on_initialised(|machine| {
        machine.rename("root-blank", "elsewhere");
        machine.roll_back().expect(3);
        let ran = machine.run(&BOOT).expect(1);
        ran.complains("blank, `root-blank`, is missing").complains("blankroot init");
    });
}

#[test]
fn a_boot_that_was_asked_to_skip_it_is_no_failure() {
    on_initialised(|machine| {
        machine.kernel_command_line("quiet blankroot=skip");
        machine.roll_back().expect(0);
        machine.run(&BOOT).expect(0);
    });
}

#[test]
fn another_root_than_the_one_that_was_made_is_told() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.unmount();
        snapshot(&machine.top().join("root"), &machine.top().join("other"), false).unwrap();
        let other = machine.mount_at("other", machine.live());
        machine.run(&BOOT).expect(1).complains("live, `root`, is not the running root");
        other.unmount().unwrap();
    });
}

#[test]
fn what_cannot_be_told_is_neither_yes_nor_no() {
    on_initialised(|machine| {
        machine.mount();
        machine.edit_config(|text| text.replace("[root]", "[roof]"));
        let config = machine.config();
        let mut command = vec!["status", "--boot", "--config"];
        command.push(config.to_str().unwrap());
        machine.run(&command).expect(2).complains("unknown");
    });
}

#[test]
fn with_a_broken_configuration_the_kernel_command_line_decides() {
    on_initialised(|machine| {
        machine.edit_config(|text| text.replace("[root]", "[roof]"));
        for (line, code) in [("quiet", 2), ("blankroot=boot", 3), ("blankroot=halt", 4)] {
            machine.kernel_command_line(line);
            machine.roll_back().expect(code).complains("unknown");
        }
    });
}
