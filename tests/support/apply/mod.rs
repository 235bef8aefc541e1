//! Carries out the operations of a history on a real tree.

mod attributes;
mod content;
mod names;
mod nested;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::ground::Ground;
use crate::op::{Op, Pick, Place};
use crate::sandbox::sync;

/// Longer paths are left to `DeepDirs`: not every call below could name what is in them.
const LONGEST_PATH: usize = 3000;

/// What operations act on.
pub struct World<'a> {
    sandbox: &'a mut dyn Ground,
    live: PathBuf,
    blank: Option<PathBuf>,
    /// What is in `live`, sorted by path; `None` when it has to be listed again.
    listing: RefCell<Option<Vec<Found>>>,
}

impl<'a> World<'a> {
    /// The tree at `live`, and the older one at `blank` if there is one yet.
    pub fn new(sandbox: &'a mut dyn Ground, live: PathBuf, blank: Option<PathBuf>) -> Self {
        Self { sandbox, live, blank, listing: RefCell::new(None) }
    }

    /// Carries out one operation. False if nothing fits it here, or if the kernel refused it with
    /// good reason (a directory into itself, a link across subvolumes).
    pub fn apply(&mut self, op: Op) -> bool {
        let outcome = self.run(op);
        if !keeps_names(&op) {
            self.listing.replace(None);
        }
        match outcome {
            Ok(()) => true,
            Err(error) => {
                // These would make a history test nothing and still pass.
                for fatal in [nix::libc::ENOSPC, nix::libc::EIO, nix::libc::EROFS] {
                    let errno = error.raw_os_error();
                    assert!(errno != Some(fatal), "{op:?} on {}: {error}", self.live.display());
                }
                false
            }
        }
    }

    fn run(&mut self, op: Op) -> io::Result<()> {
        match op {
            Op::Sync => sync(&self.live),
            Op::Remount => self.sandbox.remount(),
            _ => {
                content::run(self, op)
                    .or_else(|| names::run(self, op))
                    .or_else(|| attributes::run(self, op))
                    .or_else(|| nested::run(self, op))
                    .unwrap_or_else(|| panic!("nobody carries out {op:?}"))?;
            }
        }
        Ok(())
    }

    /// Everything below the root that `wanted` accepts, sorted by path.
    fn all(&self, wanted: impl Fn(&Found) -> bool) -> Vec<PathBuf> {
        let mut listing = self.listing.borrow_mut();
        let found = listing.get_or_insert_with(|| listed(&self.live));
        found.iter().filter(|f| wanted(f)).map(|f| f.path.clone()).collect()
    }

    fn pick(&self, number: Pick, wanted: impl Fn(&Found) -> bool) -> io::Result<PathBuf> {
        nth(self.all(wanted), number)
    }

    fn any(&self, number: Pick) -> io::Result<PathBuf> {
        self.pick(number, |_| true)
    }

    fn file(&self, number: Pick) -> io::Result<PathBuf> {
        self.pick(number, |f| f.file_type.is_file())
    }

    /// A directory that is no subvolume's root.
    fn dir(&self, number: Pick) -> io::Result<PathBuf> {
        let dirs = self.all(|f| f.file_type.is_dir());
        nth(dirs.into_iter().filter(|dir| !is_nested(dir)).collect(), number)
    }

    /// A new path: in any directory, the root included.
    fn place(&self, place: Place) -> io::Result<PathBuf> {
        let mut dirs = self.all(|f| f.file_type.is_dir());
        dirs.push(self.live.clone());
        Ok(join(&nth(dirs, place.dir)?, &crate::names::name(place.name)))
    }
}

/// Whether it leaves every name and type as it was.
fn keeps_names(op: &Op) -> bool {
    use Op::*;
    matches!(
        op,
        Append { .. }
            | OverwriteQuietly { .. }
            | MmapWrite { .. }
            | Truncate { .. }
            | PunchHole { .. }
            | ZeroRange { .. }
            | Allocate { .. }
            | Clone { .. }
            | CloneRange { .. }
            | CloneFromBlank { .. }
            | RewriteSame { .. }
            | Chmod { .. }
            | ChmodBackAndForth { .. }
            | ChmodRoot { .. }
            | Chown { .. }
            | Touch { .. }
            | SetXattr { .. }
            | RemoveXattr { .. }
            | XattrBackAndForth { .. }
            | SetAcl { .. }
            | SetCapability { .. }
            | SetCompression { .. }
            | SetFlags { .. }
            | Sync
            | Remount
    )
}

struct Found {
    path: PathBuf,
    file_type: fs::FileType,
}

fn listed(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    list(root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn list(dir: &Path, found: &mut Vec<Found>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display()));
    for entry in entries.map(Result::unwrap) {
        let (path, file_type) = (entry.path(), entry.file_type().unwrap());
        if path.as_os_str().len() > LONGEST_PATH {
            continue;
        }
        if file_type.is_dir() {
            list(&path, found);
        }
        found.push(Found { path, file_type });
    }
}

fn nth(all: Vec<PathBuf>, number: Pick) -> io::Result<PathBuf> {
    let count = all.len().max(1);
    all.into_iter().nth(usize::from(number) % count).ok_or(io::ErrorKind::NotFound.into())
}

fn join(dir: &Path, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    dir.join(std::ffi::OsStr::from_bytes(name))
}

/// The directories in `dir`, except where the path got too long to name.
pub(crate) fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let dirs = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    dirs.map(|entry| entry.path()).filter(|path| path.as_os_str().len() <= LONGEST_PATH).collect()
}

/// Sets an extended attribute.
pub fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    attributes::set(path, name, value)
}

/// The inode number; 0 if there is nothing.
/// Whether it is a nested subvolume or its stub; elsewhere than on Btrfs, what is taken for one is left alone.
pub(crate) fn is_nested(path: &Path) -> bool {
    matches!(inode(path), 2 | 256)
}

pub(crate) fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |meta| meta.ino())
}
