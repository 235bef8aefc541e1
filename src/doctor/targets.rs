//! Why is a kept path not what leads to its data?

use std::io;
use std::os::fd::AsFd;

use backends::View;
use dirfd::path::{Escaped, shell_path as shell};
use dirfd::{Error, FileType, Result, TreePath, atomic_file, xattrs};
use rustix::fs::OFlags;

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::doctor::checks;
use crate::doctor::entries::Mounts;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::machine_facts::{Data, EntryFacts, Facts, Lies, Target, Unchecked};
use crate::doctor::next_tree::{self, Look, Seen, resolve_link};
use crate::host::{HostRoot, is_not_found};
use crate::persist::create;
use crate::persist::list::KeepEntry;
use crate::persist::real_path::LinkOnTheWay;

const APPLY: &str = "`blankroot apply`";
const ADOPT: &str = "`blankroot apply --adopt` moves it into storage";

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    facts.entries.iter().flat_map(|entry| check_target(facts, entry)).collect()
}

fn check_target(facts: &Facts, entry: &EntryFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(finding) = by_fstab(facts, entry) {
        findings.push(finding);
        return findings;
    }
    findings.extend(renamed_over(facts, entry));
    findings.extend(check_noted_link(facts, entry));
    // A storage that is not there is told once, and not for each of its entries.
    let missing = |storage: &crate::doctor::machine_facts::StorageFacts| {
        storage.path == entry.entry.storage && matches!(storage.lies, Lies::Missing | Lies::NotMade)
    };
    if !facts.storages.iter().any(missing) {
        findings.extend(entry.target.as_ref().and_then(|target| not_there(facts, entry, target)));
    }
    findings
}

/// What fstab mounts survives by itself, and is not to be taken out of there.
fn by_fstab(facts: &Facts, entry: &EntryFacts) -> Option<Finding> {
    let EntryFacts { entry, data, target, .. } = entry;
    let mount = facts.by_fstab.get(&entry.path).filter(|mount| mount.survives())?;
    let in_place = matches!(target, Some(Target::RightMount | Target::RightLink));
    let (severity, why) = if in_place {
        (Severity::Note, "what storage has is shown in its place, and would survive there, too")
    } else {
        (Severity::Warning, "two things are to be mounted there, of which one would hide the other")
    };
    let unused = match data {
        Data::Present(_) if !in_place => format!("; what {} has is not used", entry.source()),
        Data::Present(_) => format!("; move what {} has there before", entry.source()),
        Data::Absent | Data::Unnamed | Data::Unknown => String::new(),
    };
    Some(Finding::new(
        &checks::BY_FSTAB,
        severity,
        format!("{} need not be kept: {mount}", entry.path),
        why,
        format!("remove its entry in {}{unused}", facts.at(entry.place)),
    ))
}

fn not_there(facts: &Facts, entry: &EntryFacts, target: &Target) -> Option<Finding> {
    let (path, source) = (&entry.entry.path, entry.entry.source());
    if facts.before_first_rollback && comes_by_itself(entry, target) {
        return Some(Finding::new(
            &checks::NOT_MOUNTED,
            Severity::Note,
            format!("{path} is pending: the next boot brings it to {source}, as blank has it"),
            "blank was made in this boot; what changes there until the reboot is in the old root alone",
            "reboot",
        ));
    }
    let (why, hint) = match target {
        Target::Unknown => return None,
        Target::RightMount | Target::RightLink => return other_way(entry, target),
        Target::BehindLink(link) => return Some(behind_link(facts, entry, link)),
        Target::File { .. } if is_replaced(entry) => return Some(replaced_link(entry)),
        Target::Absent | Target::Dir { .. } | Target::File { .. }
            if entry.data == Data::Unnamed =>
        {
            (
                format!("an interrupted run has left its data beside {source}, without its name"),
                format!("{APPLY}, which gives it its name"),
            )
        }
        Target::Absent | Target::Dir { empty: true } | Target::File { empty: true } => {
            match entry.data {
                Data::Absent => (
                    format!("nothing is at {source} in storage yet, and nothing was set up here"),
                    format!("{APPLY}, which makes what is missing"),
                ),
                _ => (
                    "nothing was set up here, although its data is in storage".to_string(),
                    format!("{APPLY}; if that says why it fails, mend that first"),
                ),
            }
        }
        Target::Dir { .. } | Target::File { .. } => match entry.data {
            Data::Absent => (
                format!("its data is still in live, and nothing is at {source} in storage"),
                ADOPT.to_string(),
            ),
            _ => (
                format!("live has data of its own there, beside that at {source} in storage"),
                format!("compare the two; {ADOPT} and sets the older data aside there"),
            ),
        },
        Target::OtherLink(to) => (
            format!("it is a link to {}, and its data is at {source}", Escaped(to)),
            format!("`rm {}`, then {APPLY}", shell(path)),
        ),
        Target::OtherMount => (
            format!("something else is mounted there, and not {source}"),
            other_mount(facts, entry),
        ),
        Target::Odd(file_type) => (
            format!("it is a {file_type}, which cannot be kept"),
            format!("remove it, or remove the entry in {}", facts.at(entry.entry.place)),
        ),
    };
    Some(Finding::new(
        &checks::NOT_MOUNTED,
        Severity::Danger,
        format!("{path} is not in its place: {why}"),
        "what programs write there does not get into storage, and may be gone after the next boot",
        hint,
    ))
}

