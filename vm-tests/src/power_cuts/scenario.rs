//! What a scenario is: what is done in the guest, and what must be true of every disk that a power cut
//! leaves.

use std::fmt::Debug;

use super::host::Host;
use super::known::Known;

/// Something that may be interrupted by a power cut. What is wrong panics.
pub trait Scenario: Debug + Sync {
    /// One word for it.
    fn name(&self) -> &'static str;
    /// Fills an empty disk.
    fn prepare(&self, host: &Host<'_>);
    /// What the guest does: lines of a shell. The disk is `/mnt/disk`; `mark TEXT` marks a moment, and a
    /// line that fails ends it.
    fn script(&self, known: &Known) -> String;
    /// What must be true after a cut; `said` are the marks that were made before it.
    fn check(&self, host: &Host<'_>, known: &Known, said: &[String]);
    /// What is done when the power is back.
    fn again(&self, host: &Host<'_>, known: &Known);
    /// What must be true then.
    fn check_converged(&self, host: &Host<'_>, known: &Known);
    /// What must be true of the machine then, asked of the command; not after every cut.
    fn check_health(&self, _host: &Host<'_>) {}
}
