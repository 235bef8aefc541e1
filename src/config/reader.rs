//! Reads one table of the configuration key by key, and reports every key that nobody asked for. All
//! problems of a text are collected with their places and hints, and shown together.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dirfd::path::Escaped;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A text with the place where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedText<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Position,
}

/// One table. A key becomes known by being asked for; [`finish`](Self::finish) reports the others.
pub(crate) struct TableReader<'a> {
    /// How messages name the table: `[root]`, `an entry of `files``.
    pub(crate) title: String,
    /// Where the table starts.
    pub(crate) place: Position,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

/// What other tools call a thing, in lower case without `_`, and our word for it.
const FOREIGN_WORDS: &[(&str, &str)] = &[
    ("directory", "path"),
    ("file", "path"),
    ("persistentstoragepath", "storage"),
    ("persistentstoragepath", "path"),
    ("method", "how"),
    ("parentdirectory", "parent"),
    ("removeprefixdirectory", "strip_prefix"),
    ("mountoptions", "options"),
    ("commonmountoptions", "options"),
    ("createlinktarget", "create"),
];

impl<'a> TableReader<'a> {
    pub(crate) fn new(title: impl Into<String>, place: Position, table: &'a DeTable<'a>) -> Self {
        Self { title: title.into(), place, table, known: Vec::new() }
    }

    /// The value of `key` and the place of the value.
    pub(crate) fn value(
        &mut self,
        key: &'static str,
        problems: &Problems<'_>,
    ) -> Option<(&'a DeValue<'a>, Position)> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), problems.place(&value.span())))
    }

    /// The place of the key itself, if the table has it.
    pub(crate) fn key_place(&self, key: &str, problems: &Problems<'_>) -> Option<Position> {
        Some(problems.place(&self.table.get_key_value(key)?.0.span()))
    }

    pub(crate) fn string(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<PlacedText<'a>> {
        match self.value(key, problems)? {
            (DeValue::String(text), place) => Some(PlacedText { text, place }),
            (other, place) => {
                self.wrong_type(key, place, "a string", other, problems);
                None
            }
        }
    }

    pub(crate) fn boolean(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<bool> {
        match self.value(key, problems)? {
            (DeValue::Boolean(yes), _) => Some(*yes),
            (other, place) => {
                self.wrong_type(key, place, "true or false", other, problems);
                None
            }
        }
    }

    /// A whole number from 0 on.
    pub(crate) fn count(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<u32> {
        let (value, place) = self.value(key, problems)?;
        let DeValue::Integer(number) = value else {
            self.wrong_type(key, place, "a whole number", value, problems);
            return None;
        };
        let parsed = u32::from_str_radix(number.as_str(), number.radix());
        if parsed.is_err() {
            let what = format!("`{key}` in {} cannot be {}", self.title, number.as_str());
            problems.add(place, what, format!("write a whole number from 0 to {}", u32::MAX));
        }
        parsed.ok()
    }

    /// The elements of a list; none where the key is absent.
    pub(crate) fn list(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> &'a [Spanned<DeValue<'a>>] {
        match self.value(key, problems) {
            None => &[],
            Some((DeValue::Array(list), _)) => list,
            Some((other, place)) => {
                self.wrong_type(key, place, "a list", other, problems);
                &[]
            }
        }
    }

    /// The tables of `[[key]]`; none where the key is absent. Messages call one of them `one`.
    pub(crate) fn tables(
        &mut self,
        key: &'static str,
        one: &str,
        problems: &mut Problems<'_>,
    ) -> Vec<TableReader<'a>> {
        let list = match self.value(key, problems) {
            None => return Vec::new(),
            Some((DeValue::Array(list), _)) => list,
            Some((other, place)) => {
                let what =
                    format!("`{key}` must be a list of tables, but is {}", type_words(other));
                problems.add(place, what, format!("write `[[{key}]]`, in two pairs of brackets"));
                return Vec::new();
            }
        };
        let mut tables = Vec::new();
        for value in list {
            let place = problems.place(&value.span());
            match value.get_ref() {
                DeValue::Table(table) => {
                    tables.push(TableReader::new(format!("[[{key}]]"), place, table));
                }
                other => {
                    let what = format!("{one} must be a table, but is {}", type_words(other));
                    problems.add(place, what, format!("write `[[{key}]]` and its keys below it"));
                }
            }
        }
        tables
    }

    pub(crate) fn table(
        &mut self,
        key: &'static str,
        title: &str,
        problems: &mut Problems<'_>,
    ) -> Option<TableReader<'a>> {
        match self.value(key, problems)? {
            (DeValue::Table(table), place) => Some(TableReader::new(title, place, table)),
            (other, place) => {
                self.wrong_type(key, place, "a table", other, problems);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let PlacedText { text, place } = self.string(key, problems)?;
        let found = words.iter().find(|&&(word, _)| word == text);
        if found.is_none() {
            let all = list_of(words.iter().map(|&(word, _)| format!("\"{word}\"")), "or");
            let what = format!("`{key}` in {} cannot be {}", self.title, quoted(text));
            problems.add(place, what, format!("write {all}"));
        }
        found.map(|&(_, value)| value)
    }

    /// All keys with their places, for tables whose keys are names.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> + use<'a> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// Reports every key that was not asked for.
    pub(crate) fn finish(self, problems: &mut Problems<'_>) {
        for (key, span, _) in self.entries() {
            if self.known.contains(&key) {
                continue;
            }
            let hint = match nearest_key(key, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let known = list_of(self.known.iter().map(|key| format!("`{key}`")), "and");
                    format!("remove it; the keys here are {known}")
                }
            };
            let what = format!("unknown key {} in {}", quoted(key), self.title);
            problems.add(problems.place(&span), what, hint);
        }
    }

    fn wrong_type(
        &self,
        key: &str,
        place: Position,
        expected: &str,
        found: &DeValue<'_>,
        problems: &mut Problems<'_>,
    ) {
        let what =
            format!("`{key}` in {} must be {expected}, but is {}", self.title, type_words(found));
        let hint = match (expected, found) {
            ("a list", DeValue::String(_)) => "put brackets around it: [\"…\"]".to_string(),
            ("true or false", DeValue::String(_)) => "write it without quotes".to_string(),
            ("a string", DeValue::Array(_) | DeValue::Table(_)) => {
                format!("write `{key} = \"…\"`")
            }
            ("a string", _) => "put quotes around it".to_string(),
            _ => format!("write {expected}"),
        };
        problems.add(place, what, hint);
    }
}

