//! Decides which storage a path goes to, and which paths cannot be kept at all. Pure.

use backends::path::shell_path;
use backends::{Error, Result, TreePath};

use crate::config::{Config, EntryKind, Storage, is_own_file};
use crate::keep::KeepEntry;
use crate::known;

/// The storage for `path`: the one that is asked for, the only one, or the one that holds what is
/// kept nearest to it.
pub fn storage(config: &Config, asked: Option<&TreePath>, path: &TreePath) -> Result<TreePath> {
    if let Some(asked) = asked {
        return Ok(asked.clone());
    }
    let storages: Vec<&Storage> = config.storages.iter().filter(|one| one.enable).collect();
    let action = format!("choose a storage for {path}");
    let nearest = |storage: &Storage| {
        let users = storage.users.iter().flat_map(|user| &user.entries);
        let entries = storage.entries.iter().chain(users).filter(|entry| entry.enable);
        entries.map(|entry| common(&entry.path, path)).max().unwrap_or(0)
    };
    let depth = storages.iter().map(|storage| nearest(storage)).max().unwrap_or(0);
    let near: Vec<&&Storage> = storages.iter().filter(|one| nearest(one) == depth).collect();
    match (storages.as_slice(), near.as_slice()) {
        ([], _) => {
            let mend = "name a directory that survives with `--storage DIR`; it is added to the \
                        configuration";
            Err(Error::new(action, "the configuration has no storage").mend(mend))
        }
        ([only], _) => Ok(only.path.clone()),
        (_, [one]) if depth > 0 => Ok(one.path.clone()),
        (all, _) => {
            let names: Vec<String> = all.iter().map(|one| one.path.to_string()).collect();
            let why = format!("there are {} of them: {}", names.len(), names.join(", "));
            Err(Error::new(action, why).mend("name one with `--storage DIR`"))
        }
    }
}

/// How many directories two paths have in common.
fn common(one: &TreePath, other: &TreePath) -> usize {
    let parts = |path: &TreePath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|&b| b == b'/').map(<[u8]>::to_vec).collect()
    };
    let (one, other) = (parts(one), parts(other));
    one.iter().zip(&other).take_while(|(a, b)| a == b).count()
}

/// What the lists say of a path already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// Nothing.
    Not,
    /// It is an entry itself.
    Itself(Box<KeepEntry>),
    /// It lies in a directory that is kept.
    In(Box<KeepEntry>),
}

/// Looks a path up in the keep list; an error if it cannot be kept whatever is there.
pub fn declared(config: &Config, list: &[KeepEntry], path: &TreePath) -> Result<Declared> {
    let action = format!("keep {path}");
    if path.depth() == 0 {
        return Err(Error::new(action, "it is the root itself").mend("keep what is below it"));
    }
    for storage in config.storages.iter().filter(|storage| storage.enable) {
        let (name, line) = (&storage.path, storage.place.line);
        if path.is_within(name) {
            let why = format!("it lies in the storage {name} (line {line}), and survives anyway");
            return Err(Error::new(action, why));
        }
        if name.is_within(path) {
            let why = format!("it contains the storage {name} (line {line})");
            return Err(Error::new(action, why).mend("keep only what lies beside the storage"));
        }
    }
    let is_dir = |entry: &KeepEntry| entry.kind == EntryKind::Dir;
    if let Some(entry) = list.iter().find(|entry| entry.path == *path) {
        return Ok(Declared::Itself(Box::new(entry.clone())));
    }
    if let Some(entry) = list.iter().find(|entry| is_dir(entry) && path.is_within(&entry.path)) {
        return Ok(Declared::In(Box::new(entry.clone())));
    }
    if let Some(entry) = list.iter().find(|entry| entry.path.is_within(path)) {
        let (below, line) = (&entry.path, entry.place.line);
        let why = format!("{below}, which lies in it, is kept on its own (line {line})");
        let word = shell_path(below);
        // Nothing could tell where the list of what is kept is, if that were kept with what is around it.
        let mend = match is_own_file(below) {
            true => format!(
                "keep what lies beside it: `blankroot diff {}` shows what that is",
                shell_path(path)
            ),
            false => format!("run `blankroot unkeep --move-back {word}` first, then this again"),
        };
        return Err(Error::new(action, why).mend(mend));
    }
    suitable(path)?;
    Ok(Declared::Not)
}

/// Refuses a path that does not work as a kept one; else what will not work about it, if anything. An
/// entry that is made by a command is early only where it is known to be needed so.
pub fn suitable(path: &TreePath) -> Result<Option<String>> {
    let early = known::about(path, None).is_some_and(|known| known.early);
    let Some(row) = known::unsuitable(path, early) else { return Ok(None) };
    match row.severity {
        known::Severity::Refused => Err(Error::new(format!("keep {path}"), row.why).mend(row.mend)),
        _ => Ok(Some(format!("{path}: {}; better: {}", row.why, row.mend))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::keep;

    fn config(text: &str) -> Config {
        let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
        Config::parse(Path::new("f"), text.as_bytes()).unwrap()
    }

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    const TWO: &str = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/var/log\"]\n\
                       [[storage]]\npath = \"/big\"\ndirectories = [\"/var/lib/db\", \"/srv/a\"]";

    #[test]
    fn the_storage_of_what_is_kept_nearest_is_chosen() {
        let chosen = |text: &str, of: &str| storage(&config(text), None, &path(of));
        assert_eq!(chosen(TWO, "/var/lib/x").unwrap(), path("/big"));
        assert_eq!(chosen(TWO, "/srv/b/c").unwrap(), path("/big"));
        assert_eq!(chosen("[[storage]]\npath = \"/p\"", "/x").unwrap(), path("/p"));
        assert_eq!(
            chosen(TWO, "/etc/x").unwrap_err().to_string(),
            "cannot choose a storage for /etc/x: there are 2 of them: /persist, /big\n  mend: name \
             one with `--storage DIR`"
        );
        assert!(chosen(TWO, "/var/x").is_err(), "both are as near");
        assert!(chosen("", "/x").unwrap_err().to_string().contains("has no storage"));
        let asked = path("/other");
        assert_eq!(storage(&config(TWO), Some(&asked), &path("/srv/b")).unwrap(), asked);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_line() {
        let config = config(TWO);
        let list = keep::list(&config);
        let answer = |of: &str| declared(&config, &list, &path(of));
        for (of, why) in [
            ("/", "it is the root itself"),
            ("/persist/x", "it lies in the storage /persist (line 4)"),
            ("/big", "it lies in the storage /big"),
            ("/var", "/var/lib/db, which lies in it, is kept on its own (line 8)"),
        ] {
            let error = answer(of).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(matches!(answer("/var/lib/db"), Ok(Declared::Itself(_))));
        assert!(matches!(answer("/var/lib/db/x"), Ok(Declared::In(_))));
        assert_eq!(answer("/var/lib/d").unwrap(), Declared::Not);
    }
}
