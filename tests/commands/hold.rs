//! `hold`: the next boot, and only that, keeps the root as it is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::machine::{Machine, on_initialised};

const NEXT: &str = "aaaaaaaa-7a01-4b6e-9d0a-000000000000";
const LATER: &str = "bbbbbbbb-7a01-4b6e-9d0a-000000000000";

/// Somebody uses the root, which the next rollback would set aside.
fn use_root(machine: &mut Machine<'_>) {
    machine.mount();
    fs::write(machine.live().join("used"), "").unwrap();
}

fn is_used(machine: &Machine<'_>) -> bool {
    machine.live().join("used").exists()
}

#[test]
fn it_holds_for_the_next_boot_however_often_a_rollback_runs_and_for_no_later_one() {
    on_initialised(|machine| {
        use_root(machine);
        machine.run(&["hold"]).expect(0).says("done: hold the next boot");
        machine.run(&["status"]).says("Next boot: held since ");
        for _ in 0..2 {
            machine.boot(NEXT);
            let ran = machine.roll_back().expect(0);
            ran.says("not rolled back: this boot is held, as `blankroot hold` asked");
            assert!(is_used(machine));
            assert_eq!(machine.stamp().unwrap()["outcome"], json!({"result": "skipped"}));
        }
        machine.run(&["status", "--boot"]).expect(0);
        let status = machine.run(&["status"]).expect(0);
        assert!(!status.out.contains("Next boot"), "{status:?}");

        machine.boot(LATER);
        machine.roll_back().expect(0).says("rolled back in ");
        assert!(!is_used(machine));
        assert!(!machine.top().join("old-roots/hold").exists());
    });
}

#[test]
fn one_that_was_used_is_no_obstacle_to_a_new_one() {
    on_initialised(|machine| {
        use_root(machine);
        machine.run(&["hold"]).expect(0);
        machine.boot(NEXT);
        machine.roll_back().expect(0);
        machine.run(&["hold"]).expect(0).says("done: hold the next boot");
        machine.boot(LATER);
        machine.roll_back().expect(0).says("this boot is held");
        assert!(is_used(machine));
    });
}

#[test]
fn it_can_be_released_and_both_say_when_there_is_nothing_to_do() {
    on_initialised(|machine| {
        use_root(machine);
        machine.run(&["hold", "--release"]).expect(0).says("nothing to do: no boot is held");
        machine.run(&["hold", "--dry-run"]).expect(0).says("1. hold the next boot");
        assert!(!machine.top().join("old-roots/hold").exists());
        machine.run(&["hold"]).expect(0);
        machine
            .run(&["hold"])
            .expect(0)
            .says("nothing to do: the next boot is held already, since 2");
        machine.run(&["hold", "--release"]).expect(0).says("done: release the hold");
        machine.boot(NEXT);
        machine.roll_back().expect(0).says("rolled back in ");
    });
}

#[test]
fn a_hold_that_cannot_be_read_keeps_the_root_and_is_told() {
    on_initialised(|machine| {
        use_root(machine);
        fs::write(machine.top().join("old-roots/hold"), "{").unwrap();
        machine.boot(NEXT);
        let ran = machine.roll_back().expect(3);
        let ran =
            ran.complains("the next boot may be held, but the hold in `old-roots` cannot be read");
        ran.complains("hint: release it with `blankroot hold --release`");
        assert!(is_used(machine));
        machine.run(&["hold", "--release"]).expect(0);
        machine.roll_back().expect(0).says("rolled back in ");
    });
}

#[test]
fn it_is_seen_before_anything_else_that_is_wrong() {
    on_initialised(|machine| {
        use_root(machine);
        machine.run(&["hold"]).expect(0);
        machine.rename("root-blank", "elsewhere");
        machine.boot(NEXT);
        machine.roll_back().expect(0).says("this boot is held");
        machine.run(&["status", "--boot"]).expect(0);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test looks at it while it runs")]
fn it_waits_for_another_that_is_at_work() {
    on_initialised(|machine| {
        machine.mount();
        let lock = machine.lock();
        let mut command = Command::new(env!("CARGO_BIN_EXE_blankroot"));
        command.args(["hold", "--host"]).arg(machine.host()).env_clear();
        let mut hold = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(hold.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("blankroot: waiting for another blankroot"), "{said}");
        drop(lock);
        assert!(hold.wait().unwrap().success());
        machine.run(&["status"]).says("Next boot: held since ");
    });
}
