//! Deletes a file or a whole tree: never follows a link, never crosses a mount, never takes another.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags};

use crate::cause::Cause;
use crate::directory_walker::{self, Descent, open_dir};
use crate::fault::change;
use crate::inode_flags::unlock_changes;
use crate::stat::{Place, Stat};
use crate::{Error, FileType, Result, TreePath};

/// Deletes what has this name, with all that is in it, if it is still the one that `stat` tells of.
pub fn remove_if_same(place: Place<'_>, stat: &Stat) -> Result<()> {
    if stat.facts.file_type == FileType::Dir {
        return remove_tree(place.dir, place.name, stat);
    }
    let failed = |why| Error::io("delete a file", why);
    if !place.stat().map_err(failed)?.is_same_file(stat) {
        return Err(Error::new("delete a file", "another one has its name by now"));
    }
    unlink_if_there("remove: file", place.dir, place.name, AtFlags::empty()).map_err(failed)
}

/// Deletes a file or an empty directory that has this name, if it is still the one that `stat` tells of.
pub fn remove_alone(place: Place<'_>, stat: &Stat) -> Result<()> {
    if stat.facts.file_type != FileType::Dir {
        return remove_if_same(place, stat);
    }
    let failed = |why| Error::io("delete an empty directory", why);
    if !place.stat().map_err(failed)?.is_same_file(stat) {
        return Err(Error::new("delete an empty directory", "another one has its name by now"));
    }
    unlink_if_there("remove: root", place.dir, place.name, AtFlags::REMOVEDIR).map_err(failed)
}

/// Deletes the directory `name` in `dir` with all that is in it, if it is still the one that `stat`
/// tells of.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let failed = |why| Error::io("delete the tree's root directory", why);
    let root = open_dir(dir, name).map_err(failed)?;
    let found = Place { dir: root.as_fd(), name: c"." }.stat().map_err(failed)?;
    if !found.is_same_file(stat) {
        return Err(Error::new("delete a tree", "another one has its name by now"));
    }
    unlock_changes(root.as_fd()).map_err(failed)?;
    remove_content(root.as_fd())?;
    change("remove: root", || Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)).map_err(failed)
}

fn remove_content(root: BorrowedFd<'_>) -> Result<()> {
    let mut descent = Descent::new(root);
    let mut way: Vec<CString> = Vec::new();
    let failed = |way: &[CString], name: &CStr, why| {
        let names: Vec<&[u8]> = way.iter().map(|name| name.to_bytes()).collect();
        let path = TreePath::from_clean(names.join(&b'/'));
        Error::io(format!("delete {} in the tree", path.join(name.to_bytes())), why)
    };
    let list = |descent: &mut Descent<'_>| descent.current().and_then(directory_walker::list_names);
    let mut frames = vec![list(&mut descent).map_err(|why| failed(&way, c"", why))?];
    while let Some(names) = frames.last_mut() {
        let Some(name) = names.pop() else {
            frames.pop();
            descent.leave();
            if let Some(name) = way.pop() {
                descent
                    .current()
                    .and_then(|dir| {
                        unlink_if_there("remove: directory", dir, &name, AtFlags::REMOVEDIR)
                    })
                    .map_err(|why| failed(&way, &name, why))?;
            }
            continue;
        };
        if remove_or_enter(&mut descent, &name).map_err(|why| failed(&way, &name, why))? {
            frames.push(list(&mut descent).map_err(|why| failed(&way, &name, why))?);
            way.push(name);
        }
    }
    Ok(())
}

/// Unlinks what is no directory; goes into what is one and says so.
fn remove_or_enter(descent: &mut Descent<'_>, name: &CStr) -> io::Result<bool> {
    let dir = descent.current()?;
    match unlink_if_there("remove: file", dir, name, AtFlags::empty()) {
        Ok(()) => return Ok(false),
        Err(why) if Cause::of(&why) == Cause::IsADirectory => {}
        Err(why) => return Err(why),
    }
    descent.enter(name)?;
    unlock_changes(descent.current()?)?;
    Ok(true)
}

fn unlink_if_there(
    point: &'static str,
    dir: BorrowedFd<'_>,
    name: &CStr,
    how: AtFlags,
) -> io::Result<()> {
    let unlink = || change(point, || Ok(fs::unlinkat(dir, name, how)?));
    match unlink() {
        // Perhaps it is immutable, as `/var/empty` often is.
        Err(why) if Cause::of(&why) == Cause::NotPermitted => {
            let file = Place { dir, name }.open_file().map(OwnedFd::from);
            let Ok(file) = file.or_else(|_| open_dir(dir, name)) else { return Err(why) };
            unlock_changes(file.as_fd())?;
            unlink()
        }
        result => result,
    }
}
