//! One thing that a check found: what, why it matters, and what to do.

use crate::doctor::checks::Check;

/// How much a finding matters, what matters most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    /// Data or access will be lost, or a secret is open.
    Danger,
    /// Something does not do what was declared, or may go wrong.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

impl Severity {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 3] = [Self::Danger, Self::Warning, Self::Note];

    /// The word for it in all output.
    pub(crate) fn word(self) -> &'static str {
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
pub(crate) struct Finding {
    /// The check that found it.
    pub(crate) id: &'static str,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What was found.
    pub(crate) what: String,
    /// Why it matters.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) hint: String,
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
