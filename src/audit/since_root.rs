//! `--since BOOT`: the old root from which on old roots are asked, so that what came after it is new.

use std::os::fd::AsFd;
use std::path::Path;

use backends::{Backend, OldRoot, Tree, TreeId, kinship};
use chrono::{DateTime, Utc};
use dirfd::path::Escaped;
use dirfd::{Error, Result};

use crate::config::Config;
use crate::evidence::ask_old_roots::{read_digest_of, unreadable};
use crate::evidence::stored_digests::read_all_boots;
use crate::restore::name_old_root::{OldRootLabel, find_old_root};

/// An old root by its name, and by what its digest is of.
#[derive(Debug)]
pub(crate) struct SinceRoot {
    pub(crate) name: String,
    pub(crate) id: TreeId,
}

/// The one that `asked` means: a name, a number or the beginning of a boot's id, as for `restore --from`. An error
/// where it has no digest that can be asked.
pub(crate) fn find_since(
    backend: &dyn Backend,
    config: &Config,
    root: &Path,
    blank: Option<&Tree>,
    asked: &str,
) -> Result<SinceRoot> {
    match blank {
        Some(blank) => find_among_old_roots(backend, blank, asked),
        None => find_among_boots(config, root, asked),
    }
}

fn find_among_old_roots(backend: &dyn Backend, blank: &Tree, asked: &str) -> Result<SinceRoot> {
    let survey = backend.survey_without_mounts()?;
    let own: Vec<&OldRoot> = kinship::own_old_roots(&survey);
    let labels: Vec<_> = own.iter().map(|old_root| OldRootLabel::of(old_root)).collect();
    let at = find_old_root(asked, &labels)?;
    let (old_root, name) = (own[at], labels[at].name.clone());
    let action = || format!("ask what the old root {name} had");
    let read = backend.old_dir()?.map(|dir| read_digest_of(dir.as_fd(), old_root, blank));
    let digest =
        read.unwrap_or(Ok(None)).map_err(|why| unreadable(&format!("the old root {name}"), why))?;
    let Some(digest) = digest else {
        return Err(Error::new(action(), "it has no digest against the blank of today")
            .hint("`blankroot expire` makes it; so does the next boot"));
    };
    match &digest.header().cut {
        Some(why) => Err(Error::new(action(), format!("its digest was cut: {why}"))
            .hint("name another old root")),
        None => Ok(SinceRoot { name, id: old_root.tree.id.clone() }),
    }
}

fn find_among_boots(config: &Config, root: &Path, asked: &str) -> Result<SinceRoot> {
    let mut boots = read_all_boots(config, root)?;
    boots.reverse();
    let labels: Vec<_> = boots
        .iter()
        .map(|(name, digest)| {
            let boot = digest.header().boots.last();
            OldRootLabel {
                name: name.clone(),
                boot_id: boot.map_or_else(String::new, |boot| boot.id.clone()),
                time: boot.map_or(DateTime::<Utc>::UNIX_EPOCH, |boot| boot.time),
            }
        })
        .collect();
    if labels.is_empty() {
        let action = format!("find the boot `{}`", Escaped(asked.as_bytes()));
        return Err(Error::new(action, "no boot before this one has left a digest")
            .hint("`blankroot digest` writes it when the machine goes down"));
    }
    let at = find_old_root(asked, &labels)?;
    let (name, digest) = &boots[at];
    Ok(SinceRoot { name: name.clone(), id: digest.header().tree.clone() })
}
