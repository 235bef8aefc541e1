//! The backend for ZFS on a real pool: this machine's kernel has none, so its tests run in guests.

use std::path::Path;

use support::histories;
use vm_tests::console::quoted;
use vm_tests::stories::{SUITE, is_skipped};
use vm_tests::zfs::{Guest, command, histories as histories_program, tests_of_backends};

/// Three boots that make one file again, change another and lose a third; then what is told of them, and what comes
/// back.
const BOOTS: &str = r#"
mkdir -p /live /host/run /host/dev /host/etc /host/sys/class/block /host/proc/sys/kernel/random
echo quiet noresume >/host/proc/cmdline
zfs create -o mountpoint=legacy -o xattr=sa -o acltype=posix tests/root
mount -t zfs tests/root /live
mkdir -p /live/etc /live/var/lib /live/home
printf '[root]\nbackend = "zfs"\ndataset = "tests"\nlive = "root"\nblank = "root@blank"\nold = "old"\n' \
    >/host/etc/blankroot.toml
cp /host/etc/blankroot.toml /live/etc/blankroot.toml
run() {
    command=$1; shift
    echo "running $command $*"
    blankroot $command --config /host/etc/blankroot.toml "$@" || echo "failed: $command $*"
}
live() {
    echo same >/live/var/lib/made
    echo "seed $1" >/live/var/lib/seed
}
run init --root /live
for boot in 1 2 3; do
    printf '%08x-7a01-4b6e-9d0a-000000000000\n' $boot >/host/proc/sys/kernel/random/boot_id
    live $boot
    mkdir -p /live/home/lost
    echo "version $boot" >/live/home/lost/thesis
    ln /live/home/lost/thesis /live/home/lost/again
    chmod 640 /live/home/lost/thesis
    umount /live
    run rollback --host /host
    run expire --host /host
    mount -t zfs tests/root /live
done
live 4
echo new >/live/home/new
run diff --flat --all --root /live
run explain --root /live /var/lib/made
run history --root /live /home/lost/thesis
run restore --root /live /home/lost --from 2
echo "restored: $(cat /live/home/lost/thesis), $(stat -c '%h %a' /live/home/lost/again)"
run restore --root /live /home/lost/thesis --from last
run restore --root /live /home/lost/thesis --from last --overwrite
echo "restored: $(cat /live/home/lost/thesis)"
umount /live
"#;

/// Runs what any of these filters chooses of a program's tests, in one guest.
fn in_guest(program: &Path, filters: &[&str], variables: &str) {
    let said = Guest::of(SUITE, program).run_tests(filters, variables);
    print!("{}", quoted(&said));
    assert!(said.contains("status 0"), "{variables} tests of {filters:?} failed");
    assert!(!said.contains("SKIPPED: "), "tests of {filters:?} were skipped where ZFS is");
    let tests = said.lines().filter_map(|line| line.trim_end().strip_prefix("test "));
    for filter in filters {
        let is_one =
            |test: &str| test.split(" ... ").next().is_some_and(|name| name.contains(filter));
        assert!(tests.clone().any(is_one), "no test is called {filter}");
    }
}

fn promises_hold(filters: &[&str]) {
    if !is_skipped() {
        in_guest(&tests_of_backends(), filters, "");
    }
}

/// Plays `BLANKROOT_HISTORIES` random histories, or `count`; those of `BLANKROOT_SEED`, or of a seed that
/// is printed.
fn diff_is_exact_after_histories(count: u32) {
    if is_skipped() {
        return;
    }
    let (seed, count) = (histories::seed(), histories::count(count));
    let variables = format!("BLANKROOT_SEED={seed} BLANKROOT_HISTORIES={count}");
    println!("{variables}");
    // Half of them each.
    let filters = ["with_attributes_in_inodes", "with_attributes_in_directories"];
    in_guest(&histories_program(), &filters, &variables);
}

mod ci {
    use super::*;

    // In two guests: one alone would be busy long after all others have ended.
    #[test]
    fn every_promise_holds_on_zfs() {
        promises_hold(&["zfs::tests::blank_of_live"]);
    }

    #[test]
    fn what_only_zfs_has_is_right() {
        promises_hold(&["zfs::tests::own", "zfs::tests::layouts", "zfs::tests::diffing"]);
    }

    #[test]
    fn old_roots_tell_what_comes_back_and_give_back_what_was_lost_on_zfs() {
        if is_skipped() {
            return;
        }
        let said = Guest::of(SUITE, &command("dev")).run(BOOTS);
        print!("{}", quoted(&said));
        for line in [
            "/var/lib/made",
            "regenerated",
            "the last 3 old roots",
            "restored: version 2, 2 640",
            "restored: version 3",
        ] {
            assert!(said.contains(line), "no {line:?}");
        }
    }

    #[test]
    fn diff_is_exact_after_some_histories_on_zfs() {
        diff_is_exact_after_histories(30);
    }
}

#[test]
fn every_promise_holds_on_zfs_where_blank_has_a_dataset_of_its_own() {
    promises_hold(&["zfs::tests::blank_apart"]);
}

/// A rollback that is stopped at each of its steps, by who comes next: each takes a guest some ten minutes.
mod stops_on_zfs {
    use super::promises_hold;

    #[test]
    fn are_finished() {
        promises_hold(&["stops::followed_by_finish"]);
    }

    #[test]
    fn are_followed_by_another_rollback() {
        promises_hold(&["stops::followed_by_another_rollback"]);
    }

    #[test]
    fn are_followed_by_export_and_import() {
        promises_hold(&["stops::followed_by_export_and_import"]);
    }

    #[test]
    fn are_followed_by_expiry() {
        promises_hold(&["stops::followed_by_expiry"]);
    }

    #[test]
    fn below_an_encrypted_parent_end_well() {
        promises_hold(&["stops::below_an_encrypted_parent"]);
    }
}

#[test]
fn diff_is_exact_after_any_history_on_zfs() {
    diff_is_exact_after_histories(300);
}
