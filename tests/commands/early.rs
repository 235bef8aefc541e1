//! `apply --in-initrd`: what PID 1 reads is there before it starts, whatever the root's fstab says and
//! whether or not the root can be written; and whoever reads the messages knows what to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use support::kernel::create_subvolume;
use support::sandbox::unmount_below;

use crate::machine::{Machine, Ran, on_machine};

const ID: &str = "0123456789abcdef0123456789abcdef\n";
const OTHER: &str = "ffffffffffffffffffffffffffffffff\n";

/// A machine that is about to start, with blank's `/etc/machine-id`: rolled back, its root mounted and
/// nothing else, and the initrd's configuration with these lists of a storage `/persist`.
fn on_booting(id: &str, lists: &str, story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        for dir in ["persist", "var/log", "srv"] {
            fs::create_dir_all(live.join(dir)).unwrap();
        }
        fs::write(live.join("etc/machine-id"), id).unwrap();
        fs::write(live.join("var/log/install.log"), "installed\n").unwrap();
        let device = machine.sandbox.throwaway().device().display().to_string();
        let fstab = format!(
            "# The root is mounted by the kernel command line.\n\
             {device} /persist btrfs subvol=persist,noatime,nofail,x-systemd.device-timeout=5 0 0\n"
        );
        fs::write(live.join("etc/fstab"), fstab).unwrap();
        machine.run(&["init"]).expect(0);
        machine.copy_config();
        let storage = format!("[[storage]]\npath = \"/persist\"\n{lists}\n");
        machine.edit_config(|text| text.to_string() + &storage);
        create_subvolume(&machine.top().join("persist")).unwrap();
        machine.roll_back().expect(0);
        story(machine);
        unmount_below(&live, &[]);
    });
}

const MACHINE_ID: &str = "files = [\"/etc/machine-id\"]";

fn early(machine: &Machine<'_>) -> Ran {
    machine.run(&["apply", "--in-initrd"])
}

fn store(machine: &Machine<'_>, path: &str, text: &str) {
    let path = machine.top().join("persist").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn stored(machine: &Machine<'_>, path: &str) -> PathBuf {
    machine.top().join("persist").join(path)
}

/// What the mount table has of a place below live.
fn mounted(machine: &Machine<'_>, path: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let point = format!(" {} ", machine.live().join(path).display());
    table.lines().find(|line| line.contains(&point)).map(str::to_string)
}

fn read(machine: &Machine<'_>, path: &str) -> String {
    fs::read_to_string(machine.live().join(path)).unwrap()
}

/// As an initrd mounts it unless the kernel command line has `rw`.
fn make_read_only(dir: &Path) {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, dir, None::<&str>, flags, None::<&str>).unwrap();
}

fn edit_fstab(machine: &Machine<'_>, edit: impl Fn(&str) -> String) {
    let path = machine.live().join("etc/fstab");
    fs::write(&path, edit(&fs::read_to_string(&path).unwrap())).unwrap();
}

