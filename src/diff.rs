//! What differs between two trees: the backend's fast way, or a walk of both.

use backends::Changes;

/// How the changes were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file system told what was written since.
    Fast,
    /// Both trees were walked; the text completes "walked both trees, because …".
    Walk(String),
}

/// The exact changes and how they were found.
#[derive(Debug)]
pub struct Diff {
    /// Sorted by path bytes.
    pub changes: Changes,
    /// How they were found.
    pub method: Method,
}
