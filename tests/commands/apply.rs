//! `apply`: every kept path comes to its place, nothing that is there is hidden, and whoever reads
//! the messages knows what to do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use dirfd::private_namespace::MountPoint;
use dirfd::xattrs;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{IFlags, XattrFlags, ioctl_getflags, ioctl_setflags, setxattr};
use rustix::io::Errno;
use support::kernel::create_subvolume;
use support::names::acl;
use support::sandbox::unmount_below;

use crate::machine::{BOOT, Machine, on_machine};

const ACCOUNTS: [(&str, &str); 2] = [
    ("passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n"),
    ("group", "root:x:0:\nalice:x:1001:\nusers:x:100:\n"),
];

/// A machine with a storage at `/persist` whose configuration has these lists.
fn on_kept(lists: &str, story: impl FnOnce(&mut Machine<'_>, &MountPoint) + Send) {
    on_kept_from(|_| {}, lists, story);
}

/// The same with more in blank.
fn on_kept_from(
    fill: impl FnOnce(&Path) + Send,
    lists: &str,
    story: impl FnOnce(&mut Machine<'_>, &MountPoint) + Send,
) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        fs::create_dir(live.join("persist")).unwrap();
        fs::create_dir_all(live.join("var/log")).unwrap();
        fs::write(live.join("var/log/install.log"), "installed\n").unwrap();
        for (file, text) in ACCOUNTS {
            fs::write(live.join("etc").join(file), text).unwrap();
        }
        fill(&live);
        machine.run(&["init"]).expect(0);
        let config = live.join("etc/blankroot.toml");
        let storage = format!("[[storage]]\npath = \"/persist\"\n{lists}\n");
        fs::write(&config, fs::read_to_string(&config).unwrap() + &storage).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        story(machine, &storage);
        unmount_below(&live, &[live.join("persist")]);
    });
}

fn facts(path: &Path) -> (u32, u32, u32) {
    let stat = path.symlink_metadata().unwrap();
    (stat.uid(), stat.gid(), stat.permissions().mode() & 0o7777)
}

