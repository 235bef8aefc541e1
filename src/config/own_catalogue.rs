//! `[[catalogue]]`: what the owner knows of state, beside the catalogue that comes with the program.

use std::collections::HashMap;

use crate::catalogue::Catalogue;
use crate::catalogue::catalogue_entry::{Advice, CatalogueEntry};
use crate::config::pattern_list::parse_pattern;
use crate::config::reader::{PlacedText, Problems, TableReader, quoted};

/// Reads all entries, in the order of the file.
pub(crate) fn read_own_catalogue(
    top: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Vec<CatalogueEntry> {
    let mut entries = Vec::new();
    let mut lines: HashMap<String, u32> = HashMap::new();
    for table in top.tables("catalogue", "an entry of `catalogue`", problems) {
        let Some((entry, path)) = read_entry(table, problems) else { continue };
        let place = path.place;
        let shown = path.text.trim_end_matches('/');
        match lines.get(shown) {
            Some(line) => problems.add(
                place,
                format!("{} is described twice: here and in line {line}", quoted(shown)),
                "remove one of the two entries",
            ),
            None => {
                lines.insert(shown.to_string(), place.line);
            }
        }
        entries.push(entry);
    }
    entries
}

fn read_entry<'a>(
    mut table: TableReader<'a>,
    problems: &mut Problems<'_>,
) -> Option<(CatalogueEntry, PlacedText<'a>)> {
    for (key, example) in
        [("path", "/var/lib/shop"), ("what", "the orders of the shop"), ("advice", "keep")]
    {
        if table.key_place(key, problems).is_none() {
            let what = format!("[[catalogue]] does not say its `{key}`");
            problems.add(table.place, what, format!("add `{key} = \"{example}\"`"));
        }
    }
    let path = table.string("path", problems);
    let is_pattern = path.is_some_and(|path| check_path(path, problems));
    let what = read_words("what", &mut table, problems);
    let advice =
        table.choice("advice", &Advice::ALL.map(|advice| (advice.word(), advice)), problems);
    let source = read_words("source", &mut table, problems);
    let mtime = table.boolean("mtime", problems).unwrap_or_default();
    let running = table.boolean("running", problems).unwrap_or_default();
    let example = table.string("example", problems);
    table.finish(problems);
    let path = path.filter(|_| is_pattern)?;
    let entry = CatalogueEntry {
        mtime,
        running,
        source: source.map(Into::into),
        example: example.map(|example| example.text.to_string().into()),
        line: Some(path.place.line),
        ..CatalogueEntry::new(path.text.to_string(), what?, advice?)
    };
    if let Some(example) = example {
        check_example(&entry, example, problems);
    }
    Some((entry, path))
}

/// Reports what is wrong with a pattern, by the rules of `[forget]` and by those of the catalogue.
fn check_path(PlacedText { text, place }: PlacedText<'_>, problems: &mut Problems<'_>) -> bool {
    let in_home = text == "~" || text.starts_with("~/");
    let absolute = if in_home { &text[1..] } else { text };
    let checked = if absolute.trim_matches('/').is_empty() && (in_home || text.starts_with('/')) {
        let whole = if in_home { "home" } else { "root" };
        Err((format!("is the whole {whole}"), "describe what is below it, by name".to_string()))
    } else if !absolute.starts_with('/') {
        let hint = format!(
            "write `/…` on the machine, or `~/…` in a home: {}",
            quoted(&format!("/{text}"))
        );
        Err(("is neither absolute nor below `~/`".to_string(), hint))
    } else {
        parse_pattern(absolute).map(drop)
    };
    let problem = checked.err();
    let is_pattern = problem.is_none();
    if let Some((why, hint)) = problem {
        problems.add(place, format!("the pattern {} {why}", quoted(text)), hint);
    }
    is_pattern
}

/// A few words on one line.
fn read_words(
    key: &'static str,
    table: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let PlacedText { text, place } = table.string(key, problems)?;
    let why = match text {
        _ if text.trim().is_empty() => "is empty",
        _ if text.contains(char::is_control) => "has a line break or a control character",
        _ => return Some(text.trim().to_string()),
    };
    let what = format!("`{key}` in {} {why}", table.title);
    problems.add(place, what, "write a few words on one line");
    None
}

/// An example is a promise that the entry is found for it.
fn check_example(
    entry: &CatalogueEntry,
    PlacedText { text, place }: PlacedText<'_>,
    problems: &mut Problems<'_>,
) {
    let alone = Catalogue::default().with_more([entry.clone()]);
    let found = text.strip_prefix('/').and_then(|path| alone.find(path.as_bytes()));
    if !found.is_some_and(|found| found.names_path) {
        let what = format!("the example {} is none of {}", quoted(text), quoted(&entry.path));
        let hint = "write an absolute path that `path` names, as in /home/alice/… for `~/…`";
        problems.add(place, what, hint);
    }
}
