//! Refuses paths that cannot be kept as they are: what `keep` asks of them, and `init` of those that it is
//! to declare or finds declared.

use std::os::fd::AsFd;

use backends::census::Census;
use backends::stat::of_open;
use backends::{Error, FileType, Result, TreeName, TreePath};
use backends::{magic, mounted};
use rustix::fs::OFlags;

use super::choose;
use super::look::{There, look};
use crate::config::{Config, EntryKind};
use crate::facts::fstab;
use crate::facts::fstab_mounts::Mounts;
use crate::host::Machine;
use crate::keep;
use crate::observe::Wiped;
use crate::plan::apply::{Arranged, ancestors, arrange, leads_to};

/// A machine, and what it mounts by itself.
pub struct Keepable<'k> {
    machine: &'k Machine,
    fstab: Vec<fstab::Entry>,
    storages: Vec<TreePath>,
    live: Option<&'k TreeName>,
}

impl<'k> Keepable<'k> {
    /// `storages` are all, those yet to be declared too; `live` is the tree that a rollback replaces.
    pub fn new(
        machine: &'k Machine,
        storages: Vec<TreePath>,
        live: Option<&'k TreeName>,
    ) -> Result<Self> {
        let fstab = fstab::read(machine.root().as_fd());
        let fstab = fstab.map_err(|why| Error::io("read /etc/fstab", why))?;
        Ok(Self { machine, fstab: fstab::entries(&fstab), storages, live })
    }

    /// What is at a path that is not on the keep list yet, and what the owner may want to know of it.
    pub fn undeclared(&self, path: &TreePath) -> Result<(Option<There>, Option<String>)> {
        if let Some(mount) = self.fstab_mounts().at(path) {
            let mend = mount.mend(path);
            return Err(Error::new(format!("keep {path}"), mount).mend(mend));
        }
        let note = choose::suitable(path)?;
        refuse_in_memory(self.machine, path)?;
        Ok((look(self.machine, path)?, note))
    }

    /// What is in the place of an entry, and not kept yet; `None` if nothing is, or its data is shown there.
    pub fn declared(&self, one: &Arranged) -> Result<Option<There>> {
        let path = &one.entry.path;
        let stored = look(self.machine, &one.source)?;
        let live = look(self.machine, path)?;
        if live.as_ref().is_some_and(|live| is_in_place(one, live, stored.as_ref())) {
            return Ok(None);
        }
        let mount = self.fstab_mounts().at(path);
        // Below such a mount, data that storage has already is shown all the same.
        if let Some(mount) = mount.filter(|mount| mount.point == *path || stored.is_none()) {
            let mend = format!("remove its entry in line {}", one.entry.place.line);
            return Err(Error::new(format!("keep {path}"), mount).mend(mend));
        }
        refuse_in_memory(self.machine, path)?;
        // What PID 1 has mounted as the machine's identity is not lost, and an empty subvolume has nothing
        // to lose.
        let is_empty =
            |live: &There| live.stat.facts.file_type == FileType::Subvolume && !live.stat.has_names;
        if let Some(live) = live.as_ref().filter(|live| !one.is_identity() && !is_empty(live)) {
            kind_of(path, live, false)?;
        }
        Ok(live.filter(|live| !live.is_mount))
    }

    /// Refuses what a snapshot of live does not have, so that after a rollback nothing, or what is older,
    /// would be kept in its place. What is mounted within it is mounted there again.
    fn expect_in_blank(&self, live: &There, path: &TreePath) -> Result<()> {
        if let Some(point) = self.mount_above(live, path)? {
            let why = format!("it lies on what is mounted at {point}, of which blank has nothing");
            return Err(Error::new(format!("keep {path}"), why).mend(format!(
                "see what it is with `findmnt {point}`; what has a file system of its own survives anyway"
            )));
        }
        refuse_subvolume(&live.census(path)?, path)
    }

