//! Evidence: what old roots tell of a change, by the digests that are made of them once the system is up.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use blankroot::evidence::digest::DigestHeader;
use serde_json::Value;

use crate::machine::{Machine, on_initialised};

/// Tells `story` of a machine that has lived so many boots, whose digests were made.
pub(crate) fn after_boots(boots: u32, story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_initialised(|machine| {
        machine.mount();
        for number in 1..=boots {
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-{number:012}"));
            ordinary_life(machine, number);
            // As the unit does once the system is up.
            machine.run(&["expire"]).expect(0);
            machine.roll_back().expect(0);
        }
        machine.run(&["expire"]).expect(0);
        story(machine);
    });
}

/// A life: what each boot makes again, what changes each time, what comes and goes.
pub(crate) fn ordinary_life(machine: &Machine<'_>, number: u32) {
    machine.write("var/lib/made/always", "the same\n");
    symlink("always", machine.live().join("var/lib/made/link")).unwrap();
    machine.write("var/lib/seed", &format!("seed {number}\n"));
    // An empty file each time, whose time of writing is all that it says.
    machine.write("var/lib/systemd/timers/stamp-logrotate.timer", "");
    let stamp = machine.live().join("var/lib/systemd/timers/stamp-logrotate.timer");
    let time =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 * u64::from(number));
    fs::File::options().write(true).open(stamp).unwrap().set_modified(time).unwrap();
    if number.is_multiple_of(2) {
        machine.write("var/lib/sometimes", "now\n");
    }
    let id = format!("{number:032x}");
    machine.write(&format!("var/log/journal/{id}/system.journal"), &format!("{number}"));
    fs::remove_file(machine.live().join("etc/conf.d/07.conf")).unwrap();
}

/// Class and verdict of each change, by path; with the number of old roots that were asked.
fn classes(machine: &Machine<'_>) -> (BTreeMap<String, (String, String)>, u64) {
    let ran = machine.run(&["diff", "--format", "json"]).expect(0);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let rows = document["changes"].as_array().unwrap().iter().map(|row| {
        let word = |key: &str| row[key].as_str().unwrap_or("-").to_string();
        (row["path"]["text"].as_str().unwrap().to_string(), (word("class"), word("verdict")))
    });
    (rows.collect(), document["old_roots"].as_u64().unwrap())
}

fn digests(machine: &Machine<'_>) -> Vec<PathBuf> {
    machine.beside_records(".digest")
}

#[test]
fn old_roots_tell_what_is_new_what_changes_and_what_comes_back_by_itself() {
    after_boots(3, |machine| {
        assert_eq!(digests(machine).len(), 3);
        ordinary_life(machine, 5);
        machine.write("home/alice/thesis", "precious");
        let (classes, asked) = classes(machine);
        assert_eq!(asked, 3);
        for (path, class, verdict) in [
            ("/var/lib/made", "same", "regenerated"),
            ("/var/lib/made/always", "same", "regenerated"),
            ("/var/lib/made/link", "same", "regenerated"),
            ("/etc/conf.d/07.conf", "same", "regenerated"),
            ("/var/lib/seed", "changing", "stray"),
            ("/var/lib/systemd/timers/stamp-logrotate.timer", "changing", "stray"),
            ("/var/log/journal/00000000000000000000000000000005", "same", "regenerated"),
            (
                "/var/log/journal/00000000000000000000000000000005/system.journal",
                "changing",
                "stray",
            ),
            ("/home/alice/thesis", "new", "stray"),
        ] {
            let expected = (class.to_string(), verdict.to_string());
            assert_eq!(classes.get(path), Some(&expected), "{path} in {classes:#?}");
        }

        let tree = machine.run(&["diff"]).expect(0);
        let line = |text: &str| tree.out.lines().find(|line| line.contains(text));
        assert!(line("alice/").is_some_and(|line| line.ends_with("stray  new")), "{tree:#?}");
        assert!(line("seed").is_some_and(|line| line.ends_with("stray  changing")), "{tree:#?}");
        assert!(line("always").is_none() && line("07.conf").is_none(), "{tree:#?}");
        let note = "that the last 3 old roots all have, too";
        assert!(line("--all").is_some_and(|line| line.ends_with(note)), "{tree:#?}");
        let all = machine.run(&["diff", "--all"]).expect(0);
        assert!(all.out.contains("regenerated"), "{all:#?}");
    });
}

