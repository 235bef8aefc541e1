//! `restore` on a real Btrfs: what comes back, what is refused, and what is never lost.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::IFlags;
use support::kernel::{create_subvolume, delete_subvolume};
use support::{base, oracle};

use crate::machine::{Machine, Ran, on_machine};

const BOOTS: [&str; 4] = [
    "3f2a1c9e-7a01-4b6e-9d0a-000000000000",
    "3f2a77aa-7a01-4b6e-9d0a-000000000000",
    "5b0c11d2-7a01-4b6e-9d0a-000000000000",
    "77e4f010-7a01-4b6e-9d0a-000000000000",
];
const FIRST: &str = "000001-3f2a1c9e";
const SECOND: &str = "000002-3f2a77aa";

/// A machine with `init` done and a `srv` in blank.
fn on_ready(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_machine(|machine| {
        fs::create_dir(machine.live().join("srv")).unwrap();
        machine.run(&["init"]).expect(0);
        machine.copy_config();
        story(machine);
    });
}

/// The root that `live` makes becomes the old root number `number`.
fn live_and_boot(machine: &mut Machine<'_>, number: usize, live: impl FnOnce(&Path)) {
    live(machine.live());
    machine.boot(BOOTS[number - 1]);
    machine.roll_back().expect(0);
}

/// The same with a file of this content at `srv/file`.
fn boots_with(machine: &mut Machine<'_>, contents: &[&str]) {
    for (number, content) in (1..).zip(contents) {
        live_and_boot(machine, number, |live| fs::write(live.join("srv/file"), content).unwrap());
    }
}

