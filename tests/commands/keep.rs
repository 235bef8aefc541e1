//! `keep`, `forget` and `unkeep` on a real Btrfs, with storage on another subvolume.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use dirfd::private_namespace::MountPoint;
use rustix::mount::{UnmountFlags, unmount};
use support::kernel::create_subvolume;
use support::{base, oracle};

use crate::machine::{Machine, Ran, on_machine};
use crate::running::Running;

const STORAGE: &str =
    "\n[[storage]] # survives\npath = \"/persist\"\ndirectories = [\n  \"/var/log\", # logs\n]\n";
const ODD: &[u8] = b"a b\n\xff";

/// A machine with `init` done, a storage on a subvolume of its own, and something to keep.
pub fn on_persistent(story: impl FnOnce(&mut Machine<'_>, &MountPoint) + Send) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        fs::create_dir(live.join("persist")).unwrap();
        machine.run(&["init"]).expect(0);
        let config = live.join("etc/blankroot.toml");
        let text = fs::read_to_string(&config).unwrap() + STORAGE;
        fs::write(&config, text).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        fs::create_dir_all(live.join("var/log")).unwrap();
        base_tree(&machine.top().join("seed"), &live.join("srv/notes"));
        story(machine, &storage);
    });
}

/// All sorts of files in a plain directory.
fn base_tree(seed: &Path, dir: &Path) {
    base::build(seed);
    support::kernel::delete_subvolume(&seed.join(base::NESTED)).unwrap();
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    cp(seed, dir);
    fs::write(dir.join(OsStr::from_bytes(ODD)), "odd").unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what arranges files for the test")]
fn cp(from: &Path, to: &Path) {
    let args = ["-a".as_ref(), from.as_os_str(), to.as_os_str()];
    assert!(Command::new("cp").args(args).status().unwrap().success());
}

#[expect(clippy::disallowed_methods, reason = "the test arranges its files")]
fn move_to(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

fn config(machine: &Machine<'_>) -> String {
    fs::read_to_string(machine.live().join("etc/blankroot.toml")).unwrap()
}

/// What is mounted at a path, as this thread sees it.
fn is_mount(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let shown = path.to_str().unwrap().replace(' ', "\\040");
    table.lines().any(|line| line.split(' ').nth(4) == Some(&shown))
}

fn same(one: &oracle::Tree, other: &Path) {
    assert_eq!(oracle::changes(one, &oracle::walk(other)), []);
}

#[test]
fn a_directory_is_kept_now_and_survives_a_rollback_to_the_byte() {
    on_persistent(|machine, _| {
        let notes = machine.live().join("srv/notes");
        let before = oracle::walk(&notes);
        let text = config(machine);
        let dry = machine.run(&["keep", "--dry-run", "/srv/notes"]).expect(0);
        let dry = dry.says("1. see that nobody uses /srv/notes").says("   +   \"/srv/notes\",");
        dry.says("copy /srv/notes to /persist/srv/notes")
            .says("mount /persist/srv/notes at /srv/notes");
        assert_eq!(config(machine), text, "a dry run changes nothing");
        assert!(!machine.live().join("persist/srv").exists());

        let ran = machine.run(&["keep", "/srv/notes"]).expect(0);
        assert_eq!(ran.err, "", "no progress bar in a pipe");
        ran.says("done: mount /persist/srv/notes at /srv/notes").says("is not kept itself");
        same(&before, &notes);
        same(&before, &machine.live().join("persist/srv/notes"));
        assert!(is_mount(&notes));
        assert_eq!(config(machine).replace("  \"/srv/notes\",\n", ""), text, "comments stay");
        // The original is below the mount until the next boot.
        same(&before, &machine.top().join("root/srv/notes"));
        machine.run(&["keep", "/srv/notes"]).expect(0).says("/srv/notes is kept already (line");
        let inside = machine.run(&["keep", "/srv/notes/names"]).expect(0);
        inside.says("lies in /srv/notes, which is kept (line");
        machine.run(&["apply"]).expect(0);

        machine.run(&["keep", "/etc/blankroot.toml"]).expect(0);
        fs::copy(machine.live().join("persist/etc/blankroot.toml"), machine.config()).unwrap();
        let (root, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        nix::mount::umount2(&root, nix::mount::MntFlags::MNT_DETACH).unwrap();
        machine.forget_mount();
        machine.run(&["rollback"]).expect(0);
        machine.mount();
        assert!(!notes.exists());
        let _storage = machine.mount_at("persist", &persist);
        machine.run(&["apply", "--config", machine.config().to_str().unwrap()]).expect(0);
        same(&before, &notes);
        // Live's own configuration is blank's; the kept one counts.
        machine.run(&["keep", "/srv/notes"]).expect(0).says("is kept already");
    });
}

#[test]
fn a_link_is_made_where_that_is_asked_for() {
    on_persistent(|machine, _| {
        let notes = machine.live().join("srv/notes");
        let before = oracle::walk(&notes);
        let dry = machine.run(&["keep", "--dry-run", "--symlink", "/srv/notes"]).expect(0);
        dry.says("   +   { path = \"/srv/notes\", how = \"symlink\" },");
        let ran = machine.run(&["keep", "--symlink", "/srv/notes"]).expect(0);
        ran.says("link to ../persist/srv/notes").says("note: what /srv/notes had before is ");
        assert!(!is_mount(&notes));
        assert_eq!(fs::read_link(&notes).unwrap(), Path::new("../persist/srv/notes"));
        same(&before, &machine.live().join("persist/srv/notes"));
        machine.run(&["keep", "--symlink", "/srv/notes"]).expect(0).says("is kept already (line");
        machine.run(&["apply"]).expect(0);
        assert!(notes.is_symlink(), "it is in its place");

        // An entry that is there is not changed.
        let text = config(machine);
        let ran = machine.run(&["keep", "--symlink", "/var/log"]).expect(1);
        ran.complains("cannot keep /var/log: it is kept already (line")
            .complains("without `how = \"symlink\"`\n  hint: write that into line ");
        assert_eq!(config(machine), text);
    });
}

#[test]
fn several_are_kept_at_once_and_what_is_yet_to_come_too() {
    on_persistent(|machine, _| {
        let paths = ["/srv/notes/names", "/srv/notes", "/var/lib/yet/to come/"];
        let ran = machine.run(&[&["keep"][..], &paths].concat()).expect(0);
        ran.says("/srv/notes/names lies in /srv/notes, which will be kept");
        for path in ["srv/notes", "var/lib/yet/to come"] {
            assert!(is_mount(&machine.live().join(path)), "{path}");
        }
        // One that is refused keeps the others from being moved.
        fs::create_dir(machine.live().join("srv/more")).unwrap();
        let ran = machine.run(&["keep", "/srv/more", "/nothing", "/"]).expect(1);
        ran.complains("cannot keep /nothing: nothing is there").complains("cannot keep /: it is");
        assert!(!is_mount(&machine.live().join("srv/more")));
    });
}

#[test]
fn a_file_and_the_configuration_itself_are_kept() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        fs::write(live.join("srv/single"), "one").unwrap();
        machine.run(&["keep", "/srv/single"]).expect(0);
        assert!(is_mount(&live.join("srv/single")));
        let ran = machine.run(&["keep", "/etc/blankroot.toml"]).expect(0);
        ran.says("note: what /etc/blankroot.toml had before is /etc/.blankroot.toml.before-1");
        let kept = fs::read_to_string(live.join("persist/etc/blankroot.toml")).unwrap();
        assert!(kept.contains("\"/etc/blankroot.toml\"") && kept.contains("\"/srv/single\""));
        assert!(live.join("etc/blankroot.toml").is_symlink());
        // From now on it is edited in storage, and nothing is said about the next boot.
        fs::create_dir(live.join("srv/more")).unwrap();
        let ran = machine.run(&["keep", "/srv/more"]).expect(0);
        assert!(!ran.out.contains("is not kept itself"), "{ran:?}");
        assert!(config(machine).contains("\"/srv/more\""));
        assert!(live.join("etc/blankroot.toml").is_symlink());
    });
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_reason() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        symlink("notes", live.join("srv/link")).unwrap();
        symlink("srv", live.join("linked")).unwrap();
        create_subvolume(&live.join("srv/tree")).unwrap();
        fs::create_dir_all(live.join("opt/a/b")).unwrap();
        create_subvolume(&live.join("opt/a/b/tree")).unwrap();
        // An empty one is as good as an empty directory.
        fs::write(live.join("opt/a/b/tree/file"), "x").unwrap();
        let mounted = live.join("mounted");
        fs::create_dir(&mounted).unwrap();
        let _mount = machine.mount_at("persist", &mounted);
        let before = (config(machine), oracle::walk(&live.join("persist")));
        for (path, why) in [
            ("/", "it is the root itself"),
            ("/persist/x", "it lies in the storage /persist"),
            ("/var", "/var/log, which lies in it, is kept on its own"),
            ("/srv/link", "it is a link"),
            ("/linked/notes", "/linked is a link\n  hint: name the real path, /srv/notes"),
            ("/srv/tree", "it is a subvolume of its own"),
            ("/opt", "/opt/a/b/tree, which lies in it, is a subvolume of its own"),
            ("/mounted", "something is mounted there"),
            ("/nothing", "nothing is there"),
            ("/srv/notes/dev/fifo", "it is a fifo, which its program makes anew"),
        ] {
            machine.run(&["keep", path]).expect(1).complains(why);
        }
        let odd = machine.run(&[OsStr::new("keep"), OsStr::from_bytes(b"/srv/notes/a b\n\xff")]);
        odd.expect(1).complains("is not UTF-8, as TOML must be");
        assert_eq!(config(machine), before.0);
        same(&before.1, &live.join("persist"));
    });
}

