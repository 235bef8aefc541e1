//! What the next boot mounts as the root, and whether blank is of the same system.

use super::checks;
use super::facts::Facts;
use super::finding::{Finding, Severity};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let danger = |check, (what, mend): &(String, String), why: &str| {
        Finding::new(check, Severity::Danger, what, why, mend)
    };
    let root = &facts.root;
    let numbers = root.numbers.iter().map(|told| {
        let why = "the number stays with the old root, so that nothing is rolled back: the rollback is \
                   refused";
        danger(&checks::ROOT_BY_NUMBER, told, why)
    });
    let other = root.other.iter().map(|told| {
        danger(&checks::OTHER_ROOT, told, "what is rolled back is not what the machine runs")
    });
    let unrelated = root.unrelated.iter().map(|told| {
        let why = "a rollback would put another system in the place of this one; it is refused";
        danger(&checks::BLANK_UNRELATED, told, why)
    });
    numbers.chain(other).chain(unrelated).collect()
}