    /// The outermost parent that is on another mount than the root, if what is there is, too.
    fn mount_above(&self, live: &There, path: &TreePath) -> Result<Option<TreePath>> {
        let failed = |why| Error::io(format!("look at {path}"), why);
        let top = of_open(self.machine.root().as_fd()).map_err(failed)?;
        if live.stat.mount == top.mount {
            return Ok(None);
        }
        let mut parents: Vec<TreePath> = ancestors(path).collect();
        parents.reverse();
        for parent in parents {
            let opened = self.machine.open_at(&parent, OFlags::PATH).map_err(failed)?;
            if of_open(opened.as_fd()).map_err(failed)?.mount != top.mount {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    fn fstab_mounts(&self) -> Mounts<'_> {
        Mounts { entries: &self.fstab, storages: &self.storages, live: self.live }
    }
}

/// Every reason why entries of a configuration would not keep what live has in their places.
pub fn refusals(config: &Config, machine: &Machine) -> Result<Vec<Error>> {
    let storages = config.storages.iter().map(|storage| storage.path.clone()).collect();
    let live = config.root.layout().map(|layout| &layout.live);
    let keepable = Keepable::new(machine, storages, live)?;
    let list = keep::list(config);
    let arranged = arrange(&list);
    // What lies in another entry is moved with that.
    let outer = arranged.iter().filter(|one| one.within.is_none());
    let refused = outer.filter_map(|one| refuse_declared(&keepable, one).err());
    Ok(refused.collect())
}

fn refuse_declared(keepable: &Keepable<'_>, one: &Arranged) -> Result<()> {
    match keepable.declared(one)? {
        Some(live) if !one.is_identity() => keepable.expect_in_blank(&live, &one.entry.path),
        _ => Ok(()),
    }
}

/// Whether what is at the place of an entry is its data: mounted, or linked to.
fn is_in_place(one: &Arranged, live: &There, stored: Option<&There>) -> bool {
    if stored.is_some_and(|stored| stored.stat.is_same_file(&live.stat)) {
        return true;
    }
    live.place().link_target().ok().flatten().is_some_and(|target| leads_to(&target, one))
}

/// What lies in memory is empty at every boot by itself, before it could be covered.
fn refuse_in_memory(machine: &Machine, path: &TreePath) -> Result<()> {
    let Some(dir) = outermost_in_memory(machine, path)? else { return Ok(()) };
    let why = format!("{dir} is in memory (tmpfs), and empty at every boot by itself");
    Err(Error::new(format!("keep {path}"), why)
        .mend("let the program put it below /var/lib or /srv, and keep that"))
}

/// Refuses a directory in memory as a storage that is declared for `path`.
pub fn refuse_storage_in_memory(
    machine: &Machine,
    path: &TreePath,
    storage: &TreePath,
) -> Result<()> {
    match outermost_in_memory(machine, storage)? {
        Some(_) => {
            Err(Error::new(format!("keep {path}"), Wiped::InMemory.reason(storage))
                .mend(Wiped::MEND))
        }
        None => Ok(()),
    }
}

/// The outermost directory on the way to `path`, or that itself, that is in memory and not on the root's
/// own file system.
fn outermost_in_memory(machine: &Machine, path: &TreePath) -> Result<Option<TreePath>> {
    let failed = |why| Error::io(format!("look at {path}"), why);
    let root = machine.open_at(&TreePath::root(), OFlags::PATH).map_err(failed)?;
    let root = of_open(root.as_fd()).map_err(failed)?;
    let mut outermost = None;
    for dir in std::iter::once(path.clone()).chain(ancestors(path)) {
        let opened = match machine.open_at(&dir, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(opened) => opened,
            // What is not there yet will be where its parents are; whoever looks next tells the rest.
            Err(_) => continue,
        };
        let of_root = of_open(opened.as_fd()).map_err(failed)?.device == root.device;
        let in_memory = match mounted::of(opened.as_fd())? {
            Some(mount) => mount.is_in_memory(),
            None => magic::of(&opened).map_err(failed)? == magic::TMPFS,
        };
        if of_root || !in_memory {
            break;
        }
        outermost = Some(dir);
    }
    Ok(outermost)
}

/// A directory or a file, told from what is there.
pub fn kind_of(path: &TreePath, live: &There, must_be_dir: bool) -> Result<EntryKind> {
    if live.is_mount {
        return Err(Error::new(format!("keep {path}"), "something is mounted there").mend(format!(
            "see what it is with `findmnt {path}`; what has a file system of its own survives anyway"
        )));
    }
    kind(path, live.stat.facts.file_type, must_be_dir)
}

/// The same by the type alone.
pub fn kind(path: &TreePath, file_type: FileType, must_be_dir: bool) -> Result<EntryKind> {
    let refused = |why: &str| Error::new(format!("keep {path}"), why);
    match file_type {
        FileType::Dir => Ok(EntryKind::Dir),
        FileType::File if !must_be_dir => Ok(EntryKind::File),
        FileType::File => Err(refused("it is a file, and no directory")),
        FileType::Symlink => Err(refused("it is a link")
            .mend("keep what it leads to; the link itself can be a part of blank")),
        FileType::Subvolume => Err(refused("it is a subvolume of its own")
            .mend("move it out of live, and mount it there with a line in fstab")),
        other => Err(refused(&format!("it is a {}, which its program makes anew", other.word()))
            .mend("keep the directory that it lies in, if at all")),
    }
}

/// What live has, if it can be moved.
pub fn movable(live: &There, path: &TreePath) -> Result<Census> {
    let census = live.census(path)?;
    if let Some(below) = &census.mounted_over {
        let why = format!("something is mounted at {below}, which lies in it");
        return Err(Error::new(format!("keep {path}"), why)
            .mend("unmount it first, or keep what lies beside it"));
    }
    refuse_subvolume(&census, path)?;
    Ok(census)
}

fn refuse_subvolume(census: &Census, path: &TreePath) -> Result<()> {
    let Some(below) = &census.subvolume else { return Ok(()) };
    let why = format!("{below}, which lies in it, is a subvolume of its own");
    Err(Error::new(format!("keep {path}"), why)
        .mend("move the subvolume out of live, and mount it there with a line in fstab"))
}