fn restore<S: AsRef<OsStr>>(machine: &Machine<'_>, args: &[S]) -> Ran {
    let args = args.iter().map(AsRef::as_ref);
    machine.run(&std::iter::once(OsStr::new("restore")).chain(args).collect::<Vec<_>>())
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// All sorts of files in a plain directory.
fn fill(seed: &Path, dir: &Path) {
    base::build(seed);
    delete_subvolume(&seed.join(base::NESTED)).unwrap();
    cp(seed, dir);
    fs::write(dir.join(OsStr::from_bytes(b"a b\n\xff")), "odd").unwrap();
    for (name, flags) in [("locked", IFlags::IMMUTABLE), ("grows", IFlags::APPEND)] {
        fs::write(dir.join(name), name).unwrap();
        set_flags(&dir.join(name), flags);
    }
    fs::create_dir(dir.join("no cow")).unwrap();
    set_flags(&dir.join("no cow"), IFlags::NOCOW);
    fs::write(dir.join("no cow/image"), vec![7; 100_000]).unwrap();
}

fn set_flags(path: &Path, flags: IFlags) {
    rustix::fs::ioctl_setflags(fs::File::open(path).unwrap(), flags).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what arranges files for the test")]
fn cp(from: &Path, to: &Path) {
    let args = ["-a".as_ref(), from.as_os_str(), to.as_os_str()];
    assert!(Command::new("cp").args(args).status().unwrap().success());
}

/// What an old root has.
fn old(machine: &Machine<'_>, name: &str, path: &str) -> PathBuf {
    machine.top().join("old-roots").join(name).join(path)
}

fn same(one: &Path, other: &Path) {
    assert_eq!(oracle::changes(&oracle::walk(one), &oracle::walk(other)), []);
}

/// Everything in live, to see that nothing happened.
fn all(machine: &Machine<'_>) -> oracle::Tree {
    oracle::walk(machine.live())
}

fn nothing_happened(before: &oracle::Tree, machine: &Machine<'_>) {
    assert_eq!(oracle::changes(before, &all(machine)), []);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_back_and_a_second_run_finds_it_there() {
    on_ready(|machine| {
        boots_with(machine, &["of the first boot"]);
        let file = machine.live().join("srv/file");
        assert!(!file.exists());
        let before = all(machine);
        let dry = restore(machine, &["--dry-run", "/srv/file"]).expect(0);
        nothing_happened(&before, machine);
        let ran = restore(machine, &["/srv/file"]).expect(0);
        assert_eq!(ran.err, "");
        assert_eq!(read(&file), "of the first boot");
        // The run does what the plan says, and tells nothing else.
        let planned = dry.out.replace("1. ", "done: ");
        assert_eq!(ran.out, planned);
        ran.says("note: /srv/file is not kept, so that the next boot discards it")
            .says(&format!("done: restore /srv/file of the old root {FIRST}\n"));
        let again = restore(machine, &["/srv/file"]).expect(0);
        again.says(&format!("/srv/file is there already, as the old root {FIRST} has it"));
    });
}

#[test]
fn a_directory_comes_back_to_the_byte_with_links_holes_and_flags() {
    on_ready(|machine| {
        let seed = machine.top().join("seed");
        live_and_boot(machine, 1, |live| fill(&seed, &live.join("srv/notes")));
        restore(machine, &["/srv/notes"]).expect(0);
        let (was, now) = (old(machine, FIRST, "srv/notes"), machine.live().join("srv/notes"));
        same(&was, &now);
        let (was_all, now_all) = (oracle::walk(&was), oracle::walk(&now));
        for (path, entry) in &was_all {
            let shown = String::from_utf8_lossy(path);
            let other = &now_all[path];
            let time = |one: &oracle::Entry| (one.facts.mtime, one.facts.mtime_nanos);
            assert_eq!(time(entry), time(other), "{shown}: its time");
        }
        for (one, two) in
            [("etc/inline", "etc/inline too"), ("etc/inline", "home/user name/third name")]
        {
            let inodes = [one, two].map(|name| now.join(name).metadata().unwrap().ino());
            assert_eq!(inodes[0], inodes[1], "{two} is another file");
        }
        let blocks = |dir: &Path| dir.join("var/sparse").metadata().unwrap().blocks();
        assert_eq!(blocks(&was), blocks(&now), "the holes were filled");
        for (name, flag) in
            [("locked", IFlags::IMMUTABLE), ("grows", IFlags::APPEND), ("no cow", IFlags::NOCOW)]
        {
            let flags = rustix::fs::ioctl_getflags(fs::File::open(now.join(name)).unwrap());
            assert!(flags.unwrap().contains(flag), "{name} lost its flag");
        }
        restore(machine, &["/srv/notes"]).expect(0).says("is there already");
        assert_eq!(names(machine.live().join("srv").as_path()), ["notes"]);
    });
}

#[test]
fn what_is_there_stays_until_overwrite_sets_it_aside() {
    on_ready(|machine| {
        boots_with(machine, &["old"]);
        let srv = machine.live().join("srv");
        fs::write(srv.join("file"), "present").unwrap();
        let before = all(machine);
        let ran = restore(machine, &["/srv/file"]).expect(1);
        ran.complains(
            "cannot restore /srv/file: it is there, and differs from that of the old root",
        )
        .complains("the present one is newer: the present one was written ")
        .complains("hint: `--overwrite` sets the present one aside; `--to DIR`");
        nothing_happened(&before, machine);

        // Which one is newer is told.
        let long_ago = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::options()
            .write(true)
            .open(srv.join("file"))
            .unwrap()
            .set_times(long_ago)
            .unwrap();
        restore(machine, &["/srv/file"]).expect(1).complains("the old root's is newer: ");

        let args = ["--overwrite", "/srv/file"];
        let dry = restore(machine, &["--dry-run", args[0], args[1]]).expect(0);
        assert_eq!(read(srv.join("file")), "present");
        let ran = restore(machine, &args).expect(0);
        assert_eq!(ran.out, dry.out.replace("1. ", "done: "));
        ran.says("and set the present one aside as /srv/file.before-restore-1\n");
        assert_eq!(read(srv.join("file")), "old");
        assert_eq!(read(srv.join("file.before-restore-1")), "present");
        restore(machine, &args).expect(0).says("is there already");

        // No name that something has is ever taken.
        fs::write(srv.join("file"), "another").unwrap();
        restore(machine, &args).expect(0).says("aside as /srv/file.before-restore-2\n");
        assert_eq!(read(srv.join("file.before-restore-1")), "present");
        assert_eq!(read(srv.join("file.before-restore-2")), "another");
        let expected = ["file", "file.before-restore-1", "file.before-restore-2"];
        assert_eq!(names(&srv), expected);
    });
}

#[test]
fn a_directory_that_is_there_is_set_aside_as_a_whole() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            fs::create_dir(live.join("srv/notes")).unwrap();
            fs::write(live.join("srv/notes/a"), "old").unwrap();
            fs::write(live.join("srv/notes/b"), "old").unwrap();
        });
        let notes = machine.live().join("srv/notes");
        fs::create_dir(&notes).unwrap();
        fs::write(notes.join("a"), "present").unwrap();
        let ran = restore(machine, &["/srv/notes"]).expect(1);
        ran.complains(&format!("that of the old root {FIRST} at /srv/notes/"));
        restore(machine, &["--overwrite", "/srv/notes"]).expect(0);
        same(&old(machine, FIRST, "srv/notes"), &notes);
        let aside = machine.live().join("srv/notes.before-restore-1");
        assert_eq!((names(&aside), read(aside.join("a"))), (vec!["a".into()], "present".into()));

        // Another type in the same place is no different.
        for name in ["a", "b"] {
            fs::remove_file(notes.join(name)).unwrap();
        }
        fs::remove_dir(&notes).unwrap();
        symlink("elsewhere", &notes).unwrap();
        restore(machine, &["/srv/notes"]).expect(1).complains("it is there, and differs");
        restore(machine, &["--overwrite", "/srv/notes"]).expect(0);
        same(&old(machine, FIRST, "srv/notes"), &notes);
        let aside = machine.live().join("srv/notes.before-restore-2");
        assert_eq!(fs::read_link(aside).unwrap(), Path::new("elsewhere"));
    });
}

