//! The changes that ZFS makes: snapshot, clone, the exchange of two names, and what precedes a deletion.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::commands;
use super::doubt::replaces;
use super::found::{Found, identity};
use super::name::ZfsName;
use super::open::{Access, open};
use super::output::{Pool, Row};
use super::properties::{self, Carried};
use super::survey::survey;
use super::{Zfs, capture, discard, half_done, revert};
use crate::error::{Error, Result};
use crate::fault::change;
use crate::hold::{self, Hold};
use crate::kinship;
use crate::mount_tables::Patience;
use crate::old_roots::{Reach, child};
use crate::path::TreeName;
use crate::record::{self, Record};
use crate::survey::{Mounts, OldRoot, Slot, Survey, Tree, TreeId, Unfinished};
use crate::{Backend, LockedBackend, Origin, View, lock};

/// The kernel's door to all pools, which everybody may open.
const DOOR: &str = "/dev/zfs";
/// Where the lock is, one for every Blankroot of the machine: what only root may open.
const LOCK: &str = "/run/blankroot/zfs";

/// The pool, with the lock that every Blankroot process takes for changes.
pub struct Locked<'a> {
    pub(super) of: &'a Zfs,
    /// The pool, as it was when the lock was taken.
    pub(super) pool: Pool,
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
            .map_err(|e| Error::io(action(), e).mend("load the module: `modprobe zfs`"))?;
        let lock = open_lock().map_err(|e| Error::io(action(), e))?;
        lock::take_private(lock.as_fd(), action)?;
        let mut pool = commands::pool(of.names.top.pool())?;
        half_done::finish(of, &mut pool)?;
        Ok(Self { of, pool, _lock: lock, carried: None })
    }

    /// The name of `tree`, if it still holds the tree of that identity.
    pub(super) fn expect(&self, tree: &Tree, action: &str) -> Result<ZfsName> {
        let name = self.name(&tree.name, action)?;
        expect(&name, &tree.id, action)?;
        Ok(name)
    }

    fn look(&self, names: &[&ZfsName]) -> Result<Vec<Row>> {
        commands::look(names, &self.of.names.blank)
    }

    /// What becomes of live's properties; asked for once.
    fn carried(&mut self, live: &TreeId) -> Result<Carried> {
        if let Some((_, carried)) = self.carried.as_ref().filter(|(of, _)| of == live) {
            return Ok(carried.clone());
        }
        let carried = properties::of_live(&self.of.names.live, &self.pool)?;
        self.carried = Some((live.clone(), carried.clone()));
        Ok(carried)
    }

    pub(super) fn name(&self, name: &TreeName, action: &str) -> Result<ZfsName> {
        ZfsName::of(&self.of.names.top, name)
            .map_err(|why| Error::new(action, format!("the name `{name}` {why}")))
    }

    pub(super) fn old_dir(&self) -> Result<OwnedFd> {
        open(&self.of.names.old, Access::Write)
    }

    pub(super) fn ensure_old_dir(&self) -> Result<()> {
        let old = &self.of.names.old;
        if !commands::is_there(old)? {
            commands::create(old)?;
        }
        let action = || format!("make {old} one where only root may look");
        let dir = open(old, Access::Write)?;
        let failed = |e| Error::io(action(), e);
        let mode = fs::fstat(&dir).map_err(failed)?.st_mode;
        if Mode::from_raw_mode(mode) == Mode::RWXU {
            return Ok(());
        }
        change("zfs: chmod old", || Ok(fs::fchmod(&dir, Mode::RWXU)?))
            .and_then(|()| change("zfs: sync old", || Ok(fs::fsync(&dir)?)))
            .map_err(|e| Error::io(action(), e))
    }

    fn tree(&self, name: &TreeName, action: &str) -> Result<Tree> {
        let dataset = self.name(name, action)?;
        let names = &self.of.names;
        let rows = self.look(&[&names.live, &dataset])?;
        let found = Found::without_blank(names, rows)?;
        let rows = found.old_roots.iter().chain(&found.blank);
        let row = rows.into_iter().find(|row| row.name == dataset.as_str());
        match found.slot(self.of, row, name)? {
            Slot::Present(tree) => Ok(tree),
            Slot::Missing | Slot::NotATree(_) => {
                Err(changed(action, &format!("{dataset} is gone again")))
            }
        }
    }
}

