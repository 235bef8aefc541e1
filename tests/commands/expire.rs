//! `expire`: old roots go by the rules, the newest stay whatever the clock says, and nothing else is
//! touched.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use backends::{Record, record};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use support::kernel::{create_subvolume, delete_subvolume};
use support::oracle;

use crate::machine::{BOOT, Machine, Ran, on_initialised, on_machine};
use crate::running::Running;

/// Old roots and records are the only things with this in their names.
const ID: &str = "-3f2a1c9e";

/// Tells `story` of a machine that keeps two old roots at least, and others for 30 days.
fn on_machine_with_rules(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_initialised(|machine| {
        machine.edit_config(|text| {
            let rules = "retention = { at_least = 2, days = 30 }";
            let line = |line: &str| if line.starts_with("retention") { rules } else { line }.into();
            text.lines().map(line).collect::<Vec<String>>().join("\n")
        });
        story(machine);
    });
}

/// Boots once for each of `ages`: the days ago that its old root is to have been set aside.
fn live_through(machine: &mut Machine<'_>, ages: &[i64]) {
    for age in ages {
        machine.mount();
        fs::write(machine.live().join("age"), age.to_string()).unwrap();
        machine.roll_back().expect(0);
        machine.unmount();
        let newest = names(machine).pop().unwrap();
        let time = Utc::now() - TimeDelta::days(*age) - TimeDelta::minutes(1);
        set_time(machine, &newest, time);
    }
}

fn set_time(machine: &Machine<'_>, old_root: &str, time: DateTime<Utc>) {
    let path = old_roots(machine).join(format!("{old_root}.json"));
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["time"] = json!(time);
    fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
}

fn old_roots(machine: &Machine<'_>) -> PathBuf {
    machine.top().join("old-roots")
}

/// The names of old roots; each has its record, and no record is without its old root.
fn names(machine: &Machine<'_>) -> Vec<String> {
    let all = machine.trees();
    let names = all.iter().filter_map(|name| name.strip_prefix("old-roots/"));
    let (records, trees): (Vec<_>, Vec<_>) = names.partition(|name| name.ends_with(".json"));
    let of_records: Vec<_> = records.iter().map(|name| name.trim_end_matches(".json")).collect();
    assert_eq!(of_records, trees);
    trees.into_iter().map(str::to_string).collect()
}

/// Everything that is to stay, as it is now: live, blank and these old roots.
struct Staying(Vec<(PathBuf, oracle::Tree)>);

impl Staying {
    fn now(machine: &Machine<'_>, numbers: &[u32]) -> Self {
        let old = numbers.iter().map(|number| old_roots(machine).join(format!("{number:06}{ID}")));
        let trees = ["root", "root-blank"].map(|name| machine.top().join(name));
        let trees = trees.into_iter().chain(old);
        Self(trees.map(|path| (path.clone(), oracle::walk(&path))).collect())
    }

    #[track_caller]
    fn check(&self) {
        for (path, before) in &self.0 {
            let rows = oracle::changes(before, &oracle::walk(path));
            assert!(rows.is_empty(), "{path:?} is not what it was: {rows:?}");
        }
    }
}

/// What became of old roots; digests have stories of their own.
fn lines(ran: &Ran) -> Vec<String> {
    let out = ran.out.replace(ID, "");
    out.lines().filter(|line| !line.contains("the digest of")).map(str::to_string).collect()
}

fn expire(machine: &Machine<'_>) -> Ran {
    machine.run(&["expire"])
}

#[test]
fn only_what_both_rules_allow_goes_and_what_stays_is_whole() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[90, 41, 31, 12, 8, 1]);
        let (stays, all) = (Staying::now(machine, &[4, 5, 6]), Staying::now(machine, &[1, 2, 3]));
        let trees = machine.trees();
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        let plan = [
            "discard 000001: 90 days old, 3 newer ones stay; with what is in /var/machines",
            "discard 000002: 41 days old, 3 newer ones stay",
            "discard 000003: 31 days old, 3 newer ones stay",
            "keep 000004: 12 days old, and it stays for 30 days",
            "keep 000005: among the newest 2",
            "keep 000006: among the newest 2",
        ];
        assert_eq!(lines(&dry), plan);
        assert_eq!(machine.trees(), trees);
        stays.check();
        all.check();

        let ran = expire(machine).expect(0);
        assert_eq!(lines(&ran), [0, 1, 2].map(|at| format!("done: {}", plan[at])));
        assert_eq!(ran.err, "");
        assert_eq!(names(machine), [4, 5, 6].map(|number| format!("{number:06}{ID}")));
        stays.check();
        let again = expire(machine).expect(0);
        assert_eq!(again.out, "nothing to do: all 3 old roots stay\n");
        stays.check();
        // And the next rollback goes on counting.
        live_through(machine, &[0]);
        assert_eq!(names(machine).pop().unwrap(), format!("000007{ID}"));
    });
}