/// A program that has a file open.
#[expect(clippy::disallowed_methods, reason = "the program that has a file open")]
fn hold(path: &Path) -> Running {
    let script = "exec 7<\"$1\"; echo ready; read -r x";
    Running::start(Command::new("bash").args(["-c", script, "holder"]).arg(path))
}

#[test]
fn what_is_in_use_is_left_alone_and_the_process_is_named() {
    on_persistent(|machine, _| {
        let file = machine.live().join("srv/notes/etc/inline");
        let holder = hold(&file);
        let text = config(machine);
        let pid = holder.pid();
        let ran = machine.run(&["keep", "/srv/notes"]).expect(1);
        let ran = ran.complains(&format!("it is in use: process {pid} (bash, of no systemd unit)"));
        ran.complains("state: live and the configuration are as they were");
        assert_eq!(config(machine), text);
        assert!(!machine.live().join("persist/srv").exists());
        drop(holder);
        machine.run(&["keep", "/srv/notes"]).expect(0);
        let _holder = hold(&file);
        for how in ["--move-back", "--leave"] {
            machine
                .run(&["unkeep", how, "/srv/notes"])
                .expect(1)
                .complains("it is in use: process");
        }
        assert!(is_mount(&machine.live().join("srv/notes")));
    });
}

#[test]
fn other_data_in_storage_is_refused_or_set_aside() {
    on_persistent(|machine, _| {
        let stored = machine.live().join("persist/srv/notes");
        fs::create_dir_all(&stored).unwrap();
        fs::write(stored.join("other"), "somebody's").unwrap();
        let before = oracle::walk(&machine.live().join("srv/notes"));
        let ran = machine.run(&["keep", "/srv/notes"]).expect(1);
        ran.complains("/srv/notes has data, and /persist/srv/notes in storage has other data");
        let ran = machine.run(&["keep", "--adopt", "/srv/notes"]).expect(0);
        ran.says("note: what /persist/srv/notes had before is /persist/srv/.notes.before-1 by now");
        same(&before, &stored);
        let aside = machine.live().join("persist/srv/.notes.before-1/other");
        assert_eq!(fs::read(aside).unwrap(), b"somebody's");
    });
}

