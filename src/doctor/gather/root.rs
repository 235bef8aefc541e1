//! Reads what mounts the root at the next boot: live's fstab, blank's, and the kernel command line.

use std::os::fd::AsFd;

use backends::{Error, Kinship, Result};

use super::trees::Trees;
use super::{Sources, cannot};
use crate::doctor::facts::{Facts, RootFacts};
use crate::facts::fstab::{self, Entry};
use crate::facts::fstab_mounts::{Mounts, storages};
use crate::keep::KeepEntry;
use crate::plan::next_root::Boot;
use crate::plan::refusal;

pub(super) fn gather(
    sources: &Sources<'_>,
    trees: &Trees,
    entries: &[KeepEntry],
    facts: &mut Facts,
) {
    match fstab::read(sources.root.as_fd()) {
        Ok(text) => {
            by_fstab(sources, &fstab::entries(&text), entries, facts);
            match root(sources, trees, &text) {
                Ok(root) => facts.root = root,
                Err(error) => cannot(&mut facts.unchecked, "what the next boot mounts", &error),
            }
        }
        Err(why) => {
            let error = Error::io("read /etc/fstab", why);
            cannot(&mut facts.unchecked, "what is mounted at boot", &error);
        }
    }
}

fn by_fstab(sources: &Sources<'_>, fstab: &[Entry], list: &[KeepEntry], facts: &mut Facts) {
    let places = storages(list);
    let live = sources.config.root.layout().map(|layout| &layout.live);
    let mounts = Mounts { entries: fstab, storages: &places, live };
    let found = list.iter().filter_map(|one| Some((one.path.clone(), mounts.at(&one.path)?)));
    facts.by_fstab = found.collect();
}

fn root(sources: &Sources<'_>, trees: &Trees, text: &[u8]) -> Result<RootFacts> {
    let config = &sources.config.root;
    let (Ok(backend), Some(layout)) = (&sources.backend, config.layout()) else {
        return Ok(RootFacts::default());
    };
    let file_system = backend.file_system()?;
    let fstab = fstab::root_entries(text);
    let now = Boot { line: sources.command_line.as_ref(), fstab: &fstab, whose: "/etc/fstab" };
    let mut found = RootFacts { numbers: now.numbers(layout), ..RootFacts::default() };
    let told = |boot: &Boot<'_>| {
        boot.other_root(config, &file_system).map(|other| (other.to_string(), other.mend()))
    };
    found.other = told(&now);
    if let Some(blank) = &trees.blank {
        let text = fstab::read(blank.as_fd()).map_err(|e| Error::io("read blank's fstab", e))?;
        let fstab = fstab::root_entries(&text);
        let next = Boot { line: None, fstab: &fstab, whose: "blank's fstab" };
        let anew = format!(
            "make blank anew of a live whose /etc/fstab is right: give `{}` another name, and run \
             `blankroot init`",
            layout.blank
        );
        let numbers = next.numbers(layout).into_iter();
        found.numbers.extend(numbers.map(|(reason, _)| (reason, anew.clone())));
        // The command line decides, whatever is in blank.
        let line = sources.command_line.as_ref();
        let next = told(&Boot { line, ..next }).map(|(reason, _)| (reason, anew));
        found.other = found.other.or(next);
    }
    if let Kinship::Unrelated(unreadable) = backend.survey()?.kinship {
        let reason = refusal::unrelated(&layout.live, &layout.blank, &unreadable);
        found.unrelated = Some((reason, refusal::mend_unrelated(&layout.blank)));
    }
    Ok(found)
}
