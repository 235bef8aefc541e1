//! Whose a path is, as all JSON output has it.

use serde::Serialize;

use super::installed_since::PackageChange;
use super::owner::{Certainty, Owner, Ownership};
use crate::ui::json_value::{HasWord, Word, impl_has_word};

impl_has_word!(Certainty, [Self::Exact, Self::Directory, Self::Likely]);
impl_has_word!(PackageChange, [Self::Installed, Self::Removed, Self::Updated]);

impl HasWord for &Owner {
    fn word(&self) -> &'static str {
        self.kind()
    }

    #[cfg(test)]
    fn all_words() -> Vec<&'static str> {
        let make = [Owner::Package, Owner::Unit, Owner::User];
        make.map(|make| make(String::new()).kind()).to_vec()
    }
}

/// Whose a path is, and how sure that is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Owner"))]
pub(crate) struct JsonOwner<'a> {
    /// The name of the package without architecture and version, the whole name of the unit, or the account's name.
    name: &'a str,
    /// A `package`, a `unit` of systemd, or a `user`.
    kind: Word<&'a Owner>,
    /// `exact`: a package's list or a unit names the path itself; `directory`: the directory around it belongs to
    /// nobody else; `likely`: a name, a script or an account speaks for it.
    certainty: Word<Certainty>,
    /// What told of the owner, to complete "the path …", or, where the certainty is `directory`, "a directory around
    /// it …". For people, the words may change.
    how: &'static str,
}

impl<'a> JsonOwner<'a> {
    pub(crate) fn new(ownership: &'a Ownership) -> Self {
        Self {
            name: ownership.owner.name(),
            kind: Word(&ownership.owner),
            certainty: Word(ownership.certainty),
            how: ownership.how.text(),
        }
    }
}
