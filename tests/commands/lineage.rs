//! Whose blank it is, what the next boot mounts, and where storages lie: what is of another system, or
//! would not last, is refused before anything is changed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::kernel::create_subvolume;
use support::sandbox::unmount_below;

use crate::machine::{Machine, Ran, on_initialised, on_machine};

fn ids(ran: &Ran) -> Vec<String> {
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    let findings = json["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["id"].as_str().unwrap().to_string()).collect()
}

fn doctor(machine: &Machine<'_>) -> Vec<String> {
    let ran = machine.run(&["doctor", "--format", "json"]);
    assert!([0, 1].contains(&ran.code), "{ran:?}");
    ids(&ran)
}

/// A second installation under the first one's name.
fn reinstall(machine: &mut Machine<'_>) {
    machine.unmount();
    machine.rename("root", "former");
    let root = machine.top().join("root");
    create_subvolume(&root).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::copy(machine.config(), root.join("etc/blankroot.toml")).unwrap();
    fs::write(root.join("etc/system"), "the second").unwrap();
}

#[test]
fn the_blank_of_a_former_installation_is_refused_until_it_is_adopted() {
    on_initialised(|machine| {
        reinstall(machine);
        let refused = machine.run(&["rollback"]).expect(3);
        let refused = refused.complains("blank, `root-blank`, may be another system's");
        refused.complains("nor live, `root`, was made").complains("init --adopt 'root-blank'");
        assert_eq!(machine.stamp().unwrap()["outcome"]["result"], json!("refused"));
        machine.mount();
        assert_eq!(fs::read(machine.live().join("etc/system")).unwrap(), b"the second");
        machine.run(&["init"]).expect(2).complains("blank, `root-blank`, may be another system's");
        fs::remove_file(machine.live().join("etc/blankroot.toml")).unwrap();
        machine.run(&["init"]).expect(2).complains("blank, `root-blank`, may be another system's");
        assert!(!machine.live().join("etc/blankroot.toml").exists());
        fs::copy(machine.config(), machine.live().join("etc/blankroot.toml")).unwrap();
        assert!(doctor(machine).contains(&"blank-unrelated".to_string()));
        let ran = machine.run(&["status"]).expect(1);
        ran.says("the next rollback will be refused: blank, `root-blank`, may be");

        let refused = machine.run(&["init", "--adopt", "root-blank"]).expect(2);
        refused.complains("nor live, `root`, was made").complains("--even-if-unrelated");
        let adopt = ["init", "--adopt", "root-blank", "--even-if-unrelated"];
        machine.run(&adopt).expect(0).says("done: write down that `root-blank` is the blank");
        let again = machine.run(&adopt).expect(0);
        assert!(!again.out.contains("done: "), "{again:?}");
        machine.run(&["init"]).expect(0);
        assert!(!doctor(machine).contains(&"blank-unrelated".to_string()));
        assert_eq!(machine.trees().last().unwrap(), "old-roots/adopted");
        for boot in ["eeeeeeee-5", "ffffffff-6"] {
            machine.boot(boot);
            fs::write(machine.live().join("new"), boot).unwrap();
            machine.roll_back().expect(0).says("rolled back in ");
            assert!(!machine.live().join("new").exists());
            assert!(!machine.live().join("etc/system").exists());
        }
        machine.run(&["status"]).expect(0).says("Nothing needs attention.");
    });
}

#[test]
fn what_was_adopted_is_not_another_blank_nor_another_live() {
    on_initialised(|machine| {
        reinstall(machine);
        machine.mount();
        machine.run(&["init", "--adopt", "root-blank", "--even-if-unrelated"]).expect(0);
        reinstall_again(machine);
        machine.run(&["rollback"]).expect(3).complains("may be another system's");
        // A record that cannot be read says nothing, and is told.
        fs::write(machine.top().join("old-roots/adopted"), "{").unwrap();
        machine.boot("eeeeeeee-5");
        machine
            .run(&["rollback"])
            .expect(3)
            .complains("what is written down of them cannot be read");
    });
}

fn reinstall_again(machine: &mut Machine<'_>) {
    machine.unmount();
    machine.rename("root", "second");
    create_subvolume(&machine.top().join("root")).unwrap();
}

#[test]
fn a_blank_that_was_made_of_nothing_is_its_lives() {
    on_machine(|machine| {
        machine.run(&["init", "--empty"]).expect(0);
        machine.run(&["init"]).expect(0);
        machine.copy_config();
        for boot in ["eeeeeeee-5", "ffffffff-6"] {
            machine.boot(boot);
            fs::write(machine.live().join("new"), boot).unwrap();
            machine.roll_back().expect(0).says("rolled back in ");
        }
        assert_eq!(fs::read_dir(machine.live()).unwrap().count(), 0);
    });
}

#[test]
fn an_older_blank_can_come_back_after_several_generations() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        fs::write(machine.live().join("etc/upgraded"), "").unwrap();
        fs::copy(machine.config(), machine.live().join("etc/blankroot.toml")).unwrap();
        machine.rename("root-blank", "root-blank.before");
        machine.run(&["init"]).expect(0).says("done: make the blank snapshot");
        machine.boot("eeeeeeee-5");
        machine.roll_back().expect(0).says("rolled back in ");
        assert!(machine.live().join("etc/upgraded").exists());
        machine.rename("root-blank", "root-blank.after");
        machine.rename("root-blank.before", "root-blank");
        machine.boot("ffffffff-6");
        machine.roll_back().expect(0).says("rolled back in ");
        assert!(!machine.live().join("etc/upgraded").exists());
        // An old root in live's place is of the same system, too.
        machine.unmount();
        let old = machine.trees().into_iter().find(|tree| tree.ends_with("-ffffffff")).unwrap();
        machine.rename("root", "fresh");
        machine.rename(&old, "root");
        machine.boot("aaaaaaaa-7");
        machine.roll_back().expect(0).says("rolled back in ");
    });
}

