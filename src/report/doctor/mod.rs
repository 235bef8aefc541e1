//! `doctor`: findings with their mends, for people ([`human`]) and programs ([`json`]).

pub mod human;
pub mod json;

#[cfg(test)]
mod tests;

use crate::doctor::facts::Unchecked;
use crate::doctor::{Finding, Severity};

/// Everything that `doctor` shows.
#[derive(Clone, Copy, Debug)]
pub struct DoctorReport<'a> {
    /// What was found, what matters most first.
    pub findings: &'a [Finding],
    /// What could not be looked at.
    pub unchecked: &'a [Unchecked],
}

impl DoctorReport<'_> {
    /// How many findings of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// 0: nothing worse than a note; 1: something is; 2: not everything could be checked.
    pub fn exit_code(&self) -> u8 {
        match (self.unchecked.is_empty(), self.findings.len() - self.count(Severity::Note)) {
            (false, _) => 2,
            (true, 0) => 0,
            (true, _) => 1,
        }
    }
}
