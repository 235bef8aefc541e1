//! The backend `tmpfs`: live starts empty at every boot, so there is nothing to roll back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use dirfd::path::Escaped;
use dirfd::stat::{Place, Stat};
use dirfd::{Error, Result, TreeName};
use rustix::fs::{self, Mode, OFlags};

use crate::directory::without_mounts;
use crate::{Abilities, Backend, FastChanges, LockedBackend, Slot, Survey, Tree, TreeId, View};

/// `TMPFS_MAGIC`, linux/magic.h.
const TMPFS: u64 = 0x0102_1994;

/// A mounted tmpfs, which is its only tree.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
    root: OwnedFd,
}

impl Tmpfs {
    /// Opens the tmpfs that is mounted at `path`; an error if it is another file system.
    pub fn open(path: &Path) -> Result<Self> {
        let action = || format!("open {}", Escaped::of_path(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty()).map_err(|e| Error::io(action(), e))?;
        let found = fs::fstatfs(&root).map_err(|e| Error::io(action(), e))?;
        if found.f_type as u64 != TMPFS {
            return Err(Error::new(action(), "it is not a tmpfs")
                .hint("name the backend of the file system that is mounted there"));
        }
        Ok(Self { path: path.to_owned(), root })
    }

    fn action(&self, what: &str) -> String {
        format!("{what} the tmpfs {}", Escaped::of_path(&self.path))
    }

    fn stat(&self) -> Result<Stat> {
        let root = Place { dir: self.root.as_fd(), name: c"." };
        root.stat().map_err(|e| Error::io(self.action("look at"), e))
    }
}

impl Backend for Tmpfs {
    fn survey(&self) -> Result<Survey> {
        let id = identity_of_mount(&self.stat()?);
        let name = TreeName::new("tmpfs").map_err(|e| Error::new(self.action("name"), e))?;
        let file_system = id.to_string();
        let live =
            Tree { id, name, read_only: false, created: None, copy_of: None, pristine: None };
        Ok(Survey::new(file_system, Slot::Present(live), Slot::Missing))
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        if identity_of_mount(&self.stat()?) != tree.id {
            return Err(Error::new(self.action("open"), "another tmpfs was asked for"));
        }
        let opened = without_mounts(self.root.as_fd());
        let opened = opened.and_then(|root| dirfd::directory_walker::open_dir(root.as_fd(), c"."));
        Ok(View::new(opened.map_err(|e| Error::io(self.action("open"), e))?))
    }

    fn changes(&self, _from: &Tree, _to: &Tree) -> Result<FastChanges> {
        Ok(FastChanges::Unavailable("a tmpfs has no record of what was written".to_string()))
    }

    fn abilities(&self) -> Abilities {
        Abilities { needs_rollback: false, constant_time: true, fast_changes: false }
    }

    fn identify(&self, dir: BorrowedFd<'_>) -> Result<Option<TreeId>> {
        let action = "find out which directory this is";
        let stat = Place { dir, name: c"." }.stat().map_err(|e| Error::io(action, e))?;
        Ok(Some(identity_of_mount(&stat)))
    }

    fn lock(&self) -> Result<LockedBackend<'_>> {
        // There is nothing to change: a lock, which anybody could take, would protect nothing.
        Ok(LockedBackend::volatile(self, self.action("change")))
    }
}

/// The mount, as long as it lasts.
fn identity_of_mount(root: &Stat) -> TreeId {
    TreeId::new(format!("tmpfs {}:{}", root.device.0, root.device.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;
    use dirfd::compare_trees::walk_added;
    use rustix::mount::{MountFlags, UnmountFlags, mount};
    use std::fs::{self, File};
    use support::every_kind_of_file::fill;
    use support::own_mounts::own_mounts;

    /// A tmpfs that only this thread sees.
    struct Mounted {
        dir: tempfile::TempDir,
    }

    impl Mounted {
        fn new() -> Option<Self> {
            if !own_mounts() {
                return None;
            }
            let dir = tempfile::tempdir().unwrap();
            mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), None).unwrap();
            Some(Self { dir })
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH).unwrap();
        }
    }

    #[test]
    fn everything_in_a_tmpfs_is_new_even_below_a_mount() {
        let Some(mounted) = Mounted::new() else { return };
        fill(mounted.dir.path());
        let plain = File::open(mounted.dir.path()).unwrap();
        let expected = walk_added(plain.as_fd(), &|_| {}).unwrap().len();
        mount("tmpfs", mounted.dir.path().join("dir"), "tmpfs", MountFlags::empty(), None).unwrap();
        let backend = Tmpfs::open(mounted.dir.path()).unwrap();
        let live = backend.survey().unwrap().live.tree().cloned().unwrap();
        let view = backend.view(&live).unwrap();
        let found = walk_added(view.as_fd(), &|_| {}).unwrap();
        assert_eq!(found.len(), expected);
        assert!(found.iter().any(|change| change.path.as_bytes() == b"dir/second name"));
    }

    #[test]
    fn there_is_nothing_to_change() {
        let Some(mounted) = Mounted::new() else { return };
        let backend = Tmpfs::open(mounted.dir.path()).unwrap();
        assert!(!backend.abilities().needs_rollback);
        let mut locked = backend.lock().unwrap();
        assert!(locked.capture(Origin::Live).is_err());
        assert_eq!(fs::read_dir(mounted.dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_file_system_is_refused() {
        let refused = Tmpfs::open(Path::new("/proc")).unwrap_err();
        assert!(refused.to_string().starts_with("cannot open /proc: it is not a tmpfs"));
    }
}