/// Whether the next boot finds nothing that would be hidden, and something to begin with.
fn comes_by_itself(entry: &EntryFacts, target: &Target) -> bool {
    match target {
        Target::Absent | Target::Dir { empty: true } | Target::File { empty: true } => {
            entry.data != Data::Unknown
        }
        Target::Dir { .. } | Target::File { .. } => entry.data == Data::Absent && entry.in_blank,
        _ => false,
    }
}

/// The right data, but not the way that was declared.
fn other_way(entry: &EntryFacts, target: &Target) -> Option<Finding> {
    let (path, source) = (&entry.entry.path, entry.entry.source());
    let (what, hint) = match (target, entry.entry.how) {
        (Target::RightMount, Some(PlacementMethod::Symlink)) => {
            (format!("{source} is mounted at {path}, and a link was declared"), remount_hint(path))
        }
        (Target::RightLink, Some(PlacementMethod::Bind)) => (
            format!("{path} is a link to {source}, and a mount was declared"),
            format!("`rm {}`, then {APPLY}", shell(path)),
        ),
        _ => return None,
    };
    let why = "programs reach the same data; but it was declared otherwise for some reason";
    Some(Finding::new(&checks::NOT_MOUNTED, Severity::Note, what, why, hint))
}

fn remount_hint(path: &dirfd::TreePath) -> String {
    format!("`umount {}`, then {APPLY}", shell(path))
}

/// What is mounted there may be all that somebody has, and survive by itself.
fn other_mount(facts: &Facts, entry: &EntryFacts) -> String {
    let (path, source) = (shell(&entry.entry.path), entry.entry.source());
    let place = facts.at(entry.entry.place);
    format!(
        "`findmnt {path}` shows what it is: what has a file system of its own survives already, so remove \
         the entry in {place}; anything else has to be moved to {source} first, then `umount {path}` and \
         {APPLY}"
    )
}

/// A file that was to be a link, or is known to be renamed over, cannot be somebody's older data.
fn is_replaced(entry: &EntryFacts) -> bool {
    let Data::Present(stored) = entry.data else { return false };
    let how = entry.entry.placement(entry.noted_as_replaced, Some(stored.file_type));
    entry.entry.kind == EntryKind::File && how == PlacementMethod::Symlink
}

fn replaced_link(entry: &EntryFacts) -> Finding {
    let (path, source) = (&entry.entry.path, entry.entry.source());
    Finding::new(
        &checks::REPLACED_LINK,
        Severity::Danger,
        format!("{path} is a file of its own by now, and no link to {source}"),
        "a program wrote a new file and renamed it over the link; the newer content is in live \
         alone and will be gone at the next boot",
        format!("{ADOPT}; the unit of Blankroot does so at each shutdown"),
    )
}

