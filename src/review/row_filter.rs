//! Which strays of a review are shown: words that must be in the path, and words with a colon that ask for more. Pure.

use memchr::memchr2_iter;

use crate::review::stray_tree::{Stray, StrayGroup};

/// What is to be done about a stray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Put it on the keep list.
    Keep,
    /// Declare it disposable.
    Forget,
    /// Nothing: it stays a stray.
    Leave,
}

impl Decision {
    pub(crate) const ALL: [Self; 3] = [Self::Keep, Self::Forget, Self::Leave];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Forget => "forget",
            Self::Leave => "leave",
        }
    }
}

/// What a stray must be to be shown; without terms each is.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowFilter {
    terms: Vec<FilterTerm>,
}

#[derive(Clone, Debug)]
enum FilterTerm {
    /// Has this in its path.
    Path(Vec<u8>),
    /// Has this in the title of its group.
    Owner(Vec<u8>),
    /// Is of the class whose word begins so.
    Class(String),
    /// Has this decision; `None`: has none.
    Decision(Option<Decision>),
}

impl RowFilter {
    /// Reads `cache class:new owner:alice is:open`. What has no meaning after `is:` is looked for in paths.
    pub(crate) fn parse(text: &str) -> Self {
        Self { terms: text.split_whitespace().map(FilterTerm::parse).collect() }
    }

    /// Whether a stray with this decision is shown.
    pub(crate) fn matches(
        &self,
        stray: &Stray,
        group: &StrayGroup,
        decision: Option<Decision>,
    ) -> bool {
        self.terms.iter().all(|term| match term {
            FilterTerm::Path(text) => contains_text(&stray.path, text),
            FilterTerm::Owner(text) => contains_text(group.title.as_bytes(), text),
            FilterTerm::Class(word) => {
                stray.class.is_some_and(|class| class.word().starts_with(word.as_str()))
            }
            FilterTerm::Decision(asked) => decision == *asked,
        })
    }
}

impl FilterTerm {
    fn parse(term: &str) -> Self {
        let lower = term.to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("class", word)) => Self::Class(word.to_string()),
            Some(("owner", text)) => Self::Owner(text.as_bytes().to_vec()),
            Some(("is", "open")) => Self::Decision(None),
            Some(("is", word)) => match Decision::ALL.iter().find(|one| one.word() == word) {
                Some(decision) => Self::Decision(Some(*decision)),
                None => Self::Path(lower.into_bytes()),
            },
            _ => Self::Path(lower.into_bytes()),
        }
    }
}

/// Whether `text` has `wanted`, which is in lower case, in whatever case.
pub(crate) fn contains_text(text: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    let Some(last) = text.len().checked_sub(wanted.len()) else { return false };
    let mut places = memchr2_iter(*first, first.to_ascii_uppercase(), &text[..=last]);
    places.any(|at| text[at + 1..=at + rest.len()].eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::stray_tree::StrayTree;
    use crate::review::stray_tree::tests::loose_group;

    #[test]
    fn text_is_found_in_whatever_case_and_at_both_ends() {
        for (text, wanted, expected) in [
            ("var/Cache/x", "cache", true),
            ("var/cache", "var", true),
            ("var/cache", "che", true),
            ("var", "vary", false),
            ("", "x", false),
            ("x", "", true),
        ] {
            assert_eq!(
                contains_text(text.as_bytes(), wanted.as_bytes()),
                expected,
                "{text} {wanted}"
            );
        }
    }

    #[test]
    fn terms_ask_for_path_owner_class_and_decision() {
        let tree = StrayTree::new([loose_group("user alice", &[b"home/alice/Notes"])]);
        let matches = |text: &str, decision| {
            RowFilter::parse(text).matches(&tree.strays[0], &tree.groups[0], decision)
        };
        for text in ["", "notes HOME", "class:new", "class:n", "owner:Alice notes", "is:open"] {
            assert!(matches(text, None), "{text}");
        }
        for text in ["notes x", "class:same", "owner:bob", "is:keep", "is:nonsense"] {
            assert!(!matches(text, None), "{text}");
        }
        assert!(matches("is:keep", Some(Decision::Keep)));
        assert!(!matches("is:open", Some(Decision::Leave)));
    }
}
