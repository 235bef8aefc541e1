//! What blank holds, at the places where secrets are known to be.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use backends::stat::Place;
use backends::{Error, FileType, Result, TreePath, View};

use super::content::{head, is_public};
use super::tree::{self, Look};
use crate::doctor::facts::{BlankFacts, Secret};
use crate::doctor::key::is_private_key;
use crate::keep::Home;
use crate::known::{self, ALL};

/// Names that are looked at in one directory.
const NAMES: usize = 1000;

/// Where private keys are that have no name of their own.
const KEYS: &[&str] = &["etc/ssl/private", "etc/pki/tls/private", "etc/letsencrypt/archive"];

/// Looks at the known places. `survives` tells what blank's own copy is not used for.
pub(super) fn gather(
    blank: &View,
    to_change_it: Option<[String; 2]>,
    survives: impl Fn(&TreePath) -> bool,
) -> Result<BlankFacts> {
    let tree = blank.as_fd();
    let Look::Seen(root) = tree::look(tree, &TreePath::root())? else {
        return Err(Error::new("look at blank", "its top directory is not there"));
    };
    let mut secrets = Vec::new();
    for (path, home) in places(tree)? {
        let Some(known) = known::about(&path, home.as_ref()).filter(|known| known.secret) else {
            continue;
        };
        // Hashes of passwords are what lets people in.
        if matches!(path.as_bytes(), b"etc/shadow" | b"etc/gshadow") || !holds(tree, &path, false)?
        {
            continue;
        }
        let kept = survives(&path);
        secrets.push(Secret { path, what: known.what.to_string(), kept });
    }
    for dir in KEYS {
        let path = TreePath::parse(dir.as_bytes()).unwrap_or_default();
        if holds(tree, &path, true)? {
            let kept = survives(&path);
            secrets.push(Secret { path, what: "private keys".to_string(), kept });
        }
    }
    let machine_id = match tree::look(tree, &path("etc/machine-id"))? {
        Look::Seen(seen) if seen.node.file_type == FileType::File => {
            is_machine_id(&tree::content(tree, &path("etc/machine-id"))?)
        }
        _ => false,
    };
    let seeds = ["var/lib/systemd/random-seed", "var/lib/urandom/random-seed"];
    let mut random_seed = None;
    for seed in seeds.map(path) {
        if !survives(&seed) && holds(tree, &seed, false)? {
            random_seed = Some(seed);
        }
    }
    Ok(BlankFacts {
        to_change_it,
        root: root.node,
        secrets,
        machine_id,
        random_seed,
        older_initrd: None,
    })
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap_or_default()
}

/// `uninitialized` and an empty file ask for a new one (machine-id(5)).
fn is_machine_id(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Every place that a known pattern may mean in this tree, each with the home that it lies in.
fn places(tree: BorrowedFd<'_>) -> Result<Vec<(TreePath, Option<Home>)>> {
    let home = |user: &str, path: TreePath| Home {
        user: user.to_string(),
        data: path.clone(),
        path,
        uid: None,
        gid: None,
    };
    let mut homes = vec![home("root", path("root"))];
    for name in names(tree, &path("home"))? {
        homes.push(home("", path("home").join(name.as_bytes())));
    }
    let mut places = Vec::new();
    for known in ALL.iter().filter(|known| known.secret) {
        match known.pattern.strip_prefix("~/") {
            Some(below) => places.extend(
                homes.iter().map(|home| (home.path.join_path(&path(below)), Some(home.clone()))),
            ),
            None => places.extend(matching(tree, known.pattern)?.into_iter().map(|p| (p, None))),
        }
    }
    Ok(places)
}

/// A pattern itself, or with a `*` the names in its directory; what they are is told by `known`.
fn matching(tree: BorrowedFd<'_>, pattern: &str) -> Result<Vec<TreePath>> {
    let Some((dir, _)) = pattern.rsplit_once('/').filter(|(_, last)| last.contains('*')) else {
        return Ok(vec![path(pattern)]);
    };
    let dir = path(dir);
    Ok(names(tree, &dir)?.iter().map(|name| dir.join(name.as_bytes())).collect())
}

/// Whether there is content at `path`: in a file, or in one that is at most two directories deep.
/// With `keys`, only private keys count.
fn holds(tree: BorrowedFd<'_>, path: &TreePath, keys: bool) -> Result<bool> {
    match tree::look(tree, path)? {
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => {}
        Look::Seen(seen) => {
            return Ok(seen.node.file_type == FileType::File && seen.stat.facts.size > 0);
        }
        Look::Nothing | Look::Link { .. } => return Ok(false),
    }
    let failed = |e: io::Error| Error::io(format!("look into {path} in blank"), e);
    let mut dirs = vec![(path.clone(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        let opened = tree::open_dir(tree, &dir).map_err(failed)?;
        for name in tree::names(opened.as_fd(), NAMES).map_err(failed)? {
            let below = dir.join(name.as_bytes());
            let c_name = CString::new(name.as_bytes())
                .map_err(|e| Error::new(format!("look into {path} in blank"), e))?;
            let place = Place { dir: opened.as_fd(), name: &c_name };
            let facts = place.stat().map_err(failed)?.facts;
            match facts.file_type {
                FileType::Dir if depth < 2 => dirs.push((below, depth + 1)),
                FileType::File
                    if facts.size > 0
                        && !is_public(name.as_bytes())
                        && (!keys || is_private_key(&head(place).map_err(failed)?)) =>
                {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
    Ok(false)
}

fn names(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<std::ffi::OsString>> {
    match tree::look(tree, path)? {
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => {
            let dir = tree::open_dir(tree, path);
            let names = dir.and_then(|dir| tree::names(dir.as_fd(), NAMES));
            names.map_err(|e| Error::io(format!("list {path} in blank"), e))
        }
        _ => Ok(Vec::new()),
    }
}