#[test]
fn what_differs_from_all_boots_today_is_no_longer_regenerated_however_small_the_difference() {
    after_boots(2, |machine| {
        ordinary_life(machine, 7);
        machine.write("var/lib/sometimes", "now\n");
        assert_eq!(classes(machine).0["/var/lib/made/always"].1, "regenerated");
        // Of the same size.
        machine.write("var/lib/made/always", "the sane\n");
        let (found, _) = classes(machine);
        assert_eq!(found["/var/lib/made/always"], ("same".to_string(), "stray".to_string()));
        assert_eq!(found["/var/lib/made/link"].1, "regenerated");
        assert_eq!(found["/var/lib/sometimes"], ("some".to_string(), "stray".to_string()));
        let tree = machine.run(&["diff"]).expect(0);
        assert!(tree.out.contains("stray  some (1 of 2)"), "{tree:#?}");
        // A new directory in which something is new is somebody's as a whole.
        machine.write("var/lib/made/always", "the same\n");
        machine.write("var/lib/made/new", "precious");
        let (found, _) = classes(machine);
        for path in ["/var/lib/made", "/var/lib/made/always", "/var/lib/made/link"] {
            assert_eq!(found[path].1, "stray", "{path}");
        }
    });
}

#[test]
fn a_digest_is_never_believed_when_it_is_not_of_this_tree_and_is_made_anew() {
    after_boots(2, |machine| {
        let [first, second] = digests(machine).try_into().unwrap();
        let (whole, other) = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
        let asked = |machine: &Machine<'_>| classes(machine).1;
        assert_eq!(asked(machine), 2);
        let cut = whole[..whole.len() / 2].to_vec();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (wrong, why) in [
            (Some(cut), "it is damaged: its checksum is another one"),
            (Some(flipped), "it is damaged: its checksum is another one"),
            (Some(other.clone()), "it is of another tree"),
            (Some(Vec::new()), "it is cut short"),
            (None, "there is none"),
        ] {
            match wrong {
                Some(bytes) => fs::write(&first, bytes).unwrap(),
                None => fs::remove_file(&first).unwrap(),
            }
            assert_eq!(asked(machine), 1, "{why}");
            let plan = format!("make the digest of old-roots/000001-3f2a1c9e: {why}\n");
            machine.run(&["expire", "--dry-run"]).expect(0).says(&plan);
            machine.run(&["expire"]).expect(0).says("done: make the digest of old-roots/000001-");
            assert_eq!(fs::read(&first).unwrap(), whole, "{why}");
            assert_eq!(fs::metadata(&first).unwrap().mode() & 0o7777, 0o600);
            assert_eq!(asked(machine), 2);
        }
        // Nothing to do is nothing written.
        let before = fs::metadata(&first).unwrap().ino();
        let ran = machine.run(&["expire"]).expect(0);
        assert!(!ran.out.contains("digest"), "{ran:#?}");
        assert_eq!(fs::metadata(&first).unwrap().ino(), before);
        assert_eq!(fs::read(&second).unwrap(), other);
    });
}

#[test]
fn with_another_blank_all_digests_are_made_against_that() {
    after_boots(2, |machine| {
        assert_eq!(classes(machine).1, 2);
        // As an administrator does who made the root better and wants to keep that.
        machine.write("var/lib/made/always", "the same\n");
        machine.rename("root-blank", "former-blank");
        machine.run(&["init"]).expect(0);
        assert_eq!(classes(machine).1, 0);
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        assert_eq!(dry.out.matches("it is of another blank").count(), 2, "{dry:#?}");
        machine.run(&["expire"]).expect(0);
        machine.write("var/lib/seed", "seed");
        let (found, asked) = classes(machine);
        assert_eq!((asked, found["/var/lib/seed"].0.as_str()), (2, "changing"));
    });
}

#[test]
fn what_is_written_of_an_old_root_goes_with_it() {
    after_boots(3, |machine| {
        // Of live, too.
        assert_eq!((digests(machine).len(), machine.beside_records(".life").len()), (3, 4));
        machine.edit_config(|text| {
            let rules = "retention = { at_least = 1, days = 0 }";
            let line = |line: &str| if line.starts_with("retention") { rules } else { line }.into();
            text.lines().map(line).collect::<Vec<String>>().join("\n")
        });
        let ran = machine.run(&["expire"]).expect(0);
        assert_eq!(ran.out.matches("done: discard").count(), 2, "{ran:#?}");
        let left = (digests(machine).len(), machine.beside_records(".life").len());
        assert_eq!(left, (1, 2));
    });
}

#[test]
fn how_many_old_roots_are_asked_is_configured() {
    after_boots(3, |machine| {
        for (count, asked) in [("2", 2), ("0", 0), ("9", 3)] {
            let table = format!("\n[evidence]\nold_roots = {count}\n");
            let file = machine.live().join("etc/blankroot.toml");
            let text = fs::read_to_string(machine.config()).unwrap();
            fs::write(&file, text + &table).unwrap();
            assert_eq!(classes(machine).1, asked);
        }
    });
}

