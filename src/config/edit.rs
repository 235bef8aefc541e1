//! Adds to the lists of a configuration's text, and takes from them; comments, order and layout of the
//! rest survive.
//!
//! The edited text is checked as a whole before it is handed back: nothing that could not be read
//! again is ever written.

use std::collections::HashSet;
use std::path::Path;

use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};
use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value,
};

use crate::config::Config;
use crate::config::entry::{DeclaredEntry, EntryKind, PlacementMethod};
use crate::config::reader::{ConfigError, quoted};
use crate::config::storage::UserEntries;
use crate::persist::list;

/// Adds `path` to the keep list, with its data in `storage`, which is declared if it is not yet.
///
/// Below the home of a user whom the storage names, it is added to that user's lists. Returns the
/// text as it is if that entry is in force already. `how` is written down if it is given.
pub fn add_entry(
    text: &str,
    storage: &Path,
    path: &TreePath,
    kind: EntryKind,
    how: Option<PlacementMethod>,
) -> Result<String> {
    let action =
        || format!("add `{path}` to the {} of {}", kind.list_key(), Escaped::of_path(storage));
    let named = absolute_path(path.as_bytes(), "keep the directory that holds it")
        .map_err(|why| why(action()))?;
    let bytes = storage.as_os_str().as_encoded_bytes();
    let storage_name = TreePath::parse(bytes).map_err(|why| Error::new(action(), why))?;
    let storage_text = absolute_path(storage_name.as_bytes(), "use another storage")
        .map_err(|why| why(action()))?;
    let present = |config: &Config| {
        list::keep_list(config)
            .iter()
            .any(|entry| entry.path == *path && entry.kind == kind && entry.storage == storage_name)
    };
    edit_checked(text, &action, present, |document, config| {
        let storages = find_storages(document).ok_or_else(|| {
            Error::new(action(), "`storage` is not a list of [[storage]] tables")
                .hint("write each storage as a [[storage]] table")
        })?;
        let same = |table: &Table| {
            let declared = table.get("path").and_then(Item::as_str);
            let enabled = table.get("enable").and_then(Item::as_bool).unwrap_or(true);
            enabled
                && declared.is_some_and(|text| {
                    TreePath::parse(text.as_bytes()).as_ref() == Ok(&storage_name)
                })
        };
        let fresh = !storages.iter().any(same);
        if fresh {
            let mut table = last_table();
            table.insert("path", storage_text.as_str().into());
            storages.push(table);
        }
        let added = match storages.iter_mut().find(|table| same(table)) {
            Some(table) => match user_of(config, &storage_name, path) {
                Some((user, below)) => user_table(table, &user.name).is_some_and(|table| {
                    push_to_key(table, kind.list_key(), entry_value(below, user.strip_prefix, how))
                }),
                None => push_to_key(table, kind.list_key(), entry_value(&named, false, how)),
            },
            None => false,
        };
        if fresh {
            move_trailing_comments(document, |document| {
                find_storages(document)
                    .and_then(|storages| storages.iter_mut().last())
                    .map(|table| table.decor_mut())
            });
        }
        if added { Ok(()) } else { Err(not_a_list(action(), kind.list_key())) }
    })
}

