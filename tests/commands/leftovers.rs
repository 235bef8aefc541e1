//! `diff --storage`: what the storages hold that nothing keeps, and that nothing happens to it.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dirfd::private_namespace::MountPoint;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use serde_json::{Value, json};
use support::kernel::create_subvolume;
use support::{names, oracle};

use crate::machine::{Machine, on_initialised};

const CONFIG: &str = r#"
[[storage]]
path = "/persist"
directories = ["/var/log", "/a", { path = "/srv/off", enable = false }, "/srv/off/in"]
files = ["/etc/machine-id"]
[storage.users.alice]
directories = [".ssh", ".config/app"]
[[storage]]
path = "/persist/more"
directories = ["/opt/app"]
[[storage]]
path = "/persist/closed"
enable = false
directories = ["/opt/other"]
[forget]
paths = ["/persist/.snapshots"]
"#;

/// A machine whose `/persist` is a subvolume of its own, mounted, with this configuration.
fn with_storage(story: impl FnOnce(&mut Machine<'_>, &Path) + Send) {
    on_initialised(|machine| {
        machine.mount();
        let config = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}{CONFIG}")).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let persist = machine.live().join("persist");
        fs::create_dir(&persist).unwrap();
        let mounted: MountPoint = machine.mount_at("persist", &persist);
        for kept in ["var/log/x", "a/b", "home/alice/.ssh/key", "more/opt/app/x"] {
            write(&persist.join(kept), "kept");
        }
        write(&persist.join("etc/machine-id"), "kept");
        fs::create_dir(persist.join("home/alice/.config")).unwrap();
        story(machine, &persist);
        mounted.unmount().unwrap();
    });
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn line(machine: &Machine<'_>, text: &str) -> u32 {
    let config = fs::read_to_string(machine.live().join("etc/blankroot.toml")).unwrap();
    config.lines().position(|line| line.contains(text)).unwrap() as u32 + 1
}

fn document(machine: &Machine<'_>) -> Value {
    let ran = machine.run(&["diff", "--storage", "--format", "json"]).expect(0);
    serde_json::from_str(&ran.out).unwrap()
}

fn paths(machine: &Machine<'_>, more: &[&str]) -> Vec<String> {
    let args = [&["diff", "--storage", "-0"], more].concat();
    let ran = machine.run(&args).expect(0);
    ran.out.split_terminator('\0').map(str::to_string).collect()
}

#[test]
fn a_storage_that_holds_only_what_is_kept_has_no_leftovers() {
    with_storage(|machine, _| {
        let ran = machine.run(&["diff", "--storage"]).expect(0);
        assert!(ran.out.contains("Nothing is left over"), "{ran:?}");
        assert!(ran.out.contains("/persist/closed/  is not there, and not enabled"), "{ran:?}");
        assert_eq!(paths(machine, &[]), [""; 0]);
    });
}

#[test]
fn the_topmost_path_that_nothing_declares_is_told_in_every_form_and_left_alone() {
    with_storage(|machine, persist| {
        for place in ["a-b", "a.b/c/d", "home/alice/.cache/x", "home/bob/.ssh/key", "var/lib/x"] {
            write(&persist.join(place), "12345");
        }
        write(&persist.join("more/opt/gone"), "1");
        symlink("/nowhere", persist.join("link")).unwrap();
        let before = oracle::walk(machine.top());
        let expected = [
            "/persist/a-b",
            "/persist/a.b",
            "/persist/home/alice/.cache",
            "/persist/home/bob",
            "/persist/link",
            "/persist/more/opt/gone",
            "/persist/var/lib",
        ];
        assert_eq!(paths(machine, &[]), expected);
        let flat = machine.run(&["diff", "--storage", "--flat"]).expect(0);
        assert_eq!(flat.out.lines().count(), expected.len(), "{flat:?}");
        let line = "? dir               5 B        moments  undeclared   /persist/a.b\n";
        assert!(flat.out.contains(line), "{flat:?}");
        let human = machine.run(&["diff", "--storage"]).expect(0);
        human.says("  /persist/\n? ├─ a-b").says("  /persist/more/\n? └─ opt/gone").says(
            "7 leftovers, 26 B. None of it is ever deleted.\nlook at them: blankroot diff \
             --storage -0 | xargs -0 ls -ld\n",
        );
        let json = document(machine);
        assert_eq!(
            (&json["version"], &json["summary"]),
            (&1.into(), &json!({"count": 7, "bytes": 26}))
        );
        let dir = &json["leftovers"][1];
        assert_eq!((&dir["path"]["text"], &dir["type"]), (&json!("/persist/a.b"), &json!("dir")));
        assert_eq!((&dir["files"], &dir["dirs"], &dir["bytes"]), (&json!(1), &json!(2), &json!(5)));
        let plain = machine.run(&["diff", "--storage"]).out;
        let coloured = machine.run(&["diff", "--storage", "--color", "always"]).out;
        assert!(coloured.contains("\x1b[31m?"), "{coloured}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
        assert_eq!(paths(machine, &["/persist/home"]), expected[2..4]);
        assert_eq!(paths(machine, &["/persist/a.b/c"]), expected[1..2]);
        assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
    });
}

#[test]
fn what_is_declared_but_not_enabled_is_told_with_its_line() {
    with_storage(|machine, persist| {
        write(&persist.join("srv/off/deep/x"), "12345");
        write(&persist.join("srv/off/in/x"), "kept");
        write(&persist.join("srv/else"), "1");
        write(&persist.join("closed/opt/other/x"), "1");
        let json = document(machine);
        let told: Vec<_> = json["leftovers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (one["path"]["text"].as_str().unwrap(), one["why"].as_str(), one["line"].as_u64())
            })
            .collect();
        let (off, other) = (line(machine, "/srv/off"), line(machine, "/opt/other"));
        assert_eq!(
            told,
            [
                ("/persist/closed/opt/other", Some("not-enabled"), Some(other.into())),
                ("/persist/srv/else", Some("undeclared"), None),
                ("/persist/srv/off/deep", Some("not-enabled"), Some(off.into())),
            ]
        );
        let human = machine.run(&["diff", "--storage"]).expect(0);
        human
            .says(&format!("declared but not enabled, line {off}"))
            .says("/persist/closed/  is not enabled\n");
    });
}

#[test]
fn what_blankroot_left_itself_is_told_as_what_it_is() {
    with_storage(|machine, persist| {
        write(&persist.join("etc/.machine-id.before-2"), "old");
        write(&persist.join("etc/.machine-id.new-1"), "next");
        write(&persist.join("etc/.machine-id.tmp-7"), "half");
        let human = machine.run(&["diff", "--storage"]).expect(0);
        human
            .says("was `machine-id` until other data took its place")
            .says("whole: an interrupted run was to name it `machine-id`")
            .says("not whole: an interrupted run was writing `machine-id`");
        let json = document(machine);
        let why: Vec<_> =
            json["leftovers"].as_array().unwrap().iter().map(|one| &one["why"]).collect();
        assert_eq!(why, ["set-aside", "unnamed", "temporary"]);
        assert_eq!(json["leftovers"][0]["of"]["text"], "machine-id");
    });
}

#[test]
fn mounts_subvolumes_and_what_is_forgotten_are_not_entered() {
    with_storage(|machine, persist| {
        for subvolume in [".snapshots", "machines", "old"] {
            create_subvolume(&machine.top().join("persist").join(subvolume)).unwrap();
            write(&persist.join(subvolume).join("x"), "12345");
        }
        create_subvolume(&persist.join("old/nested")).unwrap();
        fs::create_dir_all(persist.join("has/mount")).unwrap();
        fs::create_dir(persist.join("mnt")).unwrap();
        let inner = machine.mount_at("root-blank", &persist.join("has/mount"));
        let outer = machine.mount_at("root-blank", &persist.join("mnt"));
        let json = document(machine);
        let human = machine.run(&["diff", "--storage"]).expect(0);
        outer.unmount().unwrap();
        inner.unmount().unwrap();
        assert_eq!(json["mounted_over"], json!([{"text": "/persist/mnt"}]));
        human
            .says("note: /persist/mnt was not looked into: something is mounted there")
            .says("has something mounted in it, not looked into")
            .says("a subvolume, not looked into");
        let told: Vec<_> = json["leftovers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["path"]["text"].as_str().unwrap(), &one["bytes"], &one["mounts"]))
            .collect();
        let zero = json!(0);
        assert_eq!(
            told,
            [
                ("/persist/has", &zero, &json!(1)),
                ("/persist/machines", &zero, &zero),
                ("/persist/old", &zero, &zero),
            ]
        );
    });
}

#[test]
fn sizes_count_a_file_once_and_ages_are_those_of_the_newest() {
    with_storage(|machine, persist| {
        write(&persist.join("one/first"), "1234567890");
        fs::hard_link(persist.join("one/first"), persist.join("one/second")).unwrap();
        fs::create_dir(persist.join("two")).unwrap();
        fs::hard_link(persist.join("one/first"), persist.join("two/third")).unwrap();
        write(&persist.join("two/other"), "12");
        let old = SystemTime::now() - Duration::from_secs(23 * 86_400);
        for path in ["one/first", "one", "two/other", "two"] {
            File::open(persist.join(path)).unwrap().set_modified(old).unwrap();
        }
        let newer = SystemTime::now() - Duration::from_secs(5 * 3_600);
        File::open(persist.join("two/other")).unwrap().set_modified(newer).unwrap();
        let flat = machine.run(&["diff", "--storage", "--flat"]).expect(0).out;
        assert!(flat.contains("      10 B        3 weeks  undeclared   /persist/one\n"), "{flat}");
        assert!(flat.contains("       2 B        5 hours  undeclared   /persist/two\n"), "{flat}");
    });
}

#[test]
fn any_name_is_told_whole_and_on_one_line() {
    with_storage(|machine, persist| {
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for number in 0..23u8 {
            let name = names::name(number);
            // These are kept, or lead to what is.
            if [&b"a"[..], b"etc"].contains(&name.as_slice()) {
                continue;
            }
            let path: PathBuf = persist.join(std::ffi::OsStr::from_bytes(&name));
            fs::create_dir(&path).unwrap();
            fs::write(path.join(std::ffi::OsStr::from_bytes(&name)), [number]).unwrap();
            expected.push([b"/persist/", &name[..]].concat());
        }
        expected.sort();
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_blankroot"));
        let args = ["diff", "--storage", "-0", "--root"];
        let out = command.args(args).arg(machine.live()).output().unwrap().stdout;
        let found: Vec<&[u8]> = out.split(|&b| b == 0).filter(|path| !path.is_empty()).collect();
        assert_eq!(found, expected);
        for form in [&["diff", "--storage", "--flat"][..], &["diff", "--storage"]] {
            let ran = machine.run(form).expect(0);
            assert!(!ran.out.contains(|c: char| c.is_control() && c != '\n'), "{ran:?}");
            let named = ran.out.lines().filter(|line| line.starts_with('?')).count();
            assert_eq!(named, expected.len(), "{ran:?}");
        }
    });
}

#[test]
fn a_tree_deeper_than_any_path_is_weighed_to_its_bottom() {
    with_storage(|machine, persist| {
        let mode = Mode::from_raw_mode(0o755);
        let mut dir = OwnedFd::from(File::open(persist).unwrap());
        let name = "d".repeat(200);
        for _ in 0..300 {
            mkdirat(&dir, &name, mode).unwrap();
            dir = openat(&dir, &name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        }
        let file = openat(&dir, "bottom", OFlags::CREATE | OFlags::WRONLY, mode).unwrap();
        rustix::io::write(&file, b"12345").unwrap();
        let json = document(machine);
        let deep = &json["leftovers"][0];
        assert_eq!(
            (&deep["dirs"], &deep["files"], &deep["bytes"]),
            (&json!(300), &json!(1), &json!(5))
        );
    });
}

#[test]
fn a_storage_that_is_not_there_is_an_error_beside_the_others() {
    with_storage(|machine, persist| {
        write(&persist.join("left"), "x");
        let config = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}[[storage]]\npath = \"/away\"\n")).unwrap();
        let ran = machine
            .run(&["diff", "--storage"])
            .expect(2)
            .says("└─ left")
            .says("/away/  is not there");
        ran.complains(
            "cannot look into the storage /away: it is not there\n  hint: mount it first",
        );
        symlink("persist", machine.live().join("away")).unwrap();
        let ran = machine.run(&["diff", "--storage"]).expect(2);
        ran.complains("cannot look into the storage /away: a symbolic link is on the way to it");
    });
}
