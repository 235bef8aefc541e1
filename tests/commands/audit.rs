//! Audits: what fails them, what is only told, and what is written down of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::PathBuf;

use dirfd::private_namespace::MountPoint;
use serde_json::{Value, json};
use support::kernel::create_subvolume;

use crate::evidence::{after_boots, ordinary_life};
use crate::machine::{Machine, Ran, on_initialised};

const STORAGE: &str = "\n[[storage]]\npath = \"/persist\"\n";

/// Gives live a configuration with a storage, and these lines after it.
fn configure(machine: &Machine<'_>, more: &str) {
    let text = fs::read_to_string(machine.config()).unwrap();
    machine.write("etc/blankroot.toml", &(text + STORAGE + more));
}

/// The same, and mounts the storage, until the value is dropped.
fn configure_with_storage(machine: &Machine<'_>, more: &str) -> MountPoint {
    configure(machine, more);
    create_subvolume(&machine.top().join("storage")).unwrap();
    let persist = machine.live().join("persist");
    fs::create_dir_all(&persist).unwrap();
    machine.mount_at("storage", &persist)
}

/// What makes no noise: the configuration and the storage of these stories are strays of live, too.
const QUIET: &str = "[audit]\ntell_paths = [\"/etc/blankroot.toml\", \"/persist\"]\n";

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

fn ledger(machine: &Machine<'_>) -> PathBuf {
    machine.live().join("persist/.blankroot/records.jsonl")
}

fn records(machine: &Machine<'_>) -> Vec<Value> {
    let ran = machine.run(&["audit", "--records", "--format", "json"]).expect(0);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_earlier_boots_had_does_not_count_and_what_is_new_does() {
    after_boots(3, |machine| {
        let _storage = configure_with_storage(machine, QUIET);
        ordinary_life(machine, 5);
        let clean = machine.run(&["audit"]).expect(0).says("Clean: no stray fails the audit.");
        assert!(clean.out.contains("3 old roots were asked."), "{clean:#?}");
        assert_eq!(clean.err, "");

        machine.write("home/alice/thesis", "precious");
        let found = machine.run(&["audit"]).expect(1);
        found.says("Found: 2 strays (8 B) fail the audit.").says("  /home/alice and 1 below\n");

        let found = document(&machine.run(&["audit", "--format", "json"]).expect(1));
        let audit = &found["event"]["audit"];
        assert_eq!(audit["result"], "found");
        assert_eq!(audit["fails"], json!({"count": 2, "bytes": 8}));
        assert_eq!(audit["old_roots"], 3);
        // The seed, the stamp, the journal's file and directory, and what this story made.
        assert_eq!(audit["classes"]["changing"], 3, "{found:#}");
        let top = &found["groups"][0]["topmost"][0];
        assert_eq!(top, &json!({"path": {"text": "/home/alice"}, "paths": 2, "bytes": 8}));
        let diff = document(&machine.run(&["diff", "--format", "json"]).expect(0));
        let strays = diff["summary"]["verdicts"]["stray"]["count"].as_u64().unwrap();
        let told = audit["told"]["count"].as_u64().unwrap();
        assert_eq!(told + 2, strays, "{found:#}");
        for (class, count) in audit["classes"].as_object().unwrap() {
            let rows = diff["changes"].as_array().unwrap().iter();
            let rows = rows.filter(|row| row["verdict"] == "stray" && row["class"] == json!(class));
            assert_eq!(&json!(rows.count()), count, "{class}");
        }
    });
}

#[test]
fn each_audit_is_a_record_and_a_dry_run_is_none() {
    after_boots(1, |machine| {
        let _storage = configure_with_storage(machine, QUIET);
        ordinary_life(machine, 2);
        machine.run(&["audit", "--records"]).expect(0).says("There are no records.");
        machine.run(&["audit", "--dry-run"]).expect(1);
        assert!(!machine.live().join("persist/.blankroot").exists());
        let json = machine.run(&["audit", "--format", "json"]).expect(1);
        machine.write("home/alice/thesis", "precious");
        machine.run(&["audit"]).expect(1);
        let records = records(machine);
        assert_eq!(records.len(), 2);
        assert_eq!(records[0], document(&json));
        let fails = |record: &Value| record["event"]["audit"]["fails"]["count"].as_u64().unwrap();
        assert_eq!(fails(&records[1]), fails(&records[0]) + 2);
        // Of a root that is mounted elsewhere.
        assert_eq!((&records[0]["host"], &records[0]["boot"]), (&Value::Null, &Value::Null));
        machine.run(&["audit", "--records"]).expect(0).says("  Found: ").says("/home/alice and 1");
    });
}

#[test]
fn a_record_that_cannot_be_written_changes_nothing_of_what_is_told() {
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        let ran = machine.run(&["audit"]).expect(1).says("Found: ");
        ran.complains("warning: cannot write a record: no storage is declared");
        configure(machine, QUIET);
        let ran = machine.run(&["audit"]).expect(1).says("Found: ");
        ran.complains("warning: cannot write a record into /persist: the storage is not there");
        // A mount point without its mount: what is written there would be gone at the next boot.
        fs::create_dir(machine.live().join("persist")).unwrap();
        let ran = machine.run(&["audit"]).expect(1);
        ran.complains("warning: cannot write a record: nothing is mounted at /persist");
        assert!(!machine.live().join("persist/.blankroot").exists());
        let storage = configure_with_storage(machine, QUIET);
        machine.write("persist/.blankroot", "no directory");
        let ran = machine.run(&["audit"]).expect(1);
        let warning = "warning: cannot write a record into /persist: ";
        ran.complains(warning).complains("hint: look at /persist/.blankroot");
        fs::remove_file(machine.live().join("persist/.blankroot")).unwrap();
        drop(storage);
        configure(machine, "[audit]\nmax_record_bytes = 0\n");
        let ran = machine.run(&["audit"]).expect(1);
        assert_eq!(ran.err, "");
    });
}