/// Rolls back, and mounts the storage in the new live, whose configuration is that of the former.
fn boot_into_blank(machine: &mut Machine<'_>) -> MountPoint {
    let (config, persist) =
        (machine.live().join("etc/blankroot.toml"), machine.live().join("persist"));
    fs::copy(&config, machine.config()).unwrap();
    let text = fs::read(&config).unwrap();
    nix::mount::umount2(&persist, nix::mount::MntFlags::MNT_DETACH).unwrap();
    machine.roll_back().expect(0);
    fs::create_dir_all(&persist).unwrap();
    fs::write(&config, text).unwrap();
    machine.mount_at("persist", &persist)
}

#[test]
fn data_comes_from_an_old_root() {
    on_persistent(|machine, _| {
        fs::write(machine.live().join("srv/state"), "of the first boot").unwrap();
        let before = oracle::walk(&machine.live().join("srv/notes"));
        let _storage = boot_into_blank(machine);
        assert!(!machine.live().join("srv/notes").exists());
        machine
            .run(&["keep", "--from", "no such", "/srv/notes"])
            .expect(2)
            .complains("there is none");
        machine
            .run(&["keep", "--from", "000001", "/srv/no"])
            .expect(1)
            .complains("does not have it");
        let ran = machine.run(&["keep", "--from", "000001", "/srv/notes"]).expect(0);
        ran.says("of the old root 000001-3f2a1c9e to /persist/srv/notes");
        same(&before, &machine.live().join("srv/notes"));
        assert!(is_mount(&machine.live().join("srv/notes")));

        machine.run(&["keep", "--from", "000001", "/srv/state"]).expect(0);
        let (state, stored) = (machine.live().join("srv/state"), "persist/srv/state");
        assert_eq!(fs::read(&state).unwrap(), b"of the first boot");
        assert_eq!(fs::read(machine.live().join(stored)).unwrap(), b"of the first boot");
        machine.run(&["keep", "--from", "000001", "/srv/state"]).expect(0).says("is kept already");
    });
}

#[test]
fn parents_are_made_like_those_in_the_old_root() {
    on_persistent(|machine, _| {
        let private = machine.live().join("srv/private");
        fs::create_dir_all(private.join("app")).unwrap();
        fs::write(private.join("app/key"), "secret").unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&private, Some(1000), Some(100)).unwrap();
        let _storage = boot_into_blank(machine);
        machine.run(&["keep", "--from", "000001", "/srv/private/app"]).expect(0);
        for made in [private, machine.live().join("persist/srv/private")] {
            let found = fs::metadata(&made).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1000, 100, 0o700));
        }
    });
}

#[test]
fn live_that_differs_from_the_old_root_is_refused() {
    on_persistent(|machine, _| {
        let _storage = boot_into_blank(machine);
        let notes = machine.live().join("srv/notes");
        fs::create_dir_all(&notes).unwrap();
        fs::write(notes.join("new"), "of this boot").unwrap();
        let ran = machine.run(&["keep", "--from", "000001", "/srv/notes"]).expect(1);
        ran.complains("live has other data at /srv/notes");
        assert!(!machine.live().join("persist/srv").exists() && notes.join("new").exists());
    });
}

#[test]
fn unkeep_moves_back_or_leaves_as_it_is_told() {
    on_persistent(|machine, _| {
        let (live, text) = (machine.live().to_path_buf(), config(machine));
        let notes = live.join("srv/notes");
        let before = oracle::walk(&notes);
        machine.run(&["keep", "/srv/notes"]).expect(0);
        machine.run(&["unkeep", "/srv/notes"]).expect(2);
        machine
            .run(&["unkeep", "--leave", "/srv/other"])
            .expect(1)
            .complains("not on the keep list");
        fs::write(notes.join("later"), "x").unwrap();
        let changed = oracle::walk(&notes);

        let ran = machine.run(&["unkeep", "--leave", "/srv/notes"]).expect(0);
        ran.says("/persist/srv/notes stays in storage as a leftover")
            .says("   -   \"/srv/notes\",");
        assert!(!is_mount(&notes));
        assert_eq!(config(machine), text);
        same(&before, &notes);
        same(&changed, &live.join("persist/srv/notes"));
        // Live has the older data now: somebody has to say which counts.
        machine.run(&["keep", "/srv/notes"]).expect(1).complains("in storage has other data");
        move_to(&live.join("persist/srv/notes"), &live.join("persist/srv/kept"));
        machine.run(&["keep", "/srv/notes"]).expect(0);
        fs::write(notes.join("later"), "y").unwrap();
        let changed = oracle::walk(&notes);

        let dry = machine.run(&["unkeep", "--move-back", "--dry-run", "/srv/notes"]).expect(0);
        dry.says("remove /persist/srv/notes from storage");
        let ran = machine.run(&["unkeep", "--move-back", "/srv/notes"]).expect(0);
        let ran = ran.says("note: what /srv/notes had before is /srv/.notes.before-1 by now");
        ran.says("/srv/notes is part of live again, and will be gone at the next boot");
        assert!(!is_mount(&notes));
        same(&changed, &notes);
        same(&before, &live.join("srv/.notes.before-1"));
        assert!(!live.join("persist/srv/notes").exists());
        assert_eq!(config(machine), text);
    });
}

