//! The changes that Btrfs makes: snapshot, exchange, default subvolume, and what precedes a deletion.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use btrfsutil::subvolume::{SnapshotFlags, Subvolume as Named};
use dirfd::cause::Cause;
use dirfd::fault::change;
use dirfd::sys::file_ioctls;
use dirfd::{Error, Result, TreeName, TreePath, atomic_file, directory_walker, inode_flags};
use rustix::fs::{self, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::btrfs::btrfsutil_calls::{path_below, with_errno};
use crate::btrfs::survey_subvolumes::survey_subvolumes;
use crate::btrfs::top_level::{Access, Look, Subvolume, Top, id_of, tree_of};
use crate::btrfs::tree_items::{FileExtent, Source, kind};
use crate::btrfs::tree_queries::{self, Searcher, default_subvolume, nested_subvolumes};
use crate::btrfs::{stubs, subvolume_mounts};
use crate::locked_backend::{Deletion, TreeChanges};
use crate::old_roots::Reach;
use crate::record::{self, CopyMark};
use crate::survey::Mounts;
use crate::sys::btrfs_ioctls::{self, SubvolumeInfo, subvolume_info};
use crate::{Layout, OldRoot, Origin, Record, Slot, Survey, Tree, TreeId, View, kinship, lock};

/// The file system, open for changes, with the lock that every Blankroot process takes for them.
pub(crate) struct Locked<'a> {
    pub(crate) top: Top,
    layout: &'a Layout,
    /// The directory of old roots, which carries the lock.
    _lock: OwnedFd,
    /// That was made for the lock, and for a plan it is still to be made.
    made_old: bool,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(device: &Path, layout: &'a Layout) -> Result<Self> {
        let top = Top::open(device, Access::Write)?;
        let action = || format!("change the file system on {}", device.display());
        // Everybody may open the top level. The lock goes with this process.
        let (old, made_old) = match top.open_dir(&layout.old) {
            Err(Errno::NOENT) => (make_old_dir(&top, &layout.old)?, true),
            opened => (
                opened.map_err(|e| {
                    Error::io(format!("open the directory of old roots {}", layout.old), e)
                        .hint("`old` under [root] must name a plain directory, or nothing yet")
                })?,
                false,
            ),
        };
        lock::take_private(old.as_fd(), action)?;
        Ok(Self { top, layout, _lock: old, made_old })
    }

    fn present(&self, name: &TreeName, action: &str) -> Result<Subvolume> {
        match self.top.look(name)? {
            Look::Subvolume(found) => Ok(found),
            Look::Missing => Err(Error::new(action, format!("there is no subvolume {name}"))),
            Look::Other(what) => Err(Error::new(action, format!("{name} is {what}"))),
        }
    }

    /// `live` is what it is made for.
    fn make_empty(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        live: Option<&SubvolumeInfo>,
    ) -> io::Result<()> {
        let temporary = atomic_file::unused(parent, name)?;
        let path = path_below(parent, &temporary);
        change("btrfs: create subvolume", || with_errno(Named::create(path.as_path(), None)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(parent, temporary.as_os_str(), flags, Mode::empty())?;
        change("btrfs: chmod subvolume", || Ok(fs::fchmod(&made, Mode::from_raw_mode(0o755))?))?;
        change("btrfs: make read-only", || {
            with_errno(Named::get(path.as_path()).and_then(|subvolume| subvolume.set_ro(true)))
        })?;
        // While it has its temporary name: one without a word of whose it is would be nobody's.
        if let Some(live) = live {
            let old = self.top.open_dir(&self.layout.old)?;
            let made = id_of(&subvolume_info(&made)?);
            kinship::write(old.as_fd(), &made, &[&id_of(live)])?;
        }
        change("btrfs: name subvolume", || {
            Ok(fs::renameat_with(
                parent,
                temporary.as_os_str(),
                parent,
                name,
                RenameFlags::NOREPLACE,
            )?)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let path = path_below(self.top.as_fd(), OsStr::new("."));
        change("btrfs: sync", || with_errno(btrfsutil::sync::sync(path.as_path())))
    }

    /// Puts empty subvolumes in the place of stubs. The mark on the record tells before that it is we who
    /// write to the copy, and after that when that ended, so that it passes for untouched still.
    fn complete(&self, copy: &Subvolume, name: &OsStr, action: &str) -> Result<()> {
        let old = self.old_dir()?;
        let blank = copy.info.parent_uuid.map(|uuid| TreeId::new(uuid.hyphenated().to_string()));
        let list = match &blank {
            Some(blank) => stubs::List::read(old.as_fd(), blank)?.unwrap_or_default(),
            None => stubs::List::default(),
        };
        if list.stubs.is_empty() {
            return Ok(());
        }
        let failed = |e| Error::io(action, e);
        let mark = |complete| {
            let mark = CopyMark { copy: id_of(&copy.info), complete };
            record::mark_copy(old.as_fd(), name, &mark).map_err(failed)
        };
        let marked = record::copy_mark(old.as_fd(), name).map_err(failed)?;
        if marked.is_some_and(|mark| mark.copy == id_of(&copy.info) && mark.complete.is_some()) {
            return Ok(());
        }
        mark(None)?;
        stubs::replace_stubs(copy, &list)?;
        // A commit gives each subvolume its generation, and ends the transaction.
        self.sync().map_err(failed)?;
        mark(Some(stubs::last_written(copy.fd.as_fd(), &list, u64::MAX).map_err(failed)?))
    }
}

impl TreeChanges for Locked<'_> {
    fn layout(&self) -> &Layout {
        self.layout
    }

    fn survey(&self, reach: Reach, mounts: Mounts<'_>) -> Result<Survey> {
        let mut survey = survey_subvolumes(&self.top, self.layout, reach, mounts)?;
        survey.has_old_dir &= !self.made_old;
        Ok(survey)
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        super::view(&self.top, tree)
    }

    fn nested_that_hold(&self, tree: &Tree) -> Result<Vec<TreePath>> {
        stubs::that_hold(&self.top, &self.top.subvolume(tree)?)
    }

    fn look(&self, name: &TreeName) -> Result<Slot> {
        Ok(self.top.look(name)?.slot(name, None))
    }

    fn old_dir(&self) -> Result<OwnedFd> {
        let action = || format!("open the directory of old roots {}", self.layout.old);
        self.top.open_dir(&self.layout.old).map_err(|e| Error::io(action(), e))
    }

    fn make_old_dir(&self) -> Result<OwnedFd> {
        make_old_dir(&self.top, &self.layout.old)
    }

    fn sync_old_dir(&self) -> Result<()> {
        let action = || format!("make the directory of old roots {}", self.layout.old);
        self.sync().map_err(|e| Error::io(action(), e))
    }

    fn make_blank(&mut self, origin: Origin, action: &str) -> Result<Tree> {
        let blank = &self.layout.blank;
        let parent = self.top.open_parent(blank).map_err(|e| Error::io(action, e))?;
        let made = match origin {
            Origin::Empty => {
                let live = self.top.look(&self.layout.live)?.info();
                self.make_empty(parent.as_fd(), blank.file_name(), live.as_ref())
            }
            Origin::Live => {
                let live = self.present(&self.layout.live, action)?;
                create_snapshot(&live, parent.as_fd(), blank.file_name(), SnapshotFlags::READ_ONLY)
            }
        };
        made.and_then(|()| self.sync()).map_err(|e| {
            // Of what `swapon` has, the kernel makes no snapshot.
            let has_swap = Errno::from_io_error(&e) == Some(Errno::TXTBSY);
            let error = Error::io(action, e);
            match has_swap {
                true => error.hint("`swapoff` the swap file in it, which `swapon --show` lists"),
                false => error,
            }
        })?;
        let made = self.present(blank, action)?;
        stubs::record_stubs(&self.top, self.old_dir()?.as_fd(), &made)?;
        Ok(tree_of(blank.clone(), &made.info, None))
    }

    fn list_stubs(&mut self, blank: &Tree) -> Result<()> {
        let blank = self.top.subvolume(blank)?;
        stubs::record_stubs(&self.top, self.old_dir()?.as_fd(), &blank)
    }

    fn settle_record(&self, record: &File) -> io::Result<()> {
        commit_with_transaction(&self.top, record)
    }

    fn copy_blank(
        &mut self,
        blank: &Tree,
        _record: &Record,
        name: &TreeName,
        action: &str,
    ) -> Result<Tree> {
        let (source, old) = (self.top.subvolume(blank)?, self.old_dir()?);
        // The kernel commits the transaction that makes a snapshot before it returns.
        create_snapshot(&source, old.as_fd(), name.file_name(), SnapshotFlags::empty())
            .map_err(|e| Error::io(action, e))?;
        Ok(tree_of(name.clone(), &self.present(name, action)?.info, Some(&source.info)))
    }

    fn exchange(&mut self, live: &Tree, copy: &Tree, action: &str) -> Result<()> {
        self.complete(&self.top.subvolume(copy)?, copy.name.file_name(), action)?;
        let live_parent = self.top.open_parent(&live.name).map_err(|e| Error::io(action, e))?;
        let old = self.top.open_parent(&copy.name).map_err(|e| Error::io(action, e))?;
        change("btrfs: exchange", || {
            let (live, aside) = (live.name.file_name(), copy.name.file_name());
            Ok(fs::renameat_with(&live_parent, live, &old, aside, RenameFlags::EXCHANGE)?)
        })
        .and_then(|()| self.sync())
        .map_err(|e| match Cause::of(&e) {
            Cause::Busy => Error::io(action, e).hint(format!(
                "something is mounted on the directory {} of the top level; unmount it",
                live.name
            )),
            _ => Error::io(action, e),
        })
    }

    fn make_live_default(&mut self) -> Result<()> {
        let live = &self.layout.live;
        let action = format!("make {live} the default subvolume");
        self.present(live, &action)?;
        let path = path_below(self.top.as_fd(), live.as_path().as_os_str());
        change("btrfs: set default", || {
            with_errno(Named::get(path.as_path()).and_then(|subvolume| subvolume.set_default()))
        })
        .and_then(|()| self.sync())
        .map_err(|e| Error::io(action, e))
    }

    fn plan_deletion<'t>(&'t self, old_root: &'t OldRoot, action: &'t str) -> Result<Deletion<'t>> {
        let doomed = all_in(&self.top, self.top.subvolume(&old_root.tree)?.info.id, action)?;
        // The kernel deletes mounted subvolumes without a word.
        let (mounts, more_mounts) = subvolume_mounts::of_subvolumes(
            &self.top,
            &doomed.iter().copied().collect(),
            self.top.patience(),
        )?;
        // A single subvolume is there or gone.
        let goes_in_steps = doomed.len() > 1;
        let destroy = Box::new(move || destroy_subvolumes(&self.top, &doomed, action));
        Ok(Deletion { goes_in_steps, mounts, more_mounts, destroy })
    }
}

/// Opens the directory of old roots, and makes it first if it is not there, readable by root alone.
fn make_old_dir(top: &Top, old: &TreeName) -> Result<OwnedFd> {
    let failed = |e: io::Error| Error::io(format!("make the directory of old roots {old}"), e);
    let parent = top.open_parent(old).map_err(|e| failed(e.into()))?;
    let made = change("btrfs: make old dir", || {
        Ok(fs::mkdirat(&parent, old.file_name(), Mode::from_raw_mode(0o700))?)
    });
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(failed(error));
    }
    top.open_dir(old).map_err(|e| failed(e.into()))
}

