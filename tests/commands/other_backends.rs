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
