//! Reads what is on the file system: live, blank, old roots, half-done work, room.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::search::{default_subvolume, nested};
use super::top::{Look, Top, tree_of};
use crate::Layout;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::kernel::btrfs::{self as ioctl, SubvolumeInfo};
use crate::path::{TreeName, TreePath};
use crate::record::{Record, Records};
use crate::survey::{OldRoot, Space, Survey, Tree, Unfinished};

/// A metadata block for each level that making a snapshot and exchanging two names may write, as
/// the kernel reserves them before it starts: 256 blocks cover both with room to spare.
const BLOCKS_NEEDED: u64 = 256;

pub fn survey(top: &Top, layout: &Layout) -> Result<Survey> {
    // What was written and not committed yet would pass for never written: a subvolume's item gets
    // its new generation with the commit.
    change("btrfs: sync before survey", || Ok(rustix::fs::syncfs(top)?))
        .map_err(|e| Error::io("sync the file system before looking at it", e))?;
    let live = top.look(&layout.live)?;
    let live_info = live.info();
    let blank = top.look(&layout.blank)?;
    let blank_info = blank.info();
    let default = privileged(default_subvolume(top))?;
    let old = OldDir::read(top, layout, default, blank_info.as_ref())?;
    let (live_mounts, nested) = match live_info {
        Some(info) => (super::mounts::of_subvolume(top, info.id)?, nested_paths(top, info.id)?),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Survey {
        file_system: top.info().fsid.hyphenated().to_string(),
        live: live.slot(&layout.live, blank_info.as_ref()),
        blank: blank.slot(&layout.blank, None),
        has_old_dir: old.is_there,
        old_roots: old.roots,
        unfinished: old.unfinished,
        live_mounts,
        nested,
        live_is_default: live_info.is_some_and(|info| default == Some(info.id)),
        obstacles: Vec::new(),
        space: space(top.as_fd(), top.info()).ok(),
    })
}

/// `None` where only a privileged process may ask.
fn privileged<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.errno() == Some(rustix::io::Errno::PERM.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn nested_paths(top: &Top, live: u64) -> Result<Vec<TreePath>> {
    let mut paths = Vec::new();
    for child in privileged(nested(top, live))?.unwrap_or_default() {
        let mut path = ioctl::inode_path(top, live, child.dir)
            .map_err(|e| Error::io(format!("find where subvolume {} is", child.id), e))?;
        path.extend_from_slice(&child.name);
        paths.extend(TreePath::parse(&path));
    }
    paths.sort();
    Ok(paths)
}

/// What the directory of old roots holds.
#[derive(Default)]
struct OldDir {
    is_there: bool,
    roots: Vec<OldRoot>,
    unfinished: Vec<Unfinished>,
}

impl OldDir {
    fn read(
        top: &Top,
        layout: &Layout,
        default: Option<u64>,
        blank: Option<&SubvolumeInfo>,
    ) -> Result<Self> {
        let dir = match top.open_dir(&layout.old) {
            Ok(dir) => dir,
            Err(rustix::io::Errno::NOENT) => return Ok(Self::default()),
            Err(error) => {
                return Err(Error::io(
                    format!("open the directory of old roots {}", layout.old),
                    error,
                )
                .mend("`old` under [root] must name a plain directory, or nothing yet"));
            }
        };
        let records = Records::read(dir.as_fd())?;
        let mut old = Self { is_there: true, ..Self::default() };
        let mut by_age = Vec::new();
        let mut claimed = Vec::new();
        for record in records.readable {
            let name = child(&layout.old, &record.name)?;
            claimed.push(record.name.clone());
            match top.look(&name)? {
                Look::Missing => old.unfinished.push(Unfinished::RecordOnly(record)),
                Look::Subvolume(found) => {
                    let tree = tree_of(name, &found.info, blank);
                    old.sort_in(tree, &found.info, record, default, &mut by_age);
                }
                Look::Other(_) => old.unfinished.push(Unfinished::Foreign(name)),
            }
        }
        by_age.sort_by_key(|(age, _): &((u64, u64), OldRoot)| *age);
        old.roots = by_age.into_iter().map(|(_, root)| root).collect();
        for (file, why) in records.unreadable {
            let name = TreeName::new(join(&layout.old, file.as_encoded_bytes()));
            old.unfinished.extend(name.map(|name| Unfinished::UnreadableRecord { name, why }));
        }
        for entry in records
            .entries
            .iter()
            .filter(|e| !claimed.iter().any(|name| e.as_os_str() == name.as_str()))
        {
            let name = TreeName::new(join(&layout.old, entry.as_encoded_bytes()));
            old.unfinished.extend(name.map(Unfinished::Foreign));
        }
        Ok(old)
    }

    /// Tells by identity whether a recorded name holds the old root or the copy that was to replace
    /// it.
    fn sort_in(
        &mut self,
        tree: Tree,
        info: &SubvolumeInfo,
        record: Record,
        default: Option<u64>,
        by_age: &mut Vec<((u64, u64), OldRoot)>,
    ) {
        if tree.id == record.live {
            let root = OldRoot { tree, record, own_bytes: None };
            if default == Some(info.id) {
                self.unfinished.push(Unfinished::DefaultLeftBehind(root.clone()));
            }
            by_age.push(((info.otransid, info.id), root));
        } else if tree.copy_of.as_ref() == Some(&record.blank) {
            self.unfinished.push(Unfinished::FreshCopy { tree, record });
        } else {
            self.unfinished.push(Unfinished::Foreign(tree.name));
        }
    }
}

/// A name in the directory of old roots.
pub fn child(old: &TreeName, name: &str) -> Result<TreeName> {
    old.child(name)
        .map_err(|why| Error::new(format!("use `{name}` as the name of an old root"), why))
}

fn join(old: &TreeName, name: &[u8]) -> Vec<u8> {
    [old.as_bytes(), b"/", name].concat()
}

/// Room for metadata: what is free in its block groups, less the reserve that only deleting may
/// use, and half of what no block group has taken yet (metadata is usually kept twice).
fn space(fd: BorrowedFd<'_>, info: &ioctl::FsInfo) -> io::Result<Space> {
    let mut available: u64 = 0;
    let mut reserve: u64 = 0;
    for entry in ioctl::space_info(fd)? {
        let free = entry.total.saturating_sub(entry.used);
        if entry.flags & ioctl::SPACE_GLOBAL_RESERVE != 0 {
            reserve = free;
        } else if entry.flags & ioctl::SPACE_METADATA != 0 {
            available += free;
        }
    }
    let mut unallocated: u64 = 0;
    for id in 1..=info.max_device_id {
        if let Some((total, allocated)) = ioctl::device_info(fd, id)? {
            unallocated += total.saturating_sub(allocated);
        }
    }
    let available = available.saturating_sub(reserve) + unallocated / 2;
    Ok(Space { available, needed: BLOCKS_NEEDED * u64::from(info.node_size) })
}
