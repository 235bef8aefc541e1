//! Roots and homes in memory: who may write at their top, and how large they may grow.

use super::checks;
use super::facts::{Facts, MemoryMount};
use super::finding::{Finding, Severity};
use crate::report::figures;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let open = facts.memory.iter().filter_map(open);
    open.chain(facts.memory.iter().filter_map(|mount| size(mount, facts.ram))).collect()
}

fn open(mount: &MemoryMount) -> Option<Finding> {
    let path = &mount.path;
    (mount.mode & 0o002 != 0).then(|| {
        Finding::new(
            &checks::MEMORY_OPEN,
            Severity::Danger,
            format!("every user may write at the top of {path} (mode {:04o})", mount.mode),
            "a tmpfs is open to everybody unless its mount options say otherwise: anybody can put \
             a directory where the system or another user expects theirs",
            format!("add `mode=0755` to its mount options, and `chmod 0755 {path}` until then"),
        )
    })
}

fn size(mount: &MemoryMount, ram: Option<u64>) -> Option<Finding> {
    let path = &mount.path;
    let (what, why) = match (mount.limit, ram) {
        (None, _) => (
            format!("{path} is in memory, and nothing was said about its size"),
            "it may fill half of the machine's memory; with several such mounts, all of it, and \
             then programs are killed"
                .to_string(),
        ),
        (Some(limit), Some(ram)) if limit > ram => (
            format!("{path} may grow to {}, in memory", figures::size(limit)),
            format!(
                "the machine has {}; when they are full, programs are killed",
                figures::size(ram)
            ),
        ),
        _ => return None,
    };
    let mend = "add `size=` to its mount options, such as `size=2G`, or `size=25%` of the memory";
    Some(Finding::new(&checks::MEMORY_SIZE, Severity::Warning, what, why, mend))
}
