//! `init`: makes what is missing, leaves what is there, and refuses what could not work.

use std::fs;
use std::path::Path;

use blankroot::config::root::RootConfig;
use blankroot::config::root_backend::detect_root;
use support::kernel::{create_subvolume, snapshot};
use support::oracle;
use support::sandbox::unmount_below;

use crate::machine::{on_initialised, on_machine};

#[test]
fn a_mounted_root_is_found_and_its_blank_has_the_configuration() {
    on_machine(|machine| {
        let ran = machine.run(&["init"]).expect(0).says("done: write the configuration");
        ran.says("done: make the blank snapshot `root-blank` of `root`");
        let text = fs::read_to_string(machine.live().join("etc/blankroot.toml")).unwrap();
        assert!(text.contains("live = \"root\"\nblank = \"root-blank\"\nold = \"old-roots\""));
        let (live, blank) = (machine.top().join("root"), machine.top().join("root-blank"));
        // What a nested subvolume holds is no part of blank.
        let rows = oracle::changes(&oracle::walk(&blank), &oracle::walk(&live));
        let paths: Vec<&[u8]> = rows.iter().map(|row| row.path.as_slice()).collect();
        assert_eq!(paths, [b"var/machines"]);
        let listed = machine.btrfs(&["property".as_ref(), "get".as_ref(), blank.as_os_str()]);
        assert!(listed.contains("ro=true"), "{listed}");
        machine.run(&["diff", "--flat"]).expect(0).says("/var/machines");
    });
}

#[test]
fn the_second_run_says_what_is_there_and_changes_nothing() {
    on_machine(|machine| {
        machine.run(&["init"]).expect(0);
        let before = oracle::walk(machine.top());
        let ran = machine.run(&["init"]).expect(0);
        assert!(ran.out.lines().all(|line| line.starts_with("there already: ")), "{ran:?}");
        let ran = ran.says("etc/blankroot.toml").says("blank, `root-blank`, read-only, made 20");
        ran.says("the directory of old roots, `old-roots`, with 0 old roots");
        assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
    });
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    on_machine(|machine| {
        let before = oracle::walk(machine.top());
        let dry = machine.run(&["init", "--dry-run"]).expect(0);
        assert_eq!(oracle::changes(&before, &oracle::walk(machine.top())), []);
        assert!(!machine.live().join("etc/blankroot.toml").exists());
        let dry = dry.says("   + backend = \"btrfs\"").says("   + live = \"root\"");
        let steps = dry.out.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let planned: Vec<&str> = steps.filter_map(|line| line.get(3..)).collect();
        let real = machine.run(&["init"]).expect(0);
        let done: Vec<&str> =
            real.out.lines().filter_map(|line| line.strip_prefix("done: ")).collect();
        assert!(planned.len() == 2 && planned == done, "{planned:?} {done:?}");
    });
}

#[test]
fn an_empty_blank_has_nothing_in_it() {
    on_machine(|machine| {
        machine.run(&["init", "--empty"]).expect(0).says("note: the next rollback leaves an empty");
        assert_eq!(fs::read_dir(machine.top().join("root-blank")).unwrap().count(), 0);
    });
}

#[test]
fn a_snapshot_of_another_tool_is_adopted_once_it_is_read_only() {
    on_machine(|machine| {
        let golden = machine.top().join("my golden");
        snapshot(&machine.top().join("root"), &golden, false).unwrap();
        let refused = machine.run(&["init", "--adopt", "my golden"]).expect(2);
        let refused = refused.complains("blank, `my golden`, is not read-only");
        refused.complains("btrfs property set -ts '/mnt/my golden' ro true");
        assert!(!machine.live().join("etc/blankroot.toml").exists());

        machine.set_read_only("my golden", true);
        let adopted = machine.run(&["init", "--adopt", "my golden"]).expect(0);
        adopted.says("there already: blank, `my golden`, read-only");
        assert!(machine.top().join("old-roots").is_dir());
        machine.copy_config();
        machine.roll_back().expect(0);
        assert!(!machine.live().join("etc/blankroot.toml").exists());
    });
}