#[test]
fn a_live_that_no_boot_mounts_is_refused_and_told_before_a_rollback() {
    on_machine(|machine| {
        let fstab = machine.live().join("etc/fstab");
        machine.kernel_command_line("root=/dev/x rootflags=subvol=@");
        let ran = machine.run(&["init"]).expect(2);
        ran.complains("the kernel command line mounts the subvolume `@` as the root, and not live");
        machine.kernel_command_line("quiet");
        fs::write(&fstab, "# x\nLABEL=os / btrfs subvol=@ 0 0\n").unwrap();
        let ran = machine.run(&["init", "--no-blank"]).expect(2);
        ran.complains("line 2 of /etc/fstab mounts the subvolume `@`").complains("`root`");
        fs::write(&fstab, "UUID=00000000-0000-0000-0000-000000000000 / btrfs subvol=root\n")
            .unwrap();
        machine.run(&["init"]).expect(2).complains("mounts another file system, UUID=0000");
        assert_eq!(machine.trees(), ["root"]);
        assert!(!machine.live().join("etc/blankroot.toml").exists());

        fs::write(&fstab, "LABEL=os / btrfs subvol=/root 0 0\n").unwrap();
        machine.run(&["init"]).expect(0);
        machine.copy_config();
        machine.kernel_command_line("root=LABEL=os rootflags=subvol=other");
        assert!(doctor(machine).contains(&"other-root".to_string()));
        let ran = machine.run(&["status"]).expect(1);
        ran.says("the next boot does not run what the rollback restores: the kernel command line");
        machine.unmount();
        let what = "the next root is not what is rolled back: the kernel command line mounts the \
                    subvolume `other` as the root";
        machine.run(&["rollback", "--dry-run"]).expect(0).complains(what);
        machine.run(&["rollback"]).expect(0).complains(what).says("rolled back in ");
    });
}

#[test]
fn a_number_in_fstab_is_told_before_blank_is_made_and_found_in_blank() {
    on_machine(|machine| {
        let fstab = machine.live().join("etc/fstab");
        fs::write(&fstab, "LABEL=os / btrfs rw,subvolid=256 0 0\n").unwrap();
        for more in [&[][..], &["--no-blank"]] {
            let ran = machine.run(&[&["init"], more].concat()).expect(2);
            let ran = ran.complains("line 1 of /etc/fstab mounts the root by its number");
            ran.complains("write this line instead: LABEL=os / btrfs rw,subvol=root 0 0");
        }
        machine.kernel_command_line("rootflags=subvolid=256");
        machine.run(&["init"]).expect(2).complains("write `rootflags=subvol=root` instead");
        machine.kernel_command_line("quiet");
        assert_eq!(machine.trees(), ["root"]);
        fs::write(&fstab, "LABEL=os / btrfs rw,subvol=root 0 0\n").unwrap();
        machine.run(&["init"]).expect(0);

        // Blank has the line that was wrong, whatever live has by now.
        machine.set_read_only("root-blank", false);
        fs::write(machine.top().join("root-blank/etc/fstab"), "x / btrfs subvolid=256\n").unwrap();
        machine.set_read_only("root-blank", true);
        assert!(doctor(machine).contains(&"root-by-number".to_string()));
        let ran = machine.run(&["init"]).expect(2);
        let ran = ran.complains("line 1 of blank's fstab mounts the root by its number");
        ran.complains("give `root-blank` another name, and run `blankroot init`");
        machine.rename("root-blank", "root-blank.before");
        machine.run(&["init"]).expect(0);
        assert!(!doctor(machine).contains(&"root-by-number".to_string()));
        machine.copy_config();
        machine.roll_back().expect(0);
    });
}