#[test]
fn policies_decide_what_fails_and_what_is_only_told() {
    after_boots(2, |machine| {
        ordinary_life(machine, 3);
        let _storage = configure_with_storage(machine, QUIET);
        // Of both boots, and in another version each time.
        for (policy, code) in [
            ("", 0),
            ("fail = \"stray\"\n", 1),
            ("fail_paths = [\"/var/lib/seed\"]\n", 1),
            ("fail_paths = [\"/var/lib/none\"]\n", 0),
            ("fail_owners = [\"user nobody\"]\n", 0),
        ] {
            configure(machine, &format!("{QUIET}{policy}"));
            let ran = machine.run(&["audit"]).expect(code);
            assert_eq!(ran.out.contains("/var/lib/seed"), code == 1, "{policy}: {ran:#?}");
        }
        machine.write("home/alice/thesis", "precious");
        let told = "tell_paths = [\"/etc/blankroot.toml\", \"/persist\", \"/home/alice\"]\n";
        for (policy, code) in [
            (QUIET.to_string(), 1),
            (format!("{QUIET}fail = \"listed\"\n"), 0),
            (format!("[audit]\n{told}"), 0),
            (format!("[audit]\nfail = \"stray\"\n{told}tell_owners = [\"systemd\"]\n"), 1),
        ] {
            configure(machine, &policy);
            let ran = machine.run(&["audit", "--dry-run"]).expect(code);
            assert_eq!(ran.out.contains("alice"), policy == QUIET, "{policy}: {ran:#?}");
        }
    });
}

#[test]
fn strays_are_judged_and_grouped_by_their_owners() {
    after_boots(2, |machine| {
        machine.install_jq();
        machine.write("var/lib/jq/history", "what was asked");
        ordinary_life(machine, 3);
        let _storage = configure_with_storage(machine, QUIET);
        let found = document(&machine.run(&["audit", "--format", "json"]).expect(1));
        let groups: Vec<_> = found["groups"].as_array().unwrap().iter().collect();
        let of = |of: &str| groups.iter().find(|group| group["of"] == of).unwrap();
        assert_eq!(of("packages-installed")["title"], "1 package installed: jq", "{found:#}");
        assert_eq!(of("packages-installed")["topmost"], json!([]));
        let jq = groups.iter().find(|group| group["owner"]["name"] == "jq").unwrap();
        assert_eq!(jq["topmost"][0]["path"]["text"], "/var/lib/jq", "{found:#}");
        let all: u64 = groups.iter().map(|group| group["paths"].as_u64().unwrap()).sum();
        assert_eq!(found["event"]["audit"]["fails"]["count"], all);

        configure(machine, &format!("{QUIET}tell_owners = [\"package jq\"]\n"));
        let told = machine.run(&["audit"]).expect(1);
        assert!(!told.out.contains("package jq"), "{told:#?}");
        configure(machine, &format!("{QUIET}fail = \"listed\"\nfail_owners = [\"jq\"]\n"));
        machine.run(&["audit"]).expect(1).says("package jq");
    });
}