/// What a value is, in words.
pub(crate) fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `a, b or c`.
pub(crate) fn list_of(words: impl Iterator<Item = String>, last: &str) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(end) if words.is_empty() => end,
        Some(end) => format!("{} {last} {end}", words.join(", ")),
        None => String::new(),
    }
}

fn nearest_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |key: &str| key.to_lowercase().replace(['_', '-'], "");
    let wanted = plain(key);
    let mut foreign = FOREIGN_WORDS.iter().filter(|(word, _)| *word == wanted);
    if let Some((_, ours)) = foreign.find(|(_, ours)| known.contains(ours)) {
        return Some(ours);
    }
    // Beyond this length no typing error makes one of our keys; the distance costs its square.
    if wanted.len() > 64 {
        return None;
    }
    let distance = |ours: &str| strsim::damerau_levenshtein(&wanted, &plain(ours));
    let near = known.iter().copied().map(|ours| (distance(ours), ours)).min()?;
    (near.0 <= 1 + near.1.len() / 4).then_some(near.1)
}

/// A place in the text of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1 on.
    pub line: u32,
    /// From 1 on, in characters.
    pub column: u32,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Where it is.
    pub place: Position,
    /// What is wrong, in one line.
    pub what: String,
    /// What the reader can do about it.
    pub hint: String,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable(dirfd::Error),
    /// The text has problems; at least one, sorted by place.
    Unusable {
        /// The file that was read.
        file: PathBuf,
        /// What is wrong with it.
        problems: Vec<ConfigProblem>,
    },
}

impl ConfigError {
    /// The problems of the text; empty where the file could not be read.
    pub fn problems(&self) -> &[ConfigProblem] {
        match self {
            Self::Unreadable(_) => &[],
            Self::Unusable { problems, .. } => problems,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, problems) = match self {
            Self::Unreadable(error) => return error.fmt(f),
            Self::Unusable { file, problems } => (Escaped::of_path(file), problems),
        };
        let plural = if problems.len() == 1 { "" } else { "s" };
        write!(f, "cannot use {file}: {} problem{plural}", problems.len())?;
        for ConfigProblem { place, what, hint } in problems {
            write!(f, "\n{file}:{}:{}: {what}\n  hint: {hint}", place.line, place.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A text from the configuration for people: it can hold control characters by TOML's escapes.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", Escaped(text.as_bytes()))
}

/// Collects the problems of one text and knows the place of each of its bytes.
pub(crate) struct Problems<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<ConfigProblem>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Self { text, line_starts, found: Vec::new() }
    }

    /// The place of the first byte of `span`.
    pub(crate) fn place(&self, span: &Range<usize>) -> Position {
        let line = self.line_starts.partition_point(|&start| start <= span.start).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..span.start).unwrap_or_default();
        Position { line: line as u32, column: before.chars().count() as u32 + 1 }
    }

    pub(crate) fn add(
        &mut self,
        place: Position,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.found.push(ConfigProblem { place, what: what.into(), hint: hint.into() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `value`, if there was no problem; else the error for `file`.
    pub(crate) fn into_result<T>(
        mut self,
        file: &Path,
        value: Option<T>,
    ) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort();
                self.found.dedup();
                Err(ConfigError::Unusable { file: file.to_path_buf(), problems: self.found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_one_that_may_have_been_meant() {
        let known = ["path", "how", "hide_mounts", "in_initrd", "parent", "notrim"];
        for (key, near) in [
            ("hideMounts", Some("hide_mounts")),
            ("inInitrd", Some("in_initrd")),
            ("parentDirectory", Some("parent")),
            ("method", Some("how")),
            ("directory", Some("path")),
            ("pth", Some("path")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest_key(key, &known), near, "{key}");
        }
    }
}
