//! `[audit]`: what an audit fails for, what it only tells, and how much of its records stays.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::pattern_list::PatternList;
use crate::config::reader::{PlacedText, Problems, TableReader, list_of, quoted, type_words};
use crate::owners::Owner;

/// Which strays make an audit fail, if no list names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailOn {
    /// Those that no old root had as they are.
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
    /// Paths whose strays fail it, of whatever class.
    pub fail_paths: PatternList,
    /// The same of owners.
    pub fail_owners: OwnerList,
    /// Paths that are only told; they outweigh all others.
    pub tell_paths: PatternList,
    /// The same of owners.
    pub tell_owners: OwnerList,
    /// Maximum size in bytes of the records in storage; 0: none are written.
    pub max_record_bytes: u32,
    /// Where each audit that is written down puts its metrics.
    pub textfile: Option<PathBuf>,
    /// Whether there is an audit once the system is up.
    pub at_boot: bool,
    /// Whether there is one before the machine goes down.
    pub at_shutdown: bool,
    /// Whether users are told at login what the last audit found.
    pub at_login: bool,
    /// Whether there is one after a package manager was at work.
    pub after_packages: bool,
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
            textfile: None,
            at_boot: true,
            at_shutdown: true,
            at_login: true,
            after_packages: true,
        }
    }
}

impl AuditOptions {
    /// Whether what fails depends on owners.
    pub(crate) fn asks_owners(&self) -> bool {
        !self.fail_owners.is_empty() || !self.tell_owners.is_empty()
    }

    pub(crate) fn read(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let default = Self::default();
        let words = [("new", FailOn::New), ("stray", FailOn::Stray), ("listed", FailOn::Listed)];
        let textfile = read_textfile(&mut table, problems);
        let mut is_on = |key| table.boolean(key, problems).unwrap_or(true);
        let (at_boot, at_shutdown) = (is_on("at_boot"), is_on("at_shutdown"));
        let (at_login, after_packages) = (is_on("at_login"), is_on("after_packages"));
        let options = Self {
            textfile,
            at_boot,
            at_shutdown,
            at_login,
            after_packages,
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

fn read_textfile(table: &mut TableReader<'_>, problems: &mut Problems<'_>) -> Option<PathBuf> {
    let PlacedText { text, place } = table.string("textfile", problems)?;
    let is_file = text.starts_with('/') && !text.ends_with('/') && text.ends_with(".prom");
    if !is_file || text.contains('\0') {
        let what = format!("`textfile` in [audit] cannot be {}", quoted(text));
        let hint = "write an absolute path that ends in `.prom`: node_exporter reads no other";
        problems.add(place, what, hint);
        return None;
    }
    Some(PathBuf::from(text))
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
            ("textfile = \"a.prom\"", "f:4:12: `textfile` in [audit] cannot be `a.prom`"),
            ("textfile = \"/var/lib/x\"", "ends in `.prom`"),
            ("at_boot = \"yes\"", "f:4:11: `at_boot` in [audit] must be true or false"),
            ("fails = \"new\"", "did you mean `fail`?"),
        ] {
            let error = parse(audit).unwrap_err();
            assert!(error.contains(expected), "{audit}: {error}");
        }
    }
}