#[test]
fn the_newest_stay_whatever_the_clock_says() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[0, 0, 0, 0]);
        let year = |year| DateTime::parse_from_rfc3339(year).unwrap().to_utc();
        let (early, late) = (year("1970-01-01T00:00:05Z"), year("2099-01-01T00:00:00Z"));
        let all = names(machine);
        // To all of these, the clock is in 1970.
        all.iter().for_each(|name| set_time(machine, name, late));
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        dry.says("set aside at 2099-01-01T00:00:00Z, which is yet to come");
        expire(machine).expect(0).says("nothing to do: all 4 old roots stay");
        // One clock was right, and what was set aside later cannot be older.
        all.iter().for_each(|name| set_time(machine, name, early));
        set_time(machine, &all[0], Utc::now() - TimeDelta::days(3));
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        dry.says("000002-3f2a1c9e: at most 3 days old, and it stays for 30 days");
        expire(machine).expect(0).says("nothing to do");
        // All were in 1970; or the clock is in 2099 now.
        set_time(machine, &all[0], early);
        let ran = expire(machine).expect(0);
        assert_eq!(lines(&ran).len(), 2, "{ran:?}");
        assert_eq!(names(machine), all[2..]);
        expire(machine).expect(0).says("nothing to do: all 2 old roots stay");
    });
}

#[test]
fn subvolumes_inside_an_old_root_go_first() {
    on_machine_with_rules(|machine| {
        machine.mount();
        for nested in ["var/lib/portables", "var/lib/portables/in ner", "var/lib/\n"] {
            create_subvolume(&machine.live().join(nested)).unwrap();
            fs::write(machine.live().join(nested).join("file"), "x").unwrap();
        }
        machine.unmount();
        live_through(machine, &[90, 40, 0]);
        expire(machine).expect(0).says("discard 000001-3f2a1c9e: 90 days old");
        assert_eq!(names(machine).len(), 2);
        let list = ["subvolume".as_ref(), "list".as_ref(), machine.top().as_os_str()];
        let list = machine.btrfs(&list);
        assert!(!list.contains("portables") && !list.contains("000001"), "{list}");
    });
}

#[test]
fn what_is_mounted_is_told_and_stays_and_the_others_go() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[90, 80, 70, 1, 0]);
        let place = tempfile::tempdir().unwrap();
        let mount = machine.mount_at(&format!("old-roots/000002{ID}"), place.path());
        let ran = expire(machine).expect(1);
        let ran = ran.complains(&format!("it is mounted at {}", place.path().display()));
        let ran = ran.complains(&format!("hint: umount {}", place.path().display()));
        assert_eq!(lines(&ran).len(), 2, "{ran:?}");
        assert_eq!(fs::read_to_string(place.path().join("age")).unwrap(), "80");
        assert_eq!(names(machine), [2, 4, 5].map(|number| format!("{number:06}{ID}")));
        mount.unmount().unwrap();
        expire(machine).expect(0).says("done: discard 000002");
        assert_eq!(names(machine).len(), 2);
    });
}