#[test]
fn since_a_boot_is_new_what_that_and_those_before_had_not() {
    after_boots(3, |machine| {
        // Since the third boot it comes back by itself.
        machine.boot("3f2a1c9e-7a01-4b6e-9d0a-000000000004");
        ordinary_life(machine, 4);
        machine.write("srv/www/index.html", "hello");
        machine.roll_back().expect(0);
        machine.run(&["expire"]).expect(0);
        ordinary_life(machine, 5);
        machine.write("srv/www/index.html", "hello");
        let _storage = configure_with_storage(machine, QUIET);
        machine.run(&["audit"]).expect(0).says("4 old roots were asked.");
        let since = machine.run(&["audit", "--since", "3"]).expect(1).says("  /srv and 2 below\n");
        let asked = "The old root 000003-3f2a1c9e and 2 older ones were asked.";
        assert!(since.out.contains(asked), "{since:#?}");
        machine.run(&["audit", "--since", "last"]).expect(0).says("and 3 older ones were asked.");
        let first =
            document(&machine.run(&["audit", "--since", "1", "--format", "json"]).expect(1));
        assert_eq!(first["event"]["audit"]["since"], "000001-3f2a1c9e");
        assert_eq!(first["event"]["audit"]["old_roots"], 1);

        let none = machine.run(&["audit", "--since", "77"]).expect(2);
        none.complains("cannot find the old root `77`").complains("000004-3f2a1c9e, set aside");
        let digests = machine.beside_records(".digest");
        fs::remove_file(&digests[2]).unwrap();
        let lacks = machine.run(&["audit", "--since", "3"]).expect(2);
        lacks
            .complains("it has no digest against the blank of today")
            .complains("blankroot expire");
    });
}

#[test]
fn what_could_not_be_told_is_no_clean_audit() {
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        let _storage = configure_with_storage(machine, QUIET);
        machine.rename("old-roots", "elsewhere");
        symlink("elsewhere", machine.top().join("old-roots")).unwrap();
        let ran = machine.run(&["audit"]).expect(2);
        assert_eq!(ran.out, "");
        ran.complains("cannot open");
        assert!(!ledger(machine).exists());
    });
    after_boots(3, |machine| {
        ordinary_life(machine, 4);
        let _storage = configure_with_storage(machine, QUIET);
        machine.run(&["audit"]).expect(0);
        // Fewer old roots would tell of more that it comes back by itself.
        let digest = machine.beside_records(".digest").remove(1);
        fs::write(digest, "garbage").unwrap();
        machine.run(&["diff"]).expect(0);
        let ran = machine.run(&["audit"]).expect(2);
        ran.complains(
            "cannot ask what the old root 000002-3f2a1c9e had: its digest cannot be read",
        )
        .complains("hint: `blankroot expire` makes digests anew");
        machine.run(&["expire"]).expect(0);
        machine.run(&["audit"]).expect(0).says("3 old roots were asked.");
        // Whose a path is decides, and nobody can say it.
        configure(machine, &format!("{QUIET}fail_owners = [\"jq\"]\n"));
        machine.run(&["audit"]).expect(0);
        let status = machine.live().join("var/lib/dpkg/status");
        machine.write("var/lib/dpkg/info/jq.list", "/.\n/usr\n/usr/bin\n/usr/bin/jq\n");
        machine.write("var/lib/dpkg/status", "");
        fs::OpenOptions::new().write(true).open(status).unwrap().set_len(200 << 20).unwrap();
        let ran = machine.run(&["audit"]).expect(2);
        ran.complains("cannot tell whose each stray is: cannot read /var/lib/dpkg/status");
    });
    on_initialised(|machine| {
        machine.mount();
        machine.write("etc/blankroot.toml", "[root]\nbackend = \"btrfs\"\n");
        machine.run(&["audit"]).expect(2).complains("cannot use");
    });
}

#[test]
fn without_old_roots_each_stray_is_new_and_the_audit_says_so() {
    on_initialised(|machine| {
        machine.mount();
        machine.write("srv/x", "new");
        let ran = machine.run(&["audit"]).expect(1).says("  /srv and 1 below\n");
        ran.says("No old root was asked, so that each stray counts as new.");
    });
}