fn renamed_over(facts: &Facts, entry: &EntryFacts) -> Option<Finding> {
    let known = entry.entry.known.filter(|known| known.is_renamed_over() && !known.early)?;
    if entry.entry.how != Some(PlacementMethod::Bind) || entry.entry.kind != EntryKind::File {
        return None;
    }
    Some(Finding::new(
        &checks::RENAMED_OVER,
        Severity::Warning,
        format!("{} is mounted as a file ({})", entry.entry.path, facts.at(entry.entry.place)),
        format!(
            "it is {}; its program writes a new file and renames it over the old one, and the \
             kernel refuses that on a mounted file (EBUSY)",
            known.what
        ),
        "write `how = \"symlink\"` in its entry, or keep the directory that it is in",
    ))
}

/// It was seen to be replaced, and nothing in the configuration says so.
fn check_noted_link(facts: &Facts, entry: &EntryFacts) -> Option<Finding> {
    if !entry.noted_as_replaced || entry.entry.stated_placement().is_some() {
        return None;
    }
    Some(Finding::new(
        &checks::NOTED_LINK,
        Severity::Note,
        format!("{} is linked, not mounted ({})", entry.entry.path, facts.at(entry.entry.place)),
        "its program was seen to put a new file in the place of the link, which the kernel refuses \
         on a mounted file (EBUSY); that is noted on its data",
        "write `how = \"symlink\"` in its entry, so that the configuration says it, too",
    ))
}

fn behind_link(facts: &Facts, entry: &EntryFacts, found: &LinkOnTheWay) -> Finding {
    let LinkOnTheWay { link, target, real } = found;
    let lands = facts
        .storages
        .iter()
        .find(|storage| real.as_ref().is_some_and(|real| real.is_within(&storage.path)));
    let other = facts
        .entries
        .iter()
        .map(|other| &other.entry)
        .find(|other| real.as_ref().is_some_and(|real| real.is_within(&other.path)));
    let where_to = match (lands, other) {
        (Some(storage), _) => format!(", into the storage {}", storage.path),
        (None, Some(other)) => format!(", into {}, which is kept, too", other.path),
        (None, None) => String::new(),
    };
    let place = facts.at(entry.entry.place);
    Finding::new(
        &checks::BEHIND_LINK,
        Severity::Danger,
        format!(
            "the way to {} passes the link {link}, which leads to {}{where_to}",
            entry.entry.path,
            Escaped(target)
        ),
        "nothing is set up behind a link, since it could lead anywhere; so the path is not kept",
        format!("{} ({place}), or remove the link (`rm {}`)", found.hint(), shell(link)),
    )
}

// What is at each kept path, and what its storage has for it.

/// Looks at one entry; `live` says whether live is what the root shows.
pub(crate) fn gather(
    root: &HostRoot,
    mounts: &Mounts,
    entry: KeepEntry,
    live: bool,
    blank: Option<&View>,
    unchecked: &mut Vec<Unchecked>,
) -> EntryFacts {
    let mut cannot = |error: Error| {
        unchecked.push(Unchecked::new(format!("whether {} is in its place", entry.path), &error));
    };
    let stored = match look_up_stored(root, mounts, &entry) {
        Ok(stored) => Some(stored),
        Err(error) => {
            cannot(error);
            None
        }
    };
    let data = match &stored {
        Some(Some(seen)) => Data::Present(seen.node),
        Some(None) => match is_unnamed(root, &entry.source()) {
            Ok(true) => Data::Unnamed,
            Ok(false) => Data::Absent,
            Err(error) => {
                cannot(error);
                Data::Unknown
            }
        },
        None => Data::Unknown,
    };
    let noted_as_replaced = match data {
        Data::Present(_) => is_noted(root, &entry).unwrap_or_else(|error| {
            cannot(error);
            false
        }),
        Data::Absent | Data::Unnamed | Data::Unknown => false,
    };
    let target = live.then(|| {
        look_up_target(root, mounts, &entry, stored.flatten().as_ref()).unwrap_or_else(|error| {
            cannot(error);
            Target::Unknown
        })
    });
    let in_blank = blank.is_some_and(|blank| {
        // What cannot be looked at is not promised to come.
        matches!(next_tree::look_up_in_tree(blank.as_fd(), &entry.path), Ok(Look::Seen(_)))
    });
    EntryFacts { entry, data, noted_as_replaced, in_blank, target }
}

