//! What the facts are gathered from: live, blank, the configuration and the host, opened once.

use dirfd::path::Escaped;
use std::os::fd::AsFd;
use std::path::Path;

use backends::{Backend, Tree, View};
use chrono::{DateTime, Utc};
use dirfd::{Error, Result, TreePath};

use crate::boot::command_line::CommandLine;
use crate::config::Config;
use crate::doctor::machine_facts::Unchecked;
use crate::host::HostRoot;

/// Where everything is.
pub(crate) struct Sources<'a> {
    /// The configuration.
    pub(crate) config: &'a Config,
    /// Where live is mounted.
    pub(crate) root_path: &'a Path,
    /// The same, open.
    pub(crate) root: &'a HostRoot,
    /// Whose memory it is.
    pub(crate) host: &'a HostRoot,
    /// The file system that holds the root, or why it cannot be opened.
    pub(crate) backend: Result<Box<dyn Backend>>,
    /// The kernel command line, if it is the one that booted this root.
    pub(crate) command_line: Option<CommandLine>,
    /// What time it is.
    pub(crate) clock: DateTime<Utc>,
}

pub(crate) fn push_unchecked(unchecked: &mut Vec<Unchecked>, what: &str, error: &Error) {
    unchecked.push(Unchecked::new(what, error));
}

pub(crate) fn tree_path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap_or_default()
}

/// The trees of the root's file system.
#[derive(Default)]
pub(crate) struct Trees {
    pub(crate) live: Option<Tree>,
    pub(crate) blank: Option<View>,
    pub(crate) blank_name: String,
    pub(crate) to_change_it: Option<[String; 2]>,
    /// What the next boot starts from is known.
    pub(crate) known: bool,
    /// Blank was made in this boot, and the next one is the first that is rolled back.
    pub(crate) before_first_rollback: bool,
    /// Live is what the root shows.
    pub(crate) live_is_root: bool,
}

pub(crate) fn open_trees(sources: &Sources<'_>, unchecked: &mut Vec<Unchecked>) -> Trees {
    // Where that cannot be told, `--root` is taken at its word.
    let mut trees = Trees { live_is_root: true, ..Trees::default() };
    let what = "what the next boot starts from, and with it who can log in then";
    if let Err(error) = fill_trees(sources, &mut trees) {
        push_unchecked(unchecked, what, &error);
    }
    if trees.live.is_some() && !trees.live_is_root {
        let why = format!("what is mounted at {} is not live", Escaped::of_path(sources.root_path));
        let what = "whether kept paths are in their places, and who can log in now";
        unchecked.push(Unchecked::new(what, &why));
    }
    trees
}

fn fill_trees(sources: &Sources<'_>, trees: &mut Trees) -> Result<()> {
    let backend = match &sources.backend {
        Ok(backend) => backend,
        Err(error) => return Err(Error::new("open the root's file system", error)),
    };
    let (live, blank) = backend.live_and_blank()?;
    let running = backend.identify(
        sources.root.dir(".").map_err(|e| Error::io("open the running root", e))?.as_fd(),
    )?;
    trees.live_is_root = live.tree().is_none_or(|live| Some(&live.id) == running.as_ref());
    trees.live = live.tree().cloned();
    if !backend.abilities().needs_rollback {
        trees.blank_name = "an empty root".to_string();
        trees.known = true;
        return Ok(());
    }
    let Some(blank) = blank.tree() else {
        return Err(Error::new("open blank", "it is missing").hint("run `blankroot init`"));
    };
    trees.blank = Some(backend.view(blank)?);
    trees.blank_name = format!("blank (`{}`)", blank.name);
    trees.to_change_it = backend.how_to_change_read_only(blank);
    trees.known = true;
    // Where that cannot be told, what is pending is told as what is not in its place.
    if let Ok(facts) = crate::boot::facts::BootFacts::gather(sources.host, sources.clock)
        && facts.is_before_first_rollback(Some(blank), false)
    {
        trees.before_first_rollback = backend.survey()?.old_roots.is_empty();
    }
    Ok(())
}
