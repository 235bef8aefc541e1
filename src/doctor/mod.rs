//! `doctor`: is the set-up safe? Facts are gathered at the edge ([`gather`]); the checks, one file a
//! family, are pure functions from facts to findings.

mod blank;
pub mod checks;
mod entries;
pub mod facts;
mod finding;
pub mod gather;
mod kernels;
pub mod key;
mod login;
mod memory;
mod root;
pub mod shadow;
pub mod sources;
mod storage;
mod swap;
mod targets;
#[cfg(test)]
mod tests;
mod way;

pub use facts::Facts;
pub use finding::{Finding, Severity};

/// All findings, what matters most first; those of one check stand together.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let families = [
        root::check,
        login::check,
        storage::check,
        targets::check,
        entries::check,
        memory::check,
        blank::check,
        kernels::check,
        swap::check,
    ];
    let mut findings: Vec<Finding> = families.iter().flat_map(|check| check(facts)).collect();
    let order = |finding: &Finding| checks::ALL.iter().position(|check| check.id == finding.id);
    findings.sort_by_key(|finding| (finding.severity, order(finding)));
    findings
}
