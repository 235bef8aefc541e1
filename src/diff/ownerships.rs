//! Whose each change is: live's own databases and links tell of what is there, blank's of what is gone.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::thread;

use backends::{Backend, Life, Tree, View};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::{ChangeKind, Changes, Error, Facts, FileType, Result};

use crate::diff::DiffRow;
use crate::owners::installed_since::PackageChange;
use crate::owners::{
    InstalledSince, OwnerFacts, Owners, Ownership, installed_since, is_in_package_database,
};

/// The two trees of a diff, open for reading whose their paths are.
pub(crate) struct OwnerViews<'t> {
    live: (&'t Tree, View),
    blank: Option<(&'t Tree, View)>,
}

impl<'t> OwnerViews<'t> {
    /// Opens them; `blank` is `None` where the root starts empty.
    pub(crate) fn open(
        backend: &dyn Backend,
        blank: Option<&'t Tree>,
        live: &'t Tree,
    ) -> Result<Self> {
        let open = |tree| Ok((tree, backend.view(tree)?));
        Ok(Self { live: open(live)?, blank: blank.map(open).transpose()? })
    }
}

/// Tells whose the changes of a diff are, of each when it is asked.
pub(crate) struct Ownerships<'v> {
    trees: OwnersOfTrees,
    installed: InstalledSince,
    live: RefCell<LookupInOrder<'v>>,
    blank: Option<RefCell<LookupInOrder<'v>>>,
}

impl<'v> Ownerships<'v> {
    /// Reads what tells of the owners of these changes in both trees. Also returns what could not be read, and why.
    pub(crate) fn read(
        backend: &dyn Backend,
        views: &'v OwnerViews<'_>,
        changes: &Changes,
    ) -> Result<(Self, Vec<String>)> {
        let OwnerViews { live, blank } = views;
        let blank_tree = blank.as_ref().map(|(tree, _)| *tree);
        let (trees, warnings) = OwnersOfTrees::read(backend, blank_tree, live.0, changes)?;
        let installed = trees.blank.as_ref().map(|blank| installed_since(blank, &trees.live));
        let lookup = |(tree, view): &'v (&Tree, View)| match LookupInOrder::new(view.as_fd()) {
            Ok(lookup) => Ok(RefCell::new(lookup)),
            Err(why) => Err(Error::io(format!("read what is in {}", tree.name), why)),
        };
        let (live, blank) = (lookup(live)?, blank.as_ref().map(lookup).transpose()?);
        Ok((Self { trees, installed: installed.unwrap_or_default(), live, blank }, warnings))
    }

    /// Whose a change is.
    pub(crate) fn owner_of(&self, row: &DiffRow<'_>) -> Option<Ownership> {
        let tree = match row.kind {
            ChangeKind::Removed => self.blank.as_ref(),
            _ => Some(&self.live),
        };
        // A link that is gone by now says nothing.
        let target = tree.filter(|_| row.facts.file_type == FileType::Symlink).and_then(|tree| {
            let mut tree = tree.borrow_mut();
            tree.look_at(row.path, |place, _| place.link_target().ok().flatten()).ok().flatten()
        });
        self.trees.owner_of(row.path, row.kind, row.facts, &target.unwrap_or_default())
    }

    /// What happened since blank to the package that owns a change.
    pub(crate) fn package_change(&self, ownership: &Ownership) -> Option<PackageChange> {
        self.installed.change_of(&ownership.owner)
    }
}

/// What tells of the owners of both trees.
pub(crate) struct OwnersOfTrees {
    live: Owners,
    /// `None` too where no change asks for it.
    blank: Option<Owners>,
}

impl OwnersOfTrees {
    /// Reads live, and blank if any of the changes asks for it. Who had files open in live when somebody looked is
    /// written down beside the old roots.
    pub(crate) fn read(
        backend: &dyn Backend,
        blank: Option<&Tree>,
        live: &Tree,
        changes: &Changes,
    ) -> Result<(Self, Vec<String>)> {
        let blank = blank.filter(|_| asks_blank(changes));
        let view = backend.view(live)?;
        let life = match backend.old_dir()? {
            // One that cannot be read tells nothing.
            Some(dir) => Life::read(dir.as_fd(), &live.id).unwrap_or_default(),
            None => None,
        };
        let open = life.map(|life| life.open).unwrap_or_default();
        let open = || open.iter().map(|open| (open.path.as_bytes(), open.unit.as_str()));
        let view_of_blank = blank.map(|blank| backend.view(blank)).transpose()?;
        // Two trees of as many databases: each is read on a processor of its own.
        let (of_live, of_blank) = thread::scope(|scope| {
            let view_of_blank = view_of_blank.as_ref().map(AsFd::as_fd);
            let of_blank = view_of_blank.map(|view| scope.spawn(move || Owners::read(view)));
            let of_live = Owners::read(view.as_fd());
            (
                of_live,
                of_blank.map(|reading| reading.join().unwrap_or_else(|why| resume_unwind(why))),
            )
        });
        // Who has files open around what is gone has removed it.
        let of_live = of_live.with_open_files(open());
        let blank = of_blank.map(|of_blank| of_blank.with_open_files(open()));
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

/// Whether blank tells more than live does: of what is gone, and of packages that were not as they are.
fn asks_blank(changes: &Changes) -> bool {
    let mut cursor = changes.cursor();
    while let Some((path, kind, _)) = cursor.next_row() {
        if kind == ChangeKind::Removed || is_in_package_database(path) {
            return true;
        }
    }
    false
}
