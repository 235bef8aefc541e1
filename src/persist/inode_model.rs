//! What a directory or file that one side of a kept path lacks is to be like: what the other side has
//! in its place, else the old root that data is taken from, else blank.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::cause::Cause;
use dirfd::stat::of_open;
use dirfd::{FileType, TreePath};
use rustix::fs::OFlags;

use crate::config::entry::EntryKind;
use crate::host::{Machine, is_not_found};
use crate::persist::create::{self, InodeAttributes};
use crate::persist::hidden_content::Baseline;
use crate::persist::observed::{InodeModel, Observations, PathState};
use crate::persist::resolve::ResolvedEntry;

/// Finds models for all that is missing on either side.
pub(crate) fn find_models(
    machine: &Machine,
    resolved: &[ResolvedEntry],
    baseline: &mut Baseline<'_>,
    observed: &mut Observations,
) {
    for one in resolved {
        // What is seen at its place comes before what a parent that is yet to be mounted will hide.
        let places = [&one.made_at].into_iter().chain(&one.before);
        for place in places.filter(|place| **place != one.source) {
            for (stored, seen, kind) in counterparts(one, place) {
                learn_from_live(machine, &stored, &seen, kind, observed);
                learn_from_live(machine, &seen, &stored, kind, observed);
            }
        }
        for (stored, path, kind) in counterparts(one, &one.entry.path) {
            let places = [&stored, &path];
            if let Some(old_root) = baseline.old_root() {
                learn_from_tree(Ok(Some(old_root)), " in the old root", places, kind, observed);
            }
            if places.iter().any(|place| is_wanted(place, observed)) {
                let blank = baseline.blank_of(machine).map_err(io::Error::other);
                learn_from_tree(blank, " in blank", places, kind, observed);
            }
        }
    }
}

/// An entry's data and its place, and their parents as long as both sides name them alike.
fn counterparts(one: &ResolvedEntry, place: &TreePath) -> Vec<(TreePath, TreePath, EntryKind)> {
    let mut pairs = Vec::new();
    let (mut stored, mut seen, mut kind) = (one.source.clone(), place.clone(), one.entry.kind);
    loop {
        pairs.push((stored.clone(), seen.clone(), kind));
        let same = stored.name() == seen.name();
        let parents = stored.parent().zip(seen.parent()).filter(|_| same);
        let Some((a, b)) = parents.filter(|(a, b)| a.depth() > 0 && b.depth() > 0) else {
            return pairs;
        };
        (stored, seen, kind) = (a, b, EntryKind::Dir);
    }
}

fn learn_from_live(
    machine: &Machine,
    missing: &TreePath,
    like: &TreePath,
    kind: EntryKind,
    observed: &mut Observations,
) {
    if !is_wanted(missing, observed) || observed.file_at(like).is_none() {
        return;
    }
    let opened = machine.open_at(like, OFlags::PATH | OFlags::NOFOLLOW);
    let model =
        opened.and_then(|opened| read_model(&opened, kind, |flags| machine.open_at(like, flags)));
    record_model(missing, like, model, "", observed);
}

/// From another tree, which is `called` so behind a path.
fn learn_from_tree(
    tree: io::Result<Option<BorrowedFd<'_>>>,
    called: &str,
    [stored, path]: [&TreePath; 2],
    kind: EntryKind,
    observed: &mut Observations,
) {
    let wanted: BTreeSet<&TreePath> =
        [stored, path].into_iter().filter(|missing| is_wanted(missing, observed)).collect();
    let model = tree.and_then(|tree| {
        let Some(tree) = tree else { return Ok(None) };
        let open = |flags| create::open_beneath(tree, path.as_path(), flags);
        read_model(&open(OFlags::PATH | OFlags::NOFOLLOW)?, kind, open)
    });
    for missing in wanted {
        let model = match &model {
            Ok(model) => Ok(model.clone()),
            // A link on the way leads to no place of this one.
            Err(why) if Cause::of(why).leads_nowhere() => Ok(None),
            Err(why) => Err(io::Error::other(dirfd::error::describe(why))),
        };
        record_model(missing, path, model, called, observed);
    }
}

fn is_wanted(missing: &TreePath, observed: &Observations) -> bool {
    matches!(observed.state_of(missing), PathState::Absent)
        && !observed.models.contains_key(missing)
}

fn record_model(
    missing: &TreePath,
    like: &TreePath,
    model: io::Result<Option<InodeModel>>,
    place: &str,
    observed: &mut Observations,
) {
    match model {
        Ok(Some(model)) => drop(observed.models.insert(missing.clone(), model)),
        Ok(None) => {}
        Err(why) if is_not_found(&why) => {}
        Err(why) => {
            let why = dirfd::error::describe(&why);
            let why = format!("look at the owner of {like}{place}, for {missing}: {why}");
            observed.places.insert(missing.clone(), PathState::Unreadable(why, None));
        }
    }
}

/// What is open for its path, if it is of this kind; `open` opens it with other flags.
fn read_model(
    opened: &OwnedFd,
    kind: EntryKind,
    open: impl Fn(OFlags) -> io::Result<OwnedFd>,
) -> io::Result<Option<InodeModel>> {
    let stat = of_open(opened.as_fd())?;
    let expected = match kind {
        EntryKind::Dir => FileType::Dir,
        EntryKind::File => FileType::File,
    };
    if stat.facts.file_type != expected {
        return Ok(None);
    }
    let again = match open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Ok(again) if of_open(again.as_fd())?.is_same_file(&stat) => Some(again),
        Ok(_) => return Err(io::Error::other("somebody else changed it at the same moment")),
        // Whoever runs this for a user's own list may not look into every parent.
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => None,
        Err(why) => return Err(why),
    };
    let attributes = InodeAttributes::of(opened.as_fd(), again.as_ref().map(AsFd::as_fd))?;
    let facts = &stat.facts;
    Ok(Some(InodeModel { uid: facts.uid, gid: facts.gid, mode: facts.mode, attributes }))
}
