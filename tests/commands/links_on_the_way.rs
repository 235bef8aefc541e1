//! A path that is named through a link is refused with its real path, and whoever refuses names the same.

use std::fs;
use std::os::unix::fs::symlink;

use support::kernel::create_subvolume;

use crate::machine::{Machine, on_machine};

/// Links of the machine, and what they say.
const LINKS: [(&str, &str); 9] = [
    ("opt", "usr/opt"),
    ("var/opt2", "../usr/opt"),
    ("var/absolute", "/usr/opt"),
    ("first", "var/second"),
    ("var/second", "/var/opt2"),
    ("out", "../../../usr/opt"),
    ("gone", "not/there"),
    ("round", "about"),
    ("about", "round"),
];

/// What is named, the first link on the way to it, and what to do instead.
const NAMED: [(&str, &str, &str); 8] = [
    ("/opt/data", "/opt", "name the real path, /usr/opt/data"),
    ("/opt/more/deep", "/opt", "name the real path, /usr/opt/more/deep"),
    ("/var/opt2/data", "/var/opt2", "name the real path, /usr/opt/data"),
    ("/var/absolute/data", "/var/absolute", "name the real path, /usr/opt/data"),
    ("/first/data", "/first", "name the real path, /usr/opt/data"),
    ("/out/data", "/out", "name the real path, /usr/opt/data"),
    ("/gone/data", "/gone", "name the real path, /not/there/data"),
    ("/round/data", "/round", "correct the link, which leads in a circle and so to no real path"),
];

fn on_linked(story: impl FnOnce(&Machine<'_>) + Send) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "usr/opt/data", "usr/opt/more/deep"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        for (link, target) in LINKS {
            symlink(target, live.join(link)).unwrap();
        }
        machine.run(&["init"]).expect(0);
        create_subvolume(&machine.top().join("persist")).unwrap();
        let _storage = machine.mount_at("persist", &live.join("persist"));
        story(machine);
    });
}

fn declare(machine: &Machine<'_>, paths: &[&str]) {
    let config = machine.live().join("etc/blankroot.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = format!("{text}[[storage]]\npath = \"/persist\"\ndirectories = {paths:?}\n");
    fs::write(&config, text).unwrap();
}

#[test]
fn keep_names_the_real_path() {
    on_linked(|machine| {
        declare(machine, &[]);
        for (path, link, hint) in NAMED {
            let ran = machine.run(&["keep", path]).expect(1);
            ran.complains(&format!("cannot look at {path}: {link} is a link\n  hint: {hint}\n"));
        }
    });
}

#[test]
fn apply_and_doctor_name_the_same_real_path_as_keep() {
    on_linked(|machine| {
        declare(machine, &NAMED.map(|(path, ..)| path));
        let applied = machine.run(&["apply"]).expect(1);
        let doctor = machine.run(&["doctor"]);
        let told: String = doctor.out.split_whitespace().collect::<Vec<_>>().join(" ");
        NAMED.iter().fold(applied, |applied, (path, link, hint)| {
            let why = format!("cannot keep {path}: look at {path}: {link} is a link");
            let passes = format!("the way to {path} passes the link {link}, which leads to ");
            let (_, after) = told.split_once(&passes).unwrap_or_else(|| panic!("{path}: {told}"));
            let (_, after) = after.split_once("hint: ").unwrap_or_default();
            assert!(after.starts_with(hint), "{path}: not `{hint}` in {after}");
            applied.complains(&format!("{why}\n  hint: {hint}\n"))
        });
    });
}
