//! One entry of the catalogue: what a path is, and what to do with it.

use std::borrow::Cow;

use crate::ui::json_value::impl_has_word;

/// What to do with state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advice {
    /// Somebody, or the machine, would miss it.
    Keep,
    /// A cache, or something that comes back.
    Forget,
    /// Keep it, and only its owner may look into it: 0700 for a directory, 0600 for a file.
    Secret,
    /// Neither keep nor judge it: a lock, a socket, or what breaks when an old one is there.
    Never,
    /// Keep it as a symbolic link: its program writes a new file and renames it over the old one, which fails on
    /// a file that is mounted.
    Link,
}

impl Advice {
    /// Each one, in the order in which they are explained.
    pub const ALL: [Self; 5] = [Self::Keep, Self::Forget, Self::Secret, Self::Never, Self::Link];

    /// The word for it in the catalogue, in a configuration and in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Forget => "forget",
            Self::Secret => "secret",
            Self::Never => "never",
            Self::Link => "link",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|advice| advice.word() == word)
    }
}

impl_has_word!(Advice, Self::ALL);

/// What is known of one path, and of what lies below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// `/…` on the machine or `~/…` in a home, with wildcards as in `[forget]`.
    pub path: Cow<'static, str>,
    /// What it is, in a few words that follow "/path: ".
    pub what: Cow<'static, str>,
    /// What to do with it.
    pub advice: Advice,
    /// Beside [`Advice::Link`]: only its owner may look into it, too.
    pub(crate) secret_link: bool,
    /// It is needed before the root's own units run.
    pub(crate) early: bool,
    /// What the machine is known by: what it has now is what it keeps.
    pub(crate) identity: bool,
    /// Its modification time is what it says, so that the same bytes are not the same state.
    pub mtime: bool,
    /// Whether it is there only while the machine, or the program that made it, runs: no old root has it.
    pub running: bool,
    /// Where the fact is from: a man page, or a page of documentation.
    pub source: Option<Cow<'static, str>>,
    /// A path that the entry is found for.
    pub example: Option<Cow<'static, str>>,
    /// The line of the configuration where a user's own entry stands.
    pub line: Option<u32>,
}

impl CatalogueEntry {
    /// An entry without what is optional.
    pub fn new(
        path: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        advice: Advice,
    ) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
            advice,
            secret_link: false,
            early: false,
            identity: false,
            mtime: false,
            running: false,
            source: None,
            example: None,
            line: None,
        }
    }

    /// Only its owner may look into it.
    pub fn is_secret(&self) -> bool {
        self.advice == Advice::Secret || self.secret_link
    }

    /// Its program writes a new file and renames it over the old one.
    pub fn is_renamed_over(&self) -> bool {
        self.advice == Advice::Link
    }
}
