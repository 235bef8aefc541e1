//! The backend for ZFS on a real pool: this machine's kernel has none, so its tests run in guests.

use std::thread;

use vm_tests::qemu;
use vm_tests::stories::SUITE;
use vm_tests::zfs::{Guest, test_binary};

/// Runs what each of these filters chooses in a guest of its own, all at once.
fn in_guests(filters: &[&str]) {
    if let Some(why) = qemu::unavailable() {
        println!("SKIPPED: {why}");
        return;
    }
    let tests = test_binary();
    let guest = Guest::of(SUITE, &tests);
    let ran: Vec<_> = thread::scope(|scope| {
        let guests: Vec<_> =
            filters.iter().map(|filter| scope.spawn(|| guest.run(filter))).collect();
        guests.into_iter().map(|guest| guest.join().unwrap()).collect()
    });
    for said in &ran {
        println!("{said}");
    }
    for (said, filter) in ran.iter().zip(filters) {
        assert!(said.contains("status 0"), "tests of {filter} failed");
        assert!(!said.contains("running 0 tests"), "no test is called {filter}");
    }
}

mod ci {
    #[test]
    fn every_promise_holds_on_zfs() {
        super::in_guests(&["zfs::tests::blank_of_live", "zfs::tests::own"]);
    }
}

#[test]
fn every_promise_holds_on_zfs_where_blank_has_a_dataset_of_its_own() {
    in_guests(&["zfs::tests::blank_apart"]);
}
