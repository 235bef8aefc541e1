//! Takes an entry out of a configuration's text. What stands around it stays: comments above it, the
//! comment that ends the line before, the layout; the comment on its own line goes with it.

use backends::{Error, Result, TreePath};
use toml_edit::{Array, DocumentMut, Item, TableLike};

use super::{find_storages, parse, raw};
use crate::config::{Config, Entry, EntryKind};

/// Takes the entry that keeps `path` out of the lists. Returns the text as it is if none does.
pub fn remove_entry(text: &str, path: &TreePath) -> Result<String> {
    let action = || format!("take `{path}` from the keep list");
    let config = parse(text, &action)?;
    let Some(found) = locate(&config, path) else { return Ok(text.to_string()) };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| Error::new(action(), error.message()))?;
    let removed = list_of(&mut document, &found).is_some_and(|list| take(list, found.index));
    if !removed {
        let line = found.line;
        return Err(Error::new(action(), format!("the list in line {line} has another form"))
            .mend("write each storage as a [[storage]] table, or remove the entry by hand"));
    }
    let edited = document.to_string();
    let after = parse(&edited, &action)?;
    if locate(&after, path).is_some() {
        return Err(Error::new(action(), "another entry would still keep it"));
    }
    Ok(edited)
}

/// Where an entry stands.
struct Found<'c> {
    storage: usize,
    user: Option<&'c str>,
    kind: EntryKind,
    index: usize,
    line: u32,
}

fn locate<'c>(config: &'c Config, path: &TreePath) -> Option<Found<'c>> {
    let storages = config.storages.iter().enumerate().filter(|(_, storage)| storage.enable);
    storages.into_iter().find_map(|(number, storage)| {
        let users = storage.users.iter().map(|user| (Some(user.name.as_str()), &user.entries));
        std::iter::once((None, &storage.entries)).chain(users).find_map(|(user, entries)| {
            let (kind, index, line) = position(entries, path)?;
            Some(Found { storage: number, user, kind, index, line })
        })
    })
}

/// The kind of the entry in force, its number in the list of that kind, and its line.
fn position(entries: &[Entry], path: &TreePath) -> Option<(EntryKind, usize, u32)> {
    let entry = entries.iter().find(|entry| entry.enable && entry.path == *path)?;
    let same_kind = entries.iter().filter(|other| other.kind == entry.kind);
    let index = same_kind.clone().position(|other| std::ptr::eq(other, entry))?;
    Some((entry.kind, index, entry.place.line))
}

fn list_of<'d>(document: &'d mut DocumentMut, found: &Found<'_>) -> Option<&'d mut Array> {
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
fn take(list: &mut Array, index: usize) -> bool {
    let Some(element) = list.get(index) else { return false };
    let decor = element.decor();
    let before = decor.prefix().map(raw).unwrap_or_default().to_string();
    let after = decor.suffix().map(raw).unwrap_or_default().to_string();
    list.remove(index);
    if let Some(next) = list.get_mut(index) {
        let follows = next.decor().prefix().map(raw).unwrap_or_default();
        let follows = format!("{after}{follows}");
        let joined = match rest_of_lines(&follows) {
            Some(rest) => format!("{}{rest}", whole_lines(&before)),
            None => before,
        };
        next.decor_mut().set_prefix(joined);
        return true;
    }
    let follows = format!("{after}{}", raw(list.trailing()));
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
