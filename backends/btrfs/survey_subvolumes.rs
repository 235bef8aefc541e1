//! Reads what is on the file system: live, blank, old roots, half-done work, room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use dirfd::cause::Cause;
use dirfd::error::look_until_whole;
use dirfd::fault::change;
use dirfd::path::shell_word;
use dirfd::{Error, Result, TreeName, TreePath};
use rustix::io::Errno;
use uuid::Uuid;

use crate::btrfs::top_level::{Look, Subvolume, Top, id_of};
use crate::btrfs::tree_queries::{
    TOP_LEVEL, default_subvolume, nested_subvolumes, parent_of, path_of,
};
use crate::btrfs::{stubs, subvolume_mounts};
use crate::kinship::{self, Found};
use crate::old_roots::{OldRoots, Reach, leftovers_of_capture};
use crate::survey::{self, Mounts};
use crate::sys::btrfs_ioctls::{self, SubvolumeInfo};
use crate::{
    Kinship, Layout, Obstacle, OldRoot, Record, Slot, Space, Stubs, Survey, Tree, TreeId,
    Unfinished, record,
};

/// A metadata block for each level that making a snapshot and exchanging two names may write, as
/// the kernel reserves them before it starts: 256 blocks cover both with room to spare.
const BLOCKS_NEEDED: u64 = 256;

/// What is there. Without `mounts`, nobody has looked where live is mounted, and the survey says that
/// there may be more.
pub fn survey_subvolumes(
    top: &Top,
    layout: &Layout,
    reach: Reach,
    mounts: Mounts<'_>,
) -> Result<Survey> {
    // What was written and not committed yet would pass for never written: a subvolume's item gets
    // its new generation with the commit.
    change("btrfs: sync before survey", || Ok(rustix::fs::syncfs(top)?))
        .map_err(|e| Error::io("sync the file system before looking at it", e))?;
    let live = top.look(&layout.live)?;
    let live_info = live.info();
    let blank = top.look(&layout.blank)?;
    let blank_info = blank.info();
    let default = none_without_privilege(default_subvolume(top))?;
    let usual = [Some(TOP_LEVEL), live_info.map(|info| info.id), blank_info.map(|info| info.id)];
    // A default subvolume that is none of these may be an old root, whichever.
    let old_reach = if default.is_some() && !usual.contains(&default) { Reach::All } else { reach };
    let list = match (top.open_dir(&layout.old), &blank_info) {
        (Ok(old), Some(blank)) => stubs::List::read(old.as_fd(), &id_of(blank))?,
        _ => None,
    };
    let origin = blank_info.as_ref().map(|info| Origin { info, list: list.as_ref() });
    let old = old_roots((top, layout), old_reach, default, origin.as_ref())?;
    let has_old_dir = old.is_some();
    let (mut old, obstacles) = match old.unwrap_or_else(|| Ok(OldRoots::default())) {
        Ok(old) => (old, Vec::new()),
        Err(obstacle) => (OldRoots::default(), vec![obstacle]),
    };
    let kinship = match (&live_info, &blank_info) {
        // What is written down may be there, and cannot be looked at.
        (Some(_), Some(_)) if !obstacles.is_empty() => Kinship::Unknown,
        (Some(live), Some(blank)) => kinship_of(top, live, blank, &old.adoption)?,
        _ => Kinship::Unknown,
    };
    if let Ok(beside) = top.open_parent(&layout.blank) {
        old.unfinished.extend(leftovers_of_capture(beside.as_fd(), &layout.blank)?);
    }
    let mounts = mounts.of(live_info, |info, patience| {
        subvolume_mounts::of_subvolumes(top, &[info.id].into(), patience)
    })?;
    let nested = match live_info {
        Some(info) if reach == Reach::All => nested_paths(top, info.id)?,
        Some(_) | None => Vec::new(),
    };
    let immovable = find_immovable(top, layout, &live, &blank)?;
    let live_untouched = live_untouched(top, layout, &live, &old.roots, origin.as_ref())?;
    let mut live = live.slot(&layout.live, blank_info.as_ref());
    if let (Slot::Present(tree), true) = (&mut live, live_untouched) {
        tree.pristine = Some(true);
    }
    Ok(Survey {
        kinship,
        tells_copies: true,
        has_old_dir,
        nested,
        stubs: match blank_info {
            Some(_) => list.as_ref().map(stubs::List::for_survey),
            None => Some(Stubs::default()),
        },
        live_is_default: live_info.is_some_and(|info| default == Some(info.id)),
        obstacles,
        immovable,
        space: metadata_space(top.as_fd(), top.info()).ok(),
        ..old.into_survey(
            top.info().fsid.hyphenated().to_string(),
            live,
            blank.slot(&layout.blank, None),
            mounts,
        )
    })
}

