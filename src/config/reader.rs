//! Reads one table of the configuration key by key, and reports every key that nobody asked for.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems, quoted};

/// A text with the place where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place,
}

/// One table. A key becomes known by being asked for; [`finish`](Self::finish) reports the others.
pub(super) struct Reader<'a> {
    /// How messages name the table: `[root]`, `an entry of `files``.
    pub(super) title: String,
    /// Where the table starts.
    pub(super) place: Place,
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

impl<'a> Reader<'a> {
    pub(super) fn new(title: impl Into<String>, place: Place, table: &'a DeTable<'a>) -> Self {
        Self { title: title.into(), place, table, known: Vec::new() }
    }

    /// The value of `key` and the place of the value.
    pub(super) fn value(
        &mut self,
        key: &'static str,
        problems: &Problems<'_>,
    ) -> Option<(&'a DeValue<'a>, Place)> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), problems.place(&value.span())))
    }

    /// The place of the key itself, if the table has it.
    pub(super) fn key_place(&self, key: &str, problems: &Problems<'_>) -> Option<Place> {
        Some(problems.place(&self.table.get_key_value(key)?.0.span()))
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<Text<'a>> {
        match self.value(key, problems)? {
            (DeValue::String(text), place) => Some(Text { text, place }),
            (other, place) => {
                self.wrong_type(key, place, "a string", other, problems);
                None
            }
        }
    }

    pub(super) fn boolean(
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
    pub(super) fn count(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<u32> {
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
    pub(super) fn list(
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

    pub(super) fn table(
        &mut self,
        key: &'static str,
        title: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Reader<'a>> {
        match self.value(key, problems)? {
            (DeValue::Table(table), place) => Some(Reader::new(title, place, table)),
            (other, place) => {
                self.wrong_type(key, place, "a table", other, problems);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let Text { text, place } = self.string(key, problems)?;
        let found = words.iter().find(|&&(word, _)| word == text);
        if found.is_none() {
            let all = list_of(words.iter().map(|&(word, _)| format!("\"{word}\"")), "or");
            let what = format!("`{key}` in {} cannot be {}", self.title, quoted(text));
            problems.add(place, what, format!("write {all}"));
        }
        found.map(|&(_, value)| value)
    }

    /// All keys with their places, for tables whose keys are names.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> + use<'a> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        for (key, span, _) in self.entries() {
            if self.known.contains(&key) {
                continue;
            }
            let mend = match nearest(key, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let known = list_of(self.known.iter().map(|key| format!("`{key}`")), "and");
                    format!("remove it; the keys here are {known}")
                }
            };
            let what = format!("unknown key {} in {}", quoted(key), self.title);
            problems.add(problems.place(&span), what, mend);
        }
    }

    fn wrong_type(
        &self,
        key: &str,
        place: Place,
        expected: &str,
        found: &DeValue<'_>,
        problems: &mut Problems<'_>,
    ) {
        let what =
            format!("`{key}` in {} must be {expected}, but is {}", self.title, type_words(found));
        let mend = match (expected, found) {
            ("a list", DeValue::String(_)) => "put brackets around it: [\"…\"]".to_string(),
            ("true or false", DeValue::String(_)) => "write it without quotes".to_string(),
            ("a string", DeValue::Array(_) | DeValue::Table(_)) => {
                format!("write `{key} = \"…\"`")
            }
            ("a string", _) => "put quotes around it".to_string(),
            _ => format!("write {expected}"),
        };
        problems.add(place, what, mend);
    }
}

/// What a value is, in words.
pub(super) fn type_words(value: &DeValue<'_>) -> &'static str {
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
pub(super) fn list_of(words: impl Iterator<Item = String>, last: &str) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(end) if words.is_empty() => end,
        Some(end) => format!("{} {last} {end}", words.join(", ")),
        None => String::new(),
    }
}

fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
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
            assert_eq!(nearest(key, &known), near, "{key}");
        }
    }
}
