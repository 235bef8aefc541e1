//! The backend for ZFS on a real pool: this machine's kernel has none, so its tests run in guests.

use std::thread;

use support::histories;
use vm_tests::console::quoted;
use vm_tests::stories::{SUITE, is_skipped};
use vm_tests::zfs::{Guest, histories as histories_program, tests_of_backends};

/// Runs what each of these filters chooses in a guest of its own, all at once.
fn in_guests(filters: &[&str]) {
    if is_skipped() {
        return;
    }
    let guest = Guest::of(SUITE, &tests_of_backends());
    let ran: Vec<_> = thread::scope(|scope| {
        let guests: Vec<_> =
            filters.iter().map(|filter| scope.spawn(|| guest.run_tests(filter, ""))).collect();
        guests.into_iter().map(|guest| guest.join().unwrap()).collect()
    });
    for said in &ran {
        print!("{}", quoted(said));
    }
    for (said, filter) in ran.iter().zip(filters) {
        assert!(said.contains("status 0"), "tests of {filter} failed");
        assert!(!said.contains("running 0 tests"), "no test is called {filter}");
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
    let said = Guest::of(SUITE, &histories_program()).run_tests("histor", &variables);
    print!("{}", quoted(&said));
    assert!(said.contains("status 0"), "{variables} failed");
    assert!(!said.contains("running 0 tests"), "no history was played");
}

mod ci {
    use super::*;

    #[test]
    fn every_promise_holds_on_zfs() {
        in_guests(&["zfs::tests::blank_of_live", "zfs::tests::own", "zfs::tests::diffing"]);
    }

    #[test]
    fn diff_is_exact_after_some_histories_on_zfs() {
        diff_is_exact_after_histories(30);
    }
}

#[test]
fn every_promise_holds_on_zfs_where_blank_has_a_dataset_of_its_own() {
    in_guests(&["zfs::tests::blank_apart"]);
}

#[test]
fn diff_is_exact_after_any_history_on_zfs() {
    diff_is_exact_after_histories(300);
}