#[test]
fn one_version_needs_no_name_and_several_are_listed() {
    on_ready(|machine| {
        boots_with(machine, &["same", "same"]);
        let ran = restore(machine, &["/srv/file"]).expect(0);
        ran.says(&format!("note: /srv/file is taken from {SECOND}; {FIRST} has the same\n"))
            .says(&format!("of the old root {SECOND}\n"));
        fs::remove_file(machine.live().join("srv/file")).unwrap();
        live_and_boot(machine, 3, |live| fs::write(live.join("srv/file"), "another").unwrap());
        live_and_boot(machine, 4, |live| fs::write(live.join("srv/other"), "x").unwrap());

        let ran = restore(machine, &["/srv/file"]).expect(1);
        let ran = ran.complains("cannot restore /srv/file: old roots have it in several versions:");
        let third = "000003-5b0c11d2";
        for (name, size) in [(third, "7 B"), (SECOND, "4 B"), (FIRST, "4 B")] {
            assert!(ran.err.contains(&format!("\n    {name}, set aside 20")), "{ran:#?}");
            assert!(ran.err.contains(&format!(": file of {size}, written 20")), "{ran:#?}");
        }
        ran.complains(&format!("blankroot restore --from {third} /srv/file"));
        assert!(!machine.live().join("srv/file").exists());

        restore(machine, &["--from", "3", "/srv/file"]).expect(0);
        assert_eq!(read(machine.live().join("srv/file")), "another");
        let missing = restore(machine, &["--from", "last", "/srv/file"]).expect(1);
        missing
            .complains("cannot restore /srv/file: the old root 000004-77e4f010 does not have it")
            .complains(&format!("hint: {third} has it"));
        let nobody = restore(machine, &["/srv/no such"]).expect(1);
        nobody.complains("cannot restore /srv/no such: none of 4 old roots has it");
    });
}

#[test]
fn an_old_root_is_named_by_number_boot_or_last() {
    on_ready(|machine| {
        let none = restore(machine, &["--from", "last", "/srv/file"]).expect(2);
        none.complains("there are no old roots yet");
        restore(machine, &["/srv/file"]).expect(1).complains("there are no old roots yet");
        boots_with(machine, &["one", "two"]);
        for (asked, content) in [
            (FIRST, "one"),
            ("1", "one"),
            ("000001", "one"),
            ("3f2a1", "one"),
            (BOOTS[0], "one"),
            ("2", "two"),
            ("last", "two"),
        ] {
            restore(machine, &["--from", asked, "/srv/file"]).expect(0);
            assert_eq!(read(machine.live().join("srv/file")), content, "{asked}");
            fs::remove_file(machine.live().join("srv/file")).unwrap();
        }
        let several = restore(machine, &["--from", "3f2a", "/srv/file"]).expect(2);
        several
            .complains("cannot find the old root `3f2a`: it may be any of these:")
            .complains(&format!("\n    {FIRST}, set aside 20"));
        let unknown = restore(machine, &["--from", "no such", "/srv/file"]).expect(2);
        unknown
            .complains("there is none of this name, number or boot id:\n    000002-")
            .complains("hint: name one of these, or `last`");
    });
}