/// Which of the directories that a rollback renames, or renames in, cannot be. A fresh copy has the
/// flags of blank.
fn find_immovable(top: &Top, layout: &Layout, live: &Look, blank: &Look) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    let device = shell_word(top.device().as_os_str());
    let mount = format!("run `mount -o subvolid=5 {device} /mnt`, then ");
    let at = |path: &Path| shell_word(Path::new("/mnt").join(path).as_os_str());
    let clear = |path: &Path| format!("{mount}`chattr -i -a {}`", at(path));
    if let Look::Subvolume(live) = live {
        let shown = format!("the top directory of live, `{}`,", layout.live);
        let hint = || {
            format!(
                "run `chattr -i -a /` while it is the root, or {}",
                clear(layout.live.as_path())
            )
        };
        found.extend(survey::obstacle(&live.fd, &shown, hint)?);
    }
    if let Look::Subvolume(blank) = blank {
        let shown = format!("the top directory of blank, `{}`,", layout.blank);
        let hint = || {
            let path = at(layout.blank.as_path());
            let set = |value| format!("`btrfs property set -ts {path} ro {value}`");
            format!("{mount}{}, `chattr -i -a {path}`, {}", set("false"), set("true"))
        };
        found.extend(survey::obstacle(&blank.fd, &shown, hint)?);
    }
    let parent = layout.live.split().0.unwrap_or(Path::new("."));
    // What is not there, or is no directory, is told elsewhere.
    if let Ok(dir) = top.open_parent(&layout.live) {
        let shown = format!("the directory that holds live, `{}`,", layout.live);
        found.extend(survey::obstacle(dir, &shown, || clear(parent))?);
    }
    if let Ok(dir) = top.open_dir(&layout.old) {
        let shown = format!("the directory of old roots, `{}`,", layout.old);
        found.extend(survey::obstacle(dir, &shown, || clear(layout.old.as_path()))?);
    }
    Ok(found)
}

/// `None` where only a privileged process may ask.
pub fn none_without_privilege<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.cause() == Cause::NotPermitted => Ok(None),
        Err(error) => Err(error),
    }
}

fn nested_paths(top: &Top, live: u64) -> Result<Vec<TreePath>> {
    look_until_whole(|| {
        let mut dirs: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut paths = Vec::new();
        for child in none_without_privilege(nested_subvolumes(top, live))?.unwrap_or_default() {
            let dir = match dirs.entry(child.dir) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    new.insert(path_of(top, live, child.dir).map_err(|e| {
                        Error::io(format!("find where subvolume {} is", child.id), e)
                    })?)
                }
            };
            paths.extend(TreePath::parse(&[dir.as_slice(), &child.name].concat()));
        }
        paths.sort();
        Ok(paths)
    })
}

/// The old roots, oldest first, or why they cannot be read.
fn old_roots(
    (top, layout): (&Top, &Layout),
    reach: Reach,
    default: Option<u64>,
    origin: Option<&Origin<'_>>,
) -> Result<Option<Result<OldRoots, Obstacle>>> {
    let dir = match top.open_dir(&layout.old) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(None),
        // Who may not look can still compare live with blank.
        Err(Errno::ACCESS) => {
            let reason = format!("the old roots in `{}` are for root alone to see", layout.old);
            return Ok(Some(Err(Obstacle { reason, hint: Some("run it as root".into()) })));
        }
        Err(error) => {
            let action = format!("open the directory of old roots {}", layout.old);
            return Err(Error::io(action, error)
                .hint("`old` under [root] must name a plain directory, or nothing yet"));
        }
    };
    let mut infos = HashMap::new();
    let look = |name: &TreeName| {
        let found = top.look(name)?;
        infos.extend(found.info().map(|info| (id_of(&info), info)));
        Ok(found.slot(name, origin.map(|origin| origin.info)))
    };
    let is_copy = |tree: &Tree, record: &Record| tree.copy_of.as_ref() == Some(&record.blank);
    let mut old = OldRoots::read(dir.as_fd(), layout, reach, look, is_copy)?;
    if reach == Reach::All {
        old.look_for_other_lives(&layout.live, |name| Ok(top.look(name)?.info().is_some()))?;
    }
    let doubted =
        old.unfinished.into_iter().map(|left| doubt_fresh_copy(left, &infos, top, &dir, origin));
    old.unfinished = doubted.collect::<Result<_>>()?;
    old.roots.sort_by_key(|root| infos.get(&root.tree.id).map(|info| (info.otransid, info.id)));
    for root in &old.roots {
        if default.is_some() && infos.get(&root.tree.id).map(|info| info.id) == default {
            old.unfinished.push(Unfinished::DefaultLeftBehind(root.clone()));
        }
    }
    Ok(Some(Ok(old)))
}

/// A copy of blank that somebody has written to may have been live, and put there by hand: the record
/// beside it does not tell of it, unless it was we who replaced its stubs.
fn doubt_fresh_copy(
    left: Unfinished,
    infos: &HashMap<TreeId, SubvolumeInfo>,
    top: &Top,
    old: &OwnedFd,
    origin: Option<&Origin<'_>>,
) -> Result<Unfinished> {
    match left {
        Unfinished::FreshCopy { mut tree, record }
            if infos.get(&tree.id).is_none_or(|info| info.generation != info.otransid) =>
        {
            let written = written_by_us(old.as_fd(), &record, &top.subvolume(&tree)?, origin)?;
            if written.is_none() {
                return Ok(Unfinished::Foreign(tree.name));
            }
            tree.pristine = Some(true);
            Ok(Unfinished::FreshCopy { tree, record })
        }
        left => Ok(left),
    }
}

