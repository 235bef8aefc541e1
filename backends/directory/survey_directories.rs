//! What is there: reads names, identities and records, and never walks.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use chrono::{DateTime, Utc};
use dirfd::boundary::Boundary;
use dirfd::mount_tables::{self, Patience};
use dirfd::mountinfo::Mount;
use dirfd::stat::{Place, Stat};
use dirfd::{Error, FileType, Result, TreeName};
use rustix::fs;

use crate::directory::{Directory, identity_of};
use crate::old_roots::{OldRoots, Reach, leftovers_of_capture};
use crate::survey::{self, Mounts};
use crate::{Kinship, LiveMount, Obstacle, Slot, Survey, Tree, kinship};

/// Everything a planner may know.
pub(crate) fn survey_directories(
    of: &Directory,
    reach: Reach,
    look_for: Mounts<'_>,
) -> Result<Survey> {
    let live = slot_of(of, &of.layout.live)?;
    let old_dir = open_old(of)?;
    let mut old = match &old_dir {
        Some(dir) => {
            let look = |name: &TreeName| slot_of(of, name);
            // Nothing tells of a plain directory what it is a copy of.
            let mut old = OldRoots::read(dir.as_fd(), &of.layout, reach, look, |_, _| true)?;
            if reach == Reach::All {
                let is_there = |name: &TreeName| Ok(slot_of(of, name)?.tree().is_some());
                old.look_for_other_lives(&of.layout.live, is_there)?;
            }
            old
        }
        None => OldRoots::default(),
    };
    let blank = slot_of(of, &of.layout.blank)?;
    let kinship = match (live.tree(), blank.tree()) {
        (Some(live), Some(blank)) if old.adoption != Ok(None) => {
            kinship::recorded(&old.adoption, &live.id, &blank.id)
        }
        // From before it was written down.
        _ => Kinship::Unknown,
    };
    if let Ok((beside, _)) = of.open_parent(&of.layout.blank) {
        old.unfinished.extend(leftovers_of_capture(beside.as_fd(), &of.layout.blank)?);
    }
    let mounts =
        look_for.of(live.tree(), |tree, patience| mounts_of_tree(of, &tree.name, patience))?;
    Ok(Survey {
        kinship,
        has_old_dir: old_dir.is_some(),
        immovable: find_immovable(of)?,
        ..old.into_survey(file_system(of)?, live, blank, mounts)
    })
}

/// Which of the directories that a rollback renames, or renames in, cannot be.
fn find_immovable(of: &Directory) -> Result<Vec<Obstacle>> {
    let (live, old) = (&of.layout.live, &of.layout.old);
    let parent = of.open_parent(live).map(|(parent, _)| parent);
    let beside = format!("the directory that holds live, {}", of.place_of(live));
    let dirs = [
        (of.open_tree(live), format!("live, {},", of.place_of(live))),
        (parent, beside),
        (of.open_tree(old), format!("the directory of old roots, {},", of.place_of(old))),
    ];
    let mut found = Vec::new();
    for (dir, shown) in dirs {
        // What is not there, or is no directory, is told elsewhere.
        if let Ok(dir) = dir {
            let hint = || "clear it with `chattr -i -a` on that directory".to_string();
            found.extend(survey::obstacle(dir, &shown, hint)?);
        }
    }
    Ok(found)
}

/// What has this name. Nobody but Blankroot writes to blank.
pub(crate) fn slot_of(of: &Directory, name: &TreeName) -> Result<Slot> {
    match stat_if_there(of, name) {
        Ok(found) => Ok(found.into_slot(name, *name == of.layout.blank)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Slot::Missing),
        Err(error) => Err(Error::io(format!("look at {}", of.place_of(name)), error)),
    }
}

/// The directory of old roots; `None` if there is none.
pub(crate) fn open_old(of: &Directory) -> Result<Option<OwnedFd>> {
    let name = &of.layout.old;
    match of.open_tree(name) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let action = format!("open the directory of old roots {}", of.place_of(name));
            Err(Error::io(action, error))
        }
    }
}

