//! `diff --storage`: leftovers for people, for `grep`, for `xargs` and for programs.

pub mod flat;
pub mod human;
pub mod json;

use backends::FileType;
use backends::path::Escaped;

use super::paint::{ALERT, QUIET};
use crate::leftovers::{Leftover, Leftovers, Why};

/// How many there are, and their bytes.
fn total(leftovers: &Leftovers) -> (u64, u64) {
    let bytes = leftovers.found.iter().map(|one| one.weight.bytes);
    (leftovers.found.len() as u64, bytes.fold(0, u64::saturating_add))
}

/// The word for why something is a leftover, in all output.
fn word(why: &Why) -> &'static str {
    match why {
        Why::Undeclared => "undeclared",
        Why::NotEnabled { .. } => "not-enabled",
        Why::SetAside { .. } => "set-aside",
        Why::Temporary { .. } => "temporary",
    }
}

/// The character that stands for it: a question where nobody decided.
fn mark(why: &Why) -> char {
    if *why == Why::Undeclared { '?' } else { '·' }
}

fn paint(why: &Why) -> anstyle::Style {
    if *why == Why::Undeclared { ALERT } else { QUIET }
}

/// What there is to say of one beside its figures; empty for most.
fn remarks(leftover: &Leftover) -> String {
    let mut remarks = Vec::new();
    match &leftover.why {
        Why::Undeclared => {}
        Why::NotEnabled { line } => remarks.push(format!("declared but not enabled, line {line}")),
        Why::SetAside { of } => {
            remarks.push(format!("was `{}` until other data took its place", Escaped(of)));
        }
        Why::Temporary { of } => {
            remarks.push(format!("not whole: an interrupted run was writing `{}`", Escaped(of)));
        }
    }
    let weight = &leftover.weight;
    let (below, own) = match leftover.facts.file_type {
        FileType::Subvolume => (0, 1),
        _ => (weight.subvolumes, 0),
    };
    match (own, below) {
        (1, _) => remarks.push("a subvolume, not looked into".to_string()),
        (_, 0) => {}
        (_, 1) => remarks.push("has a subvolume, not looked into".to_string()),
        (_, many) => remarks.push(format!("has {many} subvolumes, not looked into")),
    }
    if weight.mounts > 0 {
        remarks.push("has something mounted in it, not looked into".to_string());
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests;