#[test]
fn the_boots_that_a_root_has_lived_are_counted() {
    on_initialised(|machine| {
        machine.mount();
        for boot in ["a", "b", "b", "c"] {
            machine.boot(boot);
            machine.run(&["expire"]).expect(0);
        }
        machine.roll_back().expect(0);
        machine.run(&["expire"]).expect(0);
        let digest = fs::read(&digests(machine)[0]).unwrap();
        let boots = DigestHeader::decode(&digest).unwrap().boots;
        let ids: Vec<_> = boots.iter().map(|boot| boot.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    });
}

#[test]
fn history_tells_what_each_root_lost_and_what_of_it_was_new() {
    on_initialised(|machine| {
        machine.mount();
        for number in 1..=3 {
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-{number:012}"));
            ordinary_life(machine, number);
            if number == 3 {
                machine.write("var/lib/postgresql/17/main/base/16389", "orders");
                machine.write("home/alice/thesis", &"precious".repeat(100));
                machine.write("var/cache/apt/archives/x.deb", "a package");
            }
            machine.run(&["expire"]).expect(0);
            machine.roll_back().expect(0);
        }
        // The digest of the last one is made on the way.
        let ran = machine.run(&["history", "--format", "json"]).expect(0);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let roots = document["roots"].as_array().unwrap();
        assert_eq!(roots.len(), 4);
        assert!(roots[3]["name"].is_null() && roots[3]["ended"].is_null());
        let new: Vec<_> = roots.iter().map(|root| root["lost"]["new"].clone()).collect();
        assert!(new[0].is_null(), "{new:?}");
        let notable = roots[2]["lost"]["notable"].as_array().unwrap();
        let paths: Vec<_> =
            notable.iter().map(|one| one["path"]["text"].as_str().unwrap()).collect();
        // What the catalogue knows comes first, and a cache is no news.
        assert_eq!(paths, ["/var/lib/postgresql", "/home/alice"], "{ran:#?}");
        assert_eq!(notable[0]["what"], "the databases of PostgreSQL");
        assert_eq!(roots[2]["boots"], 1);

        let text = machine.run(&["history"]).expect(0);
        assert!(text.out.contains("000003-3f2a1c9e  "), "{text:#?}");
        assert!(text.out.contains("  new   /home/alice (2 paths, 800 B)"), "{text:#?}");
        assert!(text.out.contains("\nlive  since "), "{text:#?}");
    });
}

#[test]
fn history_of_a_path_counts_equal_content_as_one_version() {
    after_boots(3, |machine| {
        machine.write("var/lib/seed", "seed 2\n");
        let states = |path: &str| -> Vec<String> {
            let ran = machine.run(&["history", path]).expect(0);
            let lines = ran.out.lines().skip(1);
            // After name and time.
            let state = |line: &str| line[2 + 15 + 2 + 16 + 2..].to_string();
            lines.map(state).map(|s| s.split(',').next().unwrap().to_string()).collect()
        };
        let added = |number| format!("version {number}: added");
        assert_eq!(states("/var/lib/seed"), [added(1), added(2), added(3), added(2)]);
        let always = states("/var/lib/made");
        assert_eq!(always, [added(1), added(1), added(1), "as in blank".to_string()]);
        assert_eq!(states("/etc/inline"), ["as in blank"; 4]);
        let parent = machine.run(&["history", "/var/lib"]).expect(0);
        assert!(parent.out.contains("changed paths below"), "{parent:#?}");
        machine.run(&["history", "/var/lib", "--format", "json"]).expect(0).says("\"below\":");
    });
}

#[test]
fn where_old_roots_cannot_be_asked_the_changes_are_told_all_the_same() {
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        machine.rename("old-roots", "elsewhere");
        symlink("elsewhere", machine.top().join("old-roots")).unwrap();
        let ran = machine.run(&["diff"]).expect(0).says("seed");
        assert!(
            ran.err.contains("no old root is asked about the changes: cannot open"),
            "{ran:#?}"
        );
        assert!(!ran.out.contains("regenerated"), "{ran:#?}");
    });
}

#[test]
fn a_live_that_got_another_name_is_still_asked_about_its_own_old_roots() {
    after_boots(2, |machine| {
        assert_eq!(classes(machine).1, 2);
        machine.unmount();
        machine.rename("root", "main");
        machine.edit_config(|text| {
            let line = |line: &str| match line.starts_with("live") {
                true => "live = \"main\"".to_string(),
                false => line.to_string(),
            };
            text.lines().map(line).collect::<Vec<_>>().join("\n")
        });
        let config = machine.config();
        let args = ["diff".as_ref(), "--format".as_ref(), "json".as_ref(), "--config".as_ref()];
        let args: Vec<&std::ffi::OsStr> = args.into_iter().chain([config.as_os_str()]).collect();
        let document: Value = serde_json::from_str(&machine.run(&args).expect(0).out).unwrap();
        assert_eq!(document["old_roots"], 2, "{document}");
    });
}