/// What was found under a name.
pub(crate) struct Entry {
    pub(crate) stat: Stat,
    is_beyond_mount: bool,
}

impl Entry {
    fn into_slot(self, name: &TreeName, read_only: bool) -> Slot {
        match self.stat.facts.file_type {
            _ if self.is_beyond_mount => Slot::NotATree("something is mounted over it".into()),
            FileType::Dir => Slot::Present(Tree {
                id: identity_of(&self.stat),
                name: name.clone(),
                read_only,
                created: self.stat.born.and_then(|(s, n)| DateTime::<Utc>::from_timestamp(s, n)),
                copy_of: None,
                pristine: None,
            }),
            other => Slot::NotATree(format!("it is a {other}, not a plain directory")),
        }
    }
}

/// Looks at a name without following it.
pub(crate) fn stat_if_there(of: &Directory, name: &TreeName) -> io::Result<Entry> {
    let boundary = Boundary::of(of.bare.as_fd())?;
    let (parent, last) = of.open_parent(name)?;
    let stat = boundary.stat(Place { dir: parent.as_fd(), name: &last })?;
    Ok(Entry { is_beyond_mount: boundary.is_beyond_mount(&stat), stat })
}

/// The last component of a layout's name, for system calls.
pub(crate) fn c_name(name: &TreeName) -> io::Result<CString> {
    Ok(CString::new(name.file_name().as_bytes())?)
}

pub(crate) fn file_system(of: &Directory) -> Result<String> {
    let found = fs::fstatvfs(&of.seen);
    let found = found.map_err(|e| Error::io(format!("look at {}", of.path.display()), e))?;
    Ok(format!("{:016x}", found.f_fsid))
}

// Where a tree is mounted at this moment, in every mount namespace that can be read.

/// The mounts that show the tree `name` of a directory, or a part of the tree, as their root, and whether
/// there may be more.
pub(crate) fn mounts_of_tree(
    of: &Directory,
    name: &TreeName,
    patience: &Patience,
) -> Result<(Vec<LiveMount>, bool)> {
    let top = of.seen.as_fd();
    let action = || format!("find out where {name} is mounted");
    let failed = |why| Error::io(action(), why);
    let proc = File::open("/proc").map_err(failed)?;
    let path = std::fs::read_link(format!("/proc/thread-self/fd/{}", top.as_raw_fd()));
    let path = path.map_err(failed)?;
    let mount = Place { dir: top, name: c"." }.stat().map_err(failed)?.mount;
    let tables = patience.look(|until| mount_tables::read_mount_tables(proc.as_fd(), until))?;
    let ours = tables.tables.iter().filter(|table| table.seen_by.is_none());
    let Some(own) = ours.flat_map(|t| &t.mounts).find(|other| Some(other.id) == mount) else {
        let why = "its directory is on a mount that this process's mount table does not show";
        return Err(Error::new(action(), why));
    };
    let Some(above) = own.in_file_system(path.as_os_str().as_bytes()) else {
        return Err(Error::new(action(), "its directory was deleted"));
    };
    let tree = [&b"/"[..], &above, if above.is_empty() { b"" } else { b"/" }, name.as_bytes()];
    let tree = tree.concat();
    let shows = |other: &Mount| other.dev == own.dev && is_within(&other.root, &tree);
    let mut found = Vec::new();
    for table in &tables.tables {
        for mount in table.mounts.iter().filter(|mount| shows(mount)) {
            let mount_point = mount.mount_point.clone();
            found.push(LiveMount { mount_point, seen_by: table.seen_by.into(), certain: true });
        }
    }
    Ok((found, tables.more))
}

fn is_within(path: &[u8], tree: &[u8]) -> bool {
    path.strip_prefix(tree).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}
