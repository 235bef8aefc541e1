//! The same commands on file systems without snapshots.

use std::fs;

use support::oracle;

use crate::machine::on_machine;

#[test]
fn plain_directories_are_set_up_rolled_back_and_compared() {
    on_machine(|machine| {
        machine.unmount();
        let trees = machine.top().join("trees");
        let live = trees.join("live");
        fs::create_dir_all(live.join("etc")).unwrap();
        fs::write(live.join("etc/a b\n"), "x").unwrap();
        let text = format!(
            "[root]\nbackend = \"directory\"\npath = \"{}\"\nlive = \"live\"\n",
            trees.display()
        );
        fs::write(machine.config(), text).unwrap();
        let config = machine.config();
        let run = |args: &[&str]| {
            let args = args.iter().map(std::ffi::OsStr::new);
            let more = ["--config".as_ref(), config.as_os_str()];
            let root = ["--root".as_ref(), live.as_os_str()];
            let args: Vec<_> = args.chain(more).collect();
            let rollback = args.iter().any(|arg| *arg == "rollback");
            let root = if rollback { &[][..] } else { &root[..] };
            machine.run(&[&args, root].concat())
        };
        run(&["init"]).expect(0).says("make the blank snapshot `root-blank` of `live`");
        run(&["init"]).expect(0).says("there already: blank, `root-blank`");
        fs::write(live.join("etc/new"), "x").unwrap();
        run(&["diff"]).expect(0).says("new").says("walked both trees, because");
        run(&["status"]).expect(1).says("no rollback has run");
        run(&["rollback"]).expect(0).says("the old root is old-roots/000001-");
        let blank = oracle::walk(&trees.join("root-blank"));
        assert_eq!(oracle::changes(&blank, &oracle::walk(&live)), []);
        let status = run(&["status"]).expect(0);
        status.says("healthy");
    });
}

#[test]
fn a_tmpfs_needs_a_configuration_and_no_blank() {
    on_machine(|machine| {
        machine.unmount();
        let source = std::path::Path::new("none");
        let mounted = machine.sandbox.namespace().mount(source, "tmpfs", machine.live(), b"");
        let mounted = mounted.unwrap();
        fs::write(machine.live().join("new"), "x").unwrap();
        machine.run(&["init"]).expect(0).says("there is nothing to capture");
        machine.run(&["diff", "--flat"]).expect(0).says("/new").says("/etc/blankroot.toml");
        machine.run(&["diff"]).expect(0).says("everything is new");
        machine.run(&["status"]).expect(0).says("starts empty at every boot");
        mounted.unmount().unwrap();
    });
}