#[test]
fn what_cannot_be_adopted_is_named() {
    on_initialised(|machine| {
        machine.mount();
        let other = machine.run(&["init", "--adopt", "golden"]).expect(2);
        let text = fs::read_to_string(machine.live().join("etc/blankroot.toml")).unwrap();
        let line = text.lines().position(|line| line.starts_with("blank =")).unwrap() + 1;
        let other = other.complains("the configuration has another blank, `root-blank`");
        let other = other.complains("write `blank = \"golden\"` at");
        other.complains(&format!("etc/blankroot.toml:{line}, then"));
        fs::remove_file(machine.live().join("etc/blankroot.toml")).unwrap();
        let missing = machine.run(&["init", "--adopt", "golden"]).expect(2);
        missing.complains("there is no snapshot `golden` to adopt");
        let within = machine.run(&["init", "--adopt", "root/golden"]).expect(2);
        within.complains("lies within `live`");
        machine.run(&["init", "--adopt", "../golden"]).expect(2).complains("`..`");
    });
}

#[test]
fn a_root_that_cannot_be_set_aside_is_told_with_a_way_out() {
    on_machine(|machine| {
        let top = machine.top().as_os_str().to_owned();
        let ran = machine.run(&["init".as_ref(), "--root".as_ref(), top.as_os_str()]).expect(2);
        ran.complains("the top level of the Btrfs").complains("rootflags=subvol=root");
        let inside = machine.top().join("root/etc");
        let ran = machine.run(&["init".as_ref(), "--root".as_ref(), inside.as_os_str()]).expect(2);
        ran.complains("a plain directory, not a subvolume");
        machine.run(&["init", "--root", "/proc"]).expect(2).complains("its type is proc");
        machine.run(&["init", "--root", "/no/such"]).expect(2).complains("No such file");
        assert_eq!(machine.trees(), ["root"]);
    });
}

#[test]
fn a_root_with_an_odd_name_in_a_directory_has_its_trees_beside_it() {
    on_machine(|machine| {
        let dir = machine.top().join("my os");
        fs::create_dir(&dir).unwrap();
        snapshot(&machine.top().join("root"), &dir.join("@ \n\"ö'"), false).unwrap();
        machine.unmount();
        let mounted = machine.mount_at("my os/@ \n\"ö'", machine.live());
        machine.run(&["init"]).expect(0).says("`my os/root-blank` of `my os/@ \\n\"ö'`");
        machine.run(&["diff"]).expect(0).says("Nothing changed");
        machine.copy_config();
        mounted.unmount().unwrap();
        machine.run(&["rollback"]).expect(0).says("the old root is my os/old-roots/000001-");
    });
}