#[test]
fn metrics_are_the_counts_of_the_record_and_the_file_is_replaced_as_a_whole() {
    after_boots(2, |machine| {
        ordinary_life(machine, 3);
        machine.write("home/alice/thesis", "precious");
        let _storage = configure_with_storage(machine, QUIET);
        let file = machine.host().join("blankroot.prom");
        fs::write(&file, "old").unwrap();
        // Whatever the umask, it is the exporter's to read.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let name = file.to_str().unwrap();
        let told = machine.run(&["audit", "--format", "prometheus", "--dry-run"]).expect(1);
        let json = machine.run(&["audit", "--format", "json", "--textfile", name]).expect(1);
        let record = document(&json);
        let text = fs::read_to_string(&file).unwrap();
        let value = |metric: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{metric} ")));
            line.unwrap_or_else(|| panic!("no {metric} in {text}")).parse().unwrap()
        };
        let audit = &record["event"]["audit"];
        assert_eq!(value("blankroot_audit_fails"), audit["fails"]["count"]);
        assert_eq!(value("blankroot_audit_fails_bytes"), audit["fails"]["bytes"]);
        assert_eq!(value("blankroot_audit_told"), audit["told"]["count"]);
        assert_eq!(value("blankroot_audit_old_roots"), 2);
        assert_eq!(value("blankroot_audit_strays{class=\"new\"}"), audit["classes"]["new"]);
        let owner = "blankroot_audit_owner_fails{kind=\"nobody\",owner=\"\"}";
        assert_eq!(value(owner), record["groups"][0]["paths"], "{record:#}");
        assert!(!text.contains('/'), "{text}");
        let without_time = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.contains("_time_seconds "));
            lines.map(str::to_string).collect()
        };
        assert_eq!(without_time(&told.out), without_time(&text));

        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        for (name, what) in [("link", "a link"), ("fifo", "a pipe")] {
            let special = machine.host().join(name);
            match what {
                "a link" => symlink("blankroot.prom", &special).unwrap(),
                _ => nix::unistd::mkfifo(&special, nix::sys::stat::Mode::S_IRUSR).unwrap(),
            }
            let ran = machine.run(&["audit", "--textfile", special.to_str().unwrap()]).expect(2);
            ran.complains("what is there is not a plain file");
            assert!(!fs::symlink_metadata(&special).unwrap().is_file(), "{what}");
            // Nobody waits for a pipe in the place of the directory.
            let below = special.join("x.prom");
            machine.run(&["audit", "--textfile", below.to_str().unwrap()]).expect(2);
        }
        let none = machine.host().join("none/blankroot.prom");
        let ran = machine.run(&["audit", "--textfile", none.to_str().unwrap()]).expect(2);
        ran.complains("cannot write the metrics to");
        let refused = machine.run(&["audit", "--records", "--format", "prometheus"]).expect(2);
        refused.complains("a metric has one value, that of now");
    });
}

#[test]
fn who_reads_no_further_gets_the_same_exit_code() {
    on_initialised(|machine| {
        machine.mount();
        machine.write("srv/x", "new");
        let mut child = machine.start(&["audit"]);
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
    });
}

#[test]
fn what_a_former_root_lost_is_written_down_once_and_agrees_with_history() {
    on_initialised(|machine| {
        machine.mount();
        machine.edit_config(|text| text.to_string() + STORAGE);
        fs::create_dir_all(machine.host().join("persist")).unwrap();
        let lost = |machine: &Machine<'_>| -> Vec<Value> {
            let ledger = machine.host().join("persist/.blankroot/records.jsonl");
            let text = fs::read_to_string(ledger).unwrap_or_default();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        machine.run(&["expire"]).expect(0);
        assert_eq!(lost(machine), [Value::Null; 0]);
        for number in 1..=3 {
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-{number:012}"));
            ordinary_life(machine, number);
            if number == 3 {
                machine.write("home/alice/thesis", "precious");
            }
            machine.run(&["expire"]).expect(0);
            machine.roll_back().expect(0);
            let name = format!("00000{number}-3f2a1c9e");
            let plan = format!("write down what {name} had to lose\n");
            machine.run(&["expire", "--dry-run"]).expect(0).says(&plan);
            machine.run(&["expire"]).expect(0).says(&format!("done: {plan}"));
            let again = machine.run(&["expire"]).expect(0);
            assert!(!again.out.contains("lose"), "{again:#?}");
            assert_eq!(lost(machine).len(), number as usize);
        }
        let records = lost(machine);
        let config = machine.config();
        let args = ["history", "--format", "json", "--config", config.to_str().unwrap()];
        let history = document(&machine.run(&args).expect(0));
        for (record, root) in records.iter().zip(history["roots"].as_array().unwrap()) {
            let (lost, told) = (&record["event"]["lost"], &root["lost"]);
            assert_eq!(lost["root"], root["name"]);
            assert_eq!(lost["strays"], json!({"count": told["paths"], "bytes": told["bytes"]}));
            for key in ["ended", "boots"] {
                assert_eq!(lost[key], root[key], "{key}");
            }
            assert_eq!(lost["new"], told["new"]);
            let groups = record["groups"].as_array().unwrap();
            let listed: u64 = groups.iter().map(|group| group["paths"].as_u64().unwrap()).sum();
            let expected = if lost["new"].is_null() { &told["paths"] } else { &lost["new"] };
            assert_eq!(&json!(listed), expected, "{record:#}");
        }
        assert_eq!(records[2]["groups"][0]["topmost"][0]["path"]["text"], "/home/alice");
    });
}