fn create_snapshot(
    source: &Subvolume,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    flags: SnapshotFlags,
) -> io::Result<()> {
    let source = path_below(source.fd.as_fd(), OsStr::new("."));
    let path = path_below(parent, name);
    change("btrfs: snapshot", || {
        with_errno(
            Named::get(source.as_path())
                .and_then(|source| source.snapshot(path.as_path(), flags, None)),
        )
    })
}

// Deletes subvolumes by number, those inside them first, and never one that is in use.

/// The subvolume `id` and all that are inside it, each after the one that holds it; an error if one
/// of them is the default subvolume.
fn all_in(top: &Top, id: u64, action: &str) -> Result<Vec<u64>> {
    let mut order = vec![id];
    let mut at = 0;
    while let Some(&parent) = order.get(at) {
        order.extend(nested_subvolumes(top, parent)?.iter().map(|child| child.id));
        at += 1;
    }
    let default = default_subvolume(top)?;
    for &id in &order {
        if id == default {
            let action = format!("{action} (subvolume {id})");
            return Err(Error::new(action, "it is the default subvolume"));
        }
    }
    Ok(order)
}

/// Deletes them, the innermost first. The kernel frees their blocks later, in its own time.
fn destroy_subvolumes(top: &Top, all: &[u64], action: &str) -> Result<()> {
    for &id in all.iter().rev() {
        let destroy =
            || change("btrfs: destroy subvolume", || btrfs_ioctls::destroy_subvolume(top, id));
        let destroyed = match destroy() {
            // Perhaps it is immutable, or what it lies in is.
            Err(why) if Cause::of(&why) == Cause::NotPermitted => clear_inode_flags(top, id, all)
                .and_then(|unlocked| if unlocked { destroy() } else { Err(why) }),
            destroyed => destroyed,
        };
        destroyed.map_err(|e| Error::io(format!("{action} (subvolume {id})"), e))?;
    }
    Ok(())
}

