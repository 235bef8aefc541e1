//! Reads the catalogue that comes with the program.
//!
//! The file is TOML for those who write it, and a test reads it as such. This reads the few shapes of lines that
//! are in it: systemd's generator needs the catalogue at each boot before anything else, and the TOML reader takes
//! 11 ms for this file in a process that has just started.

use std::borrow::Cow;

use crate::catalogue::catalogue_entry::{Advice, CatalogueEntry};

const TEXT: &str = include_str!("well_known.toml");

/// All entries in the order of the file.
pub(crate) fn read_entries() -> Vec<CatalogueEntry> {
    read_text(TEXT)
}

fn read_text(text: &'static str) -> Vec<CatalogueEntry> {
    let mut entries: Vec<CatalogueEntry> = Vec::new();
    for line in text.lines() {
        if line == "[[entry]]" {
            entries.push(CatalogueEntry::new("", "", Advice::Keep));
            continue;
        }
        let (Some((key, value)), Some(entry)) = (line.split_once(" = "), entries.last_mut()) else {
            continue;
        };
        let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        match (key, text) {
            ("path", Some(text)) => entry.path = Cow::Borrowed(text),
            ("what", Some(text)) => entry.what = Cow::Borrowed(text),
            ("advice", Some(word)) => {
                entry.advice = Advice::from_word(word).unwrap_or(entry.advice)
            }
            ("source", Some(text)) => entry.source = Some(Cow::Borrowed(text)),
            ("example", Some(text)) => entry.example = Some(Cow::Borrowed(text)),
            ("secret", None) => entry.secret_link = value == "true",
            ("early", None) => entry.early = value == "true",
            ("identity", None) => entry.identity = value == "true",
            ("mtime", None) => entry.mtime = value == "true",
            ("running", None) => entry.running = value == "true",
            _ => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeValue;

    #[test]
    fn the_file_says_the_same_to_a_reader_of_toml() {
        let table = toml::de::DeTable::parse(TEXT).unwrap().into_inner();
        assert_eq!(table.len(), 1, "only entries");
        let DeValue::Array(tables) = table.get("entry").unwrap().get_ref() else { panic!() };
        let read: Vec<CatalogueEntry> = tables
            .iter()
            .map(|table| {
                let mut entry = CatalogueEntry::new("", "", Advice::Keep);
                let DeValue::Table(table) = table.get_ref() else { panic!() };
                let mut keys = Vec::new();
                for (key, value) in table.iter() {
                    let text = |value: &DeValue<'_>| {
                        Cow::<'static, str>::Owned(value.as_str().unwrap().to_string())
                    };
                    let value = value.get_ref();
                    match key.get_ref().as_ref() {
                        "path" => entry.path = text(value),
                        "what" => entry.what = text(value),
                        "advice" => entry.advice = Advice::from_word(&text(value)).unwrap(),
                        "source" => entry.source = Some(text(value)),
                        "example" => entry.example = Some(text(value)),
                        "secret" => entry.secret_link = value.as_bool().unwrap(),
                        "early" => entry.early = value.as_bool().unwrap(),
                        "identity" => entry.identity = value.as_bool().unwrap(),
                        "mtime" => entry.mtime = value.as_bool().unwrap(),
                        "running" => entry.running = value.as_bool().unwrap(),
                        other => panic!("unknown key {other}"),
                    }
                    keys.push(key.get_ref().to_string());
                }
                for needed in ["path", "what", "advice", "source"] {
                    assert!(keys.iter().any(|key| key == needed), "{} has no {needed}", entry.path);
                }
                entry
            })
            .collect();
        assert_eq!(read_entries(), read);
    }
}