fn give(path: &Path, (uid, gid, mode): (u32, u32, u32)) {
    chown(path, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes an empty directory of somebody's.
fn make_dir(path: &Path, owner: (u32, u32, u32)) {
    fs::create_dir_all(path).unwrap();
    give(path, owner);
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn xattrs(path: &Path) -> xattrs::Values {
    xattrs::of_open(File::open(path).unwrap().as_fd()).unwrap()
}

fn set_flags(path: &Path, flags: IFlags) {
    ioctl_setflags(File::open(path).unwrap(), flags).unwrap();
}

fn same_file(one: &Path, other: &Path) -> bool {
    let (one, other) = (one.metadata().unwrap(), other.metadata().unwrap());
    (one.ino(), one.dev()) == (other.ino(), other.dev())
}

#[test]
fn owners_modes_and_parents_are_those_declared_whatever_the_order() {
    let lists = r#"
directories = [
  "/var/lib/private/app",
  { path = "/srv/data", user = "alice", group = "users", mode = "u=rwx,g=rx,o=" },
  { path = "/srv/key/deep", parent = { user = 7, mode = "0710" } },
]
[storage.users.alice]
directories = [".local/share/x", { path = ".local", mode = "0700" }, ".ssh"]
files = [{ path = ".config/rc", create = true }]"#;
    on_kept(lists, |machine, _| {
        let ran = machine.run(&["apply"]).expect(0);
        ran.says("note: /home/alice/.ssh (private keys): made for its owner alone to look into");
        for side in [machine.live().to_path_buf(), machine.live().join("persist")] {
            let of = |path: &str| facts(&side.join(path));
            assert_eq!(of("var/lib/private"), (0, 0, 0o700), "services with dynamic users need it");
            assert_eq!(of("srv/data"), (1000, 100, 0o750));
            assert_eq!(of("srv/key"), (7, 0, 0o710));
            assert_eq!(of("home/alice"), (1000, 1001, 0o700));
            assert_eq!(of("home/alice/.local"), (1000, 1001, 0o700));
            assert_eq!(of("home/alice/.ssh"), (1000, 1001, 0o700));
            assert_eq!(of("home/alice/.config"), (1000, 1001, 0o700));
            assert_eq!(of("home/alice/.config/rc"), (1000, 1001, 0o644));
        }
        machine.run(&["apply"]).expect(0).says("nothing to do: all 7 kept paths");
        // A declared mode is enforced, another is left alone.
        let persist = machine.live().join("persist");
        for path in ["srv/data", "home/alice/.ssh"] {
            fs::set_permissions(persist.join(path), fs::Permissions::from_mode(0o711)).unwrap();
        }
        machine.run(&["apply"]).expect(0).says("done: set the mode of /persist/srv/data to 0750");
        assert_eq!(facts(&persist.join("home/alice/.ssh")).2, 0o711);
    });
}

#[test]
fn what_storage_lacks_belongs_to_whom_it_belongs_in_live() {
    let lists = r#"
directories = [
  "/var/lib/foo", "/var/lib/private/dyn", "/home/alice", "/srv/closed/deep/x", "/srv/acl", "/srv/link",
  { path = "/srv/half", user = "alice" }, { path = "/srv/whole", user = 7, group = 8, mode = "0710" },
]
files = [{ path = "/etc/app/secret.conf", create = true }]
[storage.users.alice]
directories = [".ssh"]"#;
    on_kept(lists, |machine, _| {
        let (live, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        for (path, owner) in [
            ("var/lib/foo", (990, 991, 0o700)),
            ("var/lib/private", (0, 0, 0o700)),
            ("var/lib/private/dyn", (61184, 61184, 0o2755)),
            ("home/alice", (1000, 100, 0o700)),
            ("srv/closed", (990, 991, 0o750)),
            ("srv/acl", (990, 991, 0o700)),
            ("srv/half", (990, 991, 0o770)),
            ("srv/whole", (990, 991, 0o700)),
            ("etc/app", (0, 991, 0o750)),
        ] {
            make_dir(&live.join(path), owner);
        }
        fs::write(live.join("etc/app/secret.conf"), "").unwrap();
        give(&live.join("etc/app/secret.conf"), (990, 991, 0o600));
        // A link is nobody's to go by: its mode is always 0777.
        symlink("elsewhere", live.join("srv/link")).unwrap();
        for dir in ["srv/acl", "srv/closed", "srv/whole"] {
            set_xattr(&live.join(dir), "system.posix_acl_access", &acl(1000, 7));
            set_xattr(&live.join(dir), "system.posix_acl_default", &acl(1000, 7));
            set_xattr(&live.join(dir), "user.label", b"x");
        }
        let as_live = ["var/lib/foo", "var/lib/private", "var/lib/private/dyn", "home/alice"];
        let as_live = [&as_live[..], &["srv/closed", "srv/acl", "etc/app", "etc/app/secret.conf"]];
        let before: Vec<_> =
            as_live.concat().into_iter().map(|path| (path, facts(&live.join(path)))).collect();
        // It keeps everybody from the bare place of a mount, and not from the data.
        let flags = IFlags::NOCOW | IFlags::NOATIME;
        set_flags(&live.join("srv/acl"), flags | IFlags::IMMUTABLE);
        // What storage would hand down is not live's.
        set_xattr(&persist, "system.posix_acl_default", &acl(1, 7));

        machine.run(&["apply"]).expect(1).complains("/srv/link is a symlink with data");
        set_flags(&live.join("srv/acl"), flags);
        for (path, owner) in before {
            assert_eq!(facts(&persist.join(path)), owner, "{path} in storage");
            assert_eq!(facts(&live.join(path)), owner, "{path} as it is seen");
        }
        assert_eq!(facts(&persist.join("home/alice/.ssh")), (1000, 1001, 0o700));
        for dir in ["srv/acl", "srv/closed"] {
            assert_eq!(xattrs(&persist.join(dir)).len(), 3, "{dir}");
            assert_eq!(xattrs(&persist.join(dir)), xattrs(&live.join(dir)), "{dir}");
        }
        assert_eq!(xattrs(&persist.join("var/lib/foo")), []);
        let flags_of = |path: &Path| ioctl_getflags(File::open(path).unwrap()).unwrap();
        assert_eq!(flags_of(&persist.join("srv/acl")), flags);
        assert_eq!(flags_of(&persist.join("var/lib/foo")) & flags, IFlags::empty());
        // What is declared wins, and says who gets in.
        assert_eq!(facts(&persist.join("srv/half")), (1000, 991, 0o770));
        assert_eq!(facts(&persist.join("srv/whole")), (7, 8, 0o710));
        assert_eq!(xattrs(&persist.join("srv/whole")).len(), 1);
        machine.run(&["apply"]).expect(1);
    });
}

#[test]
fn what_live_lacks_too_belongs_to_whom_it_belongs_in_blank() {
    let lists = r#"
directories = ["/var/lib/foo", "/srv/closed/deep", "/var/outer", "/var/outer/inner", "/tmp"]"#;
    let fill = |live: &Path| {
        make_dir(&live.join("var/lib/foo"), (990, 991, 0o700));
        set_xattr(&live.join("var/lib/foo"), "system.posix_acl_access", &acl(1000, 7));
        make_dir(&live.join("srv/closed"), (990, 991, 0o750));
        make_dir(&live.join("var/outer/inner"), (990, 991, 0o700));
    };
    on_kept_from(fill, lists, |machine, _| {
        let (live, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        for path in ["var/lib/foo", "srv/closed"] {
            fs::remove_dir(live.join(path)).unwrap();
        }
        fs::create_dir_all(persist.join("var/outer")).unwrap();
        machine.run(&["apply"]).expect(0);
        for side in [&live, &persist] {
            assert_eq!(facts(&side.join("var/lib/foo")), (990, 991, 0o670), "as its list has it");
            assert_eq!(xattrs(&side.join("var/lib/foo")).len(), 1);
            assert_eq!(facts(&side.join("srv/closed")), (990, 991, 0o750));
            assert_eq!(facts(&side.join("tmp")), (0, 0, 0o1777), "as it is known");
            // It is hidden as soon as its parent is mounted.
            assert_eq!(facts(&side.join("var/outer/inner")), (990, 991, 0o700));
        }
        machine.run(&["apply"]).expect(0).says("nothing to do");
        make_dir(&live.join("srv/late"), (990, 991, 0o700));
        machine.run(&["keep", "/srv/late"]).expect(0);
        assert_eq!(facts(&persist.join("srv/late")), (990, 991, 0o700));
    });
}

/// Whoever owns a home can give it so many attributes that nobody can list them.
#[test]
fn a_home_whose_attributes_cannot_be_listed_is_still_its_owners() {
    on_kept("[storage.users.alice]\ndirectories = [\"notes\"]", |machine, _| {
        let home = machine.live().join("home/alice");
        make_dir(&home, (1000, 1001, 0o700));
        set_xattr(&home, "system.posix_acl_access", &acl(7, 1));
        for number in 0..300 {
            set_xattr(&home, &format!("user.{number:0>240}"), b"");
        }
        machine.run(&["apply"]).expect(0);
        let stored = machine.live().join("persist/home/alice");
        assert_eq!(facts(&stored), facts(&home));
        assert_eq!(xattrs(&stored).len(), 1);
    });
}

#[test]
fn data_in_the_way_is_refused_with_both_sides_named_and_every_other_entry_is_tried() {
    on_kept("directories = [\"/srv/a\", \"/srv/b\", \"/srv/c\"]", |machine, _| {
        let live = machine.live().to_path_buf();
        for (path, text) in
            [("srv/a/live", "1"), ("srv/b/live", "2"), ("persist/srv/b/stored", "3")]
        {
            fs::create_dir_all(live.join(path).parent().unwrap()).unwrap();
            fs::write(live.join(path), text).unwrap();
        }
        let ran = machine.run(&["apply"]).expect(1).says("mount /persist/srv/c at /srv/c");
        let ran = ran.complains("cannot keep /srv/a: /srv/a is a directory with data that nothing");
        let ran = ran.complains("and /persist/srv/a is not there yet");
        ran.complains("and /persist/srv/b has data of its own").complains("apply --adopt");
        assert!(live.join("srv/a/live").exists() && live.join("srv/b/live").exists());

        let dry = machine.run(&["apply", "--adopt", "--dry-run"]).expect(0);
        dry.says("copy /srv/a to /persist/srv/a");
        assert!(!live.join("persist/srv/a").exists());
        // At the end of a boot a directory of storage does not give way.
        machine.run(&["apply", "--adopt-replaced", "--no-mounts"]).expect(1);
        assert!(live.join("persist/srv/a/live").exists());
        assert!(!live.join("persist/srv/b/live").exists());
        machine.run(&["apply", "--adopt"]).expect(0).says("/persist/srv/.b.before-1");
        assert_eq!(fs::read(live.join("persist/srv/.b.before-1/stored")).unwrap(), b"3");
        assert!(same_file(&live.join("srv/b/live"), &live.join("persist/srv/b/live")));
        machine.run(&["apply"]).expect(0).says("nothing to do");
    });
}

#[test]
fn what_blank_has_goes_into_an_empty_storage_and_is_covered_from_then_on() {
    on_kept("directories = [\"/var/log\"]", |machine, _| {
        let live = machine.live().to_path_buf();
        let ran = machine.run(&["apply"]).expect(0);
        ran.says("copy /var/log to /persist/var/log").says("mount /persist/var/log at /var/log");
        fs::write(live.join("var/log/boot.log"), "1\n").unwrap();
        unmount_below(&live, &[live.join("persist")]);
        // As after a rollback: the place has what blank has, and storage has more.
        machine.run(&["apply"]).expect(0);
        assert!(live.join("var/log/boot.log").exists());
        machine.run(&["diff", "--flat", "/var/log"]).expect(0);
    });
}

/// Tells what is read of the files in some directories.
struct Readers(OwnedFd);

impl Readers {
    fn watch(dirs: &[PathBuf]) -> Self {
        let readers = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for dir in dirs {
            inotify::add_watch(&readers, dir, WatchFlags::ACCESS).unwrap();
        }
        Self(readers)
    }

    /// The names of the files that were read since.
    fn files(&self) -> BTreeSet<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut files = BTreeSet::new();
        loop {
            let event = match reader.next() {
                Err(Errno::AGAIN) => return files,
                event => event.unwrap(),
            };
            if !event.events().contains(ReadFlags::ISDIR) {
                let name = event.file_name().unwrap_or_default();
                files.insert(name.to_string_lossy().into_owned());
            }
        }
    }
}

#[test]
fn nothing_is_read_at_a_boot_of_what_blank_has_too() {
    let fill = |live: &Path| {
        fs::create_dir_all(live.join("var/big/below")).unwrap();
        for name in ["var/big/a", "var/big/b", "var/big/below/c", "var/one"] {
            fs::write(live.join(name), support::names::content(7, 600_000)).unwrap();
        }
    };
    let lists = "directories = [\"/var/big\"]\nfiles = [\"/var/one\"]";
    on_kept_from(fill, lists, |machine, _| {
        let (live, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        machine.run(&["apply"]).expect(0).says("copy /var/big to /persist/var/big");
        fs::write(live.join("var/big/new"), "in storage alone").unwrap();
        fs::write(live.join("var/one"), "another size").unwrap();
        unmount_below(&live, &[live.join("persist")]);

        // As after a rollback.
        let blank = machine.top().join("root-blank");
        let sides = [&live, &persist, &blank];
        let dirs = sides.map(|side| ["var/big", "var/big/below", "var"].map(|dir| side.join(dir)));
        let readers = Readers::watch(&dirs.concat());
        let none = BTreeSet::new();
        machine.run(&["apply", "--no-mounts"]).expect(0);
        assert_eq!(readers.files(), none, "to see that blank has it");
        machine.run(&["apply"]).expect(0).says("mount /persist/var/big at /var/big");
        machine.run(&["apply"]).expect(0).says("nothing to do");
        machine.run(&["apply", "--adopt-replaced", "--no-mounts"]).expect(0);
        assert_eq!(readers.files(), none, "to see that it is mounted");

        // Where live has something of its own, no more is read than it takes to see that.
        unmount_below(&live, &[live.join("persist")]);
        fs::write(live.join("var/big/below/d"), "of live alone").unwrap();
        machine.run(&["apply"]).expect(1).complains("/var/big is a directory with data");
        assert_eq!(readers.files(), none, "to see that it differs");
        fs::remove_file(live.join("var/big/below/d")).unwrap();
        let file = File::options().write(true).open(live.join("var/big/a")).unwrap();
        file.write_all_at(b"?", 300_000).unwrap();
        machine.run(&["apply"]).expect(1).complains("/var/big is a directory with data");
        assert!(!live.join("var/big/new").exists());
        assert_eq!(readers.files(), BTreeSet::from(["a".to_string()]), "the one that was written");
    });
}

/// What the file system knows of live says nothing of what is mounted there, or is a subvolume in it.
#[test]
fn what_is_not_lives_own_is_not_taken_for_unchanged() {
    let fill = |live: &Path| {
        for dir in ["srv/mounted", "srv/over/below", "srv/nested"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        for file in ["srv/mounted/f", "srv/over/below/f"] {
            fs::write(live.join(file), "as in blank").unwrap();
        }
    };
    let lists = "directories = [\"/srv/over\", \"/srv/nested\"]";
    on_kept_from(fill, lists, |machine, _| {
        let live = machine.live().to_path_buf();
        for dir in ["srv/over/below", "srv/nested"] {
            fs::create_dir_all(live.join("persist").join(dir)).unwrap();
        }
        // Another directory of live itself, with the same mount's device.
        let below = live.join("srv/over/below");
        nix::mount::mount(
            Some(&live.join("srv/mounted")),
            &below,
            None::<&str>,
            nix::mount::MsFlags::MS_BIND,
            None::<&str>,
        )
        .unwrap();
        fs::write(below.join("g"), "what is mounted there").unwrap();
        fs::remove_dir(live.join("srv/nested")).unwrap();
        create_subvolume(&live.join("srv/nested")).unwrap();
        fs::write(live.join("srv/nested/f"), "what a subvolume has").unwrap();
        let ran = machine.run(&["apply"]).expect(1);
        ran.complains("cannot keep /srv/over").complains("cannot keep /srv/nested");
        assert!(below.join("g").exists() && live.join("srv/nested/f").exists());
    });
}

#[test]
fn a_wrong_mount_a_missing_storage_and_a_storage_on_live_are_told() {
    on_kept("directories = [\"/srv/a\"]", |machine, storage| {
        let live = machine.live().to_path_buf();
        fs::create_dir_all(live.join("srv/a")).unwrap();
        let wrong = machine.mount_at("persist", &live.join("srv/a"));
        let ran = machine.run(&["apply"]).expect(1);
        ran.complains("something other than /persist/srv/a is mounted at /srv/a");
        drop(wrong);
        nix::mount::umount2(storage.dir(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        let ran = machine.run(&["apply"]).expect(1);
        ran.complains("the storage /persist lies on live itself, and would go with it");
        fs::remove_dir(live.join("persist")).unwrap();
        machine.run(&["apply"]).expect(1).complains("the storage /persist is not there");
    });
}

#[test]
fn a_link_of_the_system_is_not_followed_and_the_real_path_is_told() {
    on_kept("directories = [\"/var/run/app\"]", |machine, _| {
        symlink("/run", machine.live().join("var/run")).unwrap();
        let ran = machine.run(&["apply"]).expect(1);
        ran.complains("/var/run is a link").complains("name the real path, /run/app");
    });
}

#[test]
fn a_file_that_its_program_renamed_over_its_link_is_adopted_and_not_lost() {
    let lists = "files = [{ path = \"/etc/app.conf\", how = \"symlink\" }]";
    on_kept(lists, |machine, _| {
        let live = machine.live().to_path_buf();
        let file = live.join("etc/app.conf");
        machine.run(&["apply"]).expect(0);
        fs::write(&file, "made through the link\n").unwrap();
        assert!(live.join("persist/etc/app.conf").exists());
        fs::remove_file(&file).unwrap();
        fs::write(&file, "written anew\n").unwrap();
        machine.run(&["apply"]).expect(1).complains("/etc/app.conf is a file with data");
        machine.run(&["apply", "--adopt-replaced", "--no-mounts"]).expect(0);
        assert!(file.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"written anew\n");
        let before = live.join("persist/etc/.app.conf.before-1");
        assert_eq!(fs::read(before).unwrap(), b"made through the link\n");
    });
}

#[test]
fn what_a_boot_has_seen_being_replaced_is_a_link_from_then_on() {
    let names = ["app", "late", "plain", "both"];
    let files = names.map(|name| format!("\"/etc/{name}\""));
    on_kept(&format!("files = [{}]", files.join(", ")), |machine, _| {
        let etc = machine.live().join("etc");
        let stored = machine.live().join("persist/etc");
        fs::create_dir(&stored).unwrap();
        fs::write(stored.join("plain"), "never replaced").unwrap();
        fs::write(stored.join("both"), "of storage").unwrap();
        fs::write(etc.join("both"), "of live").unwrap();
        let rename_over = |name: &str, text: &str| {
            fs::write(etc.join(".new"), text).unwrap();
            rustix::fs::rename(etc.join(".new"), etc.join(name)).unwrap();
        };
        let refused = "cannot keep /etc/both: /etc/both is a file with data that nothing else has";
        machine.run(&["apply"]).expect(1).complains(refused);
        assert!(etc.join("app").is_symlink() && etc.join("late").is_symlink());
        rename_over("app", "1");
        fs::write(etc.join("late"), "through the link").unwrap();
        rename_over("late", "2");
        // The owner has yet to say what becomes of the one that was never a link.
        let shut_down = ["apply", "--adopt-replaced", "--no-mounts"];
        let ran = machine.run(&shut_down).expect(1).complains(refused);
        let ran = ran.says("remember that /etc/app is a link, which its program replaces");
        ran.says("remember that /etc/late is a link");
        assert_eq!(fs::read(stored.join("late")).unwrap(), b"2");
        assert_eq!(fs::read(stored.join(".late.before-1")).unwrap(), b"through the link");

        for (boot, text) in [("3f2a1c9e-7a01-4b6e-9d0a-000000000002", "3"), (BOOT, "4")] {
            machine.boot(boot);
            for name in ["app", "late"] {
                fs::remove_file(
                    machine.host().join("run/blankroot/linked").join(format!("etc-{name}.mount")),
                )
                .unwrap();
            }
            for name in ["app", "late"] {
                fs::remove_file(etc.join(name)).unwrap();
            }
            machine.run(&["apply", "--no-mounts"]).expect(1);
            machine.run(&["apply"]).expect(1);
            assert!(etc.join("app").is_symlink() && etc.join("late").is_symlink(), "{boot}");
            assert!(same_file(&etc.join("plain"), &stored.join("plain")));
            assert!(!etc.join("plain").is_symlink(), "what nobody replaced is mounted");
            machine.run(&["doctor"]).says("/etc/app is linked, not mounted (");
            rename_over("app", text);
            machine.run(&shut_down).expect(1);
            assert_eq!(fs::read(stored.join("app")).unwrap(), text.as_bytes());
        }
        // The note is no part of the file.
        assert_eq!(xattrs(&stored.join("app")), []);
        assert_eq!(fs::read(etc.join("both")).unwrap(), b"of live");
    });
}

#[test]
fn mount_options_are_in_force_and_told_to_programs_that_look_at_mounts() {
    let lists = r#"
hide_mounts = true
directories = [{ path = "/srv/a", options = ["noexec", "nosuid"], allow_trash = true }]"#;
    on_kept(lists, |machine, _| {
        machine.run(&["apply"]).expect(0);
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let point = format!(" {} ", machine.live().join("srv/a").display());
        let line = table.lines().find(|line| line.contains(&point)).unwrap();
        let options = line.split(' ').nth(5).unwrap();
        assert!(options.contains("nosuid") && options.contains("noexec"), "{line}");
        let told = fs::read_to_string(machine.host().join("run/mount/utab")).unwrap();
        assert!(told.contains("OPTS=x-gvfs-hide,x-gvfs-trash"), "{told}");
        // Another process changes them; the next run gives them back.
        let point = machine.live().join("srv/a");
        let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_BIND;
        nix::mount::mount(None::<&str>, &point, None::<&str>, flags, None::<&str>).unwrap();
        machine.run(&["apply"]).expect(0).says("change the options of the mount at /srv/a");
        machine.run(&["apply"]).expect(0).says("nothing to do");
    });
}

#[test]
fn a_configuration_that_keeps_itself_outlives_a_rollback() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        fs::create_dir(live.join("persist")).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        let missing = machine.run(&["init", "--storage", "/nowhere"]).expect(2);
        missing.complains("cannot use the storage /nowhere");
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        machine.run(&["init", "--storage", "/persist"]).expect(0);
        machine.run(&["apply"]).expect(0);
        fs::create_dir_all(live.join("srv/notes")).unwrap();
        fs::write(live.join("srv/notes/todo"), "feed the cat\n").unwrap();
        machine.run(&["keep", "/srv/notes"]).expect(0);
        machine.copy_config();
        unmount_below(&live, &[live.join("persist")]);
        drop(storage);
        machine.boot("3f2a1c9e-7a01-4b6e-9d0a-000000000002");
        machine.roll_back().expect(0);
        let storage = machine.mount_at("persist", &live.join("persist"));
        assert!(!live.join("srv/notes").exists());
        machine.run(&["apply"]).expect(0);
        assert_eq!(fs::read(live.join("srv/notes/todo")).unwrap(), b"feed the cat\n");
        machine.run(&["diff", "--flat"]).expect(0).says("kept");
        unmount_below(&live, &[live.join("persist")]);
        drop(storage);
    });
}

#[test]
fn a_kept_directory_is_kept_although_subvolumes_lie_in_it() {
    on_kept("directories = [\"/var\"]", |machine, _| {
        let (live, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        // As a fresh copy has it, in the place of the stub that blank has.
        fs::remove_file(live.join("var/machines/inside")).unwrap();
        chown(live.join("var/machines"), Some(7), Some(8)).unwrap();
        machine.run(&["apply"]).expect(0).says("done: mount /persist/var at /var");
        assert_eq!(fs::read_to_string(persist.join("var/log/install.log")).unwrap(), "installed\n");
        assert_eq!(facts(&persist.join("var/machines")), (7, 8, 0o755));
        fs::write(live.join("var/machines/new"), "").unwrap();
        machine.run(&["apply"]).expect(0).says("nothing to do");
    });
}

#[test]
fn what_a_subvolume_in_a_kept_directory_holds_is_named_and_the_rest_adopted() {
    on_kept("directories = [\"/var\"]", |machine, _| {
        let (live, persist) = (machine.live().to_path_buf(), machine.live().join("persist"));
        fs::write(live.join("var/log/later"), "").unwrap();
        let ran = machine.run(&["apply", "--adopt"]).expect(0);
        ran.says("note: /var/machines is a subvolume of its own, which holds something");
        assert!(persist.join("var/log/later").exists());
        assert_eq!(fs::read_dir(persist.join("var/machines")).unwrap().count(), 0);
    });
}

#[test]
fn a_user_with_more_attributes_than_can_be_listed_stops_home_for_nobody() {
    let blank = |live: &Path| fs::create_dir_all(live.join("home/alice")).unwrap();
    on_kept_from(blank, "directories = [\"/home\"]", |machine, _| {
        let (live, stored) = (machine.live().to_path_buf(), machine.live().join("persist/home"));
        fs::create_dir_all(stored.join("alice")).unwrap();
        for number in 0..300 {
            set_xattr(&stored.join("alice"), &format!("user.{number:0>240}"), b"");
        }
        machine.run(&["apply"]).expect(0);
        assert!(same_file(&live.join("home"), &stored));
        machine.run(&["doctor"]);
        machine.run(&["diff"]).expect(0);
    });
}
