//! What is there before a keep list is applied: every place that a plan looks at, looked at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use dirfd::stat::{self, Stat};
use dirfd::{FileType, Result, TreeName, TreePath, mountinfo, xattrs};
use rustix::fs::{self, OFlags};

use crate::boot::fstab::{self, FstabMount, FstabMounts, storage_paths};
use crate::host::{Machine, is_not_found};
use crate::persist::hidden_content::{self, Baseline};
use crate::persist::inode_model;
use crate::persist::list::KeepEntry;
use crate::persist::observed::{FoundFile, HiddenContent, Observations, PathState};
use crate::persist::path_lookup::{find_link_on_the_way, find_unnamed};
use crate::persist::resolve::{ResolvedEntry, paths_to_probe};

/// Looks at every place of a keep list. `baseline` tells what blank has.
pub(crate) fn probe_entries(
    machine: &Machine,
    resolved: &[ResolvedEntry],
    baseline: &mut Baseline<'_>,
) -> Result<Observations> {
    let mut observed = Observations::default();
    let top = stat::of_open(machine.root().as_fd())
        .map_err(|e| dirfd::Error::io("look at the root directory", e))?;
    for path in paths_to_probe(resolved) {
        let seen = probe_path(machine, &path, &observed, &top);
        observed.places.insert(path, seen);
    }
    find_all_unnamed(machine, resolved, &mut observed, &top);
    // Each of these depends on the states of all paths, and may turn one into an unreadable one.
    find_replaced(machine, resolved, &mut observed);
    judge_targets(machine, resolved, baseline, &mut observed);
    inode_model::find_models(machine, resolved, baseline, &mut observed);
    observed.by_fstab = find_fstab_mounts(machine, resolved, baseline)?;
    let storages: BTreeSet<&TreePath> = resolved.iter().map(|one| &one.entry.storage).collect();
    for storage in storages {
        if observed.file_at(storage).is_some()
            && is_wiped(machine, storage, &top, &observed, baseline)?
        {
            observed.wiped.insert(storage.clone());
        }
    }
    Ok(observed)
}

/// Looks for what was to be in storage when an exchange was cut short, and at all places in it.
fn find_all_unnamed(
    machine: &Machine,
    resolved: &[ResolvedEntry],
    observed: &mut Observations,
    top: &Stat,
) {
    for source in resolved.iter().map(|one| &one.source) {
        if !matches!(observed.state_of(source), PathState::Absent) {
            continue;
        }
        let unnamed = match find_unnamed(machine, source) {
            Ok(None) => continue,
            Ok(Some(unnamed)) => unnamed,
            Err(why) => {
                observed.places.insert(source.clone(), unreadable(source, &why));
                continue;
            }
        };
        // Sorted by path, so that the parent is looked at before.
        let inside: Vec<TreePath> =
            observed.places.keys().filter_map(|place| place.below(source)).collect();
        for place in inside.iter().map(|rest| unnamed.join_path(rest)) {
            let seen = probe_path(machine, &place, observed, top);
            observed.places.insert(place, seen);
        }
        observed.unnamed.insert(source.clone(), unnamed);
    }
}

/// Looks for the note on files of which nothing says how they come to their places.
fn find_replaced(machine: &Machine, resolved: &[ResolvedEntry], observed: &mut Observations) {
    for one in resolved.iter().filter(|one| one.entry.fixed_placement().is_none()) {
        let is_file = |found: &FoundFile| found.stat.facts.file_type == FileType::File;
        let data = observed.data_of(&one.source);
        if !observed.file_at(&data).is_some_and(is_file) {
            continue;
        }
        let opened = machine.open_at(&data, OFlags::PATH | OFlags::NOFOLLOW);
        match opened.and_then(|file| xattrs::is_marked_as_replaced(file.as_fd())) {
            Ok(true) => drop(observed.replaced.insert(one.source.clone())),
            Ok(false) => {}
            Err(why) => {
                observed.places.insert(one.source.clone(), unreadable(&one.source, &why));
            }
        }
    }
}

