//! Swap files that lie in the root, of which blank and each fresh copy of it share the blocks.

use super::checks;
use super::facts::Facts;
use super::finding::{Finding, Severity};
use crate::swap_files::{SwapFile, mend};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let there = facts.swap_files.iter().filter(|swap| swap.is_there);
    there.map(|swap| finding(swap, &facts.place_for_swap)).collect()
}

fn finding(swap: &SwapFile, place: &str) -> Finding {
    let and = if swap.in_use { ", and is in use" } else { "" };
    Finding::new(
        &checks::SWAP_FILE,
        Severity::Warning,
        format!("the swap file {} lies in the root{and}", swap.path),
        "no blank can be made of the root while the kernel swaps to it; and as soon as blank has it, too, its \
         blocks are shared, and the kernel does not take it any more",
        mend(swap, place),
    )
}
