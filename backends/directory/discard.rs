//! Deletes old roots and what interrupted runs left, by identity: marked first, since a directory is
//! deleted file by file.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs;

use crate::Backend;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::mount_tables::cannot_tell;
use crate::old_roots::{self, child};
use crate::record::{self, Record, Records};
use crate::remove::remove_tree;
use crate::survey::{OldRoot, Tree, Unfinished};
use crate::walk::walk;

use super::change::{Locked, changed};
use super::{find, identity, mounts};

/// Deletes an old root that its record names.
pub(super) fn old_root(locked: &Locked<'_>, old_root: &OldRoot) -> Result<()> {
    let record = &old_root.record;
    let action = format!("delete the old root {}", record.name);
    if old_root.tree.id != record.live || record.discarding.is_some() {
        return Err(changed(&action, "its record names another tree"));
    }
    delete(locked, &old_root.tree, record, &action)
}

/// Deletes what an interrupted run left.
pub(super) fn unfinished(locked: &Locked<'_>, left: &Unfinished) -> Result<()> {
    let delete = |tree: &Tree, record: &Record, action: &str| {
        if matches!(left, Unfinished::FreshCopy { .. }) {
            expect_untouched(locked, tree, record, action)?;
        }
        delete(locked, tree, record, action)
    };
    let old_dir = || locked.old_dir("open the directory of old roots");
    old_roots::discard_unfinished(locked, left, old_dir, delete)
}

/// Nothing but its content tells a copy that was never live from one that was, and was put there by
/// hand.
fn expect_untouched(locked: &Locked<'_>, copy: &Tree, record: &Record, action: &str) -> Result<()> {
    let mend = "look at it, and delete it with its record if nothing in it is needed";
    let blank = find::slot(locked.of, &locked.of.layout.blank, true)?;
    let Some(blank) = blank.tree().filter(|blank| blank.id == record.blank) else {
        let why = "the blank that it is a copy of is gone, so nothing tells whether it was used";
        return Err(Error::new(action, why).mend(mend));
    };
    let (blank, copy) = (locked.of.view(blank)?, locked.of.view(copy)?);
    if !walk(blank.as_fd(), copy.as_fd(), &|_| {})?.is_empty() {
        return Err(Error::new(action, "it differs from blank, so it was used").mend(mend));
    }
    Ok(())
}

fn delete(locked: &Locked<'_>, tree: &Tree, record: &Record, action: &str) -> Result<()> {
    let old = locked.old_dir(action)?;
    let name = child(&locked.of.layout.old, OsStr::new(&record.name))?;
    if name != tree.name || !Records::read(old.as_fd())?.readable.contains(record) {
        return Err(changed(action, "no record of ours says that it may be deleted"));
    }
    let found = find::stat(locked.of, &name).map_err(|e| Error::io(action, e))?;
    if identity(&found.stat) != tree.id {
        return Err(changed(action, "another tree has its name by now"));
    }
    let (mounts, more) = mounts::of(locked.of, &name, &locked.of.patience)?;
    if let Some(mount) = mounts.first() {
        return Err(Error::new(action, format!("it is mounted at {mount}"))
            .mend("unmount it, then try again"));
    }
    if more {
        return Err(cannot_tell(action));
    }
    if record.discarding.is_none() {
        record::mark(old.as_fd(), record, &tree.id)?;
    }
    let c_name = find::c_name(&name).map_err(|e| Error::io(action, e))?;
    remove_tree(old.as_fd(), &c_name, &found.stat)?;
    change("directory: sync deletion", || Ok(fs::fsync(&old)?))
        .map_err(|e| Error::io(action, e))?;
    record::remove(old.as_fd(), record)
}
