//! What differs between two trees: the backend's fast way, or a walk of both.

use std::os::fd::AsFd;

use backends::walk::{walk, walk_added};
use backends::{Backend, Changes, FastChanges, Result, Tree};

/// How the changes were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file system told what was written since.
    Fast,
    /// Both trees were walked; the text completes "walked both trees, because …".
    Walk(String),
    /// There is no blank to compare with: everything in live counts as new.
    Alone,
}

/// The exact changes and how they were found.
#[derive(Debug)]
pub struct Diff {
    /// Sorted by path bytes.
    pub changes: Changes,
    /// How they were found.
    pub method: Method,
}

/// What differs in `live` against `blank`. A walk tells `progress` how many names it has looked at.
pub fn diff(
    backend: &dyn Backend,
    blank: &Tree,
    live: &Tree,
    progress: &dyn Fn(u64),
) -> Result<Diff> {
    let why = match backend.changes(blank, live)? {
        FastChanges::Exact(changes) => return Ok(Diff { changes, method: Method::Fast }),
        FastChanges::Unavailable(why) => why,
    };
    let (older, newer) = (backend.view(blank)?, backend.view(live)?);
    let changes = walk(older.as_fd(), newer.as_fd(), progress)?;
    Ok(Diff { changes, method: Method::Walk(why) })
}

/// Everything in `live`, for a file system that has no blank.
pub fn everything(backend: &dyn Backend, live: &Tree, progress: &dyn Fn(u64)) -> Result<Diff> {
    let view = backend.view(live)?;
    let changes = walk_added(view.as_fd(), progress)?;
    Ok(Diff { changes, method: Method::Alone })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use backends::directory::Directory;
    use backends::{Layout, Origin, TreeName};

    use super::*;

    #[test]
    fn a_backend_without_a_fast_way_is_walked_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let name = |name: &str| TreeName::new(name).unwrap();
        let layout = Layout { live: name("live"), blank: name("blank"), old: name("old") };
        fs::create_dir(dir.path().join("live")).unwrap();
        let backend = Directory::open(dir.path(), layout).unwrap();
        let blank = backend.lock().unwrap().capture(Origin::Live).unwrap();
        fs::write(dir.path().join("live/new"), "").unwrap();
        let live = backend.survey().unwrap().live.tree().cloned().unwrap();
        let found = diff(&backend, &blank, &live, &|_| {}).unwrap();
        assert_eq!(found.changes.len(), 1);
        assert!(matches!(found.method, Method::Walk(why) if why.contains("directory")));
        let found = everything(&backend, &live, &|_| {}).unwrap();
        assert_eq!((found.changes.len(), found.method), (1, Method::Alone));
    }
}
