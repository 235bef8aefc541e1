//! What `keep` refuses is refused by `init`, too: what is asked for, and what stands in the configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dirfd::private_namespace::MountPoint;
use support::kernel::create_subvolume;

use crate::machine::{Machine, on_machine};

/// Paths that cannot be kept, and why.
const REFUSED: [(&str, &str); 7] = [
    ("/srv/home", "it is a subvolume of its own"),
    ("/opt", "/opt/a/tree, which lies in it, is a subvolume of its own"),
    ("/mounted", "something is mounted there"),
    ("/mnt/usb", "something is mounted there"),
    ("/linked/notes", "/linked is a link\n  hint: name the real path, /srv/notes"),
    ("/srv/link", "it is a link"),
    ("/memory", "/memory is in memory (tmpfs)"),
];

fn on_odd_paths(story: impl FnOnce(&Machine<'_>, &Path) + Send) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "srv/notes", "opt/a", "mounted", "mnt/usb", "memory"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        for tree in ["srv/home", "opt/a/tree"] {
            create_subvolume(&live.join(tree)).unwrap();
            fs::write(live.join(tree).join("file"), "somebody's").unwrap();
        }
        symlink("srv", live.join("linked")).unwrap();
        symlink("notes", live.join("srv/link")).unwrap();
        for tree in ["persist", "other"] {
            create_subvolume(&machine.top().join(tree)).unwrap();
        }
        let mounted = [("persist", "persist"), ("other", "mounted"), ("other", "mnt/usb")];
        let mut mounts: Vec<MountPoint> =
            mounted.iter().map(|(tree, dir)| machine.mount_at(tree, &live.join(dir))).collect();
        fs::create_dir(live.join("mounted/inner")).unwrap();
        let namespace = machine.sandbox.namespace();
        mounts
            .push(namespace.mount(Path::new("none"), "tmpfs", &live.join("memory"), b"").unwrap());
        story(machine, &live);
    });
}

#[test]
fn init_keeps_no_path_that_keep_refuses() {
    on_odd_paths(|machine, live| {
        for (path, why) in REFUSED {
            let init = ["init", "--no-blank", "--storage", "/persist", "--keep", path];
            machine.run(&init).expect(2).complains(why);
            assert!(!live.join("etc/blankroot.toml").exists(), "{path}");
        }
    });
}

#[test]
fn what_lies_on_a_mount_that_fstab_does_not_name_is_not_in_blank() {
    on_odd_paths(|machine, live| {
        let init = ["init", "--no-blank", "--storage", "/persist", "--keep"];
        let ran = machine.run(&[&init[..], &["/mounted/inner"]].concat()).expect(2);
        ran.complains("it lies on what is mounted at /mounted, of which blank has nothing");
        assert!(!live.join("etc/blankroot.toml").exists());
        // What is mounted within a path is no reason against it.
        machine.run(&[&init[..], &["/mnt"]].concat()).expect(0);
    });
}

#[test]
fn init_makes_no_blank_while_an_entry_cannot_be_kept() {
    on_odd_paths(|machine, live| {
        machine.run(&["init", "--no-blank", "--storage", "/persist"]).expect(0);
        let config = live.join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap();
        let declare = |paths: &str| {
            let list =
                format!("[[storage]]\npath = \"/persist\"\ndirectories = [{paths}]\nfiles = [");
            let declared = text.replace("[[storage]]\npath = \"/persist\"\nfiles = [", &list);
            assert_ne!(declared, text);
            fs::write(&config, declared).unwrap();
        };
        for (path, why) in REFUSED {
            declare(&format!("{path:?}"));
            machine.run(&["init"]).expect(2).complains(why);
            assert!(!machine.top().join("root-blank").exists(), "{path}");
            // One that is listed already is no better.
            let ran = machine.run(&["keep", path]).expect(1);
            ran.complains(why.lines().next().unwrap());
        }
        let several: Vec<String> = REFUSED.iter().map(|(path, _)| format!("{path:?}")).collect();
        declare(&several.join(", "));
        let ran = machine.run(&["init"]).expect(2);
        REFUSED.iter().fold(ran, |ran, (_, why)| ran.complains(why));
        // What is in its place, is yet to come, or is an empty subvolume has nothing to lose.
        create_subvolume(&live.join("srv/empty")).unwrap();
        declare("\"/srv/notes\", \"/srv/later\", \"/srv/empty\"");
        machine.run(&["keep", "/srv/notes"]).expect(0);
        machine.run(&["init"]).expect(0).says("done: make the blank snapshot");
        support::sandbox::unmount_below(&live.join("srv"), &[]);
    });
}

#[test]
fn a_foreign_mount_in_the_place_of_an_entry_is_not_advised_away() {
    on_odd_paths(|machine, live| {
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        let config = live.join("persist/etc/blankroot.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        let text = fs::read_to_string(live.join("etc/blankroot.toml")).unwrap();
        let list = "\npath = \"/persist\"\ndirectories = [\"/mounted\"]";
        fs::write(&config, text.replace("\npath = \"/persist\"", list)).unwrap();
        fs::create_dir_all(live.join("persist/mounted")).unwrap();
        for command in [&["doctor"][..], &["apply"]] {
            let ran = machine.run(command);
            let told = ran.out.replace('\n', " ") + &ran.err;
            let told: String = told.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.contains("what has a file system of its own survives already"), "{told}");
            assert!(!told.contains("remove its entry in /etc/fstab"), "{told}");
        }
    });
}