/// Adds patterns to `[forget]`, which is declared if it is not yet.
///
/// Those that are there already are not added again.
pub fn add_forget<P: AsRef<str>>(text: &str, patterns: &[P]) -> Result<String> {
    let action = || match patterns {
        [one] => format!("add {} to the `paths` of [forget]", quoted(one.as_ref())),
        several => format!("add {} patterns to the `paths` of [forget]", several.len()),
    };
    let missing_of = |config: &Config| -> Vec<&str> {
        let declared = config.forget.patterns().iter().map(|declared| declared.text.as_str());
        let mut known: HashSet<&str> = declared.collect();
        // Each is added once, however often it is named.
        let patterns = patterns.iter().map(AsRef::as_ref);
        patterns.filter(|pattern| known.insert(pattern)).collect()
    };
    let present = |config: &Config| missing_of(config).is_empty();
    edit_checked(text, &action, present, |document, config| {
        let fresh = !document.contains_key("forget");
        let item = document.entry("forget").or_insert_with(|| Item::Table(last_table()));
        let added = item.as_table_like_mut().is_some_and(|table| {
            missing_of(config).into_iter().all(|one| push_to_key(table, "paths", one.into()))
        });
        if fresh {
            move_trailing_comments(document, |document| {
                document.get_mut("forget").and_then(Item::as_table_mut).map(Table::decor_mut)
            });
        }
        if added { Ok(()) } else { Err(not_a_list(action(), "paths")) }
    })
}

/// A path as an entry, in the shortest form. Where entries lose their first component, one that is
/// named as it is in the home must not.
fn entry_value(path: &str, strips_prefix: bool, how: Option<PlacementMethod>) -> Value {
    let mut table = InlineTable::new();
    table.insert("path", path.into());
    if strips_prefix {
        table.insert("strip_prefix", false.into());
    }
    if let Some(how) = how {
        table.insert("how", how.word().into());
    }
    if table.len() == 1 { path.into() } else { table.into() }
}

/// The user of this storage in whose home `path` lies, and the rest of the path.
fn user_of<'c>(
    config: &'c Config,
    storage: &TreePath,
    path: &'c TreePath,
) -> Option<(&'c UserEntries, &'c str)> {
    let storages = config.storages.iter().filter(|one| one.enable && one.path == *storage);
    storages.flat_map(|storage| &storage.users).find_map(|user| {
        let below = path.as_bytes().strip_prefix(user.home.as_bytes())?.strip_prefix(b"/")?;
        // A path below a home may not start with a tilde; by its whole path it can be kept.
        let below = std::str::from_utf8(below).ok().filter(|below| !below.starts_with('~'))?;
        Some((user, below))
    })
}

fn user_table<'t>(storage: &'t mut Table, user: &str) -> Option<&'t mut dyn TableLike> {
    storage.get_mut("users")?.as_table_like_mut()?.get_mut(user)?.as_table_like_mut()
}

fn not_a_list(action: String, key: &str) -> Error {
    Error::new(action, format!("`{key}` is not a list")).hint(format!("write `{key} = [\"…\"]`"))
}

/// Runs one edit between two checks.
fn edit_checked(
    text: &str,
    action: &dyn Fn() -> String,
    present: impl Fn(&Config) -> bool,
    run: impl FnOnce(&mut DocumentMut, &Config) -> Result<()>,
) -> Result<String> {
    let config = parse_config(text, action)?;
    if present(&config) {
        return Ok(text.to_string());
    }
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| Error::new(action(), error.message()))?;
    run(&mut document, &config)?;
    let edited = document.to_string();
    parse_config(&edited, action)?;
    Ok(edited)
}

/// The configuration, or its first problem as an error of the edit.
fn parse_config(text: &str, action: &dyn Fn() -> String) -> Result<Config> {
    Config::parse(Path::new("the configuration"), text.as_bytes()).map_err(|error| {
        let ConfigError::Unusable { problems, .. } = &error else {
            return Error::new(action(), error);
        };
        match problems.first() {
            Some(first) => {
                let why = format!("line {} would not be valid: {}", first.place.line, first.what);
                Error::new(action(), why).hint(first.hint.clone())
            }
            None => Error::new(action(), error),
        }
    })
}

/// A path in the form that a TOML string can hold, or what makes the error of it.
fn absolute_path(
    path: &[u8],
    hint: &'static str,
) -> std::result::Result<String, impl FnOnce(String) -> Error> {
    let escaped = Escaped(path).to_string();
    std::str::from_utf8(path).map(|path| format!("/{path}")).map_err(move |_| {
        move |action| {
            Error::new(action, format!("`/{escaped}` is not UTF-8, as TOML must be")).hint(hint)
        }
    })
}