#[test]
fn a_linked_file_is_moved_back() {
    on_persistent(|machine, _| {
        let info = machine.live().join("etc/machine-info");
        fs::write(&info, "one\n").unwrap();
        machine.run(&["keep", "/etc/machine-info"]).expect(0);
        assert!(info.is_symlink());
        fs::write(&info, "two\n").unwrap();
        assert_eq!(fs::read(machine.live().join("persist/etc/machine-info")).unwrap(), b"two\n");
        machine.run(&["unkeep", "--move-back", "/etc/machine-info"]).expect(0);
        assert!(!info.is_symlink());
        assert_eq!(fs::read(&info).unwrap(), b"two\n");
        assert!(!machine.live().join("persist/etc/machine-info").exists());
    });
}

#[test]
fn parents_in_storage_are_as_in_live() {
    on_persistent(|machine, _| {
        let dir = machine.live().join("home/alice/.local");
        fs::create_dir_all(dir.join("share")).unwrap();
        fs::write(dir.join("share/file"), "x").unwrap();
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        for path in [&dir, &dir.join("share"), &machine.live().join("home/alice")] {
            own(path);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(path, mode).unwrap();
        }
        machine.run(&["keep", "/home/alice/.local/share"]).expect(0);
        for path in ["home/alice", "home/alice/.local", "home/alice/.local/share"] {
            let stat = machine.live().join("persist").join(path).metadata().unwrap();
            assert_eq!((stat.uid(), stat.mode() & 0o7777), (1000, 0o700), "{path}");
        }
    });
}

#[test]
fn forget_adds_paths_and_patterns_and_refuses_what_is_kept() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        fs::write(live.join("srv/a*b"), "").unwrap();
        let ran = machine.run(&["forget", "/srv/a*b", "/var/cache", "/tmp/*.x"]).expect(0);
        ran.says("   +   \"/var/cache\",").says("is not kept itself");
        let text = config(machine);
        for line in [r"  '/srv/a\*b',", "  \"/var/cache\",", "  \"/tmp/*.x\","] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        machine.run(&["forget", "/var/cache"]).expect(0).says("/var/cache is forgotten already");
        machine.run(&["forget", "/var/log"]).expect(2).complains("it is kept (");
        let ran = machine.run(&["forget", "/var/log/old"]).expect(2);
        ran.complains("it lies in /var/log, which is kept (");
        let ran = machine.run(&["forget", "--dry-run", "/opt"]).expect(0);
        ran.says("write to the configuration:");
        assert_eq!(config(machine), text);
    });
}

#[test]
fn a_configuration_that_is_a_link_is_not_written_through() {
    on_persistent(|machine, _| {
        let config = machine.live().join("etc/blankroot.toml");
        let real = PathBuf::from(machine.live()).join("etc/real.toml");
        move_to(&config, &real);
        symlink("real.toml", &config).unwrap();
        for args in [&["keep", "/srv/notes"][..], &["forget", "/x"]] {
            machine.run(args).expect(2).complains("it is a link to");
        }
    });
}

#[test]
fn what_does_not_work_as_a_kept_path_is_refused_with_its_reason_by_every_way_to_keep_it() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        let memory = live.join("srv/memory");
        for dir in ["run/app", "usr/lib/app", "boot/grub", "etc/systemd/system", "srv/memory"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        for file in ["etc/passwd", "etc/shadow", "etc/group", "etc/fstab", "etc/hostname"] {
            fs::write(live.join(file), "x").unwrap();
        }
        let none = None::<&str>;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(none, &memory, Some("tmpfs"), flags, none).unwrap();
        fs::create_dir(memory.join("app")).unwrap();
        let before = config(machine);
        for (path, why) in [
            ("/etc/passwd", "useradd, groupadd and passwd refuse a link there"),
            ("/etc/shadow", "make a new blank"),
            ("/etc/group", "make a new blank"),
            ("/etc/fstab", "systemd reads it before a storage is mounted"),
            ("/etc/hostname", "systemd reads it when it starts"),
            ("/etc/systemd/system", "systemd reads it when it starts"),
            ("/boot/grub", "the boot loader reads it"),
            ("/usr/lib/app", "/usr/local can be kept"),
            ("/run/app", "programs make it anew at every boot"),
            ("/dev/shm/", "the kernel makes it"),
            ("/srv/memory", "/srv/memory is in memory (tmpfs)"),
            ("/srv/memory/app", "/srv/memory is in memory (tmpfs)"),
        ] {
            let real = machine.run(&["keep", path]).expect(1).complains(why);
            let dry = machine.run(&["keep", "--dry-run", path]).expect(1);
            assert_eq!(dry.err, real.err);
        }
        nix::mount::umount(&memory).unwrap();
        assert_eq!(config(machine), before);
        fs::create_dir_all(live.join("etc/udev/rules.d")).unwrap();
        let told = "note: /etc/udev/rules.d: programs read it early in a boot";
        machine.run(&["keep", "--dry-run", "/etc/udev/rules.d"]).expect(0).says(told);
        // One that is there already is left in force.
        let passwd = "files = [\n  \"/etc/passwd\",\n]\n";
        fs::write(live.join("etc/blankroot.toml"), before + passwd).unwrap();
        machine.run(&["keep", "--dry-run", "/etc/passwd"]).expect(0);
        machine.run(&["doctor"]).says("/etc/passwd is kept (").says("[unsuitable-entry]");
    });
}