#[test]
fn what_interrupted_runs_left_goes_and_what_is_not_ours_stays() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[90, 1, 0]);
        let old = old_roots(machine);
        let newest = fs::read(old.join(format!("000003{ID}.json"))).unwrap();
        let newest = Record::parse(&newest).unwrap();
        let dir = File::open(&old).unwrap();
        let write = |name: &str, record: Record| {
            let record = Record { name: name.into(), ..record };
            record::write(dir.as_fd(), &record, File::sync_all).unwrap();
        };
        // A record alone, a copy, and a copy that somebody has lived in.
        write("000004-aa", newest.clone());
        for name in ["000005-aa", "000006-aa"] {
            write(name, newest.clone());
            let blank = machine.top().join("root-blank");
            support::kernel::snapshot(&blank, &old.join(name), false).unwrap();
        }
        fs::write(old.join("000006-aa/mine"), "x").unwrap();
        create_subvolume(&old.join("my own")).unwrap();
        fs::write(old.join("000007-aa.json"), "{").unwrap();
        fs::write(old.join(".000008-aa.json.tmp-0"), "{").unwrap();
        // And of the oldest, a part is gone.
        let oldest = Record::parse(&fs::read(old.join(format!("000001{ID}.json"))).unwrap());
        let oldest = oldest.unwrap();
        record::mark(dir.as_fd(), &oldest, &oldest.live).unwrap();
        let nested = old.join(format!("000001{ID}/var/machines"));
        delete_subvolume(&nested).unwrap();

        machine.mount();
        let status = machine.run(&["status"]).expect(1);
        let status = status.says("`blankroot expire` removes it");
        status.says("was interrupted, and it is not whole any more");
        machine.unmount();
        let ran = expire(machine).expect(0);
        assert_eq!(
            lines(&ran),
            [
                "done: discard 000001: the rest of it, for a run was interrupted",
                "done: discard the record 000004-aa: its old root is gone, or never was",
                "done: discard 000005-aa: a fresh copy that never became live",
            ]
        );
        let left: Vec<_> = machine.trees();
        let left: Vec<_> = left.iter().filter_map(|name| name.strip_prefix("old-roots/")).collect();
        let two = format!("000002{ID}");
        assert_eq!(
            left,
            [
                ".000008-aa.json.tmp-0",
                &two,
                &format!("{two}.json"),
                &format!("000003{ID}"),
                &format!("000003{ID}.json"),
                "000006-aa",
                "000006-aa.json",
                "000007-aa.json",
                "my own",
            ]
        );
        assert!(old.join("000006-aa/mine").exists());
        expire(machine).expect(0).says("nothing to do");
    });
}

#[test]
fn nothing_is_deleted_in_an_initrd_or_while_another_is_at_work() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[90, 1, 0]);
        // The second is what initramfs-tools has.
        for mark in ["etc/initrd-release", "conf/initramfs.conf"] {
            let mark = machine.host().join(mark);
            fs::create_dir_all(mark.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("../usr/lib/somewhere", &mark).unwrap();
            for args in [&["expire"][..], &["expire", "--dry-run"]] {
                let ran = machine.run(args).expect(2).complains("this is an initrd");
                ran.complains("hint: run it in the booted system");
            }
            fs::remove_file(mark).unwrap();
        }
        let lock = machine.lock();
        expire(machine).expect(2).complains("another blankroot is at work");
        drop(lock);
        assert_eq!(names(machine).len(), 3);
        fs::write(machine.config(), "nonsense").unwrap();
        expire(machine).expect(2).complains("key with no value");
        assert_eq!(names(machine).len(), 3);
    });
}