impl LockedBackend for Locked<'_> {
    fn survey(&self) -> Result<Survey> {
        survey(self.of, &self.pool, Reach::All, Mounts::NotLookedFor)
    }

    fn survey_for_rollback(&self) -> Result<Survey> {
        survey(self.of, &self.pool, Reach::Youngest, Mounts::OfLive(&Patience::of_rollback()))
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        self.of.view(tree)
    }

    fn look_for_snapshots(&self, old_roots: &mut [OldRoot]) -> Result<()> {
        self.of.look_for_snapshots(old_roots)
    }

    fn make_old_dir(&mut self) -> Result<()> {
        self.ensure_old_dir()
    }

    fn hold(&mut self, hold: &Hold) -> Result<()> {
        self.ensure_old_dir()?;
        hold::write(self.old_dir()?.as_fd(), &self.of.layout.live, hold)
    }

    fn release(&mut self) -> Result<()> {
        hold::remove(self.old_dir()?.as_fd(), &self.of.layout.live)
    }

    fn adopt(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        self.expect(live, kinship::ACTION)?;
        self.expect(blank, kinship::ACTION)?;
        self.ensure_old_dir()?;
        kinship::write(self.old_dir()?.as_fd(), &blank.id, &[&live.id])
            .map_err(|e| Error::io(kinship::ACTION, e))
    }

    fn capture(&mut self, origin: Origin) -> Result<Tree> {
        capture::capture(self, origin)?;
        self.tree(&self.of.layout.blank, "make the blank snapshot")
    }

    fn prepare(&mut self, blank: &Tree, record: &Record) -> Result<Tree> {
        let aside = self.of.names.old_root(&record.name)?;
        let action = format!("make a fresh copy of {} as {aside}", blank.name);
        let snapshot = self.name(&blank.name, &action)?;
        expect(&snapshot, &blank.id, &action)?;
        expect(&self.of.names.live, &record.live, &action)?;
        if record.blank != blank.id {
            return Err(changed(&action, "the record names another blank"));
        }
        let old = self.old_dir()?;
        // A record must never lie beside something that is not ours: it would become ours.
        let entry = fs::statat(&old, &record.name, AtFlags::SYMLINK_NOFOLLOW);
        if commands::is_there(&aside)? || !matches!(entry, Err(Errno::NOENT)) {
            return Err(Error::new(action, format!("{aside} is taken")));
        }
        let mut properties = self.carried(&record.live)?.copy;
        let delegated = commands::delegations(&self.of.names.live)?;
        // Whoever goes on with a copy takes one that is told this for whole.
        let replaces = properties::replaces(&record.live);
        let is_whole = delegated.is_none() && properties::tell_cost(&properties);
        properties.push(if is_whole { replaces.clone() } else { properties::unfinished() });
        record::write(old.as_fd(), record, File::sync_all)?;
        if let Err(error) = commands::clone(&snapshot, &aside, &properties) {
            if commands::is_there(&aside).is_ok_and(|is_there| !is_there) {
                // Best effort: a record alone is harmless.
                let _ = record::remove(old.as_fd(), record);
            }
            return Err(error);
        }
        if let Some(packed) = delegated {
            commands::delegate(&aside, &packed)?;
        }
        let cost = || properties::cost(&aside, &self.of.names.blank);
        if !is_whole {
            let last: Vec<_> = cost()?.into_iter().chain([replaces]).collect();
            commands::set(&aside, &last)?;
        }
        let name = child(&self.of.layout.old, OsStr::new(&record.name))?;
        let copy = self.tree(&name, &action)?;
        if copy.pristine != Some(false) {
            return Ok(copy);
        }
        // Blank was made anew since live was a copy.
        if let Some(cost) = cost()? {
            commands::set(&aside, &[cost])?;
        }
        self.tree(&name, &action)
    }

    fn swap(&mut self, live: &Tree, aside: &TreeName) -> Result<()> {
        let action = format!("exchange {} and {aside}", live.name);
        let (live_name, copy) = (self.name(&live.name, &action)?, self.name(aside, &action)?);
        expect(&live_name, &live.id, &action)?;
        let is_old = child(&self.of.layout.old, aside.file_name())? == *aside;
        if !is_old || !record::says(self.old_dir()?.as_fd(), aside.file_name(), &live.id) {
            return Err(changed(&action, "no record says that live is to be set aside there"));
        }
        let rows = self.look(&[&copy])?;
        // Only what is told so is gone on with after a power cut.
        let is_fresh =
            |row: &Row| row.origin.is_some() && !row.read_only && replaces(row, &live.id);
        if !rows.first().is_some_and(is_fresh) {
            return Err(changed(&action, "what is to become live is no fresh copy of blank"));
        }
        let carried = self.carried(&live.id)?;
        if !carried.aside.is_empty() {
            commands::set(&live_name, &carried.aside)?;
        }
        let parked = half_done::parked_name(&self.of.names, &aside.file_name().to_string_lossy())?;
        commands::rename("zfs: set live aside", &live_name, &parked)?;
        half_done::name_copy_live(self.of, &copy, &parked)?;
        if self.pool.bootfs.as_deref() == Some(live_name.as_str()) {
            self.pool.bootfs = Some(parked.to_string());
        }
        half_done::set_aside(self.of, &mut self.pool, &parked, &copy, &carried.old_root)?;
        let names = &self.of.names;
        let rows = self.look(&[&names.live, &copy])?;
        half_done::finish_promotion(self.of, &Found::without_blank(names, rows)?)
    }

    fn revert(&mut self, live: &Tree, blank: &Tree) -> Result<()> {
        revert::revert(self, live, blank)
    }

    fn make_live_default(&mut self) -> Result<()> {
        // No mount leads to a dataset without naming it.
        Ok(())
    }

    fn discard(&mut self, old_root: &OldRoot) -> Result<()> {
        discard::old_root(self, old_root)
    }

    fn discard_unfinished(&mut self, left: &Unfinished) -> Result<()> {
        discard::unfinished(self, left)
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

/// Fails unless `name` holds the tree of this identity.
fn expect(name: &ZfsName, id: &TreeId, action: &str) -> Result<()> {
    match identity(name)? == Some(id.clone()) {
        true => Ok(()),
        false => Err(changed(action, &format!("{name} is not the tree {id} any more"))),
    }
}

pub(super) fn changed(action: &str, why: &str) -> Error {
    Error::new(action, why).mend("look at `blankroot status`, then run the command again")
}
