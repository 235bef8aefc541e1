//! Gathers the facts: everything that `doctor` reads is read here, and what cannot be read is listed.

mod blank;
mod content;
mod mounts;
mod people;
mod targets;
mod tomorrow;
mod tree;

use std::os::fd::AsFd;
use std::path::Path;

use backends::{Backend, Error, FileType, Result, Tree, TreePath, View};
use chrono::{DateTime, Utc};

use self::content::Survey;
use self::mounts::Mounts;
use self::people::Reader;
use self::tomorrow::Tomorrow;
use self::tree::Look;
use super::facts::{Facts, Lies, MemoryMount, OwnConfig, StorageFacts, Unchecked};
use super::sources;
use crate::config::problem::shown;
use crate::config::{Config, DEFAULT_FILE, Storage};
use crate::host::{HostRoot, is_not_found};
use crate::keep::{self, KeepEntry};

/// How many names of one storage are looked at.
const NAMES: usize = 200_000;

/// Where everything is.
pub struct Sources<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where live is mounted.
    pub root_path: &'a Path,
    /// The same, open.
    pub root: &'a HostRoot,
    /// Whose memory it is.
    pub host: &'a HostRoot,
    /// The file system that holds the root, or why it cannot be opened.
    pub backend: Result<Box<dyn Backend>>,
    /// What time it is.
    pub clock: DateTime<Utc>,
}

/// Gathers all facts; an error only where nothing at all can be told.
pub fn gather(sources: &Sources<'_>) -> Result<Facts> {
    let mounts = Mounts::read(sources.root_path)?;
    let mut facts = Facts {
        today: sources.clock.timestamp().div_euclid(86_400),
        file: shown(&sources.config.file),
        ..Facts::default()
    };
    let trees = trees(sources, &mut facts.unchecked);
    let entries = keep::list(sources.config);
    storages(sources, &trees, &mounts, &entries, &mut facts);
    let lies = facts.storages.iter().map(|s| (s.path.clone(), s.lies)).collect();
    let tomorrow = Tomorrow {
        root: sources.root,
        blank: trees.blank.as_ref(),
        blank_name: trees.blank_name.clone(),
        entries: &entries,
        storages: &lies,
        mounts: &mounts,
    };
    accounts(sources, &trees, &tomorrow, &mut facts);
    memory(sources, &mounts, &mut facts)?;
    if trees.known {
        own_config(sources, &tomorrow, &mut facts);
        facts.nixos_ids_survive = Some(tomorrow.survives(&path("var/lib/nixos")));
    }
    if let Some(view) = &trees.blank {
        let survives = |path: &TreePath| tomorrow.survives(path);
        match blank::gather(view, trees.read_only_again.clone(), survives) {
            Ok(blank) => facts.blank = Some(blank),
            Err(error) => cannot(&mut facts.unchecked, "blank for secrets", &error),
        }
    }
    let live = trees.live_is_root;
    for entry in entries.iter().cloned() {
        facts.entries.push(targets::gather(sources.root, entry, live, &mut facts.unchecked));
    }
    Ok(facts)
}

/// The trees of the root's file system.
#[derive(Default)]
struct Trees {
    live: Option<Tree>,
    blank: Option<View>,
    blank_name: String,
    read_only_again: Option<String>,
    /// What the next boot starts from is known.
    known: bool,
    /// Live is what the root shows.
    live_is_root: bool,
}

fn trees(sources: &Sources<'_>, unchecked: &mut Vec<Unchecked>) -> Trees {
    let mut trees = Trees::default();
    let what = "what the next boot starts from, and with it who can log in then";
    if let Err(error) = open_trees(sources, &mut trees) {
        cannot(unchecked, what, &error);
    }
    if trees.live.is_some() && !trees.live_is_root {
        let why = format!("what is mounted at {} is not live", shown(sources.root_path));
        let what = "whether kept paths are in their places, and who can log in now".to_string();
        unchecked.push(Unchecked { what, why });
    }
    trees
}

fn open_trees(sources: &Sources<'_>, trees: &mut Trees) -> Result<()> {
    let backend = match &sources.backend {
        Ok(backend) => backend,
        Err(error) => {
            let why = error.to_string();
            return Err(Error::new("open the root's file system", why));
        }
    };
    let (live, blank) = backend.live_and_blank()?;
    let running = backend.identify(
        sources.root.dir(".").map_err(|e| Error::io("open the running root", e))?.as_fd(),
    )?;
    trees.live_is_root = live.tree().is_some_and(|live| Some(&live.id) == running.as_ref());
    trees.live = live.tree().cloned();
    if !backend.abilities().needs_rollback {
        trees.blank_name = "an empty root".to_string();
        trees.known = true;
        return Ok(());
    }
    let Some(blank) = blank.tree() else {
        return Err(Error::new("open blank", "it is missing").mend("run `blankroot init`"));
    };
    trees.blank = Some(backend.view(blank)?);
    trees.blank_name = format!("blank (`{}`)", blank.name);
    trees.read_only_again = backend.how_to_make_read_only(blank);
    trees.known = true;
    Ok(())
}

