//! `explain` and `diff --by owner`: whose a change is, what it is, and what to do about it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::machine::{Machine, Ran, on_initialised, on_machine};

/// Tells `story` of a machine on which a package was installed since blank, a service has made its state, a user
/// has come, and something is there that nobody knows.
fn on_used_machine(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_initialised(|machine| {
        machine.mount();
        machine.install_jq();
        machine.write("var/lib/jq/modules", "what somebody wrote for it");
        let unit = "[Service]\nExecStart=/bin/orders\nStateDirectory=orders\n";
        machine.write("etc/systemd/system/orders.service", unit);
        for number in 0..5 {
            machine.write(&format!("var/lib/orders/{number}.db"), "an order");
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        machine.write("etc/passwd", passwd);
        machine.write("home/alice/thesis", "precious");
        machine.write("var/lib/postgresql/17/main/PG_VERSION", "17\n");
        machine.write("strange/thing", "?");
        story(machine);
    });
}

#[track_caller]
fn has_line(ran: &Ran, beginning: &str) {
    let found = ran.out.lines().any(|line| line.starts_with(beginning));
    assert!(found, "no line `{beginning}` in {ran:#?}");
}

#[test]
fn strays_are_grouped_by_owner_and_one_entry_is_offered_for_many() {
    on_used_machine(|machine| {
        let ran = machine.run(&["diff", "--by", "owner"]).expect(0);
        has_line(&ran, "1 package installed: jq  4 paths, ");
        has_line(&ran, "package jq  2 paths, ");
        has_line(&ran, "  /var/lib/jq and 1 below");
        has_line(&ran, "unit orders.service  7 paths, ");
        has_line(&ran, "user alice  ");
        has_line(&ran, "of nobody that is known  ");
        has_line(&ran, "  /strange and 1 below");
        assert_eq!(ran.err, "");
        let refused = machine.run(&["diff", "--by", "owner", "--flat"]);
        assert_eq!(refused.code, 2, "{refused:#?}");
    });
}

#[test]
fn what_is_gone_belongs_to_whose_it_was_by_what_it_led_to() {
    on_machine(|machine| {
        let link = "etc/systemd/system/multi-user.target.wants/cups.path";
        machine.write("usr/lib/systemd/system/cups.path", "[Path]\n");
        machine.write("var/lib/dpkg/info/cups-daemon.list", "/usr/lib/systemd/system/cups.path\n");
        fs::create_dir_all(machine.live().join(link).parent().unwrap()).unwrap();
        symlink("/usr/lib/systemd/system/cups.path", machine.live().join(link)).unwrap();
        machine.initialise();
        machine.mount();
        fs::remove_file(machine.live().join(link)).unwrap();
        has_line(
            &machine.run(&["diff", "--by", "owner"]).expect(0),
            "package cups-daemon  1 path, ",
        );
        let ran = machine.run(&["explain", &format!("/{link}")]).expect(0);
        has_line(&ran, "  owner     package cups-daemon (exact: ");
    });
}

#[test]
fn programs_get_each_change_with_its_owner_where_they_ask_for_that() {
    on_used_machine(|machine| {
        fs::remove_file(machine.live().join("etc/conf.d/07.conf")).unwrap();
        let read = |args: &[&str]| -> Value {
            let ran = machine.run(args).expect(0);
            assert_eq!(ran.err, "");
            serde_json::from_str(&ran.out).unwrap()
        };
        let told = read(&["diff", "--by", "owner", "--format", "json"]);
        let of = |path: &str| {
            let rows = told["changes"].as_array().unwrap();
            let row = rows.iter().find(|row| row["path"]["text"] == path).unwrap();
            let word = |key: &str| row["owner"][key].as_str().unwrap_or("-").to_string();
            ["kind", "name", "certainty", "since_blank"].map(word).join(" ")
        };
        for (path, expected) in [
            ("/usr/bin/jq", "package jq exact installed"),
            ("/etc/systemd/system/orders.service", "unit orders.service exact -"),
            ("/var/lib/orders", "unit orders.service exact -"),
            ("/var/lib/orders/1.db", "unit orders.service directory -"),
            ("/home/alice/thesis", "user alice directory -"),
            ("/strange/thing", "- - - -"),
            ("/etc/conf.d/07.conf", "- - - -"),
        ] {
            assert_eq!(of(path), expected, "{path} in {told:#}");
        }
        // But for that key it is the document that others get.
        let mut without = told.clone();
        for row in without["changes"].as_array_mut().unwrap() {
            assert!(row.as_object_mut().unwrap().remove("owner").is_some(), "{row}");
        }
        assert_eq!(without, read(&["diff", "--format", "json"]));
    });
}

#[test]
fn what_was_removed_belongs_to_its_owner_in_blank() {
    on_machine(|machine| {
        let status =
            "Package: ed\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n";
        machine.write("var/lib/dpkg/status", status);
        machine.write("var/lib/dpkg/info/ed.list", "/.\n/usr\n/usr/bin\n/usr/bin/ed\n");
        machine.write("usr/bin/ed", "a program");
        machine.initialise();
        machine.mount();
        machine.write("var/lib/dpkg/status", "");
        for path in ["var/lib/dpkg/info/ed.list", "usr/bin/ed"] {
            fs::remove_file(machine.live().join(path)).unwrap();
        }
        let args = ["diff", "--by", "owner", "--format", "json", "/usr/bin/ed"];
        let ran = machine.run(&args).expect(0);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        let row = &told["changes"][0];
        assert_eq!((&row["change"], &row["owner"]["name"]), (&"removed".into(), &"ed".into()));
        assert_eq!(row["owner"]["since_blank"], "removed", "{told:#}");
    });
}

#[test]
fn a_path_is_explained_with_owner_catalogue_boots_and_the_command_to_run() {
    on_used_machine(|machine| {
        let ran = machine.run(&["explain", "/var/lib/postgresql/17/main"]).expect(0);
        has_line(&ran, "/var/lib/postgresql/17/main");
        has_line(&ran, "  is        new since blank: a dir");
        has_line(&ran, "  verdict   stray: nobody has decided about it");
        has_line(&ran, "  below     1 stray");
        has_line(&ran, "  known as  in /var/lib/postgresql, the databases of PostgreSQL");
        assert!(ran.out.contains("run `blankroot keep /var/lib/postgresql`"), "{ran:#?}");
        let ran = machine.run(&["explain", "/var/lib/orders/1.db"]).expect(0);
        has_line(
            &ran,
            "  owner     unit orders.service (directory: a directory around it is its StateDirectory=",
        );
        machine.roll_back().expect(0);
        machine.run(&["expire"]).expect(0);
        let ran = machine.run(&["explain", "/var/lib/orders/1.db"]).expect(0);
        has_line(&ran, "  is        neither in live nor in blank");
        has_line(&ran, "  000001-3f2a1c9e");
        assert!(ran.out.contains("version 1: added, file 0644 0:0, 8 B"), "{ran:#?}");
        has_line(&ran, "  live             now               as in blank");
    });
}

#[test]
fn what_is_kept_forgotten_removed_unchanged_or_nowhere_is_explained_too() {
    on_used_machine(|machine| {
        let file = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(machine.config()).unwrap();
        let lists = "\n[forget]\npaths = [\"/var/cache/**\"]\n[[storage]]\npath = \"/persist\"\n\
                     directories = [\"/var/lib/orders\"]\n";
        fs::write(&file, text + lists).unwrap();
        fs::remove_file(machine.live().join("etc/conf.d/07.conf")).unwrap();
        let paths = [
            "/var/lib/orders/1.db",
            "/var/cache/x",
            "/etc/conf.d/07.conf",
            "/etc/inline",
            "/nowhere",
        ];
        let args: Vec<&str> = ["explain", "--format", "json"].into_iter().chain(paths).collect();
        let ran = machine.run(&args).expect(0);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let told: Vec<String> = document["paths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let word = |value: &Value| value.as_str().unwrap_or("-").to_string();
                [word(&one["is"]), word(&one["verdict"]), word(&one["advice"]["do"])].join(" ")
            })
            .collect();
        let expected = [
            "changed kept nothing",
            "nowhere forgotten nothing",
            "changed stray decide",
            "same - nothing",
            "nowhere - nothing",
        ];
        assert_eq!(told, expected, "{ran:#?}");
        let rule = document["paths"][0]["rule"].as_str().unwrap();
        assert!(rule.starts_with("keep /var/lib/orders (") && rule.contains(".toml:"), "{rule}");
        for paths in [&["explain"][..], &["explain", "relative/../.."]] {
            assert_eq!(machine.run(paths).code, 2);
        }
    });
}