/// The storages, in a list that is made if there is none; `None` if they are no such list.
fn find_storages(document: &mut DocumentMut) -> Option<&mut ArrayOfTables> {
    let item =
        document.entry("storage").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut()
}

/// A table that is written after every other.
fn last_table() -> Table {
    let mut table = Table::new();
    table.set_position(Some(isize::MAX));
    table.decor_mut().set_prefix("\n");
    table
}

/// Comments at the end of a text belong above what is added there: they were written first.
fn move_trailing_comments(
    document: &mut DocumentMut,
    decor_of: impl FnOnce(&mut DocumentMut) -> Option<&mut toml_edit::Decor>,
) {
    let trailing = raw_text(document.trailing()).to_string();
    let prefix = match trailing.trim_end() {
        "" => "\n".to_string(),
        comments => format!("{comments}\n\n"),
    };
    if let Some(decor) = decor_of(document) {
        decor.set_prefix(prefix);
        document.set_trailing("");
    }
}

/// Adds `value` to the list `key`, which is made if there is none; `false` if it is no list.
fn push_to_key(table: &mut dyn TableLike, key: &str, value: Value) -> bool {
    match table.get_mut(key) {
        Some(item) => match item.as_array_mut() {
            Some(array) => push_in_style(array, value),
            None => return false,
        },
        None => {
            let mut array = Array::new();
            array.push_formatted(value.decorated("\n  ", ""));
            array.set_trailing("\n");
            array.set_trailing_comma(true);
            table.insert(key, array.into());
        }
    }
    true
}

/// Adds to the end of a list as its elements are laid out: on one line, or on one line each.
fn push_in_style(array: &mut Array, value: Value) {
    let last = array.len().checked_sub(1);
    let mut tail = String::new();
    let mut lead = String::new();
    if let Some(last) = last.and_then(|last| array.get_mut(last)) {
        lead = last.decor().prefix().map(raw_text).unwrap_or_default().to_string();
        tail = last.decor().suffix().map(raw_text).unwrap_or_default().to_string();
        last.decor_mut().set_suffix("");
    }
    // What stands between the last element and the bracket: white space and comments.
    tail.push_str(raw_text(array.trailing()));
    let comments = tail.trim_end();
    let one_line = !lead.contains('\n') && !tail.contains('\n');
    if one_line {
        let prefix = if last.is_some() { " " } else { "" };
        array.push_formatted(value.decorated(prefix, ""));
        array.set_trailing(tail);
        return;
    }
    let indent = match lead.rfind('\n').map(|at| &lead[at + 1..]) {
        Some(indent) if indent.trim().is_empty() => indent,
        _ => "  ",
    };
    array.push_formatted(value.decorated(format!("{comments}\n{indent}"), ""));
    let closing = tail.rfind('\n').map_or("", |at| &tail[at + 1..]);
    array.set_trailing(format!("\n{closing}"));
    array.set_trailing_comma(true);
}

fn raw_text(text: &RawString) -> &str {
    text.as_str().unwrap_or_default()
}

/// Takes the entry that keeps `path` out of the lists. Returns the text as it is if none does.
///
/// What stands around it stays: comments above it, the comment that ends the line before, the layout; the
/// comment on its own line goes with it.
pub fn remove_entry(text: &str, path: &TreePath) -> Result<String> {
    let action = || format!("take `{path}` from the keep list");
    let config = parse_config(text, &action)?;
    let Some(found) = locate_entry(&config, path) else { return Ok(text.to_string()) };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| Error::new(action(), error.message()))?;
    let removed =
        list_of(&mut document, &found).is_some_and(|list| remove_from_list(list, found.index));
    if !removed {
        let line = found.line;
        return Err(Error::new(action(), format!("the list in line {line} has another form"))
            .hint("write each storage as a [[storage]] table, or remove the entry by hand"));
    }
    let edited = document.to_string();
    let after = parse_config(&edited, &action)?;
    if locate_entry(&after, path).is_some() {
        return Err(Error::new(action(), "another entry would still keep it"));
    }
    Ok(edited)
}