#[test]
fn it_goes_elsewhere_where_that_is_asked_for() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            fs::create_dir(live.join("srv/notes")).unwrap();
            fs::write(live.join("srv/notes/a"), "old").unwrap();
            fs::write(live.join("srv/file"), "old").unwrap();
        });
        let live = machine.live().to_path_buf();
        fs::create_dir(live.join("srv/here")).unwrap();
        fs::write(live.join("srv/file"), "present").unwrap();
        let ran = restore(machine, &["--to", "/srv/here", "/srv/notes", "/srv/file"]).expect(0);
        ran.says(" as /srv/here/notes\n").says(" as /srv/here/file\n");
        same(&old(machine, FIRST, "srv/notes"), &live.join("srv/here/notes"));
        assert_eq!(read(live.join("srv/here/file")), "old");
        assert_eq!(read(live.join("srv/file")), "present");
        assert!(!live.join("srv/notes").exists());

        let none = restore(machine, &["--to", "/srv/there", "/srv/file"]).expect(1);
        none.complains("there is no such directory").complains("hint: make it first: mkdir -p");
        restore(machine, &["--to", "/srv/file", "/srv/file"]).expect(1).complains("no directory");
        let both =
            restore(machine, &["--to", "/srv/here", "/srv/notes/a", "/etc/a", "/srv/notes/a"]);
        both.expect(1).complains("another path of these goes to /srv/here/a, too");
    });
}

#[test]
fn missing_parents_are_made_as_the_old_root_has_them() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            let private = live.join("srv/private");
            fs::create_dir_all(private.join("app/deep")).unwrap();
            fs::write(private.join("app/deep/key"), "secret").unwrap();
            fs::write(private.join("app/not this"), "x").unwrap();
            fs::set_permissions(&private, fs::Permissions::from_mode(0o750)).unwrap();
            support::apply::set_xattr(&private, "user.one", b"1").unwrap();
            chown(&private, Some(1000), Some(100)).unwrap();
        });
        let args = ["/srv/private/app/deep/key", "/srv/private/app/deep"];
        let ran = restore(machine, &args).expect(0);
        ran.says("done: make /srv/private: directory (1000:100, 0750) with user.one\n")
            .says("/srv/private/app/deep/key lies in /srv/private/app/deep, and comes with it");
        let private = machine.live().join("srv/private");
        let found = fs::metadata(&private).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1000, 100, 0o750));
        assert_eq!(oracle::entry_at(&private).xattrs.len(), 1);
        same(&old(machine, FIRST, "srv/private/app/deep"), &private.join("app/deep"));
        assert_eq!(names(&private.join("app")), ["deep"]);
    });
}

#[test]
fn no_link_is_followed_on_the_way() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            fs::create_dir(live.join("srv/notes")).unwrap();
            fs::write(live.join("srv/notes/a"), "old").unwrap();
            symlink("notes", live.join("srv/by another name")).unwrap();
        });
        let live = machine.live().to_path_buf();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), live.join("srv/notes")).unwrap();
        fs::create_dir(live.join("srv/real")).unwrap();
        symlink("real", live.join("srv/link")).unwrap();
        let before = all(machine);
        for overwrite in [&[][..], &["--overwrite"]] {
            let ran = restore(machine, &[overwrite, &["/srv/notes/a"]].concat()).expect(1);
            ran.complains("cannot look at /srv/notes/a: /srv/notes is a link")
                .complains("hint: name");
        }
        let ran = restore(machine, &["--to", "/srv/link/deeper", "/srv/notes"]).expect(1);
        ran.complains("name the real path, /srv/real/deeper");
        let ran = restore(machine, &["/srv/by another name/a"]).expect(1);
        ran.complains("/srv/by another name is a link").complains("the real path, /srv/notes/a");
        nothing_happened(&before, machine);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        restore(machine, &["/"]).expect(1).complains("it is the root itself");
    });
}

