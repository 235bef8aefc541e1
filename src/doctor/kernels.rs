//! What the next boot starts, and the one after it: kernels without their modules, and an initrd of blank
//! that cannot know the configuration.

use super::checks;
use super::facts::Facts;
use super::finding::{Finding, Severity};
use crate::kernels::{BEFORE, WHY};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let kernels = &facts.kernels;
    let lost = kernels.lost().map(|kernel| {
        let (what, mend) = (kernels.told_of_lost(kernel), kernels.mend_of_lost());
        Finding::new(&checks::KERNEL_MODULES, Severity::Danger, what, WHY, mend)
    });
    let losing = kernels.losing().map(|kernel| {
        let what = kernels.told_of_losing(kernel);
        Finding::new(&checks::KERNEL_MODULES, Severity::Danger, what, WHY, BEFORE)
    });
    lost.into_iter().chain(losing).chain(older_initrd(facts)).collect()
}

fn older_initrd(facts: &Facts) -> Option<Finding> {
    let initrd = facts.blank.as_ref()?.older_initrd.as_ref()?;
    Some(Finding::new(
        &checks::BLANK_INITRD,
        Severity::Warning,
        format!("the newest initrd in blank, {initrd}, is older than the configuration in blank"),
        "an initrd has a copy of the configuration; from the boot after the next one on, this one is started, \
         and restores nothing, or by an older configuration",
        "make the initrd anew, and then a new blank that has it",
    ))
}
