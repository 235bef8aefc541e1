//! `doctor`: what it finds on a machine whose blank, live and storage are real.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::Value;
use support::base;
use support::kernel::{create_subvolume, delete_subvolume};

use crate::machine::{Machine, Ran, on_machine};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    alice:x:1000:100:Alice:/home/alice:/bin/bash\n\
    daemon:x:1:1::/:/usr/sbin/nologin\n";
const FSTAB: &str = "LABEL=os /persist btrfs subvol=persist 0 0\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nusers:x:100:\n";
const SHADOW: &str = "root:!:20000::::::\nalice:$y$j9T$salt$hash:20000::::::\n";

fn write(dir: &Path, name: &str, content: &str, mode: u32) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A machine as it should be: accounts in blank, and a storage on a subvolume of its own.
fn set_up(machine: &mut Machine<'_>, lists: &str) {
    let live = machine.live();
    delete_subvolume(&live.join(base::NESTED)).unwrap();
    write(live, "etc/passwd", PASSWD, 0o644);
    write(live, "etc/group", GROUP, 0o644);
    write(live, "etc/shadow", SHADOW, 0o600);
    write(live, "etc/fstab", FSTAB, 0o644);
    fs::create_dir(live.join("persist")).unwrap();
    create_subvolume(&machine.top().join("persist")).unwrap();
    // The first run writes the configuration, which blank then holds with the keep list.
    machine.run(&["init"]).expect(0);
    let config = live.join("etc/blankroot.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = format!("{text}\n[[storage]]\npath = \"/persist\"\n{lists}");
    fs::write(&config, &text).unwrap();
    machine.set_read_only("root-blank", false);
    fs::write(machine.top().join("root-blank/etc/blankroot.toml"), &text).unwrap();
    machine.set_read_only("root-blank", true);
}

fn findings(ran: &Ran) -> Vec<(String, String)> {
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_string();
    let list = json["findings"].as_array().unwrap().iter();
    list.map(|finding| (text(finding, "id"), text(finding, "what"))).collect()
}