#[test]
fn the_capabilities_that_the_unit_leaves_are_enough() {
    on_machine_with_rules(|machine| {
        machine.mount();
        create_subvolume(&machine.live().join("var/lib/portables")).unwrap();
        machine.unmount();
        live_through(machine, &[90, 80, 1, 0]);
        let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/boot/systemd/blankroot-expire.service");
        let unit = fs::read_to_string(unit).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let left = line.unwrap().to_lowercase().replace(" cap_", ",+").replace("cap_", "+");
        let mut command = assert_cmd::Command::new("setpriv");
        command.args(["--bounding-set", &format!("-all,{left}"), "--no-new-privs"]);
        command.arg(env!("CARGO_BIN_EXE_blankroot")).arg("expire");
        let output = command.arg("--host").arg(machine.host()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(names(machine).len(), 2);
    });
}

#[test]
fn where_there_is_nothing_there_is_nothing_to_do() {
    on_initialised(|machine| {
        for args in [&["expire"][..], &["expire", "--dry-run"]] {
            machine.run(args).expect(0).says("nothing to do: there are no old roots");
        }
        live_through(machine, &[900]);
        expire(machine).expect(0).says("nothing to do: the only old root stays");
        fs::write(machine.config(), "[root]\nbackend = \"tmpfs\"\n").unwrap();
        expire(machine).expect(0).says("nothing to do: this root starts empty at every boot");
    });
}

#[test]
fn old_roots_that_are_plain_directories_expire_too() {
    on_machine(|machine| {
        machine.unmount();
        let trees = machine.top().join("trees");
        fs::create_dir_all(trees.join("live/etc")).unwrap();
        fs::write(trees.join("live/etc/a b\n"), "x").unwrap();
        let text = format!(
            "[root]\nbackend = \"directory\"\npath = \"{}\"\nlive = \"live\"\n[rollback]\n\
             retention = {{ at_least = 1, days = 30 }}\n",
            trees.display()
        );
        fs::write(machine.config(), text).unwrap();
        let root = trees.join("live");
        let init: Vec<&std::ffi::OsStr> = vec!["init".as_ref(), "--root".as_ref(), root.as_ref()];
        let config: Vec<&std::ffi::OsStr> = vec!["--config".as_ref()];
        let path = machine.config();
        machine.run(&[init, config, vec![path.as_ref()]].concat()).expect(0);
        for boot in [BOOT, "aaaaaaaa-1"] {
            machine.boot(boot);
            fs::write(trees.join("live/etc/new"), boot).unwrap();
            machine.run(&["rollback"]).expect(0);
        }
        let old = trees.join("old-roots");
        let age = |record: &Path| {
            let mut json: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
            json["time"] = json!("1970-01-01T00:00:00Z");
            fs::write(record, json.to_string()).unwrap();
        };
        age(&old.join("000001-3f2a1c9e.json"));
        age(&old.join("000002-aaaaaaaa.json"));
        let before = oracle::walk(&old.join("000002-aaaaaaaa"));
        expire(machine).expect(0).says("done: discard 000001-3f2a1c9e: ");
        assert!(!old.join("000001-3f2a1c9e").exists());
        let now = oracle::walk(&old.join("000002-aaaaaaaa"));
        assert_eq!(oracle::changes(&before, &now), []);
        assert_eq!(
            fs::read_dir(&old).unwrap().count(),
            5,
            "one, its record and digest, the life of live, and whose blank it is"
        );
        expire(machine).expect(0).says("nothing to do: the only old root stays");
    });
}

/// Runs a script as a user without any privilege.
#[expect(clippy::disallowed_methods, reason = "what a user does to the machine")]
fn as_user(way: &[&str], script: &str, args: &[&Path]) -> Running {
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let bash = ["bash", "-c", script, "user"];
    Running::start(Command::new("setpriv").args(ids).args(way).args(bash).args(args))
}

#[test]
fn no_user_can_hold_the_lock_that_an_expiry_needs() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[400, 300, 200, 100]);
        // As many make it.
        fs::set_permissions(old_roots(machine), fs::Permissions::from_mode(0o755)).unwrap();
        machine.run(&["hold"]).expect(0);
        machine.run(&["hold", "--release"]).expect(0);
        let script = "cd \"$1\" && exec 7<. && flock -n 7 && exec 8<root && flock -n 8 \
                      && ! { : 9<old-roots; } 2>/dev/null && ! mkdir old-roots/x 2>/dev/null \
                      && ! mv old-roots other 2>/dev/null && echo ready; read -r x";
        let _user = as_user(&[], script, &[machine.top()]);
        machine.run(&["hold"]).expect(0);
        machine.run(&["hold", "--release"]).expect(0);
        let ran = machine.run(&["expire"]).expect(0);
        assert!(!ran.err.contains("waiting"), "{ran:?}");
        assert_eq!(names(machine).len(), 2);
    });
}

#[test]
fn thousands_of_mounts_in_a_users_namespace_hide_no_mount_and_stop_no_expiry() {
    on_machine_with_rules(|machine| {
        live_through(machine, &[400, 300, 200, 100]);
        machine.mount();
        // Each step doubles what is there. Only one shows live: other tests look at all, too.
        let script = "mount -t tmpfs none /mnt && cd /mnt && mkdir live $(seq 11) \
                      && for n in $(seq 11); do mount --rbind /mnt $n; done \
                      && mount --bind \"$1\" live && echo ready; read -r x";
        let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
        let seen = machine.top().join("root");
        let user = as_user(&namespace, script, &[&seen]);
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", user.pid())).unwrap();
        assert!(table.lines().count() > 2000, "{}", table.lines().count());
        let mine = machine.live().to_str().unwrap();
        machine.run(&["status"]).says(mine).says(" private mount namespace");
        let ran = machine.run(&["expire"]).expect(0);
        assert_eq!(names(machine).len(), 2, "{ran:?}");
        drop(user);
        machine.unmount();
    });
}