#[test]
fn two_that_edit_the_configuration_at_once_lose_nothing() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        let users = "[storage.users.alice]\n[storage.users.bob]\nfiles = []\n";
        fs::write(live.join("etc/blankroot.toml"), config(machine) + users).unwrap();
        let passwd = "alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n";
        fs::write(live.join("etc/passwd"), passwd).unwrap();
        let mut expected = Vec::new();
        for round in 0..26 {
            let one = format!("/home/alice/{round}");
            let other = match round % 3 {
                0 => format!("/srv/{round}"),
                _ => format!("/home/bob/{round}"),
            };
            for dir in [&one, &other] {
                fs::create_dir_all(live.join(&dir[1..])).unwrap();
            }
            let how = if round % 3 == 2 { "forget" } else { "keep" };
            let started = [machine.start(&["keep", &one]), machine.start(&[how, &other])];
            for child in started {
                Ran::of(child.wait_with_output().unwrap()).expect(0);
            }
            let name = other.strip_prefix("/home/bob/").filter(|_| how == "keep");
            expected.extend([format!("\"{round}\""), format!("\"{}\"", name.unwrap_or(&other))]);
        }
        let text = config(machine);
        for entry in expected {
            assert!(text.contains(&entry), "{entry} is lost: {text}");
        }
        let left: Vec<_> = fs::read_dir(live.join("etc")).unwrap().map(|e| e.unwrap()).collect();
        let locks =
            left.iter().filter(|entry| entry.file_name().to_string_lossy().contains("lock"));
        assert_eq!(locks.count(), 0, "{left:?}");
    });
}

#[test]
fn a_dry_run_sees_what_is_in_use_and_a_path_of_the_host_is_told() {
    on_persistent(|machine, _| {
        let holder = hold(&machine.live().join("srv/notes/etc/inline"));
        let dry = machine.run(&["keep", "--dry-run", "/srv/notes"]).expect(1);
        dry.says("1. see that nobody uses /srv/notes").complains("it is in use: process");
        drop(holder);
        machine.run(&["keep", "--dry-run", "/srv/notes"]).expect(0);
        let host_path = machine.live().join("srv/notes");
        let host_path = host_path.to_str().unwrap();
        for command in [&["keep"][..], &["forget"], &["unkeep", "--leave"], &["diff"]] {
            let ran = machine.run(&[command, &[host_path]].concat()).expect(2);
            ran.complains("it is a path of this host").complains("hint: name it /srv/notes");
        }
        let class = machine.run(&["forget", "/srv/[[:digit:]]*"]).expect(2);
        class.complains("its brackets have a class by name");
        machine.run(&["forget", "--dry-run", "/srv/[0-9]*"]).expect(0);
    });
}

#[test]
fn what_is_kept_before_the_first_rollback_is_kept_after_it() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        let persist = live.join("persist");
        for dir in ["persist", "srv/notes", "srv/older"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        fs::write(live.join("srv/notes/a b"), "precious").unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &persist);
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        machine.copy_config();
        let dry = machine.run(&["keep", "--dry-run", "/srv/notes"]).expect(0);
        dry.says("copy /etc/blankroot.toml to /persist/etc/blankroot.toml");
        assert!(!persist.join("etc").exists());
        machine.run(&["keep", "/srv/notes"]).expect(0);
        machine.run(&["forget", "/srv/older"]).expect(0);
        let text = fs::read_to_string(persist.join("etc/blankroot.toml")).unwrap();
        assert!(text.contains("\"/srv/notes\"") && text.contains("\"/srv/older\""), "{text}");

        let notes = live.join("srv/notes");
        nix::mount::umount2(&notes, nix::mount::MntFlags::MNT_DETACH).unwrap();
        storage.unmount().unwrap();
        machine.roll_back().expect(0);
        fs::create_dir_all(&persist).unwrap();
        let _storage = machine.mount_at("persist", &persist);
        machine.run(&["apply"]).expect(0);
        assert!(is_mount(&notes));
        assert_eq!(fs::read(notes.join("a b")).unwrap(), b"precious");
        machine.run(&["forget", "/srv/older"]).expect(0).says("is forgotten already");
        nix::mount::umount2(&notes, nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
}

#[test]
fn an_edit_that_would_be_gone_at_the_next_boot_is_refused_where_the_storage_is_not_there() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "srv/notes"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        storage.unmount().unwrap();
        let text = config(machine);
        for args in [&["keep", "/srv/notes"][..], &["forget", "/srv/notes"]] {
            machine.run(args).expect(2).complains("cannot ");
            assert_eq!(config(machine), text);
        }
    });
}

#[test]
fn nobody_deletes_the_old_root_while_it_is_copied_from() {
    on_persistent(|machine, _| {
        let _storage = boot_into_blank(machine);
        let held = machine.lock();
        let mut started = machine.start(&["keep", "--from", "000001", "/srv/notes"]);
        let mut said = String::new();
        let mut err = BufReader::new(started.stderr.take().unwrap());
        err.read_line(&mut said).unwrap();
        assert!(said.contains("waiting for another blankroot"), "{said}");
        assert!(!machine.live().join("persist/srv").exists());
        drop(held);
        Ran::of(started.wait_with_output().unwrap()).expect(0);
        assert!(is_mount(&machine.live().join("srv/notes")));
    });
}