#[test]
fn names_are_bytes() {
    on_ready(|machine| {
        let odd: [&[u8]; 4] = [b"a b\n\xff", b"-n", b"'$(touch x)'", &[b'x'; 255]];
        live_and_boot(machine, 1, |live| {
            for name in odd {
                fs::write(live.join("srv").join(OsStr::from_bytes(name)), "old").unwrap();
            }
        });
        for name in odd {
            let path = machine.live().join("srv").join(OsStr::from_bytes(name));
            let arg = Path::new("/srv").join(OsStr::from_bytes(name));
            let ran = restore(machine, &[&arg]).expect(0);
            assert!(!ran.out.contains('\u{fffd}') && ran.out.lines().count() == 2, "{ran:#?}");
            assert_eq!(read(&path), "old");
            fs::write(&path, "present").unwrap();
            restore(machine, &["--overwrite".as_ref(), arg.as_os_str()]).expect(0);
            assert_eq!(read(&path), "old");
        }
        let aside = fs::read_dir(machine.live().join("srv")).unwrap();
        let aside = aside.map(|entry| entry.unwrap().path());
        let aside: Vec<PathBuf> = aside
            .filter(|path| path.as_os_str().as_bytes().ends_with(b".before-restore-1"))
            .collect();
        assert_eq!(aside.len(), odd.len());
        aside.iter().for_each(|path| assert_eq!(read(path), "present"));
    });
}

#[test]
fn a_kept_directory_takes_it_in_storage_and_a_mount_is_not_replaced() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            fs::create_dir_all(live.join("srv/notes")).unwrap();
            fs::write(live.join("srv/notes/a"), "old").unwrap();
        });
        let live = machine.live().to_path_buf();
        fs::create_dir_all(live.join("srv/notes")).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let _storage = machine.mount_at("persist", &live.join("srv/notes"));
        let ran = restore(machine, &["/srv/notes/a"]).expect(0);
        assert!(!ran.out.contains("discards"), "{ran:#?}");
        assert_eq!(read(machine.top().join("persist/a")), "old");
        assert!(names(&machine.top().join("root/srv/notes")).is_empty());
        assert_eq!(names(&machine.top().join("persist")), ["a"]);

        fs::write(live.join("srv/notes/a"), "present").unwrap();
        restore(machine, &["--overwrite", "/srv/notes/a"]).expect(0);
        assert_eq!(names(&machine.top().join("persist")), ["a", "a.before-restore-1"]);
        let ran = restore(machine, &["--overwrite", "/srv/notes"]).expect(1);
        ran.complains("something is mounted there").complains("`--to DIR`");
    });
}

#[test]
fn nested_subvolumes_are_told_and_come_back_by_their_own_names() {
    on_ready(|machine| {
        live_and_boot(machine, 1, |live| {
            fs::create_dir(live.join("srv/vm")).unwrap();
            fs::write(live.join("srv/vm/list"), "one").unwrap();
            create_subvolume(&live.join("srv/vm/one")).unwrap();
            fs::write(live.join("srv/vm/one/disk"), "data").unwrap();
        });
        let ran = restore(machine, &["/srv/vm"]).expect(0);
        ran.says("note: /srv/vm/one is a subvolume of its own in the old root");
        let one = machine.live().join("srv/vm/one");
        assert!(names(&one).is_empty());
        let ran = restore(machine, &["--overwrite", "/srv/vm/one"]).expect(0);
        ran.says(
            "note: /srv/vm/one was a subvolume of its own; /srv/vm/one will be a plain directory",
        );
        assert_eq!(read(one.join("disk")), "data");
        restore(machine, &["/srv/vm/one"]).expect(0).says("is there already");
    });
}

#[test]
fn what_flags_forbid_is_told_before_anything_is_done() {
    on_ready(|machine| {
        boots_with(machine, &["old"]);
        let srv = machine.live().join("srv");
        set_flags(&srv, IFlags::IMMUTABLE);
        let ran = restore(machine, &["/srv/file"]).expect(1);
        ran.complains("cannot restore /srv/file: /srv is immutable (`chattr +i`)")
            .complains("hint: `chattr -i /srv`");
        set_flags(&srv, IFlags::empty());
        fs::write(srv.join("file"), "present").unwrap();
        set_flags(&srv.join("file"), IFlags::APPEND);
        let ran = restore(machine, &["--overwrite", "/srv/file"]).expect(1);
        ran.complains("/srv/file is append-only (`chattr +a`)");
        set_flags(&srv.join("file"), IFlags::empty());
        assert_eq!(names(&srv), ["file"]);
    });
}

#[test]
fn of_several_paths_all_reasons_are_told_and_nothing_is_done() {
    on_ready(|machine| {
        boots_with(machine, &["old"]);
        let before = all(machine);
        let ran = restore(machine, &["/srv/file", "/srv/x", "/srv/y"]).expect(1);
        ran.complains("cannot restore /srv/x: ").complains("cannot restore /srv/y: ");
        nothing_happened(&before, machine);
    });
}