#[test]
fn of_a_tmpfs_each_boot_leaves_a_digest_by_which_the_next_tells_what_comes_back() {
    on_machine(|machine| {
        machine.unmount();
        let storage = machine.top().join("storage");
        fs::create_dir(&storage).unwrap();
        let namespace = machine.sandbox.namespace();
        let none = std::path::Path::new("none");
        for boot in 1..=4 {
            let root = namespace.mount(none, "tmpfs", machine.live(), b"").unwrap();
            for dir in ["etc", "persist", "var/lib", "proc/sys/kernel/random"] {
                fs::create_dir_all(machine.live().join(dir)).unwrap();
            }
            let text = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n";
            machine.write("etc/blankroot.toml", text);
            let id = format!("{boot}f2a1c9e-7a01-4b6e-9d0a-000000000000\n");
            machine.write("proc/sys/kernel/random/boot_id", &id);
            let bind = nix::mount::MsFlags::MS_BIND;
            let persist = machine.live().join("persist");
            nix::mount::mount(Some(&storage), &persist, None::<&str>, bind, None::<&str>).unwrap();
            let live = machine.live().as_os_str();
            let ran = machine.run(&["expire".as_ref(), "--host".as_ref(), live]).expect(0);
            let lost = format!("done: write down what 00000{}-", boot - 1);
            assert_eq!(ran.out.contains(&lost), boot > 1, "{ran:#?}");
            machine.write("var/lib/made", "the same");
            machine.write("var/lib/seed", &format!("seed {boot}"));
            if boot == 4 {
                machine.write("var/lib/thesis", "precious");
                let ran = machine.run(&["diff", "--format", "json"]).expect(0);
                let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
                assert_eq!(document["old_roots"], 3);
                let class_of = |path: &str| {
                    let rows = document["changes"].as_array().unwrap();
                    let row = rows.iter().find(|row| row["path"]["text"] == path).unwrap();
                    [&row["class"], &row["verdict"]].map(|word| word.as_str().unwrap().to_string())
                };
                assert_eq!(class_of("/var/lib/made"), ["same", "regenerated"]);
                assert_eq!(class_of("/var/lib/seed"), ["changing", "stray"]);
                assert_eq!(class_of("/var/lib/thesis"), ["new", "stray"]);
                let ran = machine.run(&["history", "/var/lib/thesis", "/var/lib/seed"]).expect(0);
                let after_time = |line: &str| line.split("  ").last().unwrap().trim().to_string();
                let states: Vec<String> = ran.out.lines().map(after_time).collect();
                let version = |n: u32, size| format!("version {n}: added, file 0644 0:0, {size} B");
                let absent = "not there".to_string();
                let thesis = ["/var/lib/thesis".into(), absent.clone(), absent.clone(), absent];
                let thesis = thesis.into_iter().chain([version(1, 8)]);
                let seed =
                    ["/var/lib/seed".into()].into_iter().chain((1..=4).map(|n| version(n, 6)));
                assert_eq!(states, thesis.chain(seed).collect::<Vec<_>>(), "{ran:#?}");
                machine
                    .run(&["explain", "/var/lib/thesis"])
                    .expect(0)
                    .says("class     new: none of the last 3 old roots had it")
                    .says("000003-3f2a1c9e  ")
                    .says("not there\n")
                    .says("version 1: added");
                machine
                    .run(&["history"])
                    .expect(0)
                    .says("000001-1f2a1c9e  until ")
                    .says(", with no root before it to compare with")
                    .says("\nlive  1 boot\n")
                    .says(", 1 of them new\n")
                    .says("/var/lib/thesis (8 B)");
                let audit = machine.run(&["audit"]).expect(1).says("/var/lib/thesis\n");
                assert!(audit.out.contains("3 old roots were asked."), "{audit:#?}");
                let since = machine.run(&["audit", "--since", "1"]).expect(1);
                since.says("The old root 000001-1f2a1c9e was asked.").says("/var/lib/thesis\n");
                machine.run(&["audit", "--since", "9"]).expect(2).complains("000003-3f2a1c9e");
                let records = machine.run(&["audit", "--records"]).expect(0);
                records.says("Lost: 000003-3f2a1c9e had ").says("Found: ");
                let ran = machine.run(&["diff", "--storage"]).expect(0);
                assert!(!ran.out.contains(".blankroot"), "{}", ran.out);
            }
            let digest = ["digest".as_ref(), "--host".as_ref(), live];
            let late = [&digest[..], &["--within".as_ref(), "0".as_ref()]].concat();
            machine.run(&late).expect(1).complains("not ready within 0 s, so there is none");
            machine
                .run(&digest)
                .expect(0)
                .says("done: write the digest of this boot into /persist");
            nix::mount::umount(&persist).unwrap();
            root.unmount().unwrap();
        }
    });
}

#[cfg(not(feature = "zfs"))]
#[test]
fn zfs_is_told_to_be_missing() {
    on_machine(|machine| {
        let text = "[root]\nbackend = \"zfs\"\ndataset = \"tank/os\"\n";
        fs::write(machine.live().join("etc/blankroot.toml"), text).unwrap();
        for command in ["init", "diff", "status"] {
            machine.run(&[command]).expect(2).complains("this build has no zfs");
        }
    });
}
