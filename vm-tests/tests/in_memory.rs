//! What is promised of a root in memory, which is empty at each boot: real systemd, and a real tmpfs that each boot
//! fills from a disk. Only the storage survives.

use vm_tests::console::quoted;
use vm_tests::namespaces::Namespaces;
use vm_tests::stories;
use vm_tests::system::System;

mod memory {
    mod ci {
        #[test]
        fn each_boot_leaves_a_digest_by_which_later_ones_tell_what_comes_back() {
            crate::each_boot_leaves_a_digest_by_which_later_ones_tell_what_comes_back();
        }
    }
}

/// A service that takes its time to stop, and writes then.
const LAST_WORDS: &str = r#"mkdir /var/lib/words
cat >/usr/local/sbin/last-words <<'END'
#!/bin/sh
sleep 0.5
echo goodbye >/var/lib/words/always
cat /proc/sys/kernel/random/boot_id >/var/lib/words/boot
END
chmod 755 /usr/local/sbin/last-words
cat >/etc/systemd/system/last-words.service <<'END'
[Service]
ExecStart=sleep infinity
ExecStop=/usr/local/sbin/last-words
[Install]
WantedBy=multi-user.target
END
systemctl --quiet enable last-words.service"#;

/// How many boots come before the one that asks.
const BOOTS: usize = 3;
const DIGEST_UNIT: &str = "blankroot-digest.service";

fn each_boot_leaves_a_digest_by_which_later_ones_tell_what_comes_back() {
    let Some(mut system) = stories::in_memory(LAST_WORDS) else { return };
    for before in 0..BOOTS {
        begin_boot(&mut system, before);
        system.run("date +%N >/var/lib/serial && echo feed the cat >/home/alice/note");
        system.shut_down();
    }
    begin_boot(&mut system, BOOTS);
    assert_eq!(system.run("cat /home/alice/note"), "feed the cat\n");
    expect_classes(&mut system);
    expect_history(&mut system);
}

/// Boots, after so many boots before.
fn begin_boot(system: &mut Namespaces, before: usize) {
    system.boot();
    assert_eq!(system.run("findmnt -n -o FSTYPE /"), "tmpfs\n");
    let failed = system.run("systemctl --failed --no-legend --plain");
    assert!(
        failed.is_empty(),
        "{failed}{}",
        system.run("journalctl -b --no-pager -u 'blankroot*'")
    );
    assert_eq!(system.run(&format!("systemctl is-active {DIGEST_UNIT}")), "active\n");
    assert!(!system.holds("test -e /var/lib/serial || test -e /var/lib/words/always"));
    let digests = system.try_run("cd /persist/.blankroot && ls *.digest").text;
    if before > 0 {
        assert_eq!(digests.lines().count(), before, "{digests}");
        expect_digest_in_time(system);
    }
}

/// In the boot before, the unit had done its work within two seconds, between the services and the storage.
fn expect_digest_in_time(system: &mut Namespaces) {
    let said = system.run(&format!("journalctl -b -1 -o cat --no-pager -u {DIGEST_UNIT}"));
    print!("{}", quoted(&said));
    let done = said.lines().find(|line| line.starts_with("done: write the digest of this boot"));
    assert!(done.is_some_and(|line| !line.contains("cut")), "{said}");
    assert!(!said.contains("Failed"), "{said}");
    let service = time_of(system, UNIT_STOPPED, "last-words.service");
    let [begun, ended] =
        [UNIT_STOPPING, UNIT_STOPPED].map(|message| time_of(system, message, DIGEST_UNIT));
    let storage = time_of(system, UNIT_STOPPING, "persist.mount");
    assert!(service < begun, "it did not wait for a service");
    assert!(ended < storage, "it did not stop before the storage went");
    let took = (ended - begun) / 1000;
    println!("the digest took {took} ms of the shutdown");
    assert!(took < 2000);
}

// SD_MESSAGE_UNIT_STOPPING and SD_MESSAGE_UNIT_STOPPED of systemd's sd-messages.h.
const UNIT_STOPPING: &str = "de5b426a63be47a7b6ac3eaac82e2f6f";
const UNIT_STOPPED: &str = "9d1aaa27d60140bd96365438aad20286";

/// When the boot before said this of a unit, in microseconds.
fn time_of(system: &mut Namespaces, message: &str, unit: &str) -> u64 {
    let entry = system
        .run(&format!("journalctl -b -1 -o json MESSAGE_ID={message} UNIT={unit} | tail -n 1"));
    assert!(!entry.is_empty(), "the journal has no {message} of {unit}");
    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
    entry["__MONOTONIC_TIMESTAMP"].as_str().unwrap().parse().unwrap()
}

/// What all boots before made again, or wrote when they stopped, is told as such; and what somebody made now.
fn expect_classes(system: &mut Namespaces) {
    system.run(
        "echo goodbye >/var/lib/words/always
        echo other >/var/lib/words/boot
        date +%N >/var/lib/serial
        echo mine >/root/mine",
    );
    let told = system.run("blankroot diff");
    print!("{}", quoted(&told));
    assert!(told.contains(&format!("that the last {BOOTS} old roots all have, too")), "{told}");
    let changes = system.run("blankroot diff --flat --all");
    for (path, expected) in [
        ("/etc/passwd", ["regenerated", "same"]),
        ("/var/lib/dpkg/status", ["regenerated", "same"]),
        // In their digests only if these were made after the service had stopped.
        ("/var/lib/words/always", ["regenerated", "same"]),
        ("/var/lib/words/boot", ["stray", "changing"]),
        ("/var/lib/serial", ["stray", "changing"]),
        ("/root/mine", ["stray", "new"]),
        ("/home", ["kept", "same"]),
    ] {
        let line = changes.lines().find(|line| line.ends_with(&format!(" {path}")));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().rev().collect();
        assert_eq!(words.get(1..3), Some(&[expected[1], expected[0]][..]), "{path}: {line:?}");
    }
}

/// Each boot before is told, and had its own version of what the service wrote when it stopped.
fn expect_history(system: &mut Namespaces) {
    let lives = system.run("blankroot history");
    print!("{}", quoted(&lives));
    assert_eq!(lives.matches("  until ").count(), BOOTS, "{lives}");
    assert!(lives.contains("\nlive  1 boot\n") && lives.contains("/root/mine"), "{lives}");
    let explained = system.run("blankroot explain /var/lib/words/boot");
    print!("{}", quoted(&explained));
    for version in 1..=BOOTS + 1 {
        assert!(explained.contains(&format!("version {version}: added, file 0644 0:0, ")));
    }
}