#[test]
fn what_a_program_put_in_the_place_of_a_link_is_newer_and_stays() {
    on_persistent(|machine, _| {
        let hostname = machine.live().join("etc/app.conf");
        let stored = machine.live().join("persist/etc/app.conf");
        for how in ["--move-back", "--leave"] {
            let _ = fs::remove_file(&stored);
            fs::write(&hostname, "one\n").unwrap();
            machine.run(&["keep", "--symlink", "/etc/app.conf"]).expect(0);
            fs::write(machine.live().join("etc/new"), "two\n").unwrap();
            move_to(&machine.live().join("etc/new"), &hostname);
            let ran = machine.run(&["unkeep", how, "/etc/app.conf"]).expect(0);
            ran.says("note: /etc/app.conf is newer than /persist/etc/app.conf, and stays as it is");
            assert_eq!(fs::read(&hostname).unwrap(), b"two\n");
            assert_eq!(fs::read(&stored).unwrap(), b"one\n", "nothing is lost");
            assert!(!config(machine).contains("hostname"));
        }
    });
}

#[test]
fn a_link_of_the_owners_in_the_place_of_ours_stays() {
    on_persistent(|machine, _| {
        let (live, theirs) = (machine.live().to_path_buf(), Path::new("/usr/share/their.conf"));
        let conf = live.join("etc/app.conf");
        let keep = |how: &[&str]| {
            let _ = fs::remove_file(&conf);
            let _ = fs::remove_file(live.join("persist/etc/app.conf"));
            fs::write(&conf, "one\n").unwrap();
            machine.run(&[&["keep"], how, &["/etc/app.conf"]].concat()).expect(0);
        };
        let put_theirs = || {
            fs::remove_file(&conf).unwrap();
            symlink(theirs, &conf).unwrap();
        };
        for how in ["--leave", "--move-back"] {
            keep(&["--symlink"]);
            put_theirs();
            machine.run(&["unkeep", how, "/etc/app.conf"]).expect(0);
            assert_eq!(fs::read_link(&conf).unwrap(), theirs, "{how}");
            // Nothing is stored.
            keep(&["--symlink"]);
            fs::remove_file(live.join("persist/etc/app.conf")).unwrap();
            put_theirs();
            machine.run(&["unkeep", how, "/etc/app.conf"]).expect(0);
            assert_eq!(fs::read_link(&conf).unwrap(), theirs, "{how}, nothing stored");
        }
        keep(&[]);
        let of_text = fs::read_to_string(live.join("etc/blankroot.toml")).unwrap();
        let bound =
            of_text.replace("\"/etc/app.conf\"", "{ path = \"/etc/app.conf\", how = \"bind\" }");
        assert_ne!(bound, of_text);
        fs::write(live.join("etc/blankroot.toml"), bound).unwrap();
        unmount(&conf, UnmountFlags::DETACH).unwrap();
        put_theirs();
        let ran = machine.run(&["unkeep", "--move-back", "/etc/app.conf"]).expect(0);
        ran.says("note: what /etc/app.conf had before is /etc/.app.conf.before-1 by now");
        assert_eq!(fs::read_link(live.join("etc/.app.conf.before-1")).unwrap(), theirs);
        assert_eq!(fs::read(&conf).unwrap(), b"one\n");
    });
}

#[test]
fn what_is_left_in_storage_and_was_a_link_or_a_file_is_in_live_too() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        fs::write(live.join("etc/app.conf"), "one\n").unwrap();
        fs::write(live.join("srv/single"), "one\n").unwrap();
        let dir = oracle::walk(&live.join("srv/notes"));
        machine.run(&["keep", "--symlink", "/etc/app.conf", "/srv/notes"]).expect(0);
        machine.run(&["keep", "/srv/single"]).expect(0);
        for file in ["etc/app.conf", "srv/single"] {
            fs::write(live.join(file), "two\n").unwrap();
        }
        for path in ["/etc/app.conf", "/srv/notes", "/srv/single"] {
            let ran = machine.run(&["unkeep", "--leave", path]).expect(0);
            ran.says(&format!("/persist{path} stays in storage as a leftover"));
        }
        for file in ["etc/app.conf", "srv/single"] {
            assert!(!live.join(file).is_symlink() && !is_mount(&live.join(file)), "{file}");
            for copy in [live.join(file), live.join("persist").join(file)] {
                assert_eq!(fs::read(&copy).unwrap(), b"two\n", "{copy:?}");
            }
        }
        assert!(!live.join("srv/notes").is_symlink());
        same(&dir, &live.join("srv/notes"));
        same(&dir, &live.join("persist/srv/notes"));
    });
}