fn probe_path(machine: &Machine, path: &TreePath, so_far: &Observations, top: &Stat) -> PathState {
    // Sorted by path, so that the parent was looked at before.
    let parent = path.parent().filter(|parent| parent.depth() > 0);
    let parent = match parent.as_ref().map(|parent| so_far.state_of(parent)) {
        Some(PathState::Present(found)) => &found.stat,
        Some(PathState::Absent) => return PathState::Absent,
        // Behind a link, each path has a real one of its own.
        Some(seen) => return behind_link(machine, path).unwrap_or_else(|| seen.clone()),
        None => top,
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    match machine.open_at(path, flags) {
        Ok(opened) => probe_open_file(&opened, parent)
            .map_or_else(|why| unreadable(path, &why), PathState::Present),
        // Whoever wants to make something there meets the parent that is no directory.
        Err(why) if is_not_found(&why) => PathState::Absent,
        Err(why) => {
            if let Ok(Some(why)) = machine.users_own(path) {
                let hint = "unmount that file system, and run this again".to_string();
                return PathState::Unreadable(format!("look at {path}: {why}"), Some(hint));
            }
            behind_link(machine, path).unwrap_or_else(|| unreadable(path, &why))
        }
    }
}

fn unreadable(path: &TreePath, why: &io::Error) -> PathState {
    PathState::Unreadable(format!("look at {path}: {}", dirfd::error::describe(why)), None)
}

/// Whether the way to `path` passes a link: its state then, with the real path to name instead.
fn behind_link(machine: &Machine, path: &TreePath) -> Option<PathState> {
    let link = find_link_on_the_way(machine, path)?;
    let why = format!("look at {path}: {}", link.reason());
    Some(PathState::Unreadable(why, Some(link.hint())))
}

fn probe_open_file(opened: &OwnedFd, parent: &Stat) -> io::Result<FoundFile> {
    let stat = stat::of_open(opened.as_fd())?;
    let target = match stat.facts.file_type {
        FileType::Symlink => Some(fs::readlinkat(opened, c"", Vec::new())?.into_bytes()),
        _ => None,
    };
    let mounted = match (stat.mount, parent.mount) {
        (Some(own), Some(other)) if own != other => Some(fs::fstatvfs(opened)?.f_flag),
        _ => None,
    };
    let empty = stat.facts.file_type == FileType::File && stat.facts.size == 0;
    let content = if empty { HiddenContent::Empty } else { HiddenContent::Data };
    Ok(FoundFile { stat, target, mounted, content })
}

/// Finds out what each place has that kept data is to be seen at. What live has below a parent that
/// is yet to be moved into storage will be there, too.
fn judge_targets(
    machine: &Machine,
    resolved: &[ResolvedEntry],
    baseline: &mut Baseline<'_>,
    observed: &mut Observations,
) {
    for one in resolved.iter().filter(|one| one.is_identity()) {
        hidden_content::judge_machine_id(machine, one, observed);
    }
    for one in resolved.iter().filter(|one| !one.is_shown_by_parent()) {
        for path in one.before.iter().filter(|path| **path != one.source) {
            judge_target(machine, one, path, baseline, observed);
        }
    }
}

fn judge_target(
    machine: &Machine,
    one: &ResolvedEntry,
    path: &TreePath,
    baseline: &mut Baseline<'_>,
    observed: &mut Observations,
) {
    let seen = observed.file_at(&one.seen_at).filter(|seen| seen.mounted.is_some());
    // What PID 1 mounts as the machine's identity may be in storage by now, as a copy.
    let judged = seen.is_none_or(|seen| {
        let stored = observed.file_at(&observed.data_of(&one.source));
        one.is_identity() && !stored.is_some_and(|stored| stored.stat.is_same_file(&seen.stat))
    });
    let Some(found) = observed.file_at(path).filter(|_| judged) else { return };
    if found.content == HiddenContent::Empty {
        return;
    }
    let judged = hidden_content::judge_content(machine, one, path, found, observed, baseline);
    match (judged, observed.places.get_mut(path)) {
        (Ok(content), Some(PathState::Present(found))) => found.content = content,
        (Err(why), Some(seen)) => {
            *seen = PathState::Unreadable(format!("look into {path}: {why}"), None);
        }
        (_, None | Some(PathState::Absent | PathState::Unreadable(..))) => {}
    }
}

/// What fstab mounts of them.
fn find_fstab_mounts(
    machine: &Machine,
    resolved: &[ResolvedEntry],
    baseline: &mut Baseline<'_>,
) -> Result<BTreeMap<TreePath, FstabMount>> {
    let text = fstab::read_fstab(machine.root().as_fd())
        .map_err(|e| dirfd::Error::io("read /etc/fstab", e))?;
    let list: Vec<KeepEntry> = resolved.iter().map(|one| one.entry.clone()).collect();
    let (entries, storages) = (fstab::parse_entries(&text), storage_paths(&list));
    let of = |live: Option<&TreeName>| -> BTreeMap<TreePath, FstabMount> {
        let mounts = FstabMounts { entries: &entries, storages: &storages, live };
        let paths = list.iter().map(|entry| &entry.path);
        paths.filter_map(|path| Some((path.clone(), mounts.at(path)?))).collect()
    };
    // What holds the root is opened for those alone whom it concerns.
    let found = of(None);
    Ok(if found.is_empty() { found } else { of(baseline.live_name()?.as_ref()) })
}

/// Whether a storage goes with live: it lies on the very mount of the root, in a subvolume of live,
/// say, or another mount shows a part of live there.
fn is_wiped(
    machine: &Machine,
    storage: &TreePath,
    top: &Stat,
    observed: &Observations,
    baseline: &mut Baseline<'_>,
) -> Result<bool> {
    let same_mount = observed.file_at(storage).is_some_and(|found| found.stat.mount == top.mount);
    if !baseline.restores()? {
        return Ok(false);
    }
    if same_mount && machine.has_storages_below_root() {
        return Ok(true);
    }
    Ok(baseline.holds(machine, storage)? || shows_part_of_root(observed.file_at(storage), top)?)
}

/// Whether the mount that shows a storage shows a part of what the root's mount shows: a subvolume inside of
/// live that is mounted by itself, say.
fn shows_part_of_root(storage: Option<&FoundFile>, top: &Stat) -> Result<bool> {
    let (Some(own), Some(root)) = (storage.and_then(|found| found.stat.mount), top.mount) else {
        return Ok(false);
    };
    let mounts = mountinfo::read_mounts()?;
    let of = |id: u64| mounts.iter().find(|mount| mount.id == id);
    let (Some(own), Some(root)) = (of(own), of(root)) else { return Ok(false) };
    let below = own.root.strip_prefix(root.root.as_slice());
    let inside = root.root != b"/" && below.is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    Ok(own.dev == root.dev && inside)
}