#[test]
fn several_roots_that_were_not_written_down_are_all_told_after_the_last_one_that_was() {
    on_initialised(|machine| {
        machine.mount();
        machine.edit_config(|text| text.to_string() + STORAGE);
        fs::create_dir_all(machine.host().join("persist")).unwrap();
        let mut told = Vec::new();
        for number in 1..=4 {
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-{number:012}"));
            ordinary_life(machine, number);
            machine.roll_back().expect(0);
            // After the third boot the unit did not run.
            if number != 3 {
                let ran = machine.run(&["expire"]).expect(0);
                told.push(ran.out.matches("had to lose").count());
            }
        }
        assert_eq!(told, [1, 1, 2]);
        // From the ledger records go; what was told is not told again.
        fs::remove_file(machine.host().join("persist/.blankroot/records.jsonl")).unwrap();
        let ran = machine.run(&["expire"]).expect(0);
        assert!(!ran.out.contains("had to lose"), "{ran:#?}");
        // Where that is not known, the youngest is told.
        fs::remove_file(machine.host().join("persist/.blankroot/last-lost-root")).unwrap();
        let ran = machine.run(&["expire"]).expect(0).says("what 000004-3f2a1c9e had to lose");
        assert_eq!(ran.out.matches("had to lose").count(), 1, "{ran:#?}");
        // One that cannot be written is told, and is no failure of the expiry.
        let persist = machine.host().join("persist");
        for name in ["records.jsonl", "last-lost-root"] {
            fs::remove_file(persist.join(".blankroot").join(name)).unwrap();
        }
        fs::remove_dir(persist.join(".blankroot")).unwrap();
        fs::remove_dir(persist).unwrap();
        let warned = machine.run(&["expire"]).expect(0);
        warned.complains("warning: ").complains("the storage is not there");
    });
}

#[test]
fn an_event_that_is_turned_off_does_nothing() {
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        let _storage = configure_with_storage(machine, QUIET);
        for (event, key) in
            [("boot", "at_boot"), ("shutdown", "at_shutdown"), ("packages", "after_packages")]
        {
            configure(machine, &format!("[audit]\n{key} = false\n"));
            let ran = machine.run(&["audit", "--event", event]).expect(0);
            assert_eq!((ran.out, ran.err), (String::new(), String::new()), "{event}");
            assert!(!ledger(machine).exists(), "{event}");
        }
        configure(machine, QUIET);
        for event in ["boot", "shutdown", "packages"] {
            machine.run(&["audit", "--event", event]).expect(1);
        }
        let at: Vec<_> =
            records(machine).iter().map(|record| record["event"]["audit"]["at"].clone()).collect();
        assert_eq!(at, ["boot", "shutdown", "packages"]);
    });
}

#[test]
fn after_packages_the_event_tells_what_of_them_the_next_boot_undoes() {
    after_boots(1, |machine| {
        let _storage = configure_with_storage(machine, QUIET);
        let quiet = machine.run(&["audit", "--event", "packages"]).expect(0);
        assert_eq!(quiet.out, "");
        machine.install_jq();
        let told = machine.run(&["audit", "--event", "packages"]).expect(1);
        assert!(
            told.out.starts_with("blankroot: 1 package installed: jq: the next boot undoes this\n")
        );
        // In another tree than live, such as a copy of blank, nothing is lost.
        let copy = machine.host().join("copy");
        fs::create_dir(&copy).unwrap();
        let mounted = machine.mount_at("root-blank", &copy);
        let config = machine.config();
        let args = ["audit", "--event", "packages", "--root", copy.to_str().unwrap()];
        let args = [&args[..], &["--config", config.to_str().unwrap()]].concat();
        let elsewhere = machine.run(&args).expect(0);
        assert_eq!(elsewhere.out, "");
        drop(mounted);
    });
}