/// Blank, which a copy is made of, and its list of stubs.
struct Origin<'a> {
    info: &'a SubvolumeInfo,
    list: Option<&'a stubs::List>,
}

/// How far a copy is complete in which nobody but us has replaced stubs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Partly,
    Completely,
}

/// `None` where somebody else has written to the copy, or may have.
fn written_by_us(
    old: BorrowedFd<'_>,
    record: &Record,
    copy: &Subvolume,
    origin: Option<&Origin<'_>>,
) -> Result<Option<Written>> {
    let Some(Origin { info: blank, list: Some(list) }) = origin else { return Ok(None) };
    if copy.info.parent_uuid != Some(blank.uuid) || blank.generation > copy.info.otransid {
        return Ok(None);
    }
    let failed = |e| Error::io(format!("look at the copy made for {}", record.name), e);
    let mark = record::copy_mark(old, OsStr::new(&record.name)).map_err(failed)?;
    let Some(mark) = mark.filter(|mark| mark.copy == id_of(&copy.info)) else { return Ok(None) };
    let Some(complete) = mark.complete else { return Ok(Some(Written::Partly)) };
    let last = stubs::last_written(copy.fd.as_fd(), list, complete).map_err(failed)?;
    Ok((last <= complete).then_some(Written::Completely))
}

/// Whether live is a fresh copy in which only stubs were replaced. The record of the youngest old root
/// tells, which live has taken the place of.
fn live_untouched(
    top: &Top,
    layout: &Layout,
    live: &Look,
    old_roots: &[OldRoot],
    origin: Option<&Origin<'_>>,
) -> Result<bool> {
    let (Look::Subvolume(live), Some(youngest)) = (live, old_roots.last()) else {
        return Ok(false);
    };
    let Ok(old) = top.open_dir(&layout.old) else { return Ok(false) };
    let written = written_by_us(old.as_fd(), &youngest.record, live, origin)?;
    Ok(written == Some(Written::Completely))
}

/// Room for metadata: what is free in its block groups, less the reserve that only deleting may
/// use, and half of what no block group has taken yet (metadata is usually kept twice).
fn metadata_space(fd: BorrowedFd<'_>, info: &btrfs_ioctls::FsInfo) -> io::Result<Space> {
    let mut available: u64 = 0;
    let mut reserve: u64 = 0;
    for entry in btrfs_ioctls::space_info(fd)? {
        let free = entry.total.saturating_sub(entry.used);
        if entry.flags & btrfs_ioctls::SPACE_GLOBAL_RESERVE != 0 {
            reserve = free;
        } else if entry.flags & btrfs_ioctls::SPACE_METADATA != 0 {
            available += free;
        }
    }
    let mut unallocated: u64 = 0;
    for id in 1..=info.max_device_id {
        if let Some((total, allocated)) = btrfs_ioctls::device_info(fd, id)? {
            unallocated += total.saturating_sub(allocated);
        }
    }
    let available = available.saturating_sub(reserve) + unallocated / 2;
    Ok(Space { available, needed: BLOCKS_NEEDED * u64::from(info.node_size) })
}

// Which subvolume was made of which: each has the UUID of the one that it is a snapshot of.

/// How many generations are looked back. Each is two searches by key; a rollback adds one, and a new
/// blank another.
const GENERATIONS: usize = 64;

/// Whether live and blank belong together. `written` is what the directory of old roots says.
pub fn kinship_of(
    top: &Top,
    live: &SubvolumeInfo,
    blank: &SubvolumeInfo,
    written: &Found,
) -> Result<Kinship> {
    if live.parent_uuid == Some(blank.uuid) || blank.parent_uuid == Some(live.uuid) {
        return Ok(Kinship::Proven);
    }
    let recorded = kinship::recorded(written, &id_of(live), &id_of(blank));
    if recorded == Kinship::Recorded {
        return Ok(recorded);
    }
    let stems = |from: &SubvolumeInfo, of: Uuid| {
        none_without_privilege(
            stems(top, from.parent_uuid, of)
                .map_err(|why| Error::io("find out which subvolume is a snapshot of which", why)),
        )
    };
    Ok(match (stems(live, blank.uuid)?, stems(blank, live.uuid)?) {
        (Some(false), Some(false)) => recorded,
        (Some(true), _) | (_, Some(true)) => Kinship::Proven,
        _ => Kinship::Unknown,
    })
}

fn stems(top: &Top, mut from: Option<Uuid>, of: Uuid) -> std::io::Result<bool> {
    for _ in 0..GENERATIONS {
        match from {
            None => return Ok(false),
            Some(uuid) if uuid == of => return Ok(true),
            Some(uuid) => from = parent_of(top, uuid)?,
        }
    }
    Ok(false)
}
