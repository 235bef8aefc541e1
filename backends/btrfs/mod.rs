//! Btrfs: trees are subvolumes, a copy is a snapshot, and the file system knows what was written.

pub mod btrfsutil_calls;
pub mod change_subvolumes;
pub mod diff;
pub(crate) mod small_files;
pub mod stubs;
pub mod subvolume_mounts;
pub mod survey_subvolumes;
#[cfg(test)]
mod tests;
pub mod top_level;
pub mod tree_items;
pub mod tree_queries;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use dirfd::fingerprint::FileContent;
use dirfd::path::shell_word;
use dirfd::{Changes, Error, Result, TreePath};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::btrfs::top_level::{Access, Top};
use crate::old_roots::Reach;
use crate::survey::Mounts;
use crate::{
    Abilities, Backend, FastChanges, FoundInode, Layout, LockedBackend, Slot, Survey, Tree, TreeId,
    View,
};

/// A Btrfs file system with the layout of a root on it.
#[derive(Debug)]
pub struct Btrfs {
    top: Top,
    layout: Layout,
}

impl Btrfs {
    /// Opens the file system on `device` for reading, whether it is mounted somewhere or not.
    ///
    /// As root it is opened outside every mount table. Without privilege, a mount of its top level
    /// that is there already is used.
    pub fn open(device: &Path, layout: Layout) -> Result<Self> {
        Ok(Self { top: Top::open(device, Access::Read)?, layout })
    }

    /// The device that was named when it was opened.
    pub fn device(&self) -> &PathBuf {
        self.top.device()
    }

    /// What mounts the top level, and then makes a tree read-only or writable.
    fn commands_for_read_only(&self, tree: &Tree, read_only: bool) -> [String; 2] {
        let mount = format!("mount -o subvolid=5 {} /mnt", shell_word(self.device().as_os_str()));
        let path = Path::new("/mnt").join(tree.name.as_path());
        let path = shell_word(path.as_os_str());
        [format!("`{mount}`"), format!("`btrfs property set -ts {path} ro {read_only}`")]
    }
}

impl Backend for Btrfs {
    fn survey(&self) -> Result<Survey> {
        survey_subvolumes::survey_subvolumes(
            &self.top,
            &self.layout,
            Reach::All,
            Mounts::OfLive(self.top.patience()),
        )
    }

    fn live_and_blank(&self) -> Result<(Slot, Slot)> {
        let (live, blank) = (self.top.look(&self.layout.live)?, self.top.look(&self.layout.blank)?);
        let info = blank.info();
        Ok((live.slot(&self.layout.live, info.as_ref()), blank.slot(&self.layout.blank, None)))
    }

    fn file_system(&self) -> Result<String> {
        Ok(self.top.info().fsid.hyphenated().to_string())
    }

    fn view(&self, tree: &Tree) -> Result<View> {
        view(&self.top, tree)
    }

    fn changes(&self, from: &Tree, to: &Tree) -> Result<FastChanges> {
        diff::find_changes(&self.top, from, to)
    }

    fn changes_without_walk(&self, from: &Tree, to: &Tree) -> Result<Option<Changes>> {
        Ok(match self.changes(from, to)? {
            FastChanges::Exact(changes) => Some(changes),
            FastChanges::Unavailable(_) => None,
        })
    }

    fn known_contents(
        &self,
        tree: &Tree,
        files: &[Option<FoundInode>],
    ) -> Result<Vec<Option<FileContent>>> {
        match small_files::read_small_files(&self.top, &self.top.subvolume(tree)?, files) {
            // Only root may search trees.
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                Ok(vec![None; files.len()])
            }
            held => held.map_err(|e| Error::io(format!("search the subvolume {}", tree.name), e)),
        }
    }

    fn own_bytes(&self, tree: &Tree) -> Result<Option<u64>> {
        diff::own_bytes(&self.top, tree, &self.layout.blank)
    }

    fn nested_that_hold(&self, tree: &Tree) -> Result<Vec<TreePath>> {
        stubs::that_hold(&self.top, &self.top.subvolume(tree)?)
    }

    fn survey_without_mounts(&self) -> Result<Survey> {
        let mounts = Mounts::NotLookedFor;
        survey_subvolumes::survey_subvolumes(&self.top, &self.layout, Reach::All, mounts)
    }

    fn old_dir(&self) -> Result<Option<OwnedFd>> {
        match self.top.open_dir(&self.layout.old) {
            Ok(old) => Ok(Some(old)),
            Err(Errno::NOENT) => Ok(None),
            Err(why) => {
                let action = format!("open the directory of old roots {}", self.layout.old);
                Err(Error::io(action, why))
            }
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities { needs_rollback: true, constant_time: true, fast_changes: true }
    }

    fn identify(&self, dir: BorrowedFd<'_>) -> Result<Option<TreeId>> {
        top_level::identify_subvolume(&self.top, dir)
            .map_err(|e| Error::io("find out which subvolume a directory is in", e))
    }

    fn how_to_make_read_only(&self, tree: &Tree) -> Option<String> {
        let [mount, set] = self.commands_for_read_only(tree, true);
        Some(format!("run {mount}, then {set}"))
    }

    fn how_to_change_read_only(&self, tree: &Tree) -> Option<[String; 2]> {
        let [mount, unset] = self.commands_for_read_only(tree, false);
        let [_, set] = self.commands_for_read_only(tree, true);
        Some([format!("run {mount}, then {unset}"), set])
    }

    fn how_to_place_swap(&self) -> String {
        let mount = format!("mount -o subvolid=5 {} /mnt", shell_word(self.device().as_os_str()));
        format!(
            "make a new one in a subvolume of its own beside the root: `{mount}`, `btrfs subvolume create \
             /mnt/swap`, mount that at /swap by a line in fstab, `btrfs filesystem mkswapfile --size 4g \
             /swap/swapfile`, and name that in fstab"
        )
    }

    fn lock(&self) -> Result<LockedBackend<'_>> {
        lock_layout(self.device(), &self.layout)
    }
}

/// Opens the file system on `device` for changes and takes the lock, in one mount: who is going to
/// change it needs no other one to look at it first.
pub fn lock_layout<'a>(device: &Path, layout: &'a Layout) -> Result<LockedBackend<'a>> {
    Ok(LockedBackend::new(change_subvolumes::Locked::new(device, layout)?))
}

fn view(top: &Top, tree: &Tree) -> Result<View> {
    let subvolume = top.subvolume(tree)?;
    // An atime update would be a write to the very tree that is only looked at.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOATIME;
    openat(&subvolume.fd, ".", flags, Mode::empty())
        .or_else(|_| openat(&subvolume.fd, ".", flags - OFlags::NOATIME, Mode::empty()))
        .map(View::new)
        .map_err(|e| Error::io(format!("open the subvolume {}", tree.name), e))
}