/// Whether what is to be in storage, where nothing is, only lacks its name.
fn is_unnamed(root: &HostRoot, source: &TreePath) -> Result<bool> {
    let (parent, name) = (source.parent().unwrap_or_default(), source.name().unwrap_or_default());
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let found = create::open_beneath(root.as_fd(), parent.as_path(), flags)
        .and_then(|dir| atomic_file::find_unnamed(dir.as_fd(), name));
    match found {
        Ok(found) => Ok(found.is_some()),
        Err(why) if is_not_found(&why) => Ok(false),
        Err(why) => Err(Error::io(format!("look at {source}"), why)),
    }
}

fn is_noted(root: &HostRoot, entry: &KeepEntry) -> Result<bool> {
    let source = entry.source();
    let opened =
        create::open_beneath(root.as_fd(), source.as_path(), OFlags::PATH | OFlags::NOFOLLOW);
    opened
        .and_then(|file| xattrs::is_marked_as_replaced(file.as_fd()))
        .map_err(|why| Error::io(format!("look at {source}"), why))
}

fn look_up_stored(root: &HostRoot, mounts: &Mounts, entry: &KeepEntry) -> Result<Option<Seen>> {
    let source = entry.source();
    mounts.refuse_users_own(&source)?;
    match next_tree::look_up_in_tree(root.as_fd(), &source)? {
        Look::Nothing => Ok(None),
        Look::Seen(seen) => Ok(Some(seen)),
        Look::Link { .. } => Err(Error::new(format!("look at {source}"), "a link is on the way")
            .hint("put a directory in the link's place, or name the real path of the storage")),
    }
}

fn look_up_target(
    root: &HostRoot,
    mounts: &Mounts,
    entry: &KeepEntry,
    stored: Option<&Seen>,
) -> Result<Target> {
    let path = &entry.path;
    mounts.refuse_users_own(path)?;
    let seen = match next_tree::look_up_in_tree(root.as_fd(), path)? {
        Look::Nothing => return Ok(Target::Absent),
        Look::Link { left: 0, to } if resolve_link(path, &to) == Some(entry.source()) => {
            return Ok(Target::RightLink);
        }
        Look::Link { left: 0, to } => return Ok(Target::OtherLink(to)),
        Look::Link { .. } => {
            let link = LinkOnTheWay::find(path, |place| {
                mounts.refuse_users_own(place).ok()?;
                match next_tree::look_up_in_tree(root.as_fd(), place) {
                    Ok(Look::Link { left: 0, to }) => Some(to),
                    _ => None,
                }
            });
            let vanished = || Error::new(format!("look at {path}"), "a link vanished meanwhile");
            return link.map(Target::BehindLink).ok_or_else(vanished);
        }
        Look::Seen(seen) => seen,
    };
    if stored.is_some_and(|stored| stored.stat.is_same_file(&seen.stat)) {
        return Ok(Target::RightMount);
    }
    let failed = |e: io::Error| Error::io(format!("look at {path}"), e);
    if is_mounted(root, path, &seen).map_err(failed)? {
        return Ok(Target::OtherMount);
    }
    Ok(match seen.node.file_type {
        FileType::Dir => {
            let dir = next_tree::open_beneath(root.as_fd(), path).map_err(failed)?;
            Target::Dir { empty: next_tree::list_names(dir.as_fd(), 1).map_err(failed)?.is_empty() }
        }
        FileType::File => Target::File { empty: seen.stat.facts.size == 0 },
        other => Target::Odd(other),
    })
}

/// Whether something is mounted right there.
fn is_mounted(root: &HostRoot, path: &TreePath, seen: &Seen) -> io::Result<bool> {
    let parent = path.parent().unwrap_or_default();
    match next_tree::look_up_in_tree(root.as_fd(), &parent) {
        Ok(Look::Seen(parent)) => Ok(parent.mount()? != seen.mount()?),
        Ok(_) => Err(io::Error::other("its parent changes at this moment")),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