#[test]
fn a_storage_that_would_go_with_live_is_refused() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        let init = ["init", "--no-blank", "--storage", "/persist"];
        let refused = |machine: &Machine<'_>| {
            machine.run(&init).expect(2).complains("the storage /persist lies on live itself");
            assert!(!live.join("etc/blankroot.toml").exists());
        };
        create_subvolume(&machine.top().join("root/persist")).unwrap();
        refused(machine);
        // The same subvolume, mounted.
        let mounted = machine.mount_at("root/persist", &live.join("persist"));
        refused(machine);
        mounted.unmount().unwrap();
        support::kernel::delete_subvolume(&machine.top().join("root/persist")).unwrap();
        fs::create_dir(live.join("persist")).unwrap();
        refused(machine);

        create_subvolume(&machine.top().join("persist")).unwrap();
        let mounted = machine.mount_at("persist", &live.join("persist"));
        machine.run(&init).expect(0);
        machine.run(&init).expect(0);
        mounted.unmount().unwrap();
        // By a later run, too, which finds the configuration there.
        for again in [&init[..], &["init"]] {
            machine.run(again).expect(2).complains("the storage /persist lies on live itself");
        }
        assert!(!machine.top().join("root-blank").exists());
    });
}

#[test]
fn keep_takes_no_storage_that_is_a_mounted_part_of_live() {
    on_initialised(|machine| {
        create_subvolume(&machine.top().join("root/persist")).unwrap();
        machine.mount();
        let live = machine.live().to_path_buf();
        fs::create_dir_all(live.join("srv/notes")).unwrap();
        let mounted = machine.mount_at("root/persist", &live.join("persist"));
        let ran = machine.run(&["keep", "--storage", "/persist", "/srv/notes"]).expect(1);
        ran.complains("the storage /persist lies on live itself");
        mounted.unmount().unwrap();
    });
}

fn rewrite_stamp(machine: &Machine<'_>, edit: impl Fn(&mut Value)) {
    let path = machine.host().join("run/blankroot/rollback.json");
    let mut stamp = machine.stamp().unwrap();
    edit(&mut stamp);
    fs::write(path, stamp.to_string()).unwrap();
}

#[test]
fn the_stamp_of_another_root_is_not_shown() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.run(&["status"]).expect(0).says("rolled back at");
        let stamp = machine.stamp().unwrap();
        assert_eq!(stamp["live"], json!("root"));
        let edits: [&dyn Fn(&mut Value); 3] = [
            &|stamp| stamp["live"] = json!("other"),
            &|stamp| stamp["file_system"] = json!("00000000-0000-0000-0000-000000000000"),
            // As of an older version, and of nobody knows which root.
            &|stamp| {
                for key in ["live", "root", "file_system", "live_now"] {
                    stamp[key] = Value::Null;
                }
            },
        ];
        for edit in edits {
            rewrite_stamp(machine, edit);
            let ran = machine.run(&["status"]).expect(1).says("no rollback has run in this boot");
            assert!(!ran.out.contains("rolled back at"), "{ran:?}");
            let boot = machine.run(&["status", "--boot"]).expect(1);
            boot.complains("no rollback has run in this boot");
            rewrite_stamp(machine, |now| *now = stamp.clone());
            machine.run(&["status", "--boot"]).expect(0);
        }
        // One that says that it was refused is heard.
        rewrite_stamp(machine, |stamp| {
            let reasons = json!({"result": "refused", "reasons": ["cannot x: y"]});
            *stamp = json!({
                "version": 1, "boot_id": stamp["boot_id"], "started": stamp["started"],
                "duration_us": 1, "outcome": reasons
            });
        });
        machine.run(&["status"]).expect(1).says("in this boot: cannot x: y");
    });
}

