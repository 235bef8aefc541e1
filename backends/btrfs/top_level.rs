//! The top level of a Btrfs file system (subvolume 5), opened where no mount can hide anything.

use std::fs::{File, canonicalize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use dirfd::mount_tables::{self, Patience};
use dirfd::mountinfo::{self, Mount};
use dirfd::{Error, Result, TreeName};
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::sys::btrfs_control;
use crate::sys::btrfs_ioctls::{self, FsInfo, SubvolumeInfo};
use crate::{Slot, Tree, TreeId};

/// The inode number of every subvolume's root directory (`BTRFS_FIRST_FREE_OBJECTID`).
pub const ROOT_INODE: u64 = 256;

/// The kernel's own interfaces, which have no other place.
const PROC: &str = "/proc";
const BLOCK_DEVICES: &str = "/sys/class/block";
const DEVICES: &str = "/dev";

/// Whether a file system is opened to look at it or to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing can be written through it.
    Read,
    /// The subvolumes can be changed.
    Write,
}

/// The open top level.
#[derive(Debug)]
pub struct Top {
    fd: OwnedFd,
    info: FsInfo,
    device: PathBuf,
    patience: Patience,
}

/// An open subvolume and what the kernel says of it.
#[derive(Debug)]
pub struct Subvolume {
    pub(crate) fd: OwnedFd,
    pub(crate) info: SubvolumeInfo,
}

impl Top {
    /// Opens the file system on `device` in a mount of its own, which is in no mount table.
    pub fn open(device: &Path, access: Access) -> Result<Self> {
        let fd = match mount_top(device, access) {
            Ok(fd) => fd,
            Err(Errno::PERM) if access == Access::Read => mounted_top(device)?,
            Err(error) => return Err(open_error(device, error)),
        };
        let info = btrfs_ioctls::fs_info(&fd).map_err(|e| {
            Error::io(format!("read what file system is on {}", device.display()), e)
        })?;
        Ok(Self { fd, info, device: device.to_path_buf(), patience: Patience::default() })
    }

    pub(crate) fn device(&self) -> &PathBuf {
        &self.device
    }

    /// How long mounts of its subvolumes may be looked for.
    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(crate) fn info(&self) -> &FsInfo {
        &self.info
    }

    /// The subvolume `tree`, if its name still holds the tree of that identity.
    pub fn subvolume(&self, tree: &Tree) -> Result<Subvolume> {
        let action = || format!("open the subvolume {}", tree.name);
        let fd = self.open_dir(&tree.name).map_err(|e| Error::io(action(), e))?;
        let info = btrfs_ioctls::subvolume_info(&fd).map_err(|e| Error::io(action(), e))?;
        if id_of(&info) != tree.id || !is_subvolume_root(fd.as_fd()).unwrap_or(false) {
            return Err(Error::new(action(), "another tree has taken its name meanwhile")
                .hint("run the command again"));
        }
        Ok(Subvolume { fd, info })
    }

    /// What `name` holds, opened.
    pub(crate) fn look(&self, name: &TreeName) -> Result<Look> {
        let action = || format!("look at {name} on {}", self.device.display());
        let fd = match self.open_dir(name) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Look::Missing),
            Err(Errno::NOTDIR) => return Ok(Look::Other("a file".into())),
            Err(Errno::LOOP) => return Ok(Look::Other("a symbolic link".into())),
            Err(error) => return Err(Error::io(action(), error)),
        };
        if !is_subvolume_root(fd.as_fd()).map_err(|e| Error::io(action(), e))? {
            return Ok(Look::Other("a plain directory, not a subvolume".into()));
        }
        let info = btrfs_ioctls::subvolume_info(&fd).map_err(|e| Error::io(action(), e))?;
        Ok(Look::Subvolume(Subvolume { fd, info }))
    }

    /// Opens the directory `name` without following any link.
    pub fn open_dir(&self, name: &TreeName) -> Result<OwnedFd, Errno> {
        self.open_path(name.as_path())
    }

    /// The directory that holds `name`.
    pub fn open_parent(&self, name: &TreeName) -> Result<OwnedFd, Errno> {
        self.open_path(name.split().0.unwrap_or(Path::new(".")))
    }

    fn open_path(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        fs::openat2(&self.fd, path, flags, Mode::empty(), resolve)
    }
}

impl AsFd for Top {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a name holds.
pub(crate) enum Look {
    Missing,
    Other(String),
    Subvolume(Subvolume),
}

impl Look {
    pub(crate) fn info(&self) -> Option<SubvolumeInfo> {
        match self {
            Self::Subvolume(found) => Some(found.info),
            Self::Missing | Self::Other(_) => None,
        }
    }

