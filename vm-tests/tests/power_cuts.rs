//! The power may go at any moment of a rollback at boot, of `init`, `keep` and `expire`: nothing is lost,
//! and the next run converges.
//!
//! `BLANKROOT_CUTS` (1000) prefixes that do not end at a flush are replayed of each, and as many with
//! losses. Where one fails, the recording is saved, and `BLANKROOT_RECORDING=DIR BLANKROOT_CUT=CUT` looks
//! at that cut alone.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use support::histories::seed;
use vm_tests::cache;
use vm_tests::power_cuts::cuts::{Chosen, choose};
use vm_tests::power_cuts::record::{Recording, record};
use vm_tests::power_cuts::replay::{describe, replay};
use vm_tests::power_cuts::scenarios::ALL;
use vm_tests::stories::{self, SUITE};

type Recorded = Result<Recording, String>;

/// The recordings of all scenarios: one guest makes them.
fn recordings(command: &std::path::Path) -> &'static [Recorded] {
    static MADE: OnceLock<Vec<Recorded>> = OnceLock::new();
    MADE.get_or_init(|| record(&ALL, SUITE, command))
}

fn cut_the_power_of(name: &str) {
    let Some(command) = stories::command() else { return };
    let at = ALL.iter().position(|scenario| scenario.name() == name).unwrap();
    let saved = env::var_os("BLANKROOT_RECORDING").map(|dir| Recording::load(&PathBuf::from(dir)));
    let recording = match &saved {
        Some(recording) => recording,
        None => recordings(&command)[at].as_ref().unwrap_or_else(|why| panic!("{why}")),
    };
    let most = env::var("BLANKROOT_CUTS").map_or(1000, |text| text.parse().unwrap());
    let seed = seed();
    let report = replay(ALL[at], recording, &command, |log| match env::var("BLANKROOT_CUT") {
        Ok(cut) => {
            let one = vec![cut.parse().expect("BLANKROOT_CUT is a cut")];
            Chosen { flushes: one, others: Vec::new(), losses: Vec::new() }
        }
        Err(_) => choose(log, most, seed),
    });
    println!("{report}; BLANKROOT_SEED={seed}");
    if report.failed.is_empty() {
        return;
    }
    let dir = cache::directory().join("failed").join(name);
    if saved.is_none() {
        recording.save(&dir);
    }
    for (cut, why) in &report.failed {
        let log = recording.parse();
        println!("cut {cut}, {}: {why}", describe(&log, cut.prefix));
    }
    let cut = report.failed[0].0;
    panic!("look at it again: BLANKROOT_RECORDING={} BLANKROOT_CUT={cut}", dir.display());
}

mod ci {
    use super::cut_the_power_of;

    #[test]
    fn the_power_may_go_in_a_rollback_at_boot() {
        cut_the_power_of("rollback");
    }

    #[test]
    fn the_power_may_go_in_a_rollback_that_moves_the_default_subvolume() {
        cut_the_power_of("rollback-of-default");
    }

    #[test]
    fn the_power_may_go_while_blank_is_made_of_live() {
        cut_the_power_of("init");
    }

    #[test]
    fn the_power_may_go_while_an_empty_blank_is_made() {
        cut_the_power_of("init-empty");
    }

    #[test]
    fn the_power_may_go_while_a_directory_moves_to_storage() {
        cut_the_power_of("keep");
    }

    #[test]
    fn the_power_may_go_while_old_roots_expire() {
        cut_the_power_of("expire");
    }
}