#[test]
fn who_cannot_be_looked_at_is_named_and_nothing_is_moved_unless_that_is_asked_for() {
    on_persistent(|machine, _| {
        let text = config(machine);
        // Root without this capability sees nothing of a root that has it.
        let blind = ["/usr/bin/setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
        if !Path::new(blind[0]).exists() {
            println!("SKIPPED: there is no setpriv to take a capability away with");
            return;
        }
        let holder = hold(&machine.live().join("srv/notes/etc/inline"));
        let ran = machine.run_with(&blind, &["keep", "/srv/notes"]).expect(1);
        let ran = ran.complains("whether it is in use could not be told: process ");
        let ran = ran.complains("could not be looked at").complains("--even-if-unseen");
        assert!(!ran.err.contains("kthreadd"), "the kernel's own have no files: {ran:?}");
        assert_eq!(config(machine), text);
        assert!(!machine.live().join("persist/srv").exists());
        drop(holder);
        let forced = ["keep", "--even-if-unseen", "/srv/notes"];
        let ran = machine.run_with(&blind, &forced).expect(0);
        ran.says("note: whether this is in use could not be told: process ");
        assert!(is_mount(&machine.live().join("srv/notes")));
    });
}

/// More than the kernel lists.
fn give_many_attributes(file: &Path) {
    for number in 0..300 {
        let name = format!("user.{number:0>240}");
        rustix::fs::setxattr(file, name, b"", rustix::fs::XattrFlags::empty()).unwrap();
    }
}

#[test]
fn a_file_with_more_attributes_than_can_be_listed_is_named_and_the_rest_is_kept() {
    on_persistent(|machine, _| {
        let odd = machine.live().join("srv/notes/many");
        fs::write(&odd, "content").unwrap();
        give_many_attributes(&odd);
        let ran = machine.run(&["keep", "/srv/notes"]).expect(0);
        ran.says("/srv/notes/many has more extended attributes than can be listed");
        let stored = machine.live().join("persist/srv/notes/many");
        assert_eq!(fs::read(&stored).unwrap(), b"content");
        // The copy has none of them, but its owner may give it some any day.
        give_many_attributes(&stored);
        let ran = machine.run(&["doctor"]);
        ran.says(
            "warning: /persist/srv/notes/many has more extended attributes than can be listed",
        );
    });
}

fn flags(path: &Path) -> rustix::fs::IFlags {
    rustix::fs::ioctl_getflags(fs::File::open(path).unwrap()).unwrap()
}

#[test]
fn flags_come_along_to_storage_and_back_and_show_in_a_diff() {
    use rustix::fs::{IFlags, ioctl_setflags};
    on_persistent(|machine, _| {
        let notes = machine.live().join("srv/notes");
        let set = |name: &str, flag: IFlags| {
            let file = fs::File::open(notes.join(name)).unwrap();
            ioctl_setflags(&file, rustix::fs::ioctl_getflags(&file).unwrap() | flag).unwrap();
        };
        let wanted = [
            ("nocow", IFlags::NOCOW),
            ("nodump", IFlags::NODUMP | IFlags::NOATIME | IFlags::SYNC),
            ("compressed", IFlags::COMPRESSED),
            ("immutable", IFlags::IMMUTABLE),
            ("append", IFlags::APPEND),
        ];
        fs::create_dir(notes.join("inherits")).unwrap();
        set("inherits", IFlags::NOCOW | IFlags::DIRSYNC);
        fs::write(notes.join("inherits/plain"), "").unwrap();
        let plain = fs::File::open(notes.join("inherits/plain")).unwrap();
        ioctl_setflags(&plain, IFlags::empty()).unwrap();
        drop(plain);
        for (name, flag) in wanted {
            fs::write(notes.join(name), "").unwrap();
            if flag == IFlags::NOCOW {
                set(name, flag);
            }
            fs::write(notes.join(name), "content").unwrap();
            set(name, flag);
        }
        fs::hard_link(notes.join("nodump"), notes.join("second")).unwrap();
        set("", IFlags::IMMUTABLE);
        let names = ["", "inherits", "inherits/plain", "nocow", "nodump", "second", "compressed"];
        let names = || names.into_iter().chain(["immutable", "append"]);
        let before: Vec<_> = names().map(|name| flags(&notes.join(name))).collect();
        machine.run(&["keep", "/srv/notes"]).expect(0);
        let stored = machine.live().join("persist/srv/notes");
        for (name, was) in names().zip(&before) {
            assert_eq!(flags(&stored.join(name)), *was, "{name} in storage");
        }
        machine.run(&["unkeep", "--move-back", "/srv/notes"]).expect(0);
        for (name, was) in names().zip(&before) {
            assert_eq!(flags(&notes.join(name)), *was, "{name} in live again");
        }
        assert!(!stored.exists());
    });
}

#[test]
fn an_empty_directory_in_storage_is_nothing_that_an_old_root_could_hide() {
    on_persistent(|machine, _| {
        let before = oracle::walk(&machine.live().join("srv/notes"));
        let _storage = boot_into_blank(machine);
        let stored = machine.live().join("persist/srv/notes");
        fs::create_dir_all(&stored).unwrap();
        let ran = machine.run(&["keep", "--from", "000001", "/srv/notes"]).expect(0);
        ran.says("done: copy /srv/notes of the old root");
        same(&before, &stored);
        same(&before, &machine.live().join("srv/notes"));

        // One that is mounted would still be seen after it was replaced.
        let notes = machine.live().join("srv/notes");
        nix::mount::umount2(&notes, nix::mount::MntFlags::MNT_DETACH).unwrap();
        move_to(&stored, &machine.live().join("persist/moved"));
        fs::create_dir(&stored).unwrap();
        machine.run(&["apply"]).expect(0);
        let ran = machine.run(&["keep", "--from", "000001", "/srv/notes"]).expect(1);
        ran.complains("which is empty, is mounted at /srv/notes").complains("umount /srv/notes");
    });
}

#[test]
fn the_list_itself_stays_on_the_list() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        machine.run(&["keep", "/etc/blankroot.toml"]).expect(0);
        let text = config(machine);
        for args in [&["--move-back"][..], &["--leave"], &["--leave", "--dry-run"]] {
            let words = [&["unkeep"], args, &["/etc/blankroot.toml"]].concat();
            let ran = machine.run(&words).expect(1);
            ran.complains(
                "cannot stop keeping /etc/blankroot.toml: it is the list of what is kept",
            )
            .complains("cp --remove-destination");
            assert_eq!(config(machine), text);
            assert!(live.join("etc/blankroot.toml").is_symlink());
        }
        let ran = machine.run(&["keep", "/etc"]).expect(1);
        let ran = ran.complains("/etc/blankroot.toml, which lies in it, is kept on its own");
        ran.complains("hint: keep what lies beside it: `blankroot diff /etc` shows what that is");
        machine.run(&["diff", "/etc"]).expect(0);

        // What the hint says.
        let file = live.join("etc/blankroot.toml");
        fs::remove_file(&file).unwrap();
        let without = text.replace("\"/etc/blankroot.toml\",", "");
        fs::write(&file, without.replace("\"/etc/blankroot.toml\"", "")).unwrap();
        machine.rename("root-blank", "root-blank.before");
        machine.run(&["init"]).expect(0).says("done: make the blank snapshot");
        machine.run(&["keep", "/srv/notes"]).expect(0).says("is not kept itself");
        assert!(fs::read_to_string(&file).unwrap().contains("\"/srv/notes\""));
        assert!(!file.is_symlink());
    });
}

