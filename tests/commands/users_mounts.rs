//! File systems that users run themselves, by FUSE: one that never answers keeps nobody else waiting.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use support::kernel::create_subvolume;

use crate::machine::{Machine, Ran, on_machine};

/// Mounts what the user 1000 runs and nobody answers for, as long as the file is open; `None` where that
/// cannot be, after it has said so.
fn mount_silent(dir: &Path) -> Option<File> {
    let device = match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(device) => device,
        Err(why) => {
            println!("SKIPPED: /dev/fuse: {why}");
            return None;
        }
    };
    let fd = device.as_raw_fd();
    let options = format!("fd={fd},rootmode=40000,user_id=1000,group_id=1000,allow_other");
    let options = CString::new(options).unwrap();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("alice's", dir, "fuse", flags, options.as_c_str()).unwrap();
    Some(device)
}

/// Runs the command; whatever waits is killed, which the kernel allows.
#[track_caller]
fn run(machine: &Machine<'_>, args: &[&str]) -> Ran {
    let ran = machine.run_with(&["timeout", "--signal=KILL", "30"], args);
    assert!(ran.code >= 0 && ran.code != 137, "{args:?} waited for it: {ran:#?}");
    ran
}

const LISTS: &str = "
[[storage]]
path = \"/persist\"
directories = [\"/home\", \"/srv/alone\", \"/srv/under/deep/kept\", \"/srv/other\"]
files = [\"/srv/under/deep/file\"]
";

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";

#[test]
fn commands_end_and_everybody_else_is_served() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "srv/alone", "srv/under/deep/kept", "srv/mine"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        for dir in ["home/alice/cloud", "home/alice/.ssh"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        fs::write(live.join("etc/passwd"), PASSWD).unwrap();
        fs::write(live.join("etc/shadow"), "root:!:1::::::\nalice:!:1::::::\n").unwrap();
        fs::write(live.join("etc/group"), "root:x:0:\nalice:x:1000:\n").unwrap();
        machine.run(&["init"]).expect(0);
        let config = live.join("etc/blankroot.toml");
        fs::write(&config, fs::read_to_string(&config).unwrap() + LISTS).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        for dir in ["srv/alone", "srv/under/deep/kept"] {
            fs::create_dir_all(live.join("persist").join(dir)).unwrap();
            fs::write(live.join("persist").join(dir).join("data"), "x").unwrap();
        }
        // What is kept already may be below, too, and hidden since.
        let hidden = live.join("srv/under/deep/kept");
        let namespace = machine.sandbox.namespace();
        let hidden = namespace.mount(Path::new("none"), "tmpfs", &hidden, b"").unwrap();
        std::mem::forget(hidden);
        // In what is kept, in the place of it, above it, and in a storage.
        let places =
            ["home/alice/cloud", "home/alice/.ssh", "srv/alone", "srv/under", "persist/srv/alone"];
        let mounted: Option<Vec<File>> =
            places.iter().map(|dir| mount_silent(&live.join(dir))).collect();
        if mounted.is_none() {
            return;
        }
        fs::write(live.join("srv/mine/file"), "x").unwrap();

        for args in [["status"].as_slice(), &["diff"], &["doctor"], &["expire"], &["hold"]] {
            run(machine, args);
        }
        let applied = run(machine, &["apply", "--adopt"]).expect(1);
        let applied = applied.complains("is on a FUSE file system that the user 1000 runs");
        applied
            .complains("unmount that file system")
            .says("mount /persist/srv/other at /srv/other");
        run(machine, &["apply", "--adopt-replaced", "--no-mounts"]).expect(1);
        run(machine, &["keep", "--even-if-unseen", "--dry-run", "/srv/mine"]).expect(0);
        run(machine, &["keep", "--even-if-unseen", "/srv/mine"]).expect(0);
        assert_eq!(fs::read(live.join("persist/srv/mine/file")).unwrap(), b"x");
        run(machine, &["doctor"]).says("/home/alice/.ssh");
        run(machine, &["unkeep", "--even-if-unseen", "--move-back", "/srv/mine"]).expect(0);
        assert_eq!(fs::read(live.join("srv/mine/file")).unwrap(), b"x");
        run(machine, &["forget", "/srv/mine"]);
        // What is asked for lies there itself, and `init` looks at all that is declared.
        let ran = run(machine, &["keep", "--even-if-unseen", "/srv/under/deep/more"]).expect(1);
        ran.complains("is on a FUSE file system");
        run(machine, &["keep", "--even-if-unseen", "/srv/alone/x"]);
        run(machine, &["unkeep", "--move-back", "/srv/under/deep/kept"]).expect(1);
        run(machine, &["diff", "/srv/alone"]);
        machine.rename("root-blank", "root-older");
        run(machine, &["init", "--dry-run"]);

        for dir in places.into_iter().chain(["srv/under/deep/kept", "srv/other", "home"]) {
            let _ = unmount(live.join(dir), UnmountFlags::DETACH);
        }
        drop(storage);
    });
}