#[test]
fn the_storage_is_mounted_as_fstab_says_and_the_id_is_there() {
    let lists = format!("hide_mounts = true\n{MACHINE_ID}\ndirectories = [\"/srv\", \"/var/log\"]");
    on_booting(OTHER, &lists, |machine| {
        store(machine, "etc/machine-id", ID);
        store(machine, "var/log/boot.log", "1\n");
        let dry = machine.run(&["apply", "--in-initrd", "--dry-run"]).expect(0);
        dry.says(" at /persist, as line 2 of /etc/fstab").says("in place: keep /etc/machine-id");
        assert_eq!(mounted(machine, "persist"), None);

        let ran = early(machine).expect(0);
        assert_eq!(ran.err, "");
        ran.says("done: mount /dev/")
            .says("done: mount /persist/etc/machine-id at /etc/machine-id");
        let table = mounted(machine, "persist").unwrap();
        assert!(table.contains(" /persist /") && table.contains("noatime"), "{table}");
        assert_eq!(read(machine, "etc/machine-id"), ID);
        assert_eq!(read(machine, "var/log/boot.log"), "1\n");
        assert_eq!(mounted(machine, "srv"), None, "not so early");
        early(machine).expect(0).says("nothing to do");
        // In the initrd the paths are others: the system's own run tells of the mounts.
        assert!(!machine.host().join("run/mount").exists());

        // And that run finds them, and makes no second one.
        let config = machine.config().display().to_string();
        let system = ["--config", config.as_str()];
        let ran = machine.run(&[&["apply", "--no-mounts"], &system[..]].concat()).expect(0);
        assert!(!ran.out.contains("machine-id"), "{ran:?}");
        let ran = machine.run(&[&["apply"], &system[..]].concat()).expect(0);
        ran.says("at /srv");
        let told = fs::read_to_string(machine.host().join("run/mount/utab")).unwrap();
        assert!(told.contains("/etc/machine-id ROOT="), "{told}");
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let point = format!(" {} ", machine.live().join("etc/machine-id").display());
        assert_eq!(table.matches(&point).count(), 1, "{table}");
    });
}

/// As activation in an initrd makes homes and state before anything is mounted over them.
#[test]
fn what_storage_lacks_so_early_belongs_to_whom_it_belongs_in_the_root() {
    let lists = "directories = [{ path = \"/srv/app\", in_initrd = true }]";
    on_booting(ID, lists, |machine| {
        let app = machine.live().join("srv/app");
        fs::create_dir(&app).unwrap();
        chown(&app, Some(990), Some(991)).unwrap();
        fs::set_permissions(&app, fs::Permissions::from_mode(0o700)).unwrap();
        early(machine).expect(0).says("make /persist/srv/app: directory (990:991, 0700)");
        assert!(mounted(machine, "srv/app").is_some());
        let stat = app.metadata().unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (990, 991, 0o700));
    });
}

#[test]
fn a_root_that_cannot_be_written_is_covered_all_the_same_and_what_it_lacks_is_told() {
    let lists = "files = [\"/etc/machine-id\", { path = \"/etc/x\", in_initrd = true }]";
    on_booting("", lists, |machine| {
        store(machine, "etc/machine-id", ID);
        store(machine, "etc/x", "x");
        make_read_only(machine.live());
        let ran = early(machine).expect(1);
        let ran =
            ran.complains("cannot make /etc/x: ").complains("Read-only file system\n  hint: ");
        ran.complains("boot with `rw` on the kernel command line, or make the place in blank")
            .complains("not tried, because of /etc/x: mount /persist/etc/x");
        assert_eq!(read(machine, "etc/machine-id"), ID);
        fs::write(machine.live().join("persist/etc/x"), "storage can be written").unwrap();
    });
}

/// Then nothing of the file system is writable yet, and the storage lies on it, too.
#[test]
fn a_file_system_that_is_mounted_read_only_so_far_has_a_storage_that_is_not() {
    on_booting(ID, MACHINE_ID, |machine| {
        let live = machine.live().to_path_buf();
        machine.unmount();
        umount2(machine.top(), MntFlags::empty()).unwrap();
        let device = machine.sandbox.throwaway().device();
        let options = Some("subvol=root");
        mount(Some(device), &live, Some("btrfs"), MsFlags::MS_RDONLY, options).unwrap();
        early(machine).expect(0).says("copy /etc/machine-id to /persist/etc/machine-id");
        assert_eq!(read(machine, "persist/etc/machine-id"), ID);
        assert!(mounted(machine, "etc/machine-id").is_some());
        assert!(fs::write(live.join("etc/x"), "").is_err(), "the root stays as it is");
        unmount_below(&live, &[]);
        umount2(&live, MntFlags::empty()).unwrap();
    });
}