#[test]
fn a_storage_in_memory_is_refused() {
    on_persistent(|machine, _| {
        let memory = machine.live().join("memory");
        fs::create_dir(&memory).unwrap();
        let namespace = machine.sandbox.namespace();
        let _mount = namespace.mount(Path::new("none"), "tmpfs", &memory, b"").unwrap();
        let text = config(machine);
        let ran = machine.run(&["keep", "--storage", "/memory", "/srv/notes"]).expect(1);
        ran.complains("the storage /memory lies in memory, and would be gone at the next boot");
        assert_eq!(config(machine), text);
        assert_eq!(fs::read_dir(&memory).unwrap().count(), 0);
    });
}

#[test]
fn a_storage_that_is_yet_to_be_made_on_a_mounted_file_system_is_made_and_not_mounted() {
    on_persistent(|machine, _| {
        let file = machine.live().join("etc/blankroot.toml");
        fs::write(&file, config(machine).replace("\"/persist\"", "\"/persist/host\"")).unwrap();
        for args in [&["keep", "/srv/notes"][..], &["apply"]] {
            let ran = machine.run(args).expect(1);
            ran.complains("/persist/host is not there, although what holds it is mounted")
                .complains("hint: make it (`mkdir -m 0755 /persist/host`)");
        }
        fs::create_dir(machine.live().join("persist/host")).unwrap();
        machine.run(&["keep", "/srv/notes"]).expect(0);
    });
}

fn set_immutable(path: &Path, immutable: bool) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let file = fs::File::open(path).unwrap();
    let others = ioctl_getflags(&file).unwrap() - IFlags::IMMUTABLE;
    let flags = if immutable { others | IFlags::IMMUTABLE } else { others };
    ioctl_setflags(&file, flags).unwrap();
}

#[test]
fn an_immutable_file_is_linked_and_in_an_immutable_directory_nothing_is_begun() {
    on_persistent(|machine, _| {
        let live = machine.live().to_path_buf();
        let (file, stored) = (live.join("etc/app.conf"), live.join("persist/etc/app.conf"));
        fs::write(&file, "one\n").unwrap();
        set_immutable(&file, true);
        machine.run(&["keep", "--symlink", "/etc/app.conf"]).expect(0);
        assert!(file.is_symlink());
        assert!(flags(&stored).contains(rustix::fs::IFlags::IMMUTABLE));
        // As blank brings it back at each boot.
        fs::remove_file(&file).unwrap();
        cp(&stored, &file);
        set_immutable(&file, true);
        machine.run(&["apply"]).expect(0);
        assert!(file.is_symlink());

        let dir = live.join("srv/locked");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("one"), "1").unwrap();
        set_immutable(&dir, true);
        let before = (config(machine), oracle::walk(&live.join("persist")));
        for args in [&["--symlink", "/srv/locked/one"][..], &["/srv/locked/later/"]] {
            for dry in [&["--dry-run"][..], &[]] {
                let ran = machine.run(&[&["keep"], dry, args].concat()).expect(1);
                ran.complains("its directory /srv/locked is immutable (`chattr +i`)")
                    .complains("hint: `chattr -i /srv/locked`");
            }
        }
        assert_eq!(config(machine), before.0);
        same(&before.1, &live.join("persist"));
        // Mounted over, it needs no change of the directory.
        machine.run(&["keep", "/srv/locked/one"]).expect(0);
        set_immutable(&dir, false);
        set_immutable(&stored, false);
    });
}

#[test]
fn a_dry_run_of_unkeep_refuses_what_the_run_refuses() {
    on_persistent(|machine, _| {
        machine.run(&["keep", "/srv/notes"]).expect(0);
        let holder = hold(&machine.live().join("srv/notes/etc/inline"));
        for how in ["--move-back", "--leave"] {
            let ran = machine.run(&["unkeep", how, "--dry-run", "/srv/notes"]).expect(1);
            ran.complains("it is in use: process");
        }
        drop(holder);
        machine.run(&["unkeep", "--leave", "--dry-run", "/srv/notes"]).expect(0);
    });
}

#[test]
fn the_lines_that_go_are_told_and_those_that_stay_are_not() {
    on_persistent(|machine, _| {
        machine.run(&["keep", "/srv/notes", "/srv/later/"]).expect(0);
        let dry = machine.run(&["unkeep", "--leave", "--dry-run", "/srv/notes"]).expect(0);
        let dry = dry.says("take from the configuration:\n   -   \"/srv/notes\",");
        assert_eq!(dry.out.matches("   - ").count(), 1, "{dry:?}");
    });
}

#[test]
fn files_in_a_home_that_programs_replace_are_linked_by_their_plain_paths_too() {
    on_persistent(|machine, _| {
        let files = [
            "home/alice/.claude.json",
            "home/alice/.local/share/fish/fish_history",
            "home/alice/.config/chromium/Default/Preferences",
            "root/.zsh_history",
        ];
        for file in files {
            let file = machine.live().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "one\n").unwrap();
            let path = Path::new("/").join(file.strip_prefix(machine.live()).unwrap());
            machine.run(&["keep", path.to_str().unwrap()]).expect(0);
            assert!(file.is_symlink() && !is_mount(&file), "{file:?}");
            assert_eq!(fs::read(&file).unwrap(), b"one\n");
        }
    });
}
