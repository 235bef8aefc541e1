//! What is promised about a boot, each as one short test that is named after it: in namespaces, where that shows
//! it, with Debian's own initrd, and with dracut's, which has systemd.

use std::sync::{MutexGuard, PoisonError};

use vm_tests::console::quoted;
use vm_tests::guest::{Initrd, Kind, Root};
use vm_tests::stories::{self, Lived, Place};
use vm_tests::system::System;

/// A system that was set up by the README's words, lived a little, and was booted again since. Several promises
/// look at it, since a boot of a machine takes a minute.
fn lived(place: Place) -> Option<MutexGuard<'static, Lived>> {
    // A promise that failed leaves the system to the others.
    Lived::of(place).map(|lived| lived.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Generates one test for each promise in a module, with those of the ring `ci` in a module of its name.
macro_rules! promises {
    ($module:ident: $where:expr, ci { $($in_ci:ident,)* } others { $($other:ident,)* }) => {
        mod $module {
            mod ci {
                $(#[test] fn $in_ci() { crate::$in_ci($where); })*
            }
            $(#[test] fn $other() { crate::$other($where); })*
        }
    };
}

promises! {
    namespaces: vm_tests::stories::Place::Namespaces,
    ci {
        state_vanishes,
        kept_state_survives,
        the_old_root_is_complete_and_can_be_restored_from,
        machine_id_and_journal_are_the_same_over_three_boots,
        the_stamp_the_status_and_the_journal_tell_of_the_rollback,
        subvolumes_that_systemd_makes_do_not_stop_it,
        skip_skips_once,
        a_hold_holds_for_one_boot,
        a_missing_blank_boots_the_old_root_and_says_so,
        a_full_disk_boots_the_old_root,
        old_roots_expire_after_the_boot,
        what_replaced_a_link_is_saved_at_shutdown,
    }
    others {}
}

macro_rules! on_btrfs {
    ($($module:ident: $initrd:ident)*) => {
        $(promises! {
            $module: vm_tests::guest::Kind {
                root: vm_tests::guest::Root::Btrfs,
                initrd: vm_tests::guest::Initrd::$initrd,
            },
            ci {
                state_vanishes,
                kept_state_survives,
                the_old_root_is_complete_and_can_be_restored_from,
                machine_id_and_journal_are_the_same_over_three_boots,
                the_stamp_the_status_and_the_journal_tell_of_the_rollback,
            }
            others {
                a_kept_user_can_log_in_as_the_doctor_said,
                subvolumes_that_systemd_makes_do_not_stop_it,
                skip_and_hold_are_for_one_boot_and_old_roots_expire,
                a_missing_blank_boots_the_old_root_and_says_so,
                halt_halts,
                a_waiting_resume_is_refused,
                a_clock_at_1970_loses_nothing,
                a_full_disk_boots_the_old_root,
                an_initrd_without_the_rollback_is_reported,
                a_soft_reboot_is_reported,
                an_encrypted_root_is_restored,
                a_root_on_two_devices_is_restored,
                a_device_that_never_comes_boots_the_old_root_and_says_so,
            }
        })*
    };
}
on_btrfs! {
    initramfs_tools: InitramfsTools
    dracut: Dracut
}

macro_rules! on_zfs {
    ($module:ident: $initrd:ident, ci { $($in_ci:ident,)* } others { $($other:ident,)* }) => {
        promises! {
            $module: vm_tests::guest::Kind {
                root: vm_tests::guest::Root::Zfs,
                initrd: vm_tests::guest::Initrd::$initrd,
            },
            ci { $($in_ci,)* }
            others {
                $($other,)*
                skip_and_hold_are_for_one_boot_and_old_roots_expire,
                a_missing_blank_boots_the_old_root_and_says_so,
                an_encrypted_root_is_restored,
                a_rollback_that_lost_its_power_is_completed,
            }
        }
    };
}
// CI boots a root on ZFS with one of the two: to make a pool with a system in it takes minutes for each.
on_zfs! {
    zfs_dracut: Dracut,
    ci {
        state_vanishes,
        kept_state_survives,
        the_old_root_is_complete_and_can_be_restored_from,
        the_stamp_the_status_and_the_journal_tell_of_the_rollback,
    }
    others {}
}
on_zfs! {
    zfs_initramfs_tools: InitramfsTools,
    ci {}
    others {
        state_vanishes,
        kept_state_survives,
        the_old_root_is_complete_and_can_be_restored_from,
        machine_id_and_journal_are_the_same_over_three_boots,
        the_stamp_the_status_and_the_journal_tell_of_the_rollback,
        halt_halts,
    }
}

/// Whether the boot that is running was rolled back, as `status` has it.
fn was_rolled_back(system: &mut dyn System) -> bool {
    system.holds("blankroot status --boot")
        && system.holds("grep -q rolled-back /run/blankroot/rollback.json")
}

fn state_vanishes(place: impl Into<Place>) {
    let Some(mut lived) = lived(place.into()) else { return };
    let system = lived.system();
    assert!(!system.holds("test -e /root/state"), "what was written to the root is still there");
    assert!(!system.holds("grep -q renamed /etc/hostname"));
    let changes = system.run("blankroot diff -0 /root");
    assert!(!changes.contains("/root/state"), "{changes}");
}

fn kept_state_survives(place: impl Into<Place>) {
    let Some(mut lived) = lived(place.into()) else { return };
    let system = lived.system();
    assert_eq!(system.run("cat /home/alice/note"), "feed the cat\n");
    assert_eq!(system.run("cat /var/log/mine"), "a line of a log\n");
    assert_eq!(system.run("stat -c %U:%a /home/alice"), "alice:700\n");
}

fn the_old_root_is_complete_and_can_be_restored_from(place: impl Into<Place>) {
    let Some(mut lived) = lived(place.into()) else { return };
    let system = lived.system();
    system.mount_old_roots();
    let found =
        system.run("cd /tmp/top/old-roots && cat */root/state && grep -l renamed */etc/hostname");
    assert!(found.starts_with("state of the first boot\n"), "{found}");
    let name = system.run("cd /tmp/top/old-roots && dirname $(dirname $(ls -d */root/state))");
    system.unmount_old_roots();
    system.run(&format!("blankroot keep --storage /persist --from {} /root/state", name.trim()));
    assert_eq!(system.run("cat /root/state"), "state of the first boot\n");
    system.run("blankroot unkeep --move-back /root/state && rm /root/state");
}

fn machine_id_and_journal_are_the_same_over_three_boots(place: impl Into<Place>) {
    let place = place.into();
    let Some(mut lived) = lived(place) else { return };
    // Elsewhere the README's commands ran in a boot of its own, and it lived in the next.
    if matches!(place, Place::Machine(Kind { root: Root::Zfs, .. })) {
        (0..2).for_each(|_| lived.reboot());
    }
    let ids = lived.machine_ids.clone();
    let system = lived.system();
    let now = system.run("cat /etc/machine-id");
    assert!(now.trim().len() == 32 && ids.iter().all(|id| *id == now), "{ids:?} {now}");
    assert_eq!(system.run("cat /persist/etc/machine-id"), now);
    let listed = system.run("journalctl --list-boots --no-pager -q");
    let lines = listed.lines().count();
    assert!(lines >= 3, "{lines} boots are in the journal:\n{listed}");
}

fn the_stamp_the_status_and_the_journal_tell_of_the_rollback(place: impl Into<Place>) {
    let place = place.into();
    let Some(mut lived) = lived(place) else { return };
    let system = lived.system();
    assert!(was_rolled_back(system), "{}", system.try_run("blankroot status").text);
    let stamp = system.run("cat /run/blankroot/rollback.json");
    let boot = system.run("cat /proc/sys/kernel/random/boot_id");
    assert!(stamp.contains(boot.trim()) && stamp.contains("\"old_root\": \"00000"), "{stamp}");
    no_unit_has_failed(system);
    let entry = system.run("journalctl -b -o json BLANKROOT_OUTCOME=rolled-back | tail -n 1");
    for field in ["MESSAGE_ID", "BLANKROOT_OLD_ROOT", "BLANKROOT_DURATION_USEC"] {
        assert!(entry.contains(field), "no {field} in {entry}");
    }
    if let Place::Machine(Kind { root, initrd: Initrd::Dracut }) = place {
        tell_what_the_unit_took(system);
        if root == Root::Zfs {
            nothing_of_the_initrd_ran_twice(system);
        }
    }
}

fn no_unit_has_failed(system: &mut dyn System) {
    let failed = system.run("systemctl --failed --no-legend --plain");
    let told: Vec<_> = failed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|unit| system.run(&format!("journalctl -b --no-pager -o short-monotonic -u {unit}")))
        .collect();
    assert!(failed.is_empty(), "units have failed:\n{failed}{}", told.concat());
}

/// Leaving the initrd starts once more whatever the root's mount wants by way of others, and ends it
/// in the middle: a service that had done its work has failed then.
fn nothing_of_the_initrd_ran_twice(system: &mut dyn System) {
    let unit = "zfs-env-bootfs.service";
    let begun = system.run(&format!(
        "journalctl -b -o short-monotonic -q UNIT={unit} MESSAGE_ID={UNIT_STARTING}"
    ));
    assert_eq!(begun.lines().count(), 1, "{unit} was started more than once:\n{begun}");
}

// SD_MESSAGE_UNIT_STARTING and SD_MESSAGE_UNIT_STARTED of systemd's sd-messages.h.
const UNIT_STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
const UNIT_STARTED: &str = "39f53479d3a045ac8e11786248231fbf";

/// From its start to its end, as the journal has them: the time is told, not asserted.
fn tell_what_the_unit_took(system: &mut dyn System) {
    let [begun, finished] = [UNIT_STARTING, UNIT_STARTED].map(|message| {
        let entry = system.run(&format!(
            "journalctl -b -o json MESSAGE_ID={message} UNIT=blankroot-rollback.service"
        ));
        let entry: serde_json::Value = serde_json::from_str(entry.lines().next().unwrap()).unwrap();
        let since_boot = entry["__MONOTONIC_TIMESTAMP"].as_str().unwrap().to_string();
        since_boot.parse::<u64>().unwrap()
    });
    let stamp = system.run("cat /run/blankroot/rollback.json");
    let stamp: serde_json::Value = serde_json::from_str(&stamp).unwrap();
    println!(
        "the unit of the rollback took {} ms from its start to its end, {} of them the rollback",
        (finished - begun) / 1000,
        stamp["duration_us"].as_u64().unwrap() / 1000
    );
}

fn a_kept_user_can_log_in_as_the_doctor_said(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run("useradd -m bob && echo bob:builder | chpasswd");
    let doctor = machine.try_run("blankroot doctor").text;
    assert!(doctor.contains("bob"), "the doctor did not see that bob goes: {doctor}");
    assert!(!doctor.contains("alice"), "the doctor wrongly doubts alice: {doctor}");
    machine.reboot();
    assert!(!machine.holds("id bob"));
    let qemu = machine.on();
    let time = std::time::Duration::from_secs(120);
    qemu.console.send("\n");
    qemu.wait_in_console("login:", time);
    qemu.console.send("alice\n");
    qemu.wait_in_console("assword:", time);
    qemu.console.send("wonderland\n");
    qemu.wait_in_console("alice@guest", time);
    qemu.console.send("cat note; echo $((6 * 7))\n");
    qemu.wait_in_console("42", time);
}

fn subvolumes_that_systemd_makes_do_not_stop_it(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    // Where it is not there yet, systemd makes a subvolume of it.
    system.run("rmdir /var/lib/machines && systemd-tmpfiles --create --prefix=/var/lib/machines");
    system.run("btrfs subvolume show /var/lib/machines");
    system
        .run("btrfs subvolume create /var/lib/machines/one && echo x >/var/lib/machines/one/file");
    system.reboot();
    assert!(was_rolled_back(&mut *system));
    assert!(!system.holds("test -e /var/lib/machines/one"));
    system.mount_old_roots();
    system.run("cat /tmp/top/old-roots/*/var/lib/machines/one/file");
}

/// The next boot leaves the root as it is, and the one after that does not.
fn skip_one_boot(system: &mut dyn System) {
    system.run("echo here >/root/state");
    system.shut_down();
    system.say_to_kernel("blankroot=skip");
    system.boot();
    assert_eq!(system.run("cat /root/state"), "here\n");
    system.run("blankroot status --boot && grep skipped /run/blankroot/rollback.json");
    system.reboot();
    assert!(!system.holds("test -e /root/state"));
}

fn hold_for_one_boot(system: &mut dyn System) {
    system.run("echo here >/root/state && blankroot hold");
    system.reboot();
    assert_eq!(system.run("cat /root/state"), "here\n");
    system.run("blankroot status --boot");
    system.reboot();
    assert!(!system.holds("test -e /root/state"));
    assert!(was_rolled_back(system));
}

/// The rules that keep a single old root.
fn retain_one(system: &mut dyn System) {
    system.run(
        "sed -i 's/^retention = .*/retention = { at_least = 1, days = 0 }/' /persist/etc/blankroot.toml",
    );
}

/// After two rollbacks.
fn expect_one_old_root(system: &mut dyn System) {
    system.wait_for_command(
        "systemctl show -p ActiveState --value blankroot-expire.service | grep -qE 'inactive|failed'",
    );
    assert!(!system.holds("systemctl is-failed --quiet blankroot-expire.service"));
    // It has its digest, which the unit wrote with what little it may do.
    let plan = system.run("blankroot expire --dry-run");
    assert!(!plan.contains("the digest of"), "{plan}");
    let changes = system.run("blankroot diff --format json");
    assert!(changes.contains("\"old_roots\":1,"), "{changes}");
    system.mount_old_roots();
    assert_eq!(system.run("ls -d /tmp/top/old-roots/*/ | wc -l").trim(), "1");
}

fn skip_skips_once(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    skip_one_boot(&mut *system);
}

fn a_hold_holds_for_one_boot(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    hold_for_one_boot(&mut *system);
}

/// Three promises that share the boots of a machine.
fn skip_and_hold_are_for_one_boot_and_old_roots_expire(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    retain_one(&mut *system);
    skip_one_boot(&mut *system);
    hold_for_one_boot(&mut *system);
    expect_one_old_root(&mut *system);
}

/// Nothing was rolled back: the root is the old one, and the machine says so and why.
fn expect_not_rolled_back(system: &mut dyn System, why: &str) {
    assert_eq!(system.run("cat /root/state"), "here\n");
    let told = system.try_run("blankroot status --boot");
    assert!(told.status == 1 && told.text.contains(why), "{told:?}");
    assert!(system.run("systemctl --failed").contains("blankroot-verify.service"));
}

fn expect_in_journal(system: &mut dyn System, why: &str) {
    let log = system.run("journalctl -b -u blankroot-verify.service --no-pager");
    assert!(log.contains(why), "{log}");
}

fn a_missing_blank_boots_the_old_root_and_says_so(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    system.run("echo here >/root/state");
    system.run(system.root().hide_blank());
    system.reboot();
    let told = system.root().blank_is_missing();
    assert!(system.initrd_said().contains(told));
    expect_not_rolled_back(&mut *system, told);
    expect_in_journal(&mut *system, told);
}

fn halt_halts(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run(kind.root.hide_blank());
    machine.shut_down();
    machine.say_to_kernel("blankroot=halt");
    machine.switch_on();
    let told = match kind.initrd {
        Initrd::InitramfsTools => "the boot has to stop for that",
        Initrd::Dracut => "emergency",
    };
    let time = std::time::Duration::from_secs(300);
    machine.on().wait_in_console(kind.root.blank_is_missing(), time);
    machine.on().wait_in_console(told, time);
    let shell = machine.on().shell.hear("tests-shell: ready", std::time::Duration::from_secs(60));
    assert!(shell.is_err(), "the machine booted all the same");
    // Without the word it boots the root as it is.
    machine.pull_plug();
    machine.boot();
}

fn a_waiting_resume_is_refused(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run("echo here >/root/state");
    machine.shut_down();
    // A swap area that a hibernated kernel has signed.
    let mut swap = vec![0; 4096];
    swap[4086..].copy_from_slice(b"S1SUSPEND\0");
    machine.add_disk(64 << 20, &swap);
    machine.boot();
    expect_not_rolled_back(&mut machine, "a hibernation image is waiting");
    expect_in_journal(&mut machine, "a hibernation image is waiting");
}

fn a_clock_at_1970_loses_nothing(kind: Kind) {
    let Some(mut machine) = stories::machine(kind) else { return };
    machine.setup().clock = Some("1970-01-01T00:00:10".into());
    machine.boot();
    machine.run("echo here >/root/state");
    machine.reboot();
    assert!(was_rolled_back(&mut machine));
    machine.run("blankroot expire");
    machine.mount_old_roots();
    assert_eq!(machine.run("cat /tmp/top/old-roots/*/root/state"), "here\n");
}

fn a_full_disk_boots_the_old_root(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    system.run("echo here >/root/state; sync");
    // Data first, then small files, whose content is metadata.
    system.run(
        "free=$(df -B1M --output=avail / | tail -n 1); until fallocate -l ${free}M /root/data; do free=$((free - 16)); done; sync",
    );
    system.try_run(
        "mkdir /root/many; cd /root/many; head -c 600M /dev/zero | split -b 2000 -a 5; sync",
    );
    system.reboot();
    // There is no room for the journal either.
    expect_not_rolled_back(&mut *system, "space");
}

fn an_initrd_without_the_rollback_is_reported(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run("echo here >/root/state");
    machine.shut_down();
    machine.setup().initrd = stories::plain_initrd(kind.initrd);
    machine.boot();
    expect_not_rolled_back(&mut machine, "no rollback has run in this boot");
    expect_in_journal(&mut machine, "no rollback has run in this boot");
}

fn a_soft_reboot_is_reported(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run("echo here >/root/state");
    machine.soft_reboot();
    expect_not_rolled_back(&mut machine, "soft-reboot");
}

/// Commands that fail on a root that is not encrypted.
const FROM_LUKS: &str = "findmnt -n -o SOURCE / | grep /dev/mapper/";
const HAS_ITS_KEY: &str = "zfs get -H -o value keystatus rpool/local/root | grep -x available";

fn an_encrypted_root_is_restored(kind: Kind) {
    let Some(mut machine) = stories::encrypted(kind) else { return };
    let (prompt, is_encrypted) = match (kind.root, kind.initrd) {
        (Root::Btrfs, Initrd::InitramfsTools) => ("Please unlock disk", FROM_LUKS),
        (Root::Btrfs, Initrd::Dracut) => ("passphrase", FROM_LUKS),
        (Root::Zfs, Initrd::InitramfsTools) => ("Enter passphrase for", HAS_ITS_KEY),
        (Root::Zfs, Initrd::Dracut) => ("Encrypted ZFS password for", HAS_ITS_KEY),
    };
    for boot in 0..2 {
        machine.switch_on();
        let time = std::time::Duration::from_secs(300);
        machine.on().wait_in_console(prompt, time);
        // Who asks may throw away what is typed before it has switched the echo off.
        let is_up = (0..4).any(|_| {
            machine.on().console.send("open-sesame\n");
            machine.is_up_within(std::time::Duration::from_secs(120))
        });
        assert!(is_up, "it did not take the passphrase");
        assert!(!machine.holds("test -e /root/state"));
        machine.run(is_encrypted);
        if boot == 1 {
            assert!(was_rolled_back(&mut machine));
        }
        machine.run("echo here >/root/state");
        machine.shut_down();
    }
}

/// Does by hand what a rollback had done when it lost its power between two of its renames: the record is
/// written, the copy made, and live set aside under a temporary name.
const HALF_DONE: &str = r#"
set -e
live=rpool/local/root old=rpool/local/old-roots name=000099-0badcafe
guid() { zfs get -Hp -o value guid "$1"; }
mkdir /tmp/records && mount -t zfs $old /tmp/records
cat >/tmp/records/$name.json <<END
{"version": 1, "name": "$name", "boot_id": "0badcafe-0000-4000-8000-000000000000",
 "time": "2026-01-01T00:00:00Z", "live": "$(guid $live)", "blank": "$(guid $live@blank)"}
END
zfs clone -o mountpoint=legacy -o blankroot:replaces=$(guid $live) $live@blank $old/$name
zfs rename -u $live $old/.$name.tmp-0
zpool sync
"#;

fn a_rollback_that_lost_its_power_is_completed(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    machine.run("echo here >/root/state; sync");
    machine.run(HALF_DONE);
    machine.pull_plug();
    machine.boot();
    assert!(was_rolled_back(&mut machine));
    assert!(!machine.holds("test -e /root/state"));
    machine.mount_old_roots();
    assert_eq!(machine.run("cat /tmp/top/old-roots/000099-0badcafe/root/state"), "here\n");
    machine.run("zfs list -H -o name rpool/local/root@blank");
}

fn old_roots_expire_after_the_boot(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    retain_one(&mut *system);
    for _ in 0..2 {
        system.run("echo used >/root/state");
        system.reboot();
    }
    expect_one_old_root(&mut *system);
}

/// Editors put a file of their own in the place of a link.
fn what_replaced_a_link_is_saved_at_shutdown(place: impl Into<Place>) {
    let Some(mut system) = place.into().booted() else { return };
    system.run("test -L /etc/blankroot.toml");
    system.run("sed -i '1i # edited' /etc/blankroot.toml && test ! -L /etc/blankroot.toml");
    system.reboot();
    assert!(was_rolled_back(&mut *system));
    system.run("test -L /etc/blankroot.toml && grep -qx '# edited' /persist/etc/blankroot.toml");
    no_unit_has_failed(&mut *system);
}

fn a_root_on_two_devices_is_restored(kind: Kind) {
    let Some(mut machine) = stories::machine(kind) else { return };
    machine.add_disk(1 << 30, &[]);
    machine.boot();
    machine.run("btrfs device add -K /dev/vdb / && btrfs balance start -mconvert=raid1 /");
    machine.run("echo here >/root/state");
    machine.reboot();
    assert!(was_rolled_back(&mut machine));
    assert!(!machine.holds("test -e /root/state"));
}

fn a_device_that_never_comes_boots_the_old_root_and_says_so(kind: Kind) {
    let Some(mut machine) = stories::booted(kind) else { return };
    let config = machine.run("echo here >/root/state; cat /etc/blankroot.toml");
    let line = config.lines().find(|line| line.starts_with("device = ")).unwrap();
    let wrong = config.replace(line, "device = \"/dev/disk/by-label/nowhere\"");
    machine.shut_down();
    machine.put_into_initrd("etc/blankroot.toml", wrong.as_bytes());
    machine.boot();
    expect_not_rolled_back(&mut machine, "/dev/disk/by-label/nowhere");
}

#[test]
fn a_system_of_another_age_is_restored() {
    let kind = Kind { root: Root::Btrfs, initrd: Initrd::Dracut };
    let Some(mut machine) = stories::machine_of("sid", kind) else { return };
    machine.boot();
    print!("{}", quoted(&machine.run("uname -r; systemctl --version | head -n 1")));
    machine.run("echo here >/root/state; echo feed the cat >/home/alice/note");
    machine.reboot();
    assert!(was_rolled_back(&mut machine));
    assert!(!machine.holds("test -e /root/state"));
    assert_eq!(machine.run("cat /home/alice/note"), "feed the cat\n");
    no_unit_has_failed(&mut machine);
}
