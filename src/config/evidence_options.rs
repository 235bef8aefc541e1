//! `[evidence]`: what old roots are asked about a change.

use crate::config::reader::{Problems, TableReader};

/// How much is made of old roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// Maximum number of old roots that a change is compared with, the youngest first; 0: none.
    pub old_roots: u32,
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        Self { old_roots: 5 }
    }
}

impl EvidenceOptions {
    pub(crate) fn read(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let default = Self::default();
        let old_roots = table.count("old_roots", problems).unwrap_or(default.old_roots);
        table.finish(problems);
        Self { old_roots }
    }
}