fn ids(machine: &Machine<'_>, code: i32) -> Vec<String> {
    let ran = machine.run(&["doctor", "--format", "json"]).expect(code);
    findings(&ran).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn a_machine_as_it_should_be_has_nothing_to_hint() {
    on_machine(|machine| {
        set_up(machine, "files = [{ path = \"/etc/machine-info\", how = \"symlink\" }]\n");
        let mounted = machine.mount_at("persist", &machine.live().join("persist"));
        symlink("/persist/etc/machine-info", machine.live().join("etc/machine-info")).unwrap();
        machine.run(&["doctor"]).expect(0).says("Nothing needs attention.");
        mounted.unmount().unwrap();
    });
}

#[test]
fn what_is_wrong_is_found_on_real_trees() {
    on_machine(|machine| {
        let lists = "directories = [\"/var/lib/app\", { path = \"/srv\", user = \"bob\" }]\n\
            files = [{ path = \"/etc/machine-info\", how = \"symlink\" }, \"/etc/app.key\"]\n\
            [storage.users.alice]\ndirectories = [\".ssh\"]\n";
        set_up(machine, lists);
        let storage = machine.live().join("persist");
        let mounted = machine.mount_at("persist", &storage);
        let live = machine.live().to_path_buf();
        // Her password was changed, and bob came, since blank was made.
        write(&live, "etc/shadow", &SHADOW.replace("hash", "new"), 0o600);
        write(&live, "etc/passwd", &format!("{PASSWD}bob:x:1001:100::/home/bob:/bin/sh\n"), 0o644);
        // A program replaced the link; another's data never got into storage.
        write(&live, "etc/machine-info", "newer\n", 0o644);
        write(&storage, "etc/machine-info", "older\n", 0o644);
        fs::create_dir_all(live.join("var/lib/app")).unwrap();
        write(&live, "var/lib/app/data", "x", 0o644);
        // A key that everybody can read, and files of nobody.
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n", "x".repeat(60));
        write(&storage, "etc/app.key", &key, 0o644);
        write(&live, "etc/app.key", "", 0o644);
        write(&storage, "srv/site", "x", 0o644);
        chown(storage.join("srv/site"), Some(1001), Some(100)).unwrap();
        write(&storage, "home/alice/.ssh/id_ed25519", &key, 0o600);
        let ran = machine.run(&["doctor", "--format", "json"]).expect(1);
        let found = findings(&ran);
        for (id, says) in [
            ("password-reverts", "the password of alice will be the older one again"),
            ("secret-readable", "/persist/etc/app.key (a private key)"),
            ("owner-unknown", "no user has the number 1001: 1 file, such as /persist/srv/site"),
            ("owner-drift", "/persist/home/alice/.ssh belongs to the user number 0, and alice"),
            ("unknown-account", "the user `bob`, whom"),
            ("not-in-place", "/var/lib/app is not in its place: its data is still in live"),
            ("link-replaced", "/etc/machine-info is a file of its own by now"),
        ] {
            let hit = found.iter().any(|(found, what)| found == id && what.contains(says));
            assert!(hit, "no {id} with `{says}` in {found:#?}");
        }
        let human = machine.run(&["doctor"]).expect(1);
        if let Ok(color) = std::env::var("SHOW_DOCTOR") {
            println!("{}", machine.run(&["doctor", "--color", &color]).out);
        }
        assert!(!human.out.contains('\x1b'), "{human:#?}");
        mounted.unmount().unwrap();
    });
}

#[test]
fn what_apply_put_in_its_place_has_nothing_to_hint() {
    on_machine(|machine| {
        let lists = "directories = [\"/var/lib/app\", { path = \"/srv/www\", how = \"symlink\" }]\n\
            files = [\"/etc/machine-info\", { path = \"/etc/adjtime\", create = true }]\n\
            [storage.users.alice]\ndirectories = [\".ssh\"]\nfiles = [\".netrc\"]\n";
        set_up(machine, lists);
        let storage = machine.live().join("persist");
        let mounted = machine.mount_at("persist", &storage);
        fs::create_dir_all(machine.live().join("var/lib/app")).unwrap();
        write(machine.live(), "var/lib/app/data", "x", 0o644);
        assert_eq!(ids(machine, 1), ["not-in-place"; 6]);
        // It refuses to hide data, and doctor still says why; then it moves it.
        machine.run(&["apply"]).expect(1);
        machine.run(&["doctor"]).expect(1).says("its data is still in live").says("--adopt");
        machine.run(&["apply", "--adopt"]).expect(0);
        assert_eq!(ids(machine, 0), [""; 0]);
        let at = |path: &str| machine.live().join(path);
        for path in ["var/lib/app", "etc/adjtime", "home/alice/.ssh"] {
            rustix::mount::unmount(at(path), rustix::mount::UnmountFlags::DETACH).unwrap();
        }
        assert_eq!(ids(machine, 1), ["not-in-place"; 3]);
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_key_is_open_only_if_there_is_a_way_to_it() {
    on_machine(|machine| {
        set_up(machine, "[storage.users.alice]\ndirectories = [\".ssh\"]\n");
        let storage = machine.live().join("persist");
        let mounted = machine.mount_at("persist", &storage);
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n", "x".repeat(60));
        write(&storage, "home/alice/.ssh/id_rsa", &key, 0o644);
        write(&storage, "home/alice/.ssh/id_rsa.pub", "public", 0o644);
        let home = machine.live().join("home/alice");
        fs::create_dir(&home).unwrap();
        let mode = |dir: &Path, mode| {
            fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
        };
        let open = |machine: &Machine<'_>| {
            let found = findings(&machine.run(&["doctor", "--format", "json"]).expect(1));
            let open = found.into_iter().filter(|(id, _)| id == "secret-readable");
            open.map(|(_, what)| what).collect::<Vec<_>>()
        };
        mode(&storage.join("home/alice"), 0o700);
        mode(&home, 0o700);
        assert_eq!(open(machine), [""; 0]);
        // Nobody comes to it through storage, but through live.
        mode(&home, 0o755);
        assert_eq!(
            open(machine),
            ["every user can read /persist/home/alice/.ssh/id_rsa (private keys)"]
        );
        mode(&storage.join("home/alice/.ssh"), 0o700);
        assert_eq!(open(machine), [""; 0]);
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_storage_on_the_wiped_root_is_found_wherever_it_hides() {
    on_machine(|machine| {
        set_up(machine, "");
        // A plain directory of live.
        assert_eq!(ids(machine, 1), ["storage-on-wiped-root"]);
        // A subvolume in live, which travels with it.
        fs::remove_dir(machine.live().join("persist")).unwrap();
        create_subvolume(&machine.live().join("persist")).unwrap();
        assert_eq!(ids(machine, 1), ["storage-on-wiped-root", "nested-subvolumes"]);
        // Memory.
        let memory = Path::new("none");
        let at = machine.live().join("persist");
        let mounted = machine.sandbox.namespace().mount(memory, "tmpfs", &at, b"").unwrap();
        let found = ids(machine, 1);
        assert!(found.contains(&"storage-on-wiped-root".to_string()), "{found:?}");
        mounted.unmount().unwrap();
        fs::remove_dir(&at).unwrap();
        assert_eq!(ids(machine, 1), ["storage-missing"]);
    });
}

#[test]
fn a_blank_without_passwords_locks_everybody_out_and_a_kept_shadow_lets_them_in() {
    on_machine(|machine| {
        write(machine.live(), "etc/shadow", "", 0o600);
        set_up(machine, "files = [{ path = \"/etc/shadow\", how = \"symlink\" }]\n");
        machine.set_read_only("root-blank", false);
        fs::write(machine.top().join("root-blank/etc/shadow"), "root:*:::::::\n").unwrap();
        machine.set_read_only("root-blank", true);
        let storage = machine.live().join("persist");
        let mounted = machine.mount_at("persist", &storage);
        let found = ids(machine, 1);
        assert!(found.contains(&"no-login".to_string()), "{found:?}");
        write(&storage, "etc/shadow", SHADOW, 0o600);
        fs::remove_file(machine.live().join("etc/shadow")).unwrap();
        symlink("/persist/etc/shadow", machine.live().join("etc/shadow")).unwrap();
        assert_eq!(ids(machine, 1), ["unsuitable-entry"]);
        mounted.unmount().unwrap();
    });
}

#[test]
fn what_cannot_be_checked_is_listed() {
    on_machine(|machine| {
        set_up(machine, "");
        machine.rename("root-blank", "away");
        let ran = machine.run(&["doctor"]).expect(2);
        let ran = ran.says("could not check what the next boot starts from");
        ran.says("open blank: it is missing").says("storage-on-wiped-root");
    });
}

#[test]
fn what_blank_holds_and_where_the_configuration_is_are_found() {
    on_machine(|machine| {
        set_up(machine, "directories = [\"/etc/wireguard\"]\n");
        let mounted = machine.mount_at("persist", &machine.live().join("persist"));
        let blank = machine.top().join("root-blank");
        machine.set_read_only("root-blank", false);
        write(&blank, "etc/ssh/ssh_host_ed25519_key", "secret", 0o600);
        write(&blank, "etc/ssh/ssh_host_ed25519_key.pub", "public", 0o644);
        write(&blank, "etc/wireguard/wg0.conf", "PrivateKey = x", 0o600);
        write(&blank, "root/.ssh/known_hosts", "public", 0o600);
        write(&blank, "home/user name/.ssh/id_rsa", "secret", 0o600);
        write(&blank, "etc/ssl/private/a b.key", "-----BEGIN PRIVATE KEY-----\n", 0o600);
        write(&blank, "etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444);
        write(&blank, "var/lib/systemd/random-seed", "seed", 0o600);
        fs::remove_file(blank.join("etc/blankroot.toml")).unwrap();
        fs::set_permissions(&blank, fs::Permissions::from_mode(0o777)).unwrap();
        machine.set_read_only("root-blank", true);
        let ran = machine.run(&["doctor", "--format", "json"]).expect(1);
        // Written to before it is read-only again.
        let ran = ran.says(
            "root-blank ro false`, delete it in blank, `btrfs property set -ts /mnt/root-blank ro true`",
        );
        let mut found = findings(&ran);
        found.retain(|(id, _)| id.starts_with("blank-") || id.starts_with("config-"));
        let found: Vec<String> = found.iter().map(|(id, what)| format!("{id}: {what}")).collect();
        let expected = [
            "blank-owner: the top directory of blank belongs to 0:0 and has the mode 0777",
            "config-lost: ",
            "blank-secret: blank holds /etc/ssh/ssh_host_ed25519_key (a private host key), \
             /home/user name/.ssh (private keys), /etc/ssl/private (private keys); and an older \
             copy of /etc/wireguard (private keys of networks), which is kept",
            "blank-random-seed: blank holds a random seed, /var/lib/systemd/random-seed",
            "blank-machine-id: blank holds /etc/machine-id",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "no `{expected}` but {found:#?}");
        }
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_home_in_memory_and_a_way_behind_a_link_are_found() {
    on_machine(|machine| {
        set_up(machine, "directories = [\"/var/lib/app\", \"/srv/www\"]\n");
        let storage = machine.mount_at("persist", &machine.live().join("persist"));
        let (home, srv) = (machine.live().join("home"), machine.live().join("srv"));
        symlink("/persist/srv", srv).unwrap();
        let none = Path::new("none");
        let namespace = machine.sandbox.namespace();
        let memory = namespace.mount(none, "tmpfs", &home, b"").unwrap();
        let ids = ids(machine, 1);
        assert_eq!(ids, ["not-in-place", "behind-a-link", "tmpfs-open", "tmpfs-size"]);
        memory.unmount().unwrap();
        let memory = namespace.mount(none, "tmpfs", &home, b"size=1m,mode=755").unwrap();
        let ran = machine.run(&["doctor", "--format", "json"]).expect(1);
        assert!(!ran.out.contains("tmpfs-"), "{ran:#?}");
        memory.unmount().unwrap();
        // What fstab will mount counts, too.
        let fstab = "tmpfs /home tmpfs size=25% 0 0\ntmpfs /tmp tmpfs defaults 0 0\n";
        write(machine.live(), "etc/fstab", fstab, 0o644);
        let ran = machine.run(&["doctor", "--format", "json"]).expect(1);
        let found = findings(&ran).into_iter().filter(|(id, _)| id.starts_with("tmpfs-"));
        let found: Vec<String> = found.map(|(_, what)| what).collect();
        assert_eq!(found, ["every user may write at the top of /home (mode 1777)"]);
        storage.unmount().unwrap();
    });
}

#[test]
fn an_ssh_key_in_storage_lets_root_in() {
    on_machine(|machine| {
        write(machine.live(), "etc/ssh/sshd_config", "", 0o644);
        set_up(machine, "directories = [{ path = \"/root/.ssh\", how = \"symlink\" }]\n");
        machine.set_read_only("root-blank", false);
        fs::write(machine.top().join("root-blank/etc/shadow"), "").unwrap();
        machine.set_read_only("root-blank", true);
        let storage = machine.live().join("persist");
        let mounted = machine.mount_at("persist", &storage);
        write(&storage, "root/.ssh/authorized_keys", "# none yet\n", 0o600);
        fs::create_dir(machine.live().join("root")).unwrap();
        symlink("/persist/root/.ssh", machine.live().join("root/.ssh")).unwrap();
        assert_eq!(ids(machine, 1), ["no-login"]);
        write(&storage, "root/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n", 0o600);
        assert_eq!(ids(machine, 1), ["login-lost", "login-by-key-alone"]);
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_storage_that_the_next_boot_does_not_mount_is_told() {
    on_machine(|machine| {
        set_up(machine, "");
        let live = machine.live().to_path_buf();
        let mounted = machine.mount_at("persist", &live.join("persist"));
        let blank = machine.top().join("root-blank");
        machine.set_read_only("root-blank", false);
        assert_eq!(ids(machine, 0), [""; 0]);
        fs::write(blank.join("etc/fstab"), "# nothing\n").unwrap();
        machine.run(&["doctor"]).expect(1).says("and blank's does not: make a new blank of live");
        fs::write(live.join("etc/fstab"), "").unwrap();
        let ran = machine.run(&["doctor"]).expect(1);
        ran.says("nothing mounts the storage /persist at the next boot [storage-by-hand]")
            .says("/persist btrfs subvol=/persist 0 0`");
        write(&blank, "etc/systemd/system/persist.mount", "[Mount]\n", 0o644);
        assert_eq!(ids(machine, 0), [""; 0]);
        for file in ["etc/systemd/system/persist.mount", "etc/fstab"] {
            fs::remove_file(blank.join(file)).unwrap();
        }
        fs::write(live.join("etc/fstab"), FSTAB).unwrap();
        assert_eq!(ids(machine, 1), ["storage-by-hand"]);
        // NixOS makes an fstab at each boot: it will be the one that is there now.
        fs::write(live.join("etc/NIXOS"), "").unwrap();
        assert_eq!(ids(machine, 1), ["nixos-ids-not-kept"]);
        fs::write(live.join("etc/fstab"), "").unwrap();
        machine.run(&["doctor"]).expect(1).says("hint: declare it in `fileSystems.\"/persist\"`");
        fs::remove_file(live.join("etc/NIXOS")).unwrap();
        fs::write(live.join("etc/fstab"), FSTAB).unwrap();
        machine.set_read_only("root-blank", true);
        // Where a new blank is to be made, it is told before.
        machine.rename("root-blank", "root-older");
        let ran = machine.run(&["init", "--dry-run"]).expect(0);
        assert!(!ran.out.contains("nothing mounts"), "{ran:?}");
        fs::write(live.join("etc/fstab"), "").unwrap();
        let ran = machine.run(&["init", "--dry-run"]).expect(0);
        ran.says(
            "warning: nothing mounts /persist at boot, so that the storage /persist is not there",
        );
        mounted.unmount().unwrap();
    });
}

#[test]
fn a_storage_inside_a_plain_directory_that_is_live_is_found() {
    on_machine(|machine| {
        machine.unmount();
        let trees = machine.top().join("trees");
        let live = trees.join("live");
        fs::create_dir_all(live.join("persist")).unwrap();
        let text = format!(
            "[root]\nbackend = \"directory\"\npath = \"{}\"\nlive = \"live\"\n",
            trees.display()
        );
        write(&live, "etc/passwd", PASSWD, 0o644);
        write(&live, "etc/shadow", SHADOW, 0o600);
        write(&live, "etc/group", GROUP, 0o644);
        write(&live, "etc/blankroot.toml", &text, 0o644);
        write(&live, "etc/fstab", FSTAB, 0o644);
        let init = ["init".as_ref(), "--root".as_ref(), live.as_os_str()];
        machine.run(&init).expect(0);
        // Since then: `init` itself refuses such a storage.
        let text = format!("{text}[[storage]]\npath = \"/persist\"\n");
        for tree in [&live, &trees.join("root-blank")] {
            write(tree, "etc/blankroot.toml", &text, 0o644);
        }
        machine.run(&init).expect(2).complains("the storage /persist lies on live itself");
        let live = live.to_str().unwrap();
        let doctor = || machine.run(&["doctor", "--root", live, "--format", "json"]);
        let found = findings(&doctor().expect(1));
        assert_eq!(
            found.iter().map(|(id, _)| &id[..]).collect::<Vec<_>>(),
            ["storage-on-wiped-root"]
        );
        let at = trees.join("live/persist");
        let mounted = machine.mount_at("root", &at);
        assert_eq!(findings(&doctor().expect(0)), []);
        mounted.unmount().unwrap();
    });
}

/// What Debian installs of a kernel: its file, and modules.
fn install_kernel(root: &Path, release: &str) {
    write(root, &format!("boot/vmlinuz-{release}"), "not one of x86", 0o644);
    write(root, &format!("usr/lib/modules/{release}/modules.dep"), "", 0o644);
}

fn told(machine: &Machine<'_>, id: &str) -> Vec<String> {
    let ran = machine.run(&["doctor", "--format", "json"]);
    assert!(ran.code < 2, "{ran:#?}");
    let found = findings(&ran).into_iter().filter(|(found, _)| found == id);
    found.map(|(_, what)| what).collect()
}

#[test]
fn a_kernel_that_will_be_booted_without_its_modules_is_told_before_and_after() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        install_kernel(&live, "6.12.1");
        set_up(machine, "");
        let kernels = |machine: &Machine<'_>| told(machine, "kernel-without-modules");
        assert_eq!(kernels(machine), [""; 0]);
        // An upgrade in live, and the older one purged but for what nobody owns.
        install_kernel(&live, "6.13.0");
        fs::remove_file(live.join("usr/lib/modules/6.12.1/modules.dep")).unwrap();
        let before = "after the next boot there are no modules for the kernel /boot/vmlinuz-6.13.0, \
                      6.13.0: blank has those of 6.12.1";
        assert_eq!(kernels(machine), [before]);
        machine.run(&["status"]).expect(1).says(before).says("make a new blank that has them");
        // The running kernel is another's here: this root is no machine's.
        write(machine.host(), "proc/sys/kernel/osrelease", "9.9.9\n", 0o444);
        write(machine.host(), "proc/modules", "btrfs 1 0 - Live 0x0\n", 0o444);
        assert_eq!(kernels(machine).len(), 1);
        // A rollback brings blank's modules back, and leaves a /boot beside the root as it is.
        machine.copy_config();
        machine.unmount();
        machine.roll_back().expect(0);
        let boot =
            machine.sandbox.namespace().mount(Path::new("none"), "tmpfs", &live.join("boot"), b"");
        let boot = boot.unwrap();
        write(&live, "boot/vmlinuz-6.13.0", "not one of x86", 0o644);
        // One that nobody has modules for may need none.
        assert_eq!(kernels(machine), [""; 0]);
        boot.unmount().unwrap();
        // But this one runs, here, and has loaded some: now the root is this machine's own.
        let texts =
            ["proc/sys/kernel/random/boot_id", "proc/cmdline", "run/blankroot/rollback.json"];
        let texts =
            texts.map(|file| (file, fs::read_to_string(machine.host().join(file)).unwrap()));
        let here = machine.mount_at("root", machine.host());
        for (file, text) in &texts {
            write(machine.host(), file, text, 0o444);
        }
        write(machine.host(), "proc/sys/kernel/osrelease", "6.13.0\n", 0o444);
        write(machine.host(), "proc/modules", "btrfs 1 0 - Live 0x0\n", 0o444);
        fs::create_dir_all(machine.host().join("sys/class/block")).unwrap();
        let after = "there are no modules for the running kernel, 6.13.0, in this root: blank has \
                     those of 6.12.1";
        let at = machine.host().to_str().unwrap();
        machine.run(&["doctor", "--root", at]).expect(1).says(after);
        let ran = machine.run(&["status", "--root", at]).expect(1).says(after);
        ran.says("choose 6.12.1 in the boot loader");
        // In a container another system's kernel runs.
        write(machine.host(), "run/systemd/container", "lxc", 0o444);
        let ran = machine.run(&["doctor", "--root", at]);
        assert!(!ran.out.contains("kernel-without-modules"), "{ran:#?}");
        here.unmount().unwrap();
    });
}

#[test]
fn of_a_boot_partition_that_is_not_mounted_and_of_nixos_nothing_is_told_about_kernels() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        install_kernel(&live, "6.12.1");
        set_up(machine, "");
        install_kernel(&live, "6.13.0");
        let kernels = |machine: &Machine<'_>| told(machine, "kernel-without-modules");
        assert_eq!(kernels(machine).len(), 1);
        write(&live, "etc/fstab", "LABEL=boot /boot/ ext4 noauto 0 2\n", 0o644);
        assert_eq!(kernels(machine), [""; 0]);
        write(&live, "etc/fstab", "", 0o644);
        write(&live, "etc/NIXOS", "", 0o644);
        assert_eq!(kernels(machine), [""; 0]);
        fs::remove_file(live.join("etc/NIXOS")).unwrap();
        // Modules that are kept beside the root are there after every boot.
        assert_eq!(kernels(machine).len(), 1);
        let modules = machine.mount_at("persist", &live.join("usr/lib/modules"));
        write(&live, "usr/lib/modules/6.13.0/modules.dep", "", 0o644);
        assert_eq!(kernels(machine), [""; 0]);
        modules.unmount().unwrap();
    });
}

#[test]
fn an_initrd_in_blank_that_is_older_than_its_configuration_is_told() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        write(&live, "boot/initrd.img-6.12.1", "packed", 0o644);
        set_up(machine, "");
        let initrds = |machine: &Machine<'_>| told(machine, "blank-initrd-older");
        let made = |time: std::time::SystemTime| {
            machine.set_read_only("root-blank", false);
            let initrd = machine.top().join("root-blank/boot/initrd.img-6.12.1");
            fs::File::options().write(true).open(initrd).unwrap().set_modified(time).unwrap();
            machine.set_read_only("root-blank", true);
        };
        let configured = machine.top().join("root-blank/etc/blankroot.toml");
        let configured = fs::metadata(configured).unwrap().modified().unwrap();
        let minute = std::time::Duration::from_secs(60);
        made(configured - minute);
        let [only] = &initrds(machine)[..] else { panic!("{:#?}", initrds(machine)) };
        assert!(
            only.contains("/boot/initrd.img-6.12.1, is older than the configuration"),
            "{only}"
        );
        // What is mounted there instead is what is started.
        let boot =
            machine.sandbox.namespace().mount(Path::new("none"), "tmpfs", &live.join("boot"), b"");
        assert_eq!(initrds(machine), [""; 0]);
        boot.unwrap().unmount().unwrap();
        made(configured + minute);
        assert_eq!(initrds(machine), [""; 0]);
    });
}

/// No file is swapped to: that would be the machine's own swap. Its table of them is one of ours.
#[test]
fn a_swap_file_in_the_root_is_refused_or_told_with_the_way_out() {
    on_machine(|machine| {
        let live = machine.live().to_path_buf();
        write(&live, "var/swap/file", "SWAPSPACE2", 0o600);
        write(&live, "etc/fstab", "/var/swap/file none swap sw 0 0\n", 0o644);
        let swaps = format!("Filename Type Size\n{}/var/swap/file file 8 0 -2\n", live.display());
        write(machine.host(), "proc/swaps", &swaps, 0o444);
        // In use, it is told before anything is made.
        for run in [&["init", "--dry-run"][..], &["init"]] {
            let ran = machine
                .run(run)
                .expect(2)
                .complains("the swap file /var/swap/file lies in the root");
            ran.complains("`swapoff /var/swap/file`, delete it, and make").complains("mkswapfile");
        }
        assert!(!live.join("etc/blankroot.toml").exists());
        assert_eq!(machine.trees(), ["root"]);
        // Else it is told, and blank is made.
        write(machine.host(), "proc/swaps", "Filename Type Size\n", 0o444);
        let told = "warning: the swap file /var/swap/file lies in the root, and blank will share its blocks";
        machine.run(&["init", "--dry-run"]).expect(0).says(told);
        // A unit names one as well as fstab does.
        write(&live, "etc/fstab", "", 0o644);
        assert!(!machine.run(&["init", "--dry-run"]).expect(0).out.contains("swap file"));
        let unit = "[Swap]\nWhat=/var/swap/file\n";
        write(&live, "etc/systemd/system/var-swap-file.swap", unit, 0o644);
        machine.run(&["init", "--dry-run"]).expect(0).says(told);
        fs::create_dir(live.join("persist")).unwrap();
        create_subvolume(&machine.top().join("persist")).unwrap();
        let storage = machine.mount_at("persist", &live.join("persist"));
        let ran = machine.run(&["init", "--storage", "/persist", "--keep", "/var"]).expect(2);
        ran.complains("cannot keep /var: /var/swap/file, which lies in it, is a swap file");
        assert_eq!(machine.trees(), ["persist", "root"]);
        machine.run(&["init", "--storage", "/persist"]).expect(0).says(told);
        for path in ["/var/swap/file", "/var/swap", "/var/"] {
            machine
                .run(&["keep", path])
                .expect(1)
                .complains("is a swap file, and the kernel does not take");
        }
        assert!(!live.join("persist/var").exists());
        machine
            .run(&["doctor"])
            .expect(1)
            .says("the swap file /var/swap/file lies in the root [swap-file");
        // In a subvolume of its own it is nobody's business.
        fs::remove_file(live.join("var/swap/file")).unwrap();
        create_subvolume(&machine.top().join("swap")).unwrap();
        let swap = machine.mount_at("swap", &live.join("var/swap"));
        write(&live, "var/swap/file", "SWAPSPACE2", 0o600);
        write(machine.host(), "proc/swaps", &swaps, 0o444);
        assert_eq!(self::told(machine, "swap-file-in-root"), [""; 0]);
        swap.unmount().unwrap();
        storage.unmount().unwrap();
    });
}
