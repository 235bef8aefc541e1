//! `[audit]`: what an audit fails for, what it only tells, and how much of its records stays.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::pattern_list::PatternList;
use crate::config::reader::{Problems, TableReader, list_of, quoted, type_words};
use crate::owners::Owner;

/// Which strays make an audit fail, if no list names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailOn {
    /// Those that no old root had.
    #[default]
    New,
    /// All.
    Stray,
    /// None.
    Listed,
}

/// What an audit does.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Which strays it fails for.
    pub fail: FailOn,
    /// Paths that it fails for, whatever old roots had.
    pub fail_paths: PatternList,
    /// The same of owners.
    pub fail_owners: OwnerList,
    /// Paths that are only told; they outweigh all others.
    pub tell_paths: PatternList,
    /// The same of owners.
    pub tell_owners: OwnerList,
    /// Maximum size in bytes of the records in storage; 0: none are written.
    pub max_record_bytes: u32,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            fail: FailOn::default(),
            fail_paths: PatternList::default(),
            fail_owners: OwnerList::default(),
            tell_paths: PatternList::default(),
            tell_owners: OwnerList::default(),
            max_record_bytes: 1 << 20,
        }
    }
}

impl AuditOptions {
    pub(crate) fn read(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let default = Self::default();
        let words = [("new", FailOn::New), ("stray", FailOn::Stray), ("listed", FailOn::Listed)];
        let options = Self {
            fail: table.choice("fail", &words, problems).unwrap_or_default(),
            fail_paths: PatternList::read("fail_paths", &mut table, problems),
            fail_owners: OwnerList::read("fail_owners", &mut table, problems),
            tell_paths: PatternList::read("tell_paths", &mut table, problems),
            tell_owners: OwnerList::read("tell_owners", &mut table, problems),
            max_record_bytes: table
                .count("max_record_bytes", problems)
                .unwrap_or(default.max_record_bytes),
        };
        table.finish(problems);
        options
    }
}

/// Owners by their names, with or without what they are: `nginx`, `user alice`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerList(Vec<ListedOwner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ListedOwner {
    /// As in [`Owner::kind`]; `None`: whatever has the name.
    kind: Option<&'static str>,
    name: String,
}

const KINDS: [&str; 3] = ["package", "unit", "user"];

impl OwnerList {
    /// Whether the list names this owner.
    pub fn names(&self, owner: &Owner) -> bool {
        self.0.iter().any(|listed| {
            let is_kind = listed.kind.is_none_or(|kind| kind == owner.kind());
            is_kind && listed.name == owner.name()
        })
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn read(key: &'static str, table: &mut TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let values = table.list(key, problems).iter();
        Self(values.filter_map(|value| read_owner(value, key, &table.title, problems)).collect())
    }
}

fn read_owner(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    title: &str,
    problems: &mut Problems<'_>,
) -> Option<ListedOwner> {
    let place = problems.place(&value.span());
    let DeValue::String(text) = value.get_ref() else {
        let found = type_words(value.get_ref());
        let what = format!("an entry of `{key}` in {title} must be a string, but is {found}");
        problems.add(place, what, "put quotes around it");
        return None;
    };
    let (kind, name) = match text.split_once(' ') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, text.as_ref()),
    };
    let known = KINDS.into_iter().find(|known| kind == Some(known));
    if known.is_none() && kind.is_some()
        || name.is_empty()
        || name.contains(|c: char| c == '/' || c.is_whitespace())
    {
        let kinds = list_of(KINDS.iter().map(|kind| format!("`{kind} NAME`")), "or");
        let what = format!("the owner {} in `{key}` cannot be one", quoted(text));
        let hint = format!("write NAME, {kinds}, as `blankroot diff --by owner` shows them");
        problems.add(place, what, hint);
        return None;
    }
    Some(ListedOwner { kind: known, name: name.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn parse(audit: &str) -> Result<AuditOptions, String> {
        let text = format!("[root]\nbackend = \"tmpfs\"\n[audit]\n{audit}");
        let parsed = Config::parse(Path::new("f"), text.as_bytes());
        parsed.map(|config| config.audit).map_err(|error| error.to_string())
    }

    #[test]
    fn an_owner_is_named_with_or_without_what_it_is() {
        let options = parse("fail_owners = [\"nginx\", \"user alice\"]").unwrap();
        let names = |owner: Owner| options.fail_owners.names(&owner);
        assert!(names(Owner::Package("nginx".into())) && names(Owner::User("nginx".into())));
        assert!(names(Owner::User("alice".into())) && !names(Owner::Package("alice".into())));
        assert!(!names(Owner::Unit("nginx.service".into())));
        assert!(!options.fail_owners.is_empty() && options.tell_owners.is_empty());
    }

    #[test]
    fn what_nobody_can_mean_is_told_with_its_place() {
        for (audit, expected) in [
            ("fail = \"old\"", "f:4:8: `fail` in [audit] cannot be `old`"),
            ("fail_owners = [\"group wheel\"]", "f:4:16: the owner `group wheel` in"),
            ("tell_owners = [\"\"]", "f:4:16: the owner `` in `tell_owners`"),
            ("tell_owners = [7]", "f:4:16: an entry of `tell_owners` in [audit] must be a string"),
            ("fail_paths = [\"etc\"]", "f:4:15: the pattern `etc` is not absolute"),
            ("tell_paths = [1]", "f:4:15: an entry of `tell_paths` in [audit] must be a string"),
            ("fails = \"new\"", "did you mean `fail`?"),
        ] {
            let error = parse(audit).unwrap_err();
            assert!(error.contains(expected), "{audit}: {error}");
        }
    }
}
