//! One thing that a check found: what, why it matters, and what to do.
use crate::doctor::checks::Check;

/// How much a finding matters, what matters most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Data or access will be lost, or a secret is open.
    Danger,
    /// Something does not do what was declared, or may go wrong.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

impl Severity {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Danger, Self::Warning, Self::Note];

    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Danger => "danger",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// The hint where live has what blank lacks and what cannot be kept, such as an account.
pub(crate) const NEW_BLANK: &str = "make a new blank of live: look at `blankroot diff`, move the older blank away, and run `blankroot init`";

/// One finding. Each text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    pub(crate) fn new(
        check: &Check,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (what, why, hint) = (what.into(), why.into(), hint.into());
        Self { id: check.id, severity, what, why, hint }
    }
}