/// archinstall's fstab, with a storage beside it.
const FSTAB: &str = "UUID=x /home btrfs subvol=@home 0 0\nUUID=x /var/log btrfs subvol=@log 0 0\n\
    tmpfs /tmp tmpfs\nUUID=x /persist btrfs subvol=persist 0 0\n";

fn on_arch(story: impl FnOnce(&mut Machine<'_>, &Path) + Send) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "home/alice/.ssh", "var/log", "srv/notes"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        fs::write(live.join("etc/fstab"), FSTAB).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        create_subvolume(&machine.top().join("@home")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        story(machine, &live);
        unmount_below(&live, &[]);
        std::mem::forget(storage);
    });
}

#[test]
fn what_fstab_mounts_survives_and_is_not_kept() {
    on_arch(|machine, live| {
        let init = |path| ["init", "--no-blank", "--storage", "/persist", "--keep", path];
        for (path, line) in [("/home", 1), ("/home/alice/.ssh", 1), ("/var/log", 2)] {
            let ran = machine.run(&init(path)).expect(2);
            ran.complains(&format!("cannot keep {path}: line {line} of /etc/fstab mounts /"));
            assert!(!live.join("etc/blankroot.toml").exists());
        }
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        for path in ["/home", "/home/alice/.ssh", "/var/log"] {
            let ran = machine.run(&["keep", path]).expect(1);
            ran.complains("of /etc/fstab mounts /").complains("which survives already");
        }
        machine.run(&["keep", "/tmp"]).expect(1).complains("mounts a tmpfs there, which does not");
        machine.run(&["keep", "/srv/notes"]).expect(0);
    });
}

#[test]
fn an_entry_that_fstab_mounts_is_told_and_all_others_are_put_in_place() {
    on_arch(|machine, live| {
        machine.run(&["init"]).expect(0);
        let config = live.join("etc/blankroot.toml");
        let lists = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/home\", \"/srv/notes\"]\n\
                     [storage.users.alice]\ndirectories = [\".ssh\"]\n";
        fs::write(&config, fs::read_to_string(&config).unwrap() + lists).unwrap();
        let home = machine.mount_at("@home", &live.join("home"));
        fs::create_dir_all(live.join("home/alice")).unwrap();
        fs::write(live.join("home/alice/real"), "hers").unwrap();
        let ran = machine.run(&["apply", "--adopt"]).expect(1);
        let ran = ran.complains("cannot keep /home: line 1 of /etc/fstab mounts /home");
        ran.says("/srv/notes");
        assert_eq!(fs::read(live.join("home/alice/real")).unwrap(), b"hers");
        assert!(
            !machine.top().join("persist/home").exists(),
            "nothing was made that could hide it"
        );
        let found = machine.run(&["doctor", "--format", "json"]);
        assert!(found.out.contains("/home need not be kept: line 1 of /etc/fstab"), "{found:?}");
        assert!(!found.out.contains("remove its entry in /etc/fstab"), "{found:?}");
        assert_eq!(
            ids(&found).iter().filter(|id| *id == "mounted-by-fstab").count(),
            2,
            "{found:?}"
        );
        std::mem::forget(home);
    });
}

#[test]
fn the_blank_of_a_second_system_is_never_advised_away() {
    on_machine(|machine| {
        let fstab = |tree: &str| format!("LABEL=os / btrfs subvol=/{tree} 0 0\n");
        fs::write(machine.live().join("etc/fstab"), fstab("root")).unwrap();
        machine.run(&["init"]).expect(0);
        machine.unmount();
        let second = machine.top().join("second");
        create_subvolume(&second).unwrap();
        fs::create_dir(second.join("etc")).unwrap();
        fs::write(second.join("etc/fstab"), fstab("second")).unwrap();
        let mounted = machine.mount_at("second", machine.live());
        let ran = machine.run(&["init"]).expect(2);
        assert!(!ran.err.contains("blank's fstab"), "{ran:?}");
        assert!(!ran.err.contains("give `root-blank` another name"), "{ran:?}");
        ran.complains("blank, `root-blank`, may be another system's");
        // Who wants it all the same hears of its fstab.
        let asked = ["init", "--adopt", "root-blank", "--even-if-unrelated"];
        let ran = machine.run(&asked).expect(2);
        ran.complains("line 1 of blank's fstab mounts the subvolume `root` as the root");
        mounted.unmount().unwrap();
    });
}

