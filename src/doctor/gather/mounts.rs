//! What is mounted below the root that is looked at, and what of it a rollback replaces.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use backends::mounted::UsersOwn;
use backends::mountinfo::Mount;
use backends::{Error, Result, TreePath, mounted};

use crate::doctor::facts::Lies;

/// The mounts as seen from the root.
pub(crate) struct Mounts {
    /// Where the root is, without a slash at its end.
    prefix: Vec<u8>,
    /// The file system that holds the root, and the root's place in it.
    device: (u32, u32),
    place: Vec<u8>,
    all: Vec<Mount>,
    users_own: Mutex<UsersOwn>,
}

impl Mounts {
    pub fn read(root: &Path) -> Result<Self> {
        let at = mounted::at(root)?;
        let whole =
            std::fs::canonicalize(root).map_err(|e| Error::io("find the root's own path", e))?;
        let bytes = whole.as_os_str().as_bytes();
        let prefix = bytes.strip_suffix(b"/").unwrap_or(bytes).to_vec();
        let (all, users_own) = (mounted::all()?, Mutex::new(UsersOwn::read()?));
        Ok(Self { prefix, device: at.mount.dev, place: at.path, all, users_own })
    }

    /// Where the file at `path` lies, by the mounts alone.
    pub fn lies(&self, path: &TreePath) -> Lies {
        let whole = self.whole(path);
        let Some(mount) = self.on_top(&whole) else { return Lies::Unknown };
        let place = mount.in_file_system(&whole).unwrap_or_default();
        if mount.dev == self.device && is_within(&place, &self.place) {
            Lies::InLive
        } else if mount.is_in_memory() {
            Lies::InMemory
        } else {
            Lies::Safe
        }
    }

    /// The mount that shows `path`, and its mount point as seen from the root; `None` if that is not
    /// below the root.
    pub fn showing(&self, path: &TreePath) -> Option<(TreePath, &Mount)> {
        let mount = self.on_top(&self.whole(path))?;
        Some((self.below_root(&mount.mount_point)?, mount))
    }

    /// An error where a user's own process (FUSE) may be asked on the way to `path`, and never answer.
    pub fn refuse_users_own(&self, path: &TreePath) -> Result<()> {
        let mut users_own = self.users_own.lock().unwrap_or_else(PoisonError::into_inner);
        match users_own.on_the_way(&self.whole(path))? {
            Some(why) => Err(Error::new(format!("look at {path}"), why)),
            None => Ok(()),
        }
    }

    fn whole(&self, path: &TreePath) -> Vec<u8> {
        [&self.prefix, b"/".as_slice(), path.as_bytes()].concat()
    }

    /// Of several mounts at one place the last is on top.
    fn on_top(&self, whole: &[u8]) -> Option<&Mount> {
        let shown = |mount: &&Mount| mount.in_file_system(whole).is_some();
        self.all.iter().filter(shown).max_by_key(|mount| mount.mount_point.len())
    }

    fn below_root(&self, point: &[u8]) -> Option<TreePath> {
        let point = point.strip_suffix(b"/").unwrap_or(point);
        let below = point.strip_prefix(self.prefix.as_slice())?;
        let is_below = matches!(below, [] | [b'/', ..]);
        is_below.then(|| TreePath::parse(below).ok()).flatten()
    }

    /// The type of what is mounted at `path` itself, on top.
    pub fn type_at(&self, path: &TreePath) -> Option<&[u8]> {
        let whole = self.whole(path);
        let there = self.all.iter().rev().find(|mount| mount.mount_point == whole);
        there.map(|mount| mount.fs_type.as_slice())
    }

    /// The mounts in memory at or below the root, and where each is, seen from there.
    pub fn in_memory(&self) -> impl Iterator<Item = (TreePath, &Mount)> {
        let in_memory = self.all.iter().filter(|mount| mount.is_in_memory());
        in_memory.filter_map(|mount| Some((self.below_root(&mount.mount_point)?, mount)))
    }
}

fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use backends::mountinfo;

    use super::*;

    fn mounts(root: (&str, &str), table: &str) -> Mounts {
        let all = mountinfo::parse(table.as_bytes()).unwrap();
        let (prefix, place) = (root.0.as_bytes().to_vec(), root.1.as_bytes().to_vec());
        let users_own = Mutex::new(UsersOwn::read().unwrap());
        Mounts { prefix, device: (0, 1), place, all, users_own }
    }

    #[test]
    fn only_what_is_mounted_from_beside_the_root_is_safe() {
        let table = "\
            1 0 0:1 /root /mnt rw - btrfs x rw\n\
            2 1 0:1 /persist /mnt/persist rw - btrfs x rw\n\
            3 1 0:1 /root/nested /mnt/nested rw - btrfs x rw\n\
            4 1 0:1 /root/var/p /mnt/bound rw - btrfs x rw\n\
            5 1 0:2 / /mnt/tmp rw - tmpfs x rw\n\
            6 1 0:3 / /mnt/home rw - ext4 x rw\n\
            7 1 0:1 /root2 /mnt/beside rw - btrfs x rw\n";
        let mounts = mounts(("/mnt", "root"), table);
        for (path, lies) in [
            ("/etc/passwd", Lies::InLive),
            ("/persist/x", Lies::Safe),
            ("/persistent", Lies::InLive),
            ("/nested", Lies::InLive),
            ("/bound/x", Lies::InLive),
            ("/tmp", Lies::InMemory),
            ("/home/alice", Lies::Safe),
            ("/beside", Lies::Safe),
        ] {
            assert_eq!(mounts.lies(&TreePath::parse(path.as_bytes()).unwrap()), lies, "{path}");
        }
        let memory: Vec<String> = mounts.in_memory().map(|(path, _)| path.to_string()).collect();
        assert_eq!(memory, ["/tmp"]);
    }

    #[test]
    fn a_root_in_memory_is_wiped_and_what_is_mounted_over_a_place_counts() {
        let table = "\
            1 0 0:1 / / rw - tmpfs x rw\n\
            2 1 0:4 / /persist rw - ext4 x rw\n\
            3 2 0:5 / /persist rw - tmpfs x rw\n";
        let mounts = mounts(("", ""), table);
        assert_eq!(mounts.lies(&TreePath::root()), Lies::InLive);
        assert_eq!(mounts.lies(&TreePath::parse(b"/persist").unwrap()), Lies::InMemory);
    }
}
