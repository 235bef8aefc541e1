//! The nested subvolumes that hold something: what is in one belongs to no other tree, so that the tree
//! around it is not written to when something is made in it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::boundary::Boundary;
use crate::btrfs::search::{nested, path_of};
use crate::btrfs::top::{Subvolume, Top};
use crate::changes::{Change, ChangeKind, FileType};
use crate::descent::open_path;
use crate::path::TreePath;
use crate::stat::{Place, Stat, is_gone};

/// A row for each nested subvolume of `newer` that holds something where `older` has an empty one, or
/// the stub of one. The others have rows for the names that one tree lacks.
pub fn rows(top: &Top, older: &Subvolume, newer: &Subvolume) -> io::Result<Vec<Change>> {
    let mut rows = Vec::new();
    let (was, is) = (Boundary::of(older.fd.as_fd())?, Boundary::of(newer.fd.as_fd())?);
    for child in nested(top, newer.info.id).map_err(io::Error::other)? {
        let dir = match path_of(top, newer.info.id, child.dir) {
            Err(error) if is_gone(&error) => continue,
            dir => dir?,
        };
        let Ok(path) = TreePath::parse(&[dir.as_slice(), &child.name].concat()) else { continue };
        let Some(found) = look(newer.fd.as_fd(), &is, &path)? else { continue };
        if found.facts.file_type != FileType::Subvolume || !found.has_names {
            continue;
        }
        let there = look(older.fd.as_fd(), &was, &path)?;
        let is_empty =
            |there: &Stat| there.facts.file_type == FileType::Subvolume && !there.has_names;
        if there.as_ref().is_some_and(is_empty) {
            rows.push(Change { path, kind: ChangeKind::Modified, facts: found.facts });
        }
    }
    Ok(rows)
}

/// What a tree has at `path`; `None` if nothing.
fn look(tree: BorrowedFd<'_>, boundary: &Boundary, path: &TreePath) -> io::Result<Option<Stat>> {
    let names = path.as_bytes().split(|&b| b == b'/').map(CString::new);
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let Some((name, dirs)) = names.split_last() else { return Ok(None) };
    let found = open_path(tree, dirs)
        .and_then(|dir| boundary.stat(Place { dir: dir.as_ref().map_or(tree, AsFd::as_fd), name }));
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
