//! Whose each change is: live's own databases and links tell of what is there, blank's of what is gone.

use std::os::fd::AsFd;

use backends::{Backend, Life, Tree};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::{ChangeKind, Changes, Error, Facts, FileType, Result};

use crate::owners::installed_since::PackageChange;
use crate::owners::{InstalledSince, OwnerFacts, Owners, Ownership, installed_since};

/// The owners of a diff's changes.
#[derive(Debug)]
pub(crate) struct Ownerships {
    /// One for each change, in their order.
    owners: Vec<Option<Ownership>>,
    installed: InstalledSince,
    /// What could not be read, and why.
    pub(crate) warnings: Vec<String>,
}

impl Ownerships {
    /// Whose the change at this place is.
    pub(crate) fn get(&self, at: usize) -> Option<&Ownership> {
        self.owners.get(at)?.as_ref()
    }

    /// What happened since blank to the package that owns it.
    pub(crate) fn package_change(&self, ownership: &Ownership) -> Option<PackageChange> {
        self.installed.change_of(&ownership.owner)
    }
}

/// What tells of the owners of both trees.
pub(crate) struct OwnersOfTrees {
    live: Owners,
    blank: Option<Owners>,
}

impl OwnersOfTrees {
    /// Reads both trees. Who had files open in live when somebody looked is written down beside the old roots.
    pub(crate) fn read(
        backend: &dyn Backend,
        blank: Option<&Tree>,
        live: &Tree,
    ) -> Result<(Self, Vec<String>)> {
        let view = backend.view(live)?;
        let life = match backend.old_dir()? {
            // One that cannot be read tells nothing.
            Some(dir) => Life::read(dir.as_fd(), &live.id).unwrap_or_default(),
            None => None,
        };
        let open = life.map(|life| life.open).unwrap_or_default();
        let open = || open.iter().map(|open| (open.path.as_bytes(), open.unit.as_str()));
        let of_live = Owners::read(view.as_fd()).with_open_files(open());
        // Who has files open around what is gone has removed it.
        let blank = match blank {
            Some(blank) => Some(Owners::read(backend.view(blank)?.as_fd()).with_open_files(open())),
            None => None,
        };
        let warnings = of_live.warnings().to_vec();
        Ok((Self { live: of_live, blank }, warnings))
    }

    /// Whose a change is.
    pub(crate) fn owner_of(
        &self,
        path: &[u8],
        kind: ChangeKind,
        facts: &Facts,
        target: &[u8],
    ) -> Option<Ownership> {
        let (uid, gid, file_type) = (facts.uid, facts.gid, facts.file_type);
        let link_target = Some(target).filter(|target| !target.is_empty());
        let facts = OwnerFacts { uid, gid, file_type, link_target };
        let owners = match (kind, &self.blank) {
            (ChangeKind::Removed, Some(blank)) => blank,
            _ => &self.live,
        };
        owners.owner_of(path, &facts)
    }
}

/// The owner of each change.
pub(crate) fn find_owners(
    backend: &dyn Backend,
    blank: Option<&Tree>,
    live: &Tree,
    changes: &Changes,
) -> Result<Ownerships> {
    let (trees, warnings) = OwnersOfTrees::read(backend, blank, live)?;
    let cannot = |tree: &Tree| {
        let action = format!("read what is in {}", tree.name);
        move |why| Error::io(action, why)
    };
    let view = backend.view(live)?;
    let mut in_live = LookupInOrder::new(view.as_fd()).map_err(cannot(live))?;
    let former = blank.map(|blank| Ok((blank, backend.view(blank)?))).transpose()?;
    let mut in_blank = match &former {
        Some((blank, view)) => Some(LookupInOrder::new(view.as_fd()).map_err(cannot(blank))?),
        None => None,
    };
    let mut owners = Vec::with_capacity(changes.len());
    let mut cursor = changes.cursor();
    while let Some((path, kind, facts)) = cursor.next_row() {
        let lookup = match kind {
            ChangeKind::Removed => in_blank.as_mut(),
            _ => Some(&mut in_live),
        };
        let lookup = lookup.filter(|_| facts.file_type == FileType::Symlink);
        // A link that is gone by now says nothing.
        let target = lookup.and_then(|tree| {
            tree.look_at(path, |place, _| place.link_target().ok().flatten()).ok().flatten()
        });
        let target = target.unwrap_or_default();
        owners.push(trees.owner_of(path, kind, facts, &target));
    }
    let installed = match &trees.blank {
        Some(blank) => installed_since(blank, &trees.live),
        None => InstalledSince::default(),
    };
    Ok(Ownerships { owners, installed, warnings })
}
