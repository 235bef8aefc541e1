//! What is there: reads names, identities and records, and never walks.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use chrono::{DateTime, Utc};
use rustix::fs;

use crate::boundary::Boundary;
use crate::changes::FileType;
use crate::error::{Error, Result};
use crate::path::TreeName;
use crate::record::{Record, Records};
use crate::stat::{Place, Stat};
use crate::survey::{OldRoot, Slot, Survey, Tree, Unfinished};

use super::{Directory, identity, mounts};

/// Everything a planner may know.
pub(super) fn survey(of: &Directory) -> Result<Survey> {
    let live = slot(of, &of.layout.live, false)?;
    let old_dir = open_old(of)?;
    let (mut old_roots, mut unfinished) = (Vec::new(), Vec::new());
    if let Some(old_dir) = &old_dir {
        for found in old_entries(of, old_dir.as_fd())? {
            match found {
                Found::OldRoot(old_root) => old_roots.push(old_root),
                Found::Unfinished(state) => unfinished.push(state),
            }
        }
    }
    let live_mounts = match live.tree() {
        Some(tree) => mounts::of(of.seen.as_fd(), &tree.name)?,
        None => Vec::new(),
    };
    Ok(Survey {
        file_system: file_system(of)?,
        blank: slot(of, &of.layout.blank, true)?,
        live,
        has_old_dir: old_dir.is_some(),
        old_roots,
        unfinished,
        live_mounts,
        // Only a walk could find them.
        nested: Vec::new(),
        live_is_default: false,
        space: None,
        obstacles: Vec::new(),
    })
}

/// What has this name.
pub(super) fn slot(of: &Directory, name: &TreeName, read_only: bool) -> Result<Slot> {
    match stat(of, name) {
        Ok(found) => Ok(found.into_slot(name, read_only)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Slot::Missing),
        Err(error) => Err(Error::io(format!("look at {}", of.place_of(name)), error)),
    }
}

/// The directory of old roots; `None` if there is none.
pub(super) fn open_old(of: &Directory) -> Result<Option<OwnedFd>> {
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
pub(super) struct Entry {
    pub(super) stat: Stat,
    is_beyond_mount: bool,
}

impl Entry {
    fn into_slot(self, name: &TreeName, read_only: bool) -> Slot {
        match self.stat.facts.file_type {
            _ if self.is_beyond_mount => Slot::NotATree("something is mounted over it".into()),
            FileType::Dir => Slot::Present(Tree {
                id: identity(&self.stat),
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
pub(super) fn stat(of: &Directory, name: &TreeName) -> io::Result<Entry> {
    let boundary = Boundary::of(of.bare.as_fd())?;
    let (parent, last) = of.open_parent(name)?;
    let stat = boundary.stat(Place { dir: parent.as_fd(), name: &last })?;
    Ok(Entry { is_beyond_mount: boundary.is_beyond_mount(&stat), stat })
}

enum Found {
    OldRoot(OldRoot),
    Unfinished(Unfinished),
}

fn old_entries(of: &Directory, dir: BorrowedFd<'_>) -> Result<Vec<Found>> {
    let records = Records::read(dir)?;
    let mut found = Vec::new();
    let mut claimed = Vec::new();
    for (name, why) in records.unreadable {
        claimed.extend(name.as_bytes().strip_suffix(b".json").map(<[u8]>::to_vec));
        let name = child(of, &name)?;
        found.push(Found::Unfinished(Unfinished::UnreadableRecord { name, why }));
    }
    for record in records.readable {
        claimed.push(record.name.as_bytes().to_vec());
        found.push(judge(of, record)?);
    }
    for name in records.entries {
        if !claimed.iter().any(|claimed| claimed == name.as_bytes()) {
            found.push(Found::Unfinished(Unfinished::Foreign(child(of, &name)?)));
        }
    }
    Ok(found)
}

/// One comparison of identities tells whether the swap has happened.
fn judge(of: &Directory, record: Record) -> Result<Found> {
    let name = child(of, OsStr::new(&record.name))?;
    Ok(match slot(of, &name, false)? {
        Slot::Missing => Found::Unfinished(Unfinished::RecordOnly(record)),
        Slot::NotATree(_) => Found::Unfinished(Unfinished::Foreign(name)),
        Slot::Present(tree) if tree.id == record.live => {
            Found::OldRoot(OldRoot { tree, record, own_bytes: None })
        }
        Slot::Present(tree) => Found::Unfinished(Unfinished::FreshCopy { tree, record }),
    })
}

/// The name of an entry in the directory of old roots.
pub(super) fn child(of: &Directory, name: &OsStr) -> Result<TreeName> {
    let old = &of.layout.old;
    let action = || format!("use the name `{}` in {}", name.display(), of.place_of(old));
    if name.as_bytes().contains(&b'/') {
        return Err(Error::new(action(), "it contains a slash"));
    }
    TreeName::new([old.as_bytes(), b"/", name.as_bytes()].concat())
        .map_err(|why| Error::new(action(), format!("it {why}")))
}

/// The last component of a layout's name, for system calls.
pub(super) fn c_name(name: &TreeName) -> io::Result<CString> {
    Ok(CString::new(name.file_name().as_bytes())?)
}

fn file_system(of: &Directory) -> Result<String> {
    let found = fs::fstatvfs(&of.seen);
    let found = found.map_err(|e| Error::io(format!("look at {}", of.path.display()), e))?;
    Ok(format!("{:016x}", found.f_fsid))
}