#[test]
fn what_somebody_put_at_the_name_of_blank_stays() {
    on_machine(|machine| {
        fs::write(machine.top().join("root-blank"), "mine").unwrap();
        machine.run(&["init"]).expect(2).complains("blank, `root-blank`, is a file");
        assert_eq!(fs::read(machine.top().join("root-blank")).unwrap(), b"mine");
        assert!(!machine.live().join("etc/blankroot.toml").exists());
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_line_by_line() {
    on_machine(|machine| {
        fs::write(machine.live().join("etc/blankroot.toml"), "[rot]\n[root]\n").unwrap();
        for command in ["init", "diff", "status"] {
            let ran = machine.run(&[command]).expect(2).complains("etc/blankroot.toml:1:2");
            ran.complains("etc/blankroot.toml:2:1");
        }
        assert_eq!(machine.trees(), ["root"]);
    });
}

#[test]
fn the_device_is_named_so_that_the_next_boot_finds_it() {
    on_machine(|machine| {
        let host = tempfile::tempdir().unwrap();
        let shown = ["filesystem".as_ref(), "show".as_ref(), machine.top().as_os_str()];
        let shown = machine.btrfs(&shown);
        let id = shown.split_once("uuid: ").unwrap().1.split_whitespace().next().unwrap();
        let by_uuid = host.path().join("dev/disk/by-uuid");
        fs::create_dir_all(&by_uuid).unwrap();
        let missing = detect_root(machine.live(), host.path()).unwrap_err().to_string();
        assert!(missing.contains("which is not there\n  hint: write a configuration"), "{missing}");
        fs::write(by_uuid.join(id), "").unwrap();
        let RootConfig::Btrfs { device, .. } = detect_root(machine.live(), host.path()).unwrap()
        else {
            panic!("no btrfs");
        };
        assert_eq!(device, Path::new("/dev/disk/by-uuid").join(id));
    });
}

#[test]
fn blank_can_be_made_last_and_then_holds_what_was_kept_and_built_meanwhile() {
    on_machine(|machine| {
        let tool = machine.live().join("usr/sbin/update-initramfs");
        fs::create_dir_all(tool.parent().unwrap()).unwrap();
        fs::write(&tool, "").unwrap();
        let persist = machine.live().join("persist");
        fs::create_dir(&persist).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let _storage = machine.mount_at("persist", &persist);

        fs::create_dir_all(machine.live().join("var/log")).unwrap();
        let declare = ["init", "--no-blank", "--storage", "/persist", "--keep", "/var/log"];

        let ran = machine.run(&declare).expect(0);
        ran.says("note: there is no blank yet: keep what is wanted, rebuild the initrd with `update-initramfs -u`");
        assert!(!machine.top().join("root-blank").exists());
        fs::write(machine.live().join("etc/initrd"), "new").unwrap();

        machine
            .run(&["init"])
            .expect(0)
            .says("done: make the blank snapshot `root-blank` of `root`");
        assert_eq!(fs::read(machine.top().join("root-blank/etc/initrd")).unwrap(), b"new");
    });
}

#[test]
fn what_is_kept_from_the_start_comes_from_blank_to_storage_after_the_first_rollback() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        let persist = live.join("persist");
        fs::create_dir(&persist).unwrap();
        fs::create_dir_all(live.join("var/log")).unwrap();
        fs::write(live.join("var/log/install.log"), "installed\n").unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &persist);
        let declare = |path| ["init", "--no-blank", "--storage", "/persist", "--keep", path];

        machine.run(&declare("/srv/none")).expect(2).complains("cannot keep /srv/none: ");
        assert!(!live.join("etc/blankroot.toml").exists());
        machine.run(&declare("/var/log")).expect(0);
        machine.run(&declare("/srv")).expect(2).complains("hint: blankroot keep /srv");
        machine.run(&["init"]).expect(0);
        machine.copy_config();
        // Blank was made in this boot: what the next one does is no fault of this one.
        machine.run(&["status"]).expect(1).says("no rollback has run in this boot");
        fs::write(machine.host().join("proc/uptime"), "1000.00 1.00\n").unwrap();
        let status = machine.run(&["status"]).expect(0);
        status.says("pending: blank was made in this boot").says("Nothing needs attention.");
        let doctor = machine.run(&["doctor"]);
        let doctor = doctor.says("note: /var/log is pending: the next boot brings it to /persist");
        assert!(!doctor.out.contains("not in its place"), "{doctor:?}");
        fs::write(machine.host().join("proc/uptime"), "0.00 1.00\n").unwrap();
        machine.run(&["status"]).expect(1);

        storage.unmount().unwrap();
        machine.roll_back().expect(0);
        let _storage = machine.mount_at("persist", &persist);
        machine.run(&["apply"]).expect(0).says("done: copy /var/log to /persist/var/log");
        assert_eq!(fs::read(persist.join("var/log/install.log")).unwrap(), b"installed\n");
        unmount_below(&live, &[persist]);
    });
}

#[test]
fn a_storage_with_the_configuration_of_a_former_system_is_refused() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "srv/notes", "srv/more"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        create_subvolume(&machine.top().join("persist")).unwrap();
        let _storage = machine.mount_at("persist", &live.join("persist"));
        let older = live.join("persist/etc/blankroot.toml");
        fs::create_dir(older.parent().unwrap()).unwrap();
        fs::write(&older, "a former system's").unwrap();
        let init = ["init", "--no-blank", "--storage", "/persist", "--keep", "/srv/notes"];
        for args in [&init[..], &init[..4]] {
            let ran = machine.run(args).expect(2);
            let ran = ran.complains("/persist/etc/blankroot.toml is there already, and would be");
            ran.complains("hint: move it away; or, to go on with it, `cp ");
            assert!(!live.join("etc/blankroot.toml").exists());
        }
        assert_eq!(fs::read(&older).unwrap(), b"a former system's");

        fs::remove_file(&older).unwrap();
        machine.run(&init).expect(0);
        machine.run(&["keep", "/srv/more"]).expect(0);
        // Installed anew: the list goes on once it is copied.
        fs::remove_file(live.join("etc/blankroot.toml")).unwrap();
        unmount_below(&live.join("srv"), &[]);
        machine.run(&init).expect(2);
        fs::copy(&older, live.join("etc/blankroot.toml")).unwrap();
        machine.run(&["init"]).expect(0).says("done: make the blank snapshot");
        machine.run(&["keep", "/srv/more"]).expect(0);
        assert!(fs::read_to_string(&older).unwrap().contains("\"/srv/more\""));
        unmount_below(&live.join("srv"), &[]);
    });
}