#[test]
fn the_id_that_blank_has_is_the_machines_from_then_on() {
    on_booting(ID, MACHINE_ID, |machine| {
        make_read_only(machine.live());
        early(machine).expect(0).says("copy /etc/machine-id to /persist/etc/machine-id");
        assert_eq!(fs::read_to_string(stored(machine, "etc/machine-id")).unwrap(), ID);
        assert!(mounted(machine, "etc/machine-id").is_some());
        early(machine).expect(0).says("nothing to do");
    });
    // What an earlier run left empty gives way to it.
    on_booting(ID, MACHINE_ID, |machine| {
        store(machine, "etc/machine-id", "uninitialized\n");
        early(machine).expect(0);
        assert_eq!(read(machine, "etc/machine-id"), ID);
        assert_eq!(fs::read_to_string(stored(machine, "etc/machine-id")).unwrap(), ID);
    });
}

#[test]
fn an_id_that_nobody_has_yet_is_left_to_the_system_and_kept_then() {
    for nothing in ["", "uninitialized\n"] {
        on_booting(nothing, MACHINE_ID, |machine| {
            make_read_only(machine.live());
            early(machine).expect(0).says("note: /etc/machine-id: there is none yet");
            assert!(!stored(machine, "etc").exists());
            assert_eq!(mounted(machine, "etc/machine-id"), None);

            // PID 1 cannot write it, and mounts what it made up.
            let made = machine.host().join("run/machine-id");
            fs::write(&made, ID).unwrap();
            let place = machine.live().join("etc/machine-id");
            mount(Some(&made), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            let config = machine.config().display().to_string();
            let apply = ["apply", "--config", config.as_str()];
            machine.run(&[&apply[..], &["--no-mounts"]].concat()).expect(0);
            assert_eq!(fs::read_to_string(stored(machine, "etc/machine-id")).unwrap(), ID);
            machine.run(&apply).expect(0).says("storage has what this boot made");
        });
    }
}

/// On a root that can be written PID 1 writes the id into its file.
#[test]
fn an_id_that_the_system_has_just_made_is_kept_without_being_asked() {
    on_booting("", MACHINE_ID, |machine| {
        early(machine).expect(0);
        fs::write(machine.live().join("etc/machine-id"), ID).unwrap();
        let config = machine.config().display().to_string();
        machine.run(&["apply", "--config", config.as_str()]).expect(0);
        assert_eq!(fs::read_to_string(stored(machine, "etc/machine-id")).unwrap(), ID);
        assert!(mounted(machine, "etc/machine-id").is_some());
    });
}

#[test]
fn a_storage_that_is_mounted_already_is_left_as_it_is() {
    on_booting(OTHER, MACHINE_ID, |machine| {
        store(machine, "etc/machine-id", ID);
        edit_fstab(machine, |text| text.replace("btrfs", "no-such-type"));
        let _storage = machine.mount_at("persist", &machine.live().join("persist"));
        early(machine).expect(0);
        assert_eq!(read(machine, "etc/machine-id"), ID);
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let point = format!(" {} ", machine.live().join("persist").display());
        assert_eq!(table.matches(&point).count(), 1, "{table}");
    });
}

#[test]
fn devices_are_found_by_what_udev_names_them() {
    on_booting(OTHER, MACHINE_ID, |machine| {
        store(machine, "etc/machine-id", ID);
        let (host, device) = (machine.host(), machine.sandbox.throwaway().device());
        fs::remove_file(host.join("dev")).unwrap();
        fs::create_dir_all(host.join("dev/disk/by-label")).unwrap();
        symlink(device, host.join("dev/disk/by-label/my\\x20store")).unwrap();
        let named = device.display().to_string();
        edit_fstab(machine, |text| text.replace(&named, "LABEL=my\\040store"));
        early(machine).expect(0).says("/dev/disk/by-label/my\\\\x20store at /persist");
        assert_eq!(read(machine, "etc/machine-id"), ID);
    });
}

#[test]
fn a_line_that_cannot_be_done_is_told_with_its_number_and_its_entries_are_left_alone() {
    type Edit = fn(&str) -> String;
    let wrong: [(Edit, &str); 6] = [
        (
            |text| text.replace("/dev/", "/dev/no-"),
            "there is no such device yet\n  hint: add `x-init",
        ),
        (|text| text.replace("btrfs", "no-such-type"), "see that the initrd has the kernel module"),
        (
            |text| text.replace("btrfs", "auto"),
            "cannot mount /persist (line 2 of /etc/fstab): it does",
        ),
        (|text| text.replace("nofail", "bogus-option"), "bogus-option"),
        (
            |text| text.replace("subvol=", "subvol=no-"),
            "as line 2 of /etc/fstab says: No such file",
        ),
        (|text| text.replace("nofail", "bind"), "`bind` is not for the kernel alone to do"),
    ];
    for (edit, why) in wrong {
        on_booting(OTHER, MACHINE_ID, |machine| {
            store(machine, "etc/machine-id", ID);
            edit_fstab(machine, edit);
            let ran = early(machine).expect(1).complains(why).complains("line 2");
            ran.complains("not tried, because of /persist: keep /etc/machine-id");
            assert_eq!(mounted(machine, "persist"), None, "{why}");
            assert_eq!(read(machine, "etc/machine-id"), OTHER);
        });
    }
    on_booting(OTHER, MACHINE_ID, |machine| {
        fs::remove_file(machine.live().join("etc/fstab")).unwrap();
        early(machine).expect(1).complains("the storage /persist lies on live itself");
    });
}

#[test]
fn a_link_in_the_way_leads_no_mount_elsewhere() {
    on_booting(OTHER, MACHINE_ID, |machine| {
        store(machine, "etc/machine-id", ID);
        let live = machine.live().to_path_buf();
        fs::remove_dir(live.join("persist")).unwrap();
        early(machine)
            .expect(1)
            .complains("its mount point is not there\n  hint: make the directory");
        symlink("srv", live.join("persist")).unwrap();
        let ran =
            early(machine).expect(1).complains("(line 2 of /etc/fstab): a link lies on the way");
        ran.complains("not tried, because of /persist");
        assert_eq!(mounted(machine, "srv"), None);
        assert_eq!(mounted(machine, "persist"), None);
        fs::remove_file(live.join("persist")).unwrap();
        fs::write(live.join("persist"), "").unwrap();
        early(machine).expect(1).complains("see that its mount point is a directory");
    });
}

/// The other way round its mount would be covered.
#[test]
fn a_directory_in_which_an_early_path_lies_is_mounted_first() {
    let lists = "directories = [\"/var\", { path = \"/var/log\", in_initrd = true }]";
    let lists = format!(
        "{lists}\n[[storage]]\npath = \"/persist/other\"\ndirectories = [\
                         {{ path = \"/var/log/journal\", in_initrd = true }}]"
    );
    on_booting(OTHER, &lists, |machine| {
        store(machine, "var/lib/x", "");
        store(machine, "other/var/log/journal/1", "");
        early(machine).expect(0);
        assert!(mounted(machine, "var").is_some());
        assert!(machine.live().join("var/lib/x").exists());
        assert!(machine.live().join("var/log/journal/1").exists());
        early(machine).expect(0).says("nothing to do");
    });
}

#[test]
fn the_initrds_configuration_counts_and_without_early_entries_nothing_is_mounted() {
    on_booting(OTHER, "directories = [\"/srv\"]", |machine| {
        let own = machine.live().join("etc/blankroot.toml");
        let newer = format!("[[storage]]\npath = \"/persist\"\n{MACHINE_ID}\n");
        fs::write(&own, fs::read_to_string(&own).unwrap() + &newer).unwrap();
        early(machine).expect(0).says("nothing to do: no kept path has to be there so early");
        assert_eq!(mounted(machine, "persist"), None);
        fs::remove_file(machine.config()).unwrap();
        early(machine).expect(2).complains("cannot read the configuration");
    });
}