#[test]
fn the_kernel_command_line_decides_for_blank_as_for_live() {
    on_machine(|machine| {
        fs::write(machine.live().join("etc/fstab"), "LABEL=os / btrfs subvol=@ 0 0\n").unwrap();
        machine.kernel_command_line("root=LABEL=os rootflags=subvol=root");
        machine.run(&["init"]).expect(0);
        machine.run(&["init"]).expect(0);
        assert!(!doctor(machine).contains(&"other-root".to_string()));
    });
}

/// A second system on the same file system, whose old roots go where the first one's are.
fn second_system(machine: &Machine<'_>) -> std::path::PathBuf {
    let second = machine.top().join("second");
    create_subvolume(&second).unwrap();
    fs::create_dir(second.join("etc")).unwrap();
    let text = fs::read_to_string(machine.config()).unwrap();
    let text = text.replace("\"root\"", "\"second\"").replace("\"root-blank\"", "\"second-blank\"");
    fs::write(second.join("etc/blankroot.toml"), &text).unwrap();
    let config = machine.host().join("etc/second.toml");
    fs::write(&config, text).unwrap();
    config
}

#[test]
fn two_systems_that_share_a_directory_of_old_roots_are_told_apart() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        machine.run(&["hold"]).expect(0).says("done: hold the next boot");
        machine.unmount();
        let config = second_system(machine);
        let of_second = |words: &[&str]| {
            let words = [words, &["--config", config.to_str().unwrap()]].concat();
            machine.run(&words)
        };
        let mounted = machine.mount_at("second", machine.live());
        machine.run(&["init"]).expect(0);
        // Each has a hold of its own.
        of_second(&["hold", "--release"]).expect(0).says("nothing to do: no boot is held");
        of_second(&["hold"]).expect(0).says("done: hold the next boot");
        of_second(&["hold", "--release"]).expect(0).says("done: release the hold");
        mounted.unmount().unwrap();

        let text = fs::read_to_string(&config).unwrap();
        let none = text.replace("at_least = 5, days = 30", "at_least = 0, days = 0");
        assert_ne!(text, none);
        fs::write(&config, none).unwrap();
        let before = machine.trees();
        let record = before.iter().find(|tree| tree.starts_with("old-roots/000001-"));
        let record = machine.top().join(record.unwrap()).with_extension("json");
        let dry = of_second(&["expire", "--dry-run"]).expect(0);
        dry.says("keep 000001-").says(": it was another system's live, `root`");
        of_second(&["expire"]).expect(0);
        assert_eq!(machine.trees(), before);

        // A record from before there were names leaves it to what was made of what.
        let mut told: serde_json::Value =
            serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        assert_eq!(told.as_object_mut().unwrap().remove("live_name"), Some(json!("root")));
        fs::write(&record, told.to_string()).unwrap();
        for words in [&["expire", "--dry-run"][..], &["expire"]] {
            of_second(words).expect(0).says("keep 000001-").says("it may be another system's");
        }
        assert_eq!(machine.trees(), before);
        let mounted = machine.mount_at("second", machine.live());
        let ran = machine.run(&["init"]).expect(2);
        let ran = ran.complains("the directory of old roots, `old-roots`, has what may be another");
        ran.complains("hint: write another name for `old` into the configuration");
        mounted.unmount().unwrap();

        // The first one's own rules hold for it as before, and so does its hold.
        machine
            .edit_config(|text| text.replace("at_least = 5, days = 30", "at_least = 0, days = 0"));
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        assert!(!dry.out.contains("another system"), "{dry:?}");
        machine.run(&["hold", "--release"]).expect(0).says("done: release the hold");
    });
}

#[test]
fn who_adopts_a_blank_adopts_its_old_roots() {
    on_initialised(|machine| {
        machine.roll_back().expect(0);
        reinstall(machine);
        machine.mount();
        machine.run(&["init"]).expect(2).complains("blank, `root-blank`, may be another system's");
        let asked = ["init", "--adopt", "root-blank", "--even-if-unrelated"];
        machine.run(&asked).expect(0).says("with 1 old root");
        let dry = machine.run(&["expire", "--dry-run"]).expect(0);
        assert!(!dry.out.contains("another system"), "{dry:?}");
    });
}