#[test]
fn an_audit_gives_up_when_its_time_is_up_whatever_it_waits_for() {
    after_boots(1, |machine| {
        let _storage = configure_with_storage(machine, QUIET);
        machine.write("srv/x", "new");
        machine.run(&["audit"]).expect(1);
        let lock = ledger(machine).with_file_name(".records.lock");
        let lock =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(lock).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let began = std::time::Instant::now();
        let late = machine.run(&["audit", "--within", "1"]).expect(2).says("Found: ");
        late.complains("cannot audit the root: it was not done within 1 s");
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
        drop(lock);
        machine.run(&["audit", "--within", "60"]).expect(1);
        assert_eq!(records(machine).len(), 2);
    });
}

#[test]
fn what_no_old_root_had_as_it_is_is_new_although_its_path_is_known() {
    after_boots(2, |machine| {
        ordinary_life(machine, 3);
        let _storage = configure_with_storage(machine, QUIET);
        machine.run(&["audit"]).expect(0);
        let fails = |machine: &Machine<'_>, path: &str| {
            let ran = machine.run(&["audit"]).expect(1);
            assert!(ran.out.contains(&format!("  /{path}\n")), "{path}: {ran:#?}");
        };
        // Each boot made the same of it, and today it is another one.
        machine.write("var/lib/made/always", "LD_PRELOAD=/tmp/evil\n");
        fails(machine, "var/lib/made/always");
        machine.write("var/lib/made/always", "the same\n");
        // Each boot removed it, and today a program is there.
        let program = machine.live().join("etc/conf.d/07.conf");
        machine.write("etc/conf.d/07.conf", "a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        fails(machine, "etc/conf.d/07.conf");
        fs::remove_file(&program).unwrap();
        // It changes at each boot, but it was never a program that runs as root.
        let seed = machine.live().join("var/lib/seed");
        fs::set_permissions(&seed, fs::Permissions::from_mode(0o4755)).unwrap();
        fails(machine, "var/lib/seed");
        fs::set_permissions(&seed, fs::Permissions::from_mode(0o644)).unwrap();
        machine.run(&["audit"]).expect(0);
    });
    // What is there only while the machine runs is in no old root; a user's own in a shared directory does not pass for it.
    after_boots(2, |machine| {
        ordinary_life(machine, 3);
        fs::create_dir_all(machine.live().join("var/tmp")).unwrap();
        let _storage = configure_with_storage(machine, QUIET);
        let private = machine.live().join("var/tmp/systemd-private-50e3-cups.service-fKE8f5");
        fs::create_dir_all(private.join("tmp")).unwrap();
        let fails = |machine: &Machine<'_>| {
            let found = document(&machine.run(&["audit", "--format", "json"]).expect(1));
            found["event"]["audit"]["fails"]["count"].as_u64().unwrap()
        };
        // The directory that these stories lack.
        assert_eq!(fails(machine), 1);
        std::os::unix::fs::chown(&private, Some(1000), None).unwrap();
        assert_eq!(fails(machine), 2);
        std::os::unix::fs::chown(&private, Some(0), None).unwrap();
        fs::write(private.join("tmp/x"), "somebody's").unwrap();
        assert_eq!(fails(machine), 2);
    });
    // One old root tells of no file whether it changes at each boot.
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        let _storage = configure_with_storage(machine, QUIET);
        let ran = machine.run(&["audit"]).expect(1);
        assert!(!ran.out.contains("/var/lib/seed"), "{ran:#?}");
    });
}

#[test]
fn a_few_sparse_files_do_not_break_the_counts() {
    after_boots(1, |machine| {
        let _storage = configure_with_storage(machine, QUIET);
        fs::create_dir_all(machine.live().join("home/alice")).unwrap();
        for number in 0..3 {
            let file =
                fs::File::create(machine.live().join(format!("home/alice/{number}"))).unwrap();
            file.set_len(i64::MAX as u64 - 4096).unwrap();
        }
        let found = document(&machine.run(&["audit", "--format", "json"]).expect(1));
        assert_eq!(found["event"]["audit"]["fails"]["bytes"], u64::MAX);
        for args in [&["history"][..], &["diff", "--stat"], &["diff"], &["diff", "--by", "owner"]] {
            machine.run(args).expect(0);
        }
        machine.run(&["explain", "/home/alice"]).expect(0);
    });
}