/// Where an entry stands.
struct LocatedEntry<'c> {
    storage: usize,
    user: Option<&'c str>,
    kind: EntryKind,
    index: usize,
    line: u32,
}

fn locate_entry<'c>(config: &'c Config, path: &TreePath) -> Option<LocatedEntry<'c>> {
    let storages = config.storages.iter().enumerate().filter(|(_, storage)| storage.enable);
    storages.into_iter().find_map(|(number, storage)| {
        let users = storage.users.iter().map(|user| (Some(user.name.as_str()), &user.entries));
        std::iter::once((None, &storage.entries)).chain(users).find_map(|(user, entries)| {
            let (kind, index, line) = position_in_list(entries, path)?;
            Some(LocatedEntry { storage: number, user, kind, index, line })
        })
    })
}

/// The kind of the entry in force, its number in the list of that kind, and its line.
fn position_in_list(entries: &[DeclaredEntry], path: &TreePath) -> Option<(EntryKind, usize, u32)> {
    let entry = entries.iter().find(|entry| entry.enable && entry.path == *path)?;
    let same_kind = entries.iter().filter(|other| other.kind == entry.kind);
    let index = same_kind.clone().position(|other| std::ptr::eq(other, entry))?;
    Some((entry.kind, index, entry.place.line))
}

fn list_of<'d>(document: &'d mut DocumentMut, found: &LocatedEntry<'_>) -> Option<&'d mut Array> {
    let storage = find_storages(document)?.get_mut(found.storage)?;
    let table: &mut dyn TableLike = match found.user {
        None => storage,
        Some(user) => storage
            .get_mut("users")?
            .as_table_like_mut()?
            .get_mut(user)
            .and_then(Item::as_table_like_mut)?,
    };
    table.get_mut(found.kind.list_key())?.as_array_mut()
}

/// Takes one element out; `false` if the list has no such element.
fn remove_from_list(list: &mut Array, index: usize) -> bool {
    let Some(element) = list.get(index) else { return false };
    let decor = element.decor();
    let before = decor.prefix().map(raw_text).unwrap_or_default().to_string();
    let after = decor.suffix().map(raw_text).unwrap_or_default().to_string();
    list.remove(index);
    if let Some(next) = list.get_mut(index) {
        let follows = next.decor().prefix().map(raw_text).unwrap_or_default();
        let follows = format!("{after}{follows}");
        let joined = match rest_of_lines(&follows) {
            Some(rest) => format!("{}{rest}", whole_lines(&before)),
            None => before,
        };
        next.decor_mut().set_prefix(joined);
        return true;
    }
    let follows = format!("{after}{}", raw_text(list.trailing()));
    let above = whole_lines(&before);
    let rest = match rest_of_lines(&follows) {
        Some(rest) => rest,
        // The bracket must not end up in a comment.
        None if above.contains('#') => "\n",
        None if list.is_empty() => "",
        None => follows.as_str(),
    };
    let trailing = format!("{above}{rest}");
    let nothing_left = list.is_empty() && trailing.trim().is_empty();
    list.set_trailing(if nothing_left { "" } else { &trailing });
    true
}

/// What stands before the line that an element begins: the end of the line before, and lines of
/// comments.
fn whole_lines(before: &str) -> &str {
    before.rfind('\n').map_or("", |at| &before[..at])
}

/// What stands after the line that an element ends, with the line break; `None` if the next one is
/// on the same line.
fn rest_of_lines(after: &str) -> Option<&str> {
    after.find('\n').map(|at| &after[at..])
}
