//! What a shell offers for `restore`: old roots, and the paths that they have.
//!
//! Whoever may not open the file system is offered nothing, and an error is nobody's to read here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap_complete::engine::CompletionCandidate;
use dirfd::{TreePath, directory_walker};
use rustix::fs::OFlags;

use crate::config::{Config, DEFAULT_FILE};
use crate::persist::create::open_beneath;
use crate::persist::list::kept_configuration;
use crate::restore::find_versions::OldRoots;

/// Where the machine's own root is.
const ROOT: &str = "/";

/// The names of old roots, the youngest first, and `last`.
pub(crate) fn complete_old_root(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = with_old_roots(|old_roots| {
        let labels = old_roots.labels().rev();
        labels
            .map(|label| CompletionCandidate::new(&label.name).help(Some(label.when().into())))
            .collect()
    });
    if !candidates.is_empty() {
        candidates.push(CompletionCandidate::new("last").help(Some("the youngest".into())));
    }
    let typed = typed.as_bytes();
    candidates.retain(|one| one.get_value().as_bytes().starts_with(typed));
    candidates
}

/// The paths that begin with what is typed, in any old root.
pub(crate) fn complete_path(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.as_bytes();
    let start = typed.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let (dir, prefix) = typed.split_at(start);
    let Ok(here) = std::env::current_dir() else { return Vec::new() };
    let whole = here.join(OsStr::from_bytes(dir));
    let Ok(whole) = TreePath::parse(whole.as_os_str().as_bytes()) else { return Vec::new() };
    let mut names: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
    with_old_roots(|old_roots| {
        for label in old_roots.labels() {
            let Ok(view) = old_roots.view(&label.name) else { continue };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let Ok(opened) = open_beneath(view.as_fd(), whole.as_path(), flags) else { continue };
            let entries = directory_walker::list_entries(opened.as_fd()).unwrap_or_default();
            for entry in entries {
                let name = entry.name.into_bytes();
                if is_offered(&name, prefix) {
                    *names.entry(name).or_default() |= entry.is_dir.unwrap_or(false);
                }
            }
        }
        Vec::new()
    });
    let candidate = |(name, is_dir): (Vec<u8>, bool)| {
        let end: &[u8] = if is_dir { b"/" } else { b"" };
        CompletionCandidate::new(OsString::from_vec([dir, &name, end].concat()))
    };
    names.into_iter().map(candidate).collect()
}

/// A name with a line break would be two for the shell, and one with an escape may steer the terminal.
fn is_offered(name: &[u8], prefix: &[u8]) -> bool {
    let is_hidden = name.starts_with(b".") && prefix.is_empty();
    name.starts_with(prefix) && !is_hidden && !name.iter().any(u8::is_ascii_control)
}

fn with_old_roots(
    list: impl FnOnce(&OldRoots<'_>) -> Vec<CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let root = Path::new(ROOT);
    let found = || {
        let config = Config::load(Path::new(DEFAULT_FILE)).ok()?;
        let config = match kept_configuration(&config, root) {
            Some(kept) => Config::load(&kept).ok()?,
            None => config,
        };
        config.root.layout()?;
        let backend = config.open_backend(root).ok()?;
        let old_roots = backend.survey_without_mounts().ok()?.old_roots;
        Some(list(&OldRoots::new(old_roots, &|tree| backend.view(tree))))
    };
    found().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_and_those_that_steer_a_terminal_are_not_offered() {
        for (name, prefix, is) in [
            (&b"notes"[..], &b""[..], true),
            (b"notes", b"no", true),
            (b"notes", b"x", false),
            (b".ssh", b"", false),
            (b".ssh", b".", true),
            (b"a b\xff", b"a", true),
            (b"a\nb", b"a", false),
            (b"a\x1b[2J", b"a", false),
        ] {
            assert_eq!(is_offered(name, prefix), is, "{:?}", OsStr::from_bytes(name));
        }
    }

    #[test]
    fn where_there_is_no_configuration_nothing_is_offered() {
        if !Path::new(DEFAULT_FILE).exists() {
            assert!(complete_old_root(OsStr::new("")).is_empty());
            assert!(complete_path(OsStr::new("/etc/")).is_empty());
        }
    }
}
