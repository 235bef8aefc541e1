//! A pool under the lock that every change needs, with what an interrupted run left half done completed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use dirfd::fault::change;
use dirfd::{Error, Result, TreeName};
use rustix::fs::{self, Mode, OFlags};

use crate::locked_backend::changed_meanwhile;
use crate::old_roots::name_in_old;
use crate::zfs::dataset_mounts::{Access, open};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::datasets_found::{Found, identity_of};
use crate::zfs::output::{Pool, Row};
use crate::zfs::properties::{self, Carried};
use crate::zfs::survey_datasets::slot_of_plain;
use crate::zfs::{Zfs, commands, interrupted_exchange};
use crate::{Slot, Tree, TreeId, lock};

/// The kernel's door to all pools, which everybody may open.
const DOOR: &str = "/dev/zfs";
/// Where the lock is, one for every Blankroot of the machine: what only root may open.
const LOCK: &str = "/run/blankroot/zfs";

/// The pool, with the lock that every Blankroot process takes for changes.
pub struct Locked<'a> {
    pub(crate) of: &'a Zfs,
    /// The pool, as it was when the lock was taken.
    pub(crate) pool: Pool,
    _lock: OwnedFd,
    /// What is to be done about live's properties, once it was found out, and for which live.
    carried: Option<(TreeId, Carried)>,
}

impl<'a> Locked<'a> {
    /// Takes the lock, and completes what an interrupted run left half done.
    pub fn new(of: &'a Zfs) -> Result<Self> {
        let action = || format!("change the datasets below {}", of.names.top);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        fs::open(DOOR, flags, Mode::empty())
            .map_err(|e| Error::io(action(), e).hint("load the module: `modprobe zfs`"))?;
        let lock = open_lock().map_err(|e| Error::io(action(), e))?;
        lock::take_private(lock.as_fd(), action)?;
        let mut pool = commands::pool(of.names.top.pool())?;
        interrupted_exchange::finish_interrupted(of, &mut pool)?;
        Ok(Self { of, pool, _lock: lock, carried: None })
    }

    pub(crate) fn look(&self, names: &[&ZfsName]) -> Result<Vec<Row>> {
        commands::look(names, &self.of.names.blank)
    }

    /// What becomes of live's properties; asked for once.
    pub(crate) fn carried(&mut self, live: &TreeId) -> Result<Carried> {
        if let Some((_, carried)) = self.carried.as_ref().filter(|(of, _)| of == live) {
            return Ok(carried.clone());
        }
        let carried = properties::of_live(&self.of.names.live, &self.pool)?;
        self.carried = Some((live.clone(), carried.clone()));
        Ok(carried)
    }

    pub(crate) fn name(&self, name: &TreeName, action: &str) -> Result<ZfsName> {
        ZfsName::of(&self.of.names.top, name)
            .map_err(|why| Error::new(action, format!("the name `{name}` {why}")))
    }

    /// Opens the dataset of records, and makes it first if it is not there, for root alone to look in.
    pub(crate) fn ensure_old_dir(&self) -> Result<OwnedFd> {
        let old = &self.of.names.old;
        if !commands::is_there(old)? {
            commands::create(old)?;
        }
        let action = || format!("make {old} one where only root may look");
        let dir = open(old, Access::Write)?;
        let failed = |e| Error::io(action(), e);
        let mode = fs::fstat(&dir).map_err(failed)?.st_mode;
        if Mode::from_raw_mode(mode) == Mode::RWXU {
            return Ok(dir);
        }
        change("zfs: chmod old", || Ok(fs::fchmod(&dir, Mode::RWXU)?))
            .and_then(|()| change("zfs: sync old", || Ok(fs::fsync(&dir)?)))
            .map_err(|e| Error::io(action(), e))?;
        Ok(dir)
    }

    /// What has this name now. Of a snapshot, the kernel is asked for the identity alone: `zfs list` looks at
    /// every clone of it.
    pub(crate) fn slot(&self, name: &TreeName) -> Result<Slot> {
        let dataset = self.name(name, "look at a dataset")?;
        let Some(id) = identity_of(&dataset)? else {
            let is_old = name_in_old(&self.of.layout.old, name.file_name())? == *name;
            return match is_old {
                true => slot_of_plain(&open(&self.of.names.old, Access::Read)?, name.file_name()),
                false => Ok(Slot::Missing),
            };
        };
        if dataset.snapshot().is_some() {
            let name = name.clone();
            let read_only = true;
            let (created, copy_of, pristine) = (None, None, None);
            return Ok(Slot::Present(Tree { id, name, read_only, created, copy_of, pristine }));
        }
        let names = &self.of.names;
        let rows = self.look(&[&names.live, &dataset])?;
        let row = rows.iter().find(|row| row.name == dataset.as_str()).cloned();
        let found = Found::without_blank(names, rows)?;
        let mut slot = found.slot(self.of, row.as_ref(), name)?;
        if let (Slot::Present(tree), Some(row), Some(live)) = (&mut slot, &row, &found.live)
            && row.replaces != Some(live.guid)
        {
            // Only what is told so is gone on with after a power cut: nothing else is a copy to become live.
            tree.copy_of = None;
        }
        Ok(slot)
    }

    pub(crate) fn tree(&self, name: &TreeName, action: &str) -> Result<Tree> {
        match self.slot(name)? {
            Slot::Present(tree) => Ok(tree),
            Slot::Missing | Slot::NotATree(_) => {
                Err(changed_meanwhile(action, &format!("{name} is gone again")))
            }
        }
    }
}

/// The directory that carries the lock, in a memory file system that an initrd hands on.
fn open_lock() -> io::Result<OwnedFd> {
    let lock = Path::new(LOCK);
    for (dir, mode) in [(lock.parent(), 0o755), (Some(lock), 0o700)] {
        let Some(dir) = dir else { continue };
        let made = change("zfs: make the lock's directory", || {
            Ok(fs::mkdir(dir, Mode::from_raw_mode(mode))?)
        });
        match made {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::open(lock, flags, Mode::empty())?)
}