    /// The same as plain data; `blank` is what it may be a copy of.
    pub fn slot(self, name: &TreeName, blank: Option<&SubvolumeInfo>) -> Slot {
        match self {
            Self::Missing => Slot::Missing,
            Self::Other(what) => Slot::NotATree(what),
            Self::Subvolume(found) => Slot::Present(tree_of(name.clone(), &found.info, blank)),
        }
    }
}

/// The identity of the subvolume that `dir` is in; `None` if it is not on this file system.
pub fn identify_subvolume(top: &Top, dir: BorrowedFd<'_>) -> std::io::Result<Option<TreeId>> {
    match btrfs_ioctls::fs_info(dir) {
        Ok(info) if info.fsid == top.info.fsid => {
            Ok(Some(id_of(&btrfs_ioctls::subvolume_info(dir)?)))
        }
        Ok(_) => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTTY) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The identity of a subvolume.
pub fn id_of(info: &SubvolumeInfo) -> TreeId {
    TreeId::new(info.uuid.hyphenated().to_string())
}

/// A subvolume as a tree under `name`; `blank` is what it may be a copy of.
pub fn tree_of(name: TreeName, info: &SubvolumeInfo, blank: Option<&SubvolumeInfo>) -> Tree {
    let (secs, nanos) = info.otime;
    Tree {
        id: id_of(info),
        name,
        read_only: info.read_only,
        created: DateTime::from_timestamp(secs, nanos),
        copy_of: info.parent_uuid.map(|uuid| TreeId::new(uuid.hyphenated().to_string())),
        pristine: blank.map(|blank| is_pristine_copy(info, blank)),
    }
}

/// Making a snapshot writes the root blocks of both trees, and so does every change from then on.
fn is_pristine_copy(copy: &SubvolumeInfo, blank: &SubvolumeInfo) -> bool {
    copy.parent_uuid == Some(blank.uuid)
        && copy.generation == copy.otransid
        && blank.generation <= copy.otransid
}

fn is_subvolume_root(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
    Ok(stat.stx_ino == ROOT_INODE)
}

fn mount_top(device: &Path, access: Access) -> Result<OwnedFd, Errno> {
    match try_mount_top(device, access) {
        // A file system of several devices whose other devices nobody has told the kernel of yet.
        Err(Errno::NOENT | Errno::INVAL | Errno::IO | Errno::NXIO) if device.exists() => {
            scan_all_devices();
            try_mount_top(device, access)
        }
        other => other,
    }
}

fn try_mount_top(device: &Path, access: Access) -> Result<OwnedFd, Errno> {
    let context = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_string(context, "source", device)?;
    fsconfig_set_string(context, "subvolid", "5")?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    if access == Access::Read {
        fsconfig_set_flag(context, "ro")?;
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(context)?;
    let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // What fsmount gives is a path only; ioctls need a descriptor that is open for reading.
    fs::openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_error(device: &Path, error: Errno) -> Error {
    let action = format!("open the Btrfs file system on {}", device.display());
    let found = Error::io(action, error);
    match error {
        Errno::PERM => found.hint("run it as root"),
        Errno::NOENT | Errno::NXIO | Errno::NOTBLK => {
            found.hint("name a block device in `device` under [root]; `blkid` lists them")
        }
        Errno::INVAL => match has_btrfs_magic(device) {
            Some(true) | None => found,
            Some(false) => found.hint(format!(
                "there is no Btrfs file system on it; `blkid {}` tells what is",
                device.display()
            )),
        },
        _ => found,
    }
}

/// Whether the device carries the Btrfs magic; `None` if it cannot be read.
fn has_btrfs_magic(device: &Path) -> Option<bool> {
    const SUPERBLOCK_MAGIC: u64 = 0x1_0040;
    let mut magic = [0; 8];
    let file = File::open(device).ok()?;
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut magic, SUPERBLOCK_MAGIC).ok()?;
    Some(magic == *b"_BHRfS_M")
}

/// The top level of the file system on `device` where it is mounted already: all that a process
/// without privilege can get.
pub fn mounted_top(device: &Path) -> Result<OwnedFd> {
    let action = || format!("open the Btrfs file system on {}", device.display());
    let proc = open_proc()?;
    let wanted = canonicalize(device).map_err(|e| Error::io(action(), e))?;
    let is_top = |mount: &&Mount| {
        mount.fs_type == b"btrfs"
            && mount.root == b"/"
            && mount.option(b"subvolid").is_some_and(|id| *id == *b"5")
            && canonicalize(Path::new(std::ffi::OsStr::from_bytes(&mount.source)))
                .is_ok_and(|source| source == wanted)
    };
    let mounts = mountinfo::read_mounts()?;
    let found = mounts.iter().filter(is_top);
    found
        .filter_map(|mount| mount_tables::open_mount_point(proc.as_fd(), None, mount).ok())
        .next()
        .ok_or_else(|| {
            Error::new(action(), "that needs root, unless its top level is mounted already")
                .hint("run it as root, or mount its top level (subvolid=5) read-only somewhere")
        })
}

/// Tells the kernel of every block device, as `btrfs device scan` does. A device that is no part of
/// a Btrfs file system is not an error.
pub fn scan_all_devices() {
    // Best effort: mounting says what is missing in the end.
    for entry in std::fs::read_dir(BLOCK_DEVICES).into_iter().flatten().flatten() {
        let _ = btrfs_control::scan(&Path::new(DEVICES).join(entry.file_name()));
    }
}

pub(crate) fn open_proc() -> Result<File> {
    File::open(PROC).map_err(|e| {
        Error::io(format!("open {PROC}"), e).hint("mount it: mount -t proc proc /proc")
    })
}