fn storages(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    entries: &[KeepEntry],
    facts: &mut Facts,
) {
    for storage in sources.config.storages.iter().filter(|storage| storage.enable) {
        let found = one_storage(sources, trees, mounts, storage);
        let (lies, root) = found.unwrap_or_else(|error| {
            let what = format!("the storage {}", storage.path);
            cannot(&mut facts.unchecked, &what, &error);
            (Lies::Unknown, None)
        });
        let survey = Survey {
            root: sources.root.as_fd(),
            storage: &storage.path,
            entries: entries.iter().filter(|entry| entry.storage == storage.path).collect(),
            limit: NAMES,
        };
        let content = match root {
            Some(_) => survey.run(&mut facts.unchecked),
            None => super::facts::Content::default(),
        };
        let (path, place) = (storage.path.clone(), storage.place);
        facts.storages.push(StorageFacts { path, place, lies, root, content });
    }
}

fn one_storage(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    storage: &Storage,
) -> Result<(Lies, Option<super::facts::Node>)> {
    let action = || format!("look at {}", storage.path);
    let seen = match tree::look(sources.root.as_fd(), &storage.path)? {
        Look::Nothing => return Ok((Lies::Missing, None)),
        Look::Link { .. } => {
            return Err(Error::new(action(), "it, or a directory on the way to it, is a link")
                .mend("write its real path into the configuration"));
        }
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => seen,
        Look::Seen(seen) => {
            let why = format!("it is no directory, but a {}", seen.node.file_type);
            return Err(Error::new(action(), why));
        }
    };
    let dir = tree::open_beneath(sources.root.as_fd(), &storage.path)
        .map_err(|e| Error::io(action(), e))?;
    let id = sources.backend.as_ref().ok().map(|b| b.identify(dir.as_fd())).transpose()?;
    let is_live = trees.live.as_ref().is_some_and(|live| id.flatten().as_ref() == Some(&live.id));
    let lies = if is_live { Lies::InLive } else { mounts.lies(&storage.path) };
    Ok((lies, Some(seen.node)))
}

fn accounts(sources: &Sources<'_>, trees: &Trees, tomorrow: &Tomorrow<'_>, facts: &mut Facts) {
    let read_now = |path: &TreePath| match sources.root.read(path.as_path()) {
        Ok(text) => Ok((Some(text), "live".to_string())),
        Err(error) if is_not_found(&error) => Ok((None, "live".to_string())),
        Err(error) => Err(Error::io(format!("read {path}"), error)),
    };
    let names_now = |path: &TreePath| match sources.root.names(path.as_path()) {
        Ok(names) => Ok(names),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("list {path}"), error)),
    };
    match sources.root.has("etc/NIXOS") {
        Ok(nixos) => facts.nixos = nixos,
        Err(e) => cannot(&mut facts.unchecked, "for NixOS", &Error::io("look at /etc/NIXOS", e)),
    }
    if trees.live_is_root {
        let reader = Reader { read: &read_now, names: &names_now, when: "now" };
        facts.now = people::gather(&reader, &mut facts.unchecked);
    }
    if trees.known {
        let read = |path: &TreePath| tomorrow.read(path);
        let names = |path: &TreePath| tomorrow.names(path);
        let reader = Reader { read: &read, names: &names, when: "after the next boot" };
        facts.after = people::gather(&reader, &mut facts.unchecked);
    }
}

fn memory(sources: &Sources<'_>, mounts: &Mounts, facts: &mut Facts) -> Result<()> {
    facts.ram = match sources.host.read("proc/meminfo") {
        Ok(text) => sources::memory(&text),
        Err(error) if is_not_found(&error) => None,
        Err(error) => return Err(Error::io("read proc/meminfo", error)),
    };
    let homes: Vec<TreePath> = facts
        .now
        .iter()
        .filter_map(|people| people.accounts.as_ref())
        .flat_map(|accounts| accounts.users())
        .filter(|user| user.uid == 0 || (1000..60_000).contains(&user.uid))
        .filter_map(|user| TreePath::parse(&user.home).ok())
        .collect();
    for (path, mount) in mounts.in_memory() {
        if path != TreePath::root() && !homes.iter().any(|home| home.is_within(&path)) {
            continue;
        }
        match tree::look(sources.root.as_fd(), &path)? {
            Look::Seen(seen) => facts.memory.push(MemoryMount {
                limit: mount.option(b"size").and_then(|size| sources::limit(&size)),
                mode: seen.node.mode,
                path,
            }),
            Look::Nothing | Look::Link { .. } => {}
        }
    }
    Ok(())
}

fn own_config(sources: &Sources<'_>, tomorrow: &Tomorrow<'_>, facts: &mut Facts) {
    let now = std::fs::read(&sources.config.file)
        .map_err(|e| Error::io(format!("read {}", facts.file), e));
    let later = tomorrow.read(&path(DEFAULT_FILE));
    match (now, later) {
        (Ok(now), Ok((later, _))) => {
            facts.own_config = Some(match later {
                Some(later) if later == now => OwnConfig::Same,
                Some(_) => OwnConfig::Other,
                None => OwnConfig::Nothing,
            });
        }
        (Err(error), _) | (_, Err(error)) => {
            cannot(&mut facts.unchecked, "whether the configuration survives", &error);
        }
    }
}

fn cannot(unchecked: &mut Vec<Unchecked>, what: &str, error: &Error) {
    let why = error.to_string().replace('\n', ";");
    unchecked.push(Unchecked { what: what.to_string(), why });
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap_or_default()
}
