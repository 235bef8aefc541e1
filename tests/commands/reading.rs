//! `diff`: what people and programs get, and that nothing is changed by asking.

use std::fs;

use serde_json::Value;
use support::kernel::create_subvolume;
use support::oracle;

use crate::machine::{Machine, on_initialised, on_machine};

fn with_changes(machine: &mut Machine<'_>) {
    machine.mount();
    fs::write(machine.live().join("etc/a b\nc"), "new").unwrap();
    fs::create_dir_all(machine.live().join("var/cache/app")).unwrap();
    fs::write(machine.live().join("var/cache/app/x"), "x").unwrap();
    fs::remove_file(machine.live().join("etc/empty")).unwrap();
}

#[test]
fn every_form_shows_the_same_changes() {
    on_initialised(|machine| {
        with_changes(machine);
        let before = oracle::walk(machine.top());
        let tree = machine
            .run(&["diff"])
            .expect(0)
            .says("a b\\nc")
            .says("4 added, ~ 1 modified, - 1 removed");
        assert!(tree.err.is_empty() && !tree.out.contains('\x1b'), "{tree:?}");
        let flat = machine.run(&["diff", "--flat"]).expect(0);
        assert_eq!(flat.out.lines().count(), 6, "{flat:?}");
        let null = machine.run(&["diff", "-0"]).expect(0);
        let paths: Vec<&str> = null.out.split_terminator('\0').collect();
        // The last is a subvolume that holds something, of which blank has the stub.
        let expected = [
            "/etc/a b\nc",
            "/etc/empty",
            "/var/cache",
            "/var/cache/app",
            "/var/cache/app/x",
            "/var/machines",
        ];
        assert_eq!(paths, expected);
        let json = machine.run(&["diff", "--format", "json"]).expect(0);
        let json: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((&json["version"], &json["summary"]["total"]), (&1.into(), &6.into()));
        assert_eq!(json["method"], "fast");
        machine.run(&["diff", "--stat"]).expect(0).says("total");
        assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
    });
}

#[test]
fn the_view_is_narrowed_to_paths_from_anywhere() {
    on_initialised(|machine| {
        with_changes(machine);
        let below = |machine: &Machine<'_>, path: &str| machine.run(&["diff", "--flat", path]).out;
        assert_eq!(below(machine, "/var/cache/app").lines().count(), 2);
        assert_eq!(below(machine, "/etc/").lines().count(), 2);
        let none = machine.run(&["diff", "/et"]).expect(2);
        none.complains("cannot look below /et: neither live nor blank has it");
        machine.work_in(machine.live().join("var"));
        assert_eq!(below(machine, "./cache/app/x").lines().count(), 1);
        machine.run(&["diff", "../etc"]).expect(2).complains("`..`");
        machine.work_in(machine.top().to_path_buf());
        machine.run(&["diff", "x"]).expect(2).complains("not below the root");
        machine.work_in("/".into());
    });
}

#[test]
fn the_lists_of_the_configuration_give_the_verdicts() {
    on_initialised(|machine| {
        with_changes(machine);
        let config = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}\n[forget]\npaths = [\"/var/cache\"]\n")).unwrap();
        let flat = machine.run(&["diff", "--flat", "/var/cache"]).expect(0);
        assert!(flat.out.lines().all(|line| line.contains("forgotten")), "{flat:?}");
    });
}

#[test]
fn what_is_missing_is_told_with_the_command_that_makes_it() {
    on_machine(|machine| {
        machine.run(&["diff"]).expect(2).complains("run `blankroot init`");
        machine.run(&["init"]).expect(0);
        machine.rename("root-blank", "away");
        let ran = machine.run(&["diff"]).expect(2).complains("blank is missing");
        ran.complains("make it with `blankroot init`");
    });
}

#[test]
fn another_tree_at_the_root_is_warned_of() {
    on_initialised(|machine| {
        let args = ["diff", "--root", "/proc", "--config"].map(Into::into).into_iter();
        let args: Vec<std::ffi::OsString> = args.chain([machine.config().into()]).collect();
        let ran = machine.run(&args).expect(0).complains("warning: this is about `root`");
        assert_eq!(ran.err.lines().count(), 1);
        let mounted = machine.mount_at("root-blank", machine.live());
        machine.run(&["diff"]).expect(0).complains("warning: ");
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    on_initialised(|machine| {
        machine.mount();
        for number in 0..20_000 {
            fs::write(machine.live().join(format!("a file with a long name {number}")), "")
                .unwrap();
        }
        let script = format!(
            "'{}' diff --flat --root '{}' | head -n 1; echo \"${{PIPESTATUS[0]}}\"",
            env!("CARGO_BIN_EXE_blankroot"),
            machine.live().display()
        );
        let output = assert_cmd::Command::new("bash").arg("-c").arg(script).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().last(), Some("0"), "{lines}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

#[test]
fn colour_is_a_matter_of_choice() {
    on_initialised(|machine| {
        with_changes(machine);
        assert!(machine.run(&["diff", "--color", "always"]).out.contains('\x1b'));
        assert!(!machine.run(&["diff", "--color", "never"]).out.contains('\x1b'));
    });
}

#[test]
fn what_lies_on_another_file_system_is_told_and_not_called_unchanged() {
    on_initialised(|machine| {
        machine.mount();
        let names = machine.live().join("names");
        let mounted = machine.mount_at("root-blank", &names);
        let ran = machine.run(&["diff", "/names"]).expect(0);
        assert_eq!(ran.out, "", "{ran:?}");
        ran.complains("/names lies on what is mounted at /names: that is not compared");
        let inside = machine.run(&["diff", "/names/etc/empty"]).expect(2);
        inside.complains("it lies on what is mounted at /names, which no rollback touches");
        mounted.unmount().unwrap();
        machine.run(&["diff", "/names"]).expect(0).says("Nothing changed in /names");
    });
}

#[test]
fn a_path_in_a_nested_subvolume_is_told_as_not_compared() {
    on_initialised(|machine| {
        machine.mount();
        let nested = machine.live().join("opt/n");
        fs::create_dir_all(nested.parent().unwrap()).unwrap();
        create_subvolume(&nested).unwrap();
        fs::write(nested.join("x"), "new").unwrap();
        let ran = machine.run(&["diff", "/opt/n/x"]).expect(0);
        assert!(!ran.out.contains("Nothing changed"), "{ran:?}");
        ran.complains("/opt/n/x lies in /opt/n, a subvolume of its own: that is not compared");
        machine.run(&["diff", "/opt/n"]).expect(0).says("n  subvolume");
        machine.run(&["diff", "/opt/n/no"]).expect(2).complains("neither live nor blank has it");
    });
}