#[test]
fn whoever_has_no_old_roots_is_told() {
    on_machine(|machine| {
        machine.unmount();
        let source = Path::new("none");
        let mounted = machine.sandbox.namespace().mount(source, "tmpfs", machine.live(), b"");
        let mounted = mounted.unwrap();
        machine.run(&["init"]).expect(0);
        let ran = restore(machine, &["/srv/file"]).expect(2);
        ran.complains("cannot restore anything: this root starts empty at every boot");
        mounted.unmount().unwrap();
    });
}

#[test]
fn plain_directories_have_old_roots_too() {
    on_machine(|machine| {
        machine.unmount();
        let trees = machine.top().join("trees");
        let live = trees.join("live");
        fs::create_dir_all(live.join("etc")).unwrap();
        let path = trees.display();
        let text = format!("[root]\nbackend = \"directory\"\npath = \"{path}\"\nlive = \"live\"\n");
        fs::write(machine.config(), text).unwrap();
        let config = machine.config();
        let run = |args: &[&str]| {
            let args = args.iter().map(OsStr::new);
            let args: Vec<_> = args.chain(["--config".as_ref(), config.as_os_str()]).collect();
            let root = ["--root".as_ref(), live.as_os_str()];
            let root = if args[0] == "rollback" { &[][..] } else { &root[..] };
            machine.run(&[&args, root].concat())
        };
        run(&["init"]).expect(0);
        fill(&machine.top().join("seed"), &live.join("notes"));
        run(&["rollback"]).expect(0);
        let old = trees.join("old-roots").join(FIRST).join("notes");
        run(&["restore", "/notes"]).expect(0).says(&format!("of the old root {FIRST}"));
        same(&old, &live.join("notes"));
        fs::write(live.join("notes/new"), "x").unwrap();
        run(&["restore", "/notes"]).expect(1).complains("only the present one has that");
        run(&["restore", "--overwrite", "/notes"]).expect(0);
        same(&old, &live.join("notes"));
        assert_eq!(read(live.join("notes.before-restore-1/new")), "x");
        for flagged in ["locked", "grows"] {
            for dir in [&old, &live.join("notes"), &live.join("notes.before-restore-1")] {
                set_flags(&dir.join(flagged), IFlags::empty());
            }
        }
    });
}

/// What a shell offers for the last of these words.
#[expect(clippy::disallowed_methods, reason = "the command under test")]
fn offered(words: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blankroot"));
    command.env_clear().env("BLANKROOT_COMPLETE", "fish").current_dir("/");
    let ran = command.args(["--", "blankroot", "restore"]).args(words).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().lines().map(str::to_string).collect()
}

#[test]
fn a_shell_is_offered_old_roots_and_the_paths_that_they_have() {
    on_ready(|machine| {
        boots_with(machine, &["one"]);
        live_and_boot(machine, 2, |live| {
            fs::create_dir(live.join("srv/later")).unwrap();
            fs::write(live.join("srv/.hidden"), "").unwrap();
        });
        // What is offered is about the machine itself: for this one test, `/etc` has its configuration alone.
        let etc = tempfile::tempdir().unwrap();
        fs::copy(machine.config(), etc.path().join("blankroot.toml")).unwrap();
        let (bind, none) = (nix::mount::MsFlags::MS_BIND, None::<&str>);
        nix::mount::mount(Some(etc.path()), "/etc", none, bind, none).unwrap();
        let names = |words: &[&str]| -> Vec<String> {
            let words = offered(words).into_iter();
            words.map(|line| line.split('\t').next().unwrap().to_string()).collect()
        };
        assert_eq!(names(&["/srv/"]), ["/srv/file", "/srv/later/"]);
        assert_eq!(names(&["/srv/f"]), ["/srv/file"]);
        assert_eq!(names(&["/srv/."]), ["/srv/.hidden"]);
        assert_eq!(names(&["/srv/file", "--from", ""]), [SECOND, FIRST, "last"]);
        let told = offered(&["/srv/file", "--from", "000001"]);
        assert!(told[0].starts_with(&format!("{FIRST}\tset aside 20")), "{told:?}");
        nix::mount::umount("/etc").unwrap();
    });
}
