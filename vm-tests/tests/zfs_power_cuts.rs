//! The power may go at any moment of a rollback on ZFS, and of one that goes on with such a rollback:
//! nothing is lost, and the next run converges.
//!
//! Every cut at a flush is replayed; in CI, every one after which ZFS finds another state. One takes some
//! seconds in a guest, so that of the others, and of those with losses, there is only one for fifty of
//! `BLANKROOT_CUTS` (1000) each. `BLANKROOT_SEED` chooses the same again. Where one fails, the log is saved, and
//! `BLANKROOT_RECORDING=LOG BLANKROOT_CUT=CUT` looks at that cut alone.

use std::env;
use std::path::Path;
use std::time::Instant;

use support::histories::seed;
use vm_tests::power_cuts::zfs::scenario::Scenario;
use vm_tests::power_cuts::zfs::together::{guest, look_again, place, run};
use vm_tests::power_cuts::zfs::{Choice, Which};
use vm_tests::stories::{SUITE, is_skipped};

/// Runs in the guests.
const ZFS_CUTS: &str = env!("CARGO_BIN_EXE_zfs-cuts");
/// What one cut takes here, in cuts on Btrfs.
const DEAR: usize = 50;

fn cut_the_power(which: Which) {
    if is_skipped() {
        return;
    }
    let guest = guest(SUITE, Path::new(ZFS_CUTS));
    let started = Instant::now();
    let reports = match env::var_os("BLANKROOT_RECORDING") {
        Some(log) => {
            let cut = env::var("BLANKROOT_CUT").expect("BLANKROOT_CUT says where the power goes");
            vec![look_again(Path::new(&log), &guest, cut.parse().unwrap())]
        }
        None => {
            let cuts: usize = env::var("BLANKROOT_CUTS").map_or(1000, |text| text.parse().unwrap());
            let seed = seed();
            println!("power cuts: the same again: BLANKROOT_SEED={seed} BLANKROOT_CUTS={cuts}");
            let choice = Choice { which, most: cuts / DEAR, seed, part: 0, parts: 1 };
            run(&Scenario::ALL, &guest, choice)
        }
    };
    println!("power cuts: all guests took {} s", started.elapsed().as_secs());
    for (scenario, report) in &reports {
        println!("power cuts: zfs: {}: {report}", scenario.name());
        report.failed.iter().for_each(|why| println!("after cut {why}"));
        assert!(report.replayed > 0, "nothing was replayed");
    }
    if let Some((scenario, _)) = reports.iter().find(|(_, report)| !report.failed.is_empty()) {
        let log = place().join(format!("{}.log", scenario.name()));
        panic!("look at one again: BLANKROOT_RECORDING={} BLANKROOT_CUT=CUT", log.display());
    }
}

mod ci {
    use super::*;

    #[test]
    fn the_power_may_go_where_zfs_finds_another_state() {
        cut_the_power(Which::Found);
    }
}

#[test]
fn the_power_may_go_at_every_flush_of_a_rollback_on_zfs() {
    cut_the_power(Which::Every);
}
