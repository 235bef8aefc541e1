//! Looks at each storage: what it lies on, its directory, and what is in it.

use std::os::fd::AsFd;

use backends::{Error, FileType, Result};

use super::content::Survey;
use super::mounts::Mounts;
use super::tomorrow::Tomorrow;
use super::tree::{self, Look};
use super::trees::Trees;
use super::{Sources, cannot};
use crate::config::Storage;
use crate::doctor::facts::{ByHand, Content, Facts, Lies, Missing, Node, StorageFacts};
use crate::facts::at_boot;
use crate::keep::KeepEntry;

/// How many names of one storage are looked at.
const NAMES: usize = 200_000;

pub(super) fn gather(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    entries: &[KeepEntry],
    facts: &mut Facts,
) {
    for storage in sources.config.storages.iter().filter(|storage| storage.enable) {
        let found = one(sources, trees, mounts, storage);
        let (lies, root) = found.unwrap_or_else(|error| {
            let what = format!("the storage {}", storage.path);
            cannot(&mut facts.unchecked, &what, &error);
            (Lies::Unknown, None)
        });
        let survey = Survey {
            root: sources.root.as_fd(),
            mounts,
            storage: &storage.path,
            entries: entries.iter().filter(|entry| entry.storage == storage.path).collect(),
            limit: NAMES,
        };
        let content = match root {
            Some(_) => survey.run(&mut facts.unchecked),
            None => Content::default(),
        };
        let (path, place, by_hand) = (storage.path.clone(), storage.place, None);
        facts.storages.push(StorageFacts { path, place, lies, root, by_hand, content });
    }
}

/// Tells which storages the next boot does not mount.
pub(super) fn mounted_by_hand(sources: &Sources<'_>, tomorrow: &Tomorrow<'_>, facts: &mut Facts) {
    let now = sources.root.as_fd();
    // An fstab is read before anything is in its place, so that blank's own counts. With an empty blank, and
    // on NixOS, each boot makes one: it will be what it is now.
    let makes_its_own = sources.root.has("etc/NIXOS").unwrap_or(false);
    let blanks = tomorrow.blank.map(AsFd::as_fd).filter(|_| !makes_its_own);
    let next = blanks.filter(|blank| at_boot::has(*blank, "etc").unwrap_or(true));
    for storage in facts.storages.iter_mut().filter(|storage| storage.lies == Lies::Safe) {
        let Some((point, mount)) = tomorrow.mounts.showing(&storage.path) else { continue };
        match at_boot::mounts(&point, mount, next.unwrap_or(now), sources.host) {
            Ok(true) => {}
            Ok(false) => {
                let in_live = at_boot::mounts(&point, mount, now, sources.host);
                let missing = match (next.is_some(), in_live) {
                    (true, Ok(true)) => Missing::InBlank,
                    (true, _) => Missing::Everywhere,
                    (false, _) => Missing::InLive,
                };
                let line = at_boot::line(&point, mount);
                storage.by_hand = Some(ByHand { point, line, missing });
            }
            Err(error) => {
                let what = format!("whether the next boot mounts {point}");
                cannot(&mut facts.unchecked, &what, &error);
            }
        }
    }
}

fn one(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    storage: &Storage,
) -> Result<(Lies, Option<Node>)> {
    let action = || format!("look at {}", storage.path);
    mounts.refuse_users_own(&storage.path)?;
    let seen = match tree::look(sources.root.as_fd(), &storage.path)? {
        Look::Nothing if mounts.lies(&storage.path) == Lies::Safe => {
            return Ok((Lies::NotMade, None));
        }
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
