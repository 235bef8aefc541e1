//! The power may go at any moment of a rollback at boot, of `init`, `keep` and `expire`: nothing is lost,
//! and the next run converges.
//!
//! Every cut at a flush is replayed, and `BLANKROOT_CUTS` (1000) at random of those that are not at a flush
//! and of those with losses. `BLANKROOT_SEED` chooses the same again. Where one fails, the recording is
//! saved, and `BLANKROOT_RECORDING=DIR BLANKROOT_CUT=CUT` looks at that cut alone.

use std::env;
use std::path::Path;
use std::sync::OnceLock;

use support::histories::seed;
use vm_tests::power_cuts::cuts::Chosen;
use vm_tests::power_cuts::record::Recording;
use vm_tests::power_cuts::replay::{Report, replay};
use vm_tests::power_cuts::scenario::Scenario;
use vm_tests::power_cuts::scenarios::{Expire, Init, Keep, Rollback};
use vm_tests::power_cuts::together::{Results, place, run};
use vm_tests::stories::{self, SUITE};

type Promise = (&'static str, &'static dyn Scenario);

/// The tests and what they are about.
const PROMISES: [Promise; 6] = [
    ("the_power_may_go_in_a_rollback_at_boot", &Rollback { live_is_default: false }),
    ("the_power_may_go_in_a_rollback_of_the_default", &Rollback { live_is_default: true }),
    ("the_power_may_go_while_blank_is_made_of_live", &Init { empty: false }),
    ("the_power_may_go_while_an_empty_blank_is_made", &Init { empty: true }),
    ("the_power_may_go_while_a_directory_moves_to_storage", &Keep),
    ("the_power_may_go_while_old_roots_expire", &Expire),
];

/// One guest records what all tests of this run are about.
fn results(command: &Path) -> &'static Results {
    static RESULTS: OnceLock<Results> = OnceLock::new();
    RESULTS.get_or_init(|| {
        let words: Vec<String> =
            env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let asked = |name: &str| {
            let name = format!("together::ci::{name}");
            words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
        };
        let asked = PROMISES.iter().filter(|(name, _)| asked(name)).map(|(_, scenario)| *scenario);
        let most = env::var("BLANKROOT_CUTS").map_or(1000, |text| text.parse().unwrap());
        let seed = seed();
        println!(
            "power cuts: choose the same again with BLANKROOT_SEED={seed} BLANKROOT_CUTS={most}"
        );
        run(&asked.collect::<Vec<_>>(), SUITE, command, most, seed)
    })
}

/// Looks at one cut of a recording that was saved.
fn one_cut(scenario: &dyn Scenario, command: &Path, dir: &Path) -> Report {
    let cut = env::var("BLANKROOT_CUT").expect("BLANKROOT_CUT says where the power goes");
    let flushes = vec![cut.parse().expect("BLANKROOT_CUT is a cut, as the report names it")];
    let chosen = Chosen { flushes, others: Vec::new(), losses: Vec::new() };
    replay(scenario, &Recording::load(dir), command, |_| chosen)
}

fn cut_the_power(promise: &str) {
    let Some(command) = stories::command() else { return };
    let (_, scenario) = PROMISES.iter().find(|(name, _)| *name == promise).unwrap();
    let one;
    let report = match env::var_os("BLANKROOT_RECORDING") {
        Some(dir) => {
            one = one_cut(*scenario, &command, Path::new(&dir));
            &one
        }
        None => results(&command)[scenario.name()].as_ref().unwrap_or_else(|why| panic!("{why}")),
    };
    println!("{report}");
    for (cut, why) in &report.failed {
        println!("after cut {cut}: {why}");
    }
    if let Some((cut, _)) = report.failed.first() {
        let dir = place(scenario.name());
        panic!("look at it again: BLANKROOT_RECORDING={} BLANKROOT_CUT={cut}", dir.display());
    }
}

/// Generates the tests, in a module, so that one process runs them: they share what one guest recorded.
macro_rules! promises {
    ($($name:ident)*) => {
        mod together {
            mod ci {
                $(#[test] fn $name() { crate::cut_the_power(stringify!($name)); })*
            }
        }
    };
}

promises! {
    the_power_may_go_in_a_rollback_at_boot
    the_power_may_go_in_a_rollback_of_the_default
    the_power_may_go_while_blank_is_made_of_live
    the_power_may_go_while_an_empty_blank_is_made
    the_power_may_go_while_a_directory_moves_to_storage
    the_power_may_go_while_old_roots_expire
}