/// Clears the flags that forbid to delete the name of a subvolume, on it and on the directory that has
/// the name if that is doomed, too; says whether there was one.
fn clear_inode_flags(top: &Top, id: u64, all: &[u64]) -> io::Result<bool> {
    let Some((dir, name)) = tree_queries::place_of(top, id)? else { return Ok(false) };
    let names = dir.split(|&b| b == b'/').filter(|name| !name.is_empty());
    let names = names.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let parent = directory_walker::open_path(top.as_fd(), &names)?;
    let parent =
        directory_walker::open_dir(parent.as_ref().map_or(top.as_fd(), AsFd::as_fd), c".")?;
    let parent = parent.as_fd();
    let doomed = directory_walker::open_dir(parent, &CString::new(name)?)?;
    if btrfs_ioctls::subvolume_info(&doomed)?.id != id {
        return Err(io::Error::other("another subvolume has taken its name meanwhile"));
    }
    let is_doomed = all.contains(&btrfs_ioctls::subvolume_info(parent)?.id);
    let of_parent = is_doomed && !inode_flags::unlock_changes(parent)?.is_empty();
    Ok(!inode_flags::unlock_changes(doomed.as_fd())?.is_empty() || of_parent)
}

// Makes a new file's content part of the running transaction, so that whatever commits that one
// makes it durable: a snapshot does, and a wait for the disk is saved.
//
// Written data is in memory first, and no part of any transaction until it has been written out.
// Once the file's extents are items of its tree, they are committed no later than any name that the
// file is given from then on.

/// Sees to it that `file`, which is complete, is durable no later than a name that it gets next.
pub fn commit_with_transaction(top: &Top, file: &File) -> io::Result<()> {
    match file_ioctls::write_data(file).and_then(|()| is_in_tree(top, file)) {
        Ok(true) => Ok(()),
        // Not proven, on whatever kernel: then the long way, which also tells what is wrong.
        Ok(false) | Err(_) => file.sync_all(),
    }
}

/// Whether all of the content is in the file's tree: in it, or at a place on the disk that it names
/// since the data was written there.
pub(crate) fn is_in_tree(top: &Top, file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    let mut reached = Some(0);
    Searcher::few(file.as_fd(), top).each_of(found.ino(), kind::EXTENT_DATA, |item| {
        let extent = FileExtent::parse(item.key.offset, item.data);
        let extent = extent.filter(|e| Some(e.start) == reached && e.source != Source::Zero);
        reached = extent.and_then(|e| e.start.checked_add(e.len));
    })?;
    Ok(reached.is_some_and(|end| end >= found.len()))
}
